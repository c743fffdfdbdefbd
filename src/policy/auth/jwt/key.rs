//! A key, and the algorithms it is for: those of its type and curve, or the one it names, and never
//! another.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Kind, kind, named};
use super::json::Json;
use crate::config::JwtAlgorithm as Algorithm;
use crate::limits::JWT_RSA_BITS;

/// A key that signatures are held against.
pub struct Key {
    id: Option<Box<str>>,
    checks: Vec<(Algorithm, Check)>,
}

enum Check {
    Public(ParsedPublicKey),
    /// Boxed: it keeps the hash's state, 1.2 KiB.
    Secret(Box<hmac::Key>),
}

/// Why a key of a set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Of a type, curve, use or algorithm that signs no tokens here.
    Unknown,
    /// Something of it is missing or wrong.
    Broken,
    /// It holds its private part, or is a shared secret: whoever read the set can sign.
    Private,
    /// An RSA key of less than 2048 bits, or one with an exponent that is none.
    Weak,
    /// Another key before it has its id.
    Duplicate,
}

impl Unfit {
    /// What the log says.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "of a kind that is not used here",
            Self::Broken => "broken",
            Self::Private => "not public: whoever read the set can sign tokens",
            Self::Weak => "too weak",
            Self::Duplicate => "of the same id as one before it",
        }
    }
}

/// Members of private and symmetric keys (RFC 7518 section 6, RFC 8037 section 2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl Key {
    /// A shared secret, for these algorithms; each must be one with a secret, which must be as long as
    /// its hash (RFC 7518 section 3.2).
    pub fn secret(bytes: &[u8], algorithms: &[Algorithm]) -> Option<Self> {
        let check = |&algorithm: &Algorithm| match kind(algorithm) {
            Kind::Hmac(hash) if bytes.len() >= algorithm.secret_length()? => {
                Some((algorithm, Check::Secret(Box::new(hmac::Key::new(hash, bytes)))))
            }
            _ => None,
        };
        let checks = algorithms.iter().map(check).collect::<Option<Vec<_>>>()?;
        Some(Self { id: None, checks })
    }

    /// A JWK (RFC 7517 section 4), for those of these algorithms that it is for.
    pub(super) fn of_jwk(jwk: &Json, algorithms: &[Algorithm]) -> Result<Self, Unfit> {
        if PRIVATE.iter().any(|name| jwk.member(name).is_some()) {
            return Err(Unfit::Private);
        }
        let id = match jwk.member("kid") {
            None => None,
            Some(id) => Some(id.text().ok_or(Unfit::Broken)?.into()),
        };
        if !verifies(jwk) {
            return Err(Unfit::Unknown);
        }
        let pinned = match jwk.member("alg") {
            None => None,
            Some(name) => Some(name.text().and_then(named).ok_or(Unfit::Unknown)?),
        };
        let allowed = algorithms.iter().copied().filter(|one| pinned.is_none_or(|p| p == *one));
        let checks = match jwk.member("kty").and_then(Json::text) {
            Some("RSA") => rsa(jwk, allowed)?,
            Some("EC") => elliptic(jwk, allowed)?,
            Some("OKP") => edwards(jwk, allowed)?,
            _ => return Err(Unfit::Unknown),
        };
        if checks.is_empty() { Err(Unfit::Unknown) } else { Ok(Self { id, checks }) }
    }

    /// Its id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it is for this algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.checks.iter().any(|(one, _)| *one == algorithm)
    }

    /// Whether an algorithm is one of both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.checks.iter().any(|(algorithm, _)| other.is_for(*algorithm))
    }

    /// Whether the signature is this key's, by this algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let check = self.checks.iter().find(|(one, _)| *one == algorithm);
        match check.map(|(_, check)| check) {
            None => false,
            Some(Check::Public(key)) => key.verify_sig(signed, signature).is_ok(),
            Some(Check::Secret(key)) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

/// Whether a key is for signatures (RFC 7517 sections 4.2 and 4.3).
fn verifies(jwk: &Json) -> bool {
    let used = jwk.member("use").is_none_or(|name| name.text() == Some("sig"));
    let operations = jwk.member("key_ops");
    used && operations.is_none_or(|o| o.items().iter().any(|one| one.text() == Some("verify")))
}

type Checks = Result<Vec<(Algorithm, Check)>, Unfit>;

fn rsa(jwk: &Json, allowed: impl Iterator<Item = Algorithm>) -> Checks {
    let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !JWT_RSA_BITS.contains(&bits) || !odd || e == [1] {
        return Err(Unfit::Weak);
    }
    let components = RsaPublicKeyComponents { n, e };
    let mut checks = Vec::new();
    for algorithm in allowed {
        if let Kind::Rsa(parameters) = kind(algorithm) {
            let key = components.to_parsed_public_key(parameters).map_err(|_| Unfit::Broken)?;
            checks.push((algorithm, Check::Public(key)));
        }
    }
    Ok(checks)
}

fn elliptic(jwk: &Json, allowed: impl Iterator<Item = Algorithm>) -> Checks {
    let curve = jwk.member("crv").and_then(Json::text).ok_or(Unfit::Broken)?;
    let mut checks = Vec::new();
    for algorithm in allowed {
        if let Kind::Ecdsa(verification, name, length) = kind(algorithm)
            && name == curve
        {
            // An uncompressed point (SEC 1 section 2.3.3); whether it is on the curve is checked.
            let mut point = vec![4];
            point.extend(coordinate(jwk, "x", length)?);
            point.extend(coordinate(jwk, "y", length)?);
            let key = ParsedPublicKey::new(verification, point).map_err(|_| Unfit::Broken)?;
            checks.push((algorithm, Check::Public(key)));
        }
    }
    Ok(checks)
}

fn edwards(jwk: &Json, allowed: impl Iterator<Item = Algorithm>) -> Checks {
    let curve = jwk.member("crv").and_then(Json::text).ok_or(Unfit::Broken)?;
    let mut checks = Vec::new();
    for algorithm in allowed {
        if let Kind::Ed25519(verification) = kind(algorithm)
            && curve == "Ed25519"
        {
            let point = coordinate(jwk, "x", 32)?;
            let key = ParsedPublicKey::new(verification, point).map_err(|_| Unfit::Broken)?;
            checks.push((algorithm, Check::Public(key)));
        }
    }
    Ok(checks)
}

fn bytes(jwk: &Json, name: &str) -> Result<Vec<u8>, Unfit> {
    let text = jwk.member(name).and_then(Json::text).ok_or(Unfit::Broken)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Broken)
}

/// A number without leading zeros (Base64urlUInt; some issuers write them nevertheless).
fn number(jwk: &Json, name: &str) -> Result<Vec<u8>, Unfit> {
    let bytes = bytes(jwk, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    if zeros == bytes.len() { Err(Unfit::Broken) } else { Ok(bytes[zeros..].to_vec()) }
}

/// Bytes of one length (RFC 7518 section 6.2.1.2).
fn coordinate(jwk: &Json, name: &str, length: usize) -> Result<Vec<u8>, Unfit> {
    let bytes = bytes(jwk, name)?;
    if bytes.len() == length { Ok(bytes) } else { Err(Unfit::Broken) }
}
