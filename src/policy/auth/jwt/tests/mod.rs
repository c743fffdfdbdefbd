//! The verifier against the vectors of the RFCs, and against those who try to get past it.

mod claims;
mod forgeries;
mod keys;
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{KeySet, Refusal, Verified, Verifier};
use crate::config::{Jwt, JwtAlgorithm as Algorithm, JwtKeys, TokenRules};

const NOW: u64 = 1_800_000_000;

fn coded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn plain_rules() -> Jwt {
    Jwt {
        keys: JwtKeys::File("jwks.json".into()),
        says: TokenRules::default(),
        algorithms: Algorithm::WITH_PUBLIC_KEY.to_vec(),
        leeway: Duration::from_secs(60),
        token_type: None,
        cache: 0,
    }
}

/// Rules of a secret.
fn secret_rules(algorithms: &[Algorithm]) -> Jwt {
    Jwt { keys: JwtKeys::Secret(Vec::new()), algorithms: algorithms.to_vec(), ..plain_rules() }
}

/// Rules of which only this is asked.
fn saying(says: TokenRules) -> Jwt {
    Jwt { says, ..plain_rules() }
}

pub(super) fn verifier(rules: Jwt, keys: KeySet) -> Verifier {
    let (rules, keys) = (Arc::new(rules), Arc::new(keys));
    Verifier { name: "main".into(), rules, keys, epoch: 1, asking: None }
}

fn set_of(keys: &[Value]) -> KeySet {
    let text = json!({ "keys": keys }).to_string();
    KeySet::read(text.as_bytes(), &Algorithm::WITH_PUBLIC_KEY).expect("keys")
}

/// Somebody who signs.
enum Signer {
    Rsa(RsaKeyPair, &'static str),
    Ec(EcdsaKeyPair, &'static str, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn rsa(algorithm: &'static str) -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"), algorithm)
    }

    fn ec(
        algorithm: &'static str,
        curve: &'static str,
        kind: &'static EcdsaSigningAlgorithm,
    ) -> Self {
        Self::Ec(EcdsaKeyPair::generate(kind).expect("a key"), algorithm, curve)
    }

    fn es256() -> Self {
        Self::ec("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_, name) | Self::Ec(_, name, _) => name,
            Self::Ed(_) => "EdDSA",
        }
    }

    fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair, _) => {
                let key = pair.public_key();
                let n = coded(key.modulus().big_endian_without_leading_zero());
                let e = coded(key.exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "n": n, "e": e })
            }
            Self::Ec(pair, _, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": coded(x), "y": coded(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": coded(pair.public_key()) })
            }
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair, ..) => pair.sign(&random, message).expect("signed").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair, name) => {
                let padding: &dyn signature::RsaEncoding = match *name {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).expect("signed");
                signature
            }
        }
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", coded(header.to_string()), coded(claims.to_string()));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", coded(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm() }), claims)
    }
}

fn good_claims() -> Value {
    json!({ "iss": "https://issuer.example", "exp": NOW + 300, "client_id": "app" })
}

fn refusal(result: Result<Verified, Refusal>) -> Refusal {
    match result {
        Err(refusal) => refusal,
        Ok(_) => panic!("it was taken"),
    }
}
