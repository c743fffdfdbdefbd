//! What a client signs (RFC 7515, as RFC 8555 section 6.2 uses it), checked.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Why a request is refused: a type of RFC 8555 section 6.7, and in words.
pub type Refusal = (&'static str, String);

/// What a server knows about its clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// Nonces that were given and not used.
    pub nonces: HashSet<String>,
    /// Keys by the account's URL.
    pub keys: HashMap<String, Value>,
}

/// A request that was signed by who it says.
#[derive(Debug)]
pub struct Signed {
    /// The account's URL; `None`: it is to be made.
    pub account: Option<String>,
    /// The key that signed.
    pub key: Value,
    /// What was signed; `None`: nothing, as in POST-as-GET.
    pub payload: Option<Value>,
}

impl Clients {
    /// Checks a request to this URL.
    pub fn check(
        &mut self,
        body: &[u8],
        url: &str,
        makes_account: bool,
    ) -> Result<Signed, Refusal> {
        let jws: Value = serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?;
        let header = part(&jws, "protected")?;
        let header: Value =
            serde_json::from_slice(&header).map_err(|e| malformed(e.to_string()))?;
        if header["alg"] != "ES256" {
            return Err(("badSignatureAlgorithm", format!("{}", header["alg"])));
        }
        if header["url"] != url {
            return Err(("unauthorized", format!("signed for {}, sent to {url}", header["url"])));
        }
        let nonce = header["nonce"].as_str().unwrap_or_default();
        if !self.nonces.remove(nonce) {
            return Err(("badNonce", format!("{nonce:?} was not given, or is used up")));
        }
        let (account, key) = match (&header["kid"], &header["jwk"]) {
            (Value::String(kid), Value::Null) if !makes_account => {
                let key = self.keys.get(kid);
                let key = key.ok_or(("accountDoesNotExist", format!("no account {kid}")))?;
                (Some(kid.clone()), key.clone())
            }
            (Value::Null, jwk @ Value::Object(_)) if makes_account => (None, jwk.clone()),
            _ => return Err(malformed("either kid or jwk, as the resource asks".into())),
        };
        verify(&key, &jws)?;
        let payload = part(&jws, "payload")?;
        let payload = match payload.is_empty() {
            true => None,
            false => Some(serde_json::from_slice(&payload).map_err(|e| malformed(e.to_string()))?),
        };
        Ok(Signed { account, key, payload })
    }
}

fn malformed(why: String) -> Refusal {
    ("malformed", why)
}

fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|e| malformed(format!("base64url: {e}")))
}

/// Bytes of the JWS.
fn part(jws: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    decode(jws[name].as_str().ok_or_else(|| malformed(format!("no {name}")))?)
}

/// What a signature is over.
fn signed(jws: &Value) -> String {
    let text = |name: &str| jws[name].as_str().unwrap_or_default().to_owned();
    format!("{}.{}", text("protected"), text("payload"))
}

fn verify(key: &Value, jws: &Value) -> Result<(), Refusal> {
    if key["kty"] != "EC" || key["crv"] != "P-256" {
        return Err(("badPublicKey", format!("{key}")));
    }
    let mut point = vec![4];
    for coordinate in ["x", "y"] {
        point.extend(part(key, coordinate)?);
    }
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    let signature = part(jws, "signature")?;
    key.verify(signed(jws).as_bytes(), &signature)
        .map_err(|_| malformed("the signature is not that of the key".into()))
}

/// RFC 7638: a key in a word.
pub fn thumbprint(key: &Value) -> String {
    let required = json!({ "crv": key["crv"], "kty": key["kty"], "x": key["x"], "y": key["y"] });
    URL_SAFE_NO_PAD.encode(digest(&SHA256, required.to_string().as_bytes()))
}

/// Checks that an account's key was bound to an external account (RFC 8555 section 7.3.4).
pub fn check_binding(binding: &Value, key: &Value, url: &str, mac: &[u8]) -> Result<(), Refusal> {
    let required = |why: &str| ("externalAccountRequired", why.to_owned());
    if binding.is_null() {
        return Err(required("there is none"));
    }
    let header: Value = serde_json::from_slice(&part(binding, "protected")?)
        .map_err(|e| malformed(e.to_string()))?;
    if (&header["alg"], &header["kid"], &header["url"])
        != (&json!("HS256"), &json!("kid-1"), &json!(url))
    {
        return Err(required("another header was expected"));
    }
    let bound: Value =
        serde_json::from_slice(&part(binding, "payload")?).map_err(|e| malformed(e.to_string()))?;
    if thumbprint(&bound) != thumbprint(key) {
        return Err(required("it binds another key"));
    }
    let mac = hmac::Key::new(hmac::HMAC_SHA256, mac);
    hmac::verify(&mac, signed(binding).as_bytes(), &part(binding, "signature")?)
        .map_err(|_| required("its MAC is wrong"))
}
