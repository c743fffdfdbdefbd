//! Algorithms of signatures (RFC 7518 section 3, RFC 8037, RFC 9864).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, VerificationAlgorithm,
};

use crate::config::JwtAlgorithm as Algorithm;

/// What verifies signatures of an algorithm.
pub(super) enum Kind {
    /// RSA, with a padding and a hash.
    Rsa(&'static RsaParameters),
    /// ECDSA on the curve of this name, whose coordinates have so many bytes.
    Ecdsa(&'static EcdsaVerificationAlgorithm, &'static str, usize),
    /// Ed25519.
    Ed25519(&'static dyn VerificationAlgorithm),
    /// HMAC.
    Hmac(hmac::Algorithm),
}

/// Which algorithm a name means, which counts letter by letter; `none` is not among them.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::Rs256,
        "RS384" => Algorithm::Rs384,
        "RS512" => Algorithm::Rs512,
        "PS256" => Algorithm::Ps256,
        "PS384" => Algorithm::Ps384,
        "PS512" => Algorithm::Ps512,
        "ES256" => Algorithm::Es256,
        "ES384" => Algorithm::Es384,
        "ES512" => Algorithm::Es512,
        "EdDSA" | "Ed25519" => Algorithm::EdDsa,
        "HS256" => Algorithm::Hs256,
        "HS384" => Algorithm::Hs384,
        "HS512" => Algorithm::Hs512,
        _ => return None,
    })
}

pub(super) fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Rs256 => Kind::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Kind::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Kind::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Kind::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Kind::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Kind::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 => Kind::Ecdsa(&signature::ECDSA_P256_SHA256_FIXED, "P-256", 32),
        Algorithm::Es384 => Kind::Ecdsa(&signature::ECDSA_P384_SHA384_FIXED, "P-384", 48),
        Algorithm::Es512 => Kind::Ecdsa(&signature::ECDSA_P521_SHA512_FIXED, "P-521", 66),
        Algorithm::EdDsa => Kind::Ed25519(&signature::ED25519),
        Algorithm::Hs256 => Kind::Hmac(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Kind::Hmac(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Kind::Hmac(hmac::HMAC_SHA512),
    }
}
