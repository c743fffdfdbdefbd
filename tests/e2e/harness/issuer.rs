//! Somebody who makes tokens, and a server that shows the keys, or does not.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ServerConfig;
use serde_json::{Value, json};

use super::gate::Watched;
use super::{Gate, Peer, Upstream};

/// Bytes in base64url.
pub fn coded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Claims that hold for five minutes.
pub fn claims() -> Value {
    json!({ "iss": "https://issuer.example", "aud": "orders", "exp": now() + 300, "client_id": "app" })
}

/// A key that signs tokens by ES256.
pub struct TokenKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl TokenKey {
    /// A new one of this id.
    pub fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id: id.to_owned(), pair }
    }

    /// Its public part.
    pub fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": coded(x), "y": coded(y),
        })
    }

    /// A token that says this.
    pub fn token(&self, claims: &Value) -> String {
        self.signed(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.id }), claims)
    }

    /// A proof by this key, as its holder makes it (RFC 9449 section 4.2).
    pub fn proof(&self, claims: &Value) -> String {
        let mut jwk = self.jwk();
        jwk.as_object_mut()
            .expect("an object")
            .retain(|name, _| !["kid", "use"].contains(&&**name));
        self.signed(&json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": jwk }), claims)
    }

    /// What names the key where a token is bound to it (RFC 7638).
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let (x, y) = (&jwk["x"], &jwk["y"]);
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
        coded(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
    }

    /// A token with this header that says this.
    pub fn signed(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", coded(header.to_string()), coded(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
        format!("{signed}.{}", coded(signature))
    }
}

/// The set of these keys.
pub fn jwks(keys: &[&TokenKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// What a server of keys does when it is asked.
#[derive(Clone)]
pub enum Mood {
    /// Answers with these bytes.
    Answers(String),
    /// Answers when the gate is opened.
    Hangs(Gate),
}

/// A server of keys.
pub struct KeyServer {
    server: Upstream,
    mood: Arc<Watched<Option<Mood>>>,
}

impl KeyServer {
    /// One that shows these keys.
    pub fn new(keys: &[&TokenKey]) -> Self {
        Self::start(keys, Upstream::new)
    }

    /// The same behind TLS.
    pub fn tls(keys: &[&TokenKey], config: Arc<ServerConfig>) -> Self {
        Self::start(keys, |script| Upstream::tls(config, script))
    }

    fn start(
        keys: &[&TokenKey],
        start: impl FnOnce(Box<dyn Fn(&mut Peer) + Send + Sync>) -> Upstream,
    ) -> Self {
        let mood = Arc::new(Watched::<Option<Mood>>::default());
        let asked = Arc::clone(&mood);
        let server = start(Box::new(move |peer| {
            while peer.next_request().is_some() {
                // The gateway may have lost its patience.
                let _ = peer.try_send(answer_when_willing(&asked));
            }
        }));
        let this = Self { server, mood };
        this.show(keys, "");
        this
    }

    /// From now on shows these keys, with these field lines.
    pub fn show(&self, keys: &[&TokenKey], fields: &str) {
        let text = jwks(keys);
        let length = text.len();
        self.answer(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{text}"));
    }

    /// From now on answers with these bytes.
    pub fn answer(&self, bytes: &str) {
        self.mood.change(|mood| *mood = Some(Mood::Answers(bytes.to_owned())));
    }

    /// From now on does not answer until the gate is open.
    pub fn hang(&self) -> Gate {
        let gate = Gate::new();
        self.mood.change(|mood| *mood = Some(Mood::Hangs(gate.clone())));
        gate
    }

    /// Where the keys are.
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.server.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.count()
    }
}

fn answer_when_willing(mood: &Watched<Option<Mood>>) -> String {
    loop {
        match mood.look(Clone::clone).expect("a mood") {
            Mood::Answers(answer) => return answer,
            Mood::Hangs(gate) => gate.wait(),
        }
    }
}
