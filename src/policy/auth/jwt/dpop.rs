//! Proofs that a client has the key that its token is bound to (DPoP, RFC 9449): a token of its own making
//! for each request, signed with that key. Nonces (section 8) are not asked for.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fault::Fault;
use super::json::Json;
use super::key::Key;
use super::refusal::Refusal;
use super::token::Token;
use crate::config::{EncodedSlash, JwtAlgorithm as Algorithm};
use crate::http::{Field, canonicalise, values};
use crate::limits::{DPOP_AGE_S, DPOP_MAX};
use crate::policy::auth::Digest;

/// A proof that holds for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whose key signed it (RFC 7638), base64url.
    pub thumbprint: Box<str>,
    /// Which of that key's proofs it is.
    pub id: Digest,
    /// From when on it is none, seconds since 1970.
    pub ends_at: u64,
}

/// The request that is to be proved.
#[derive(Debug, Clone, Copy)]
pub struct ProofAsked<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its scheme, as the client used it.
    pub scheme: &'a [u8],
    /// Its host and port, as the client wrote them.
    pub authority: &'a [u8],
    /// Its canonical path.
    pub path: &'a [u8],
    /// What made the path canonical.
    pub slash: EncodedSlash,
    /// The token that it shows.
    pub token: &'a [u8],
}

/// The one proof that a request shows.
///
/// # Errors
/// There is none, or more.
pub fn proof_shown<'b>(fields: &'b [Field], buf: &'b [u8]) -> Result<&'b [u8], Fault> {
    let mut shown = values(fields, buf, b"dpop");
    match (shown.next(), shown.next()) {
        (None, _) => Err(Fault::Missing),
        (Some(text), None) => Ok(text),
        (Some(_), Some(_)) => Err(Fault::Several),
    }
}

impl Proof {
    /// Reads a proof and holds it against the request at `now`, seconds since 1970. Whether it was used
    /// before is for [`super::Proofs`] to say.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn read(text: &[u8], asked: &ProofAsked<'_>, now: u64, leeway: u64) -> Result<Self, Fault> {
        if text.len() > DPOP_MAX {
            return Err(Fault::Malformed);
        }
        let token = Token::read(text).map_err(|refusal| match refusal {
            Refusal::Algorithm => Fault::Algorithm,
            _ => Fault::Malformed,
        })?;
        let kind = token.header.member("typ").and_then(Json::text).ok_or(Fault::Type)?;
        if !kind.eq_ignore_ascii_case("dpop+jwt") {
            return Err(Fault::Type);
        }
        if !Algorithm::WITH_PUBLIC_KEY.contains(&token.algorithm) {
            return Err(Fault::Algorithm);
        }
        let jwk = token.header.member("jwk").ok_or(Fault::Key)?;
        let key = Key::of_jwk(jwk, &[token.algorithm]).map_err(|_| Fault::Key)?;
        if !key.verifies(token.algorithm, token.signed, &token.signature) {
            return Err(Fault::Signature);
        }
        let claims = token.claims().map_err(|_| Fault::Malformed)?;
        let said = |name| claims.member(name).and_then(Json::text).ok_or(Fault::Malformed);
        if said("htm")?.as_bytes() != asked.method {
            return Err(Fault::Method);
        }
        if !is_target(said("htu")?, asked) {
            return Err(Fault::Target);
        }
        let made = claims.member("iat").and_then(Json::date).ok_or(Fault::Malformed)?;
        // `as` keeps it in range.
        let ends_at = (made as u64).saturating_add(DPOP_AGE_S);
        if made > (now + leeway) as f64 || ends_at <= now {
            return Err(Fault::Time);
        }
        if said("ath")? != coded(digest(&SHA256, asked.token).as_ref()) {
            return Err(Fault::Token);
        }
        let thumbprint = thumbprint(jwk).ok_or(Fault::Key)?;
        let id = said("jti")
            .and_then(|id| if id.is_empty() { Err(Fault::Malformed) } else { Ok(id) })?;
        let id = *blake3::hash(format!("{thumbprint} {id}").as_bytes()).as_bytes();
        Ok(Self { thumbprint: thumbprint.into(), id, ends_at })
    }
}

fn coded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638: of what makes the key the key, and nothing else, in the order of the alphabet.
fn thumbprint(jwk: &Json) -> Option<String> {
    let names: &[&str] = match jwk.member("kty")?.text()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    // All of them are names and base64url by now, in which nothing is to be escaped.
    let member = |name: &&str| Some(format!("\"{name}\":\"{}\"", jwk.member(name)?.text()?));
    let members = names.iter().map(member).collect::<Option<Vec<_>>>()?;
    let text = format!("{{{}}}", members.join(","));
    Some(coded(digest(&SHA256, text.as_bytes()).as_ref()))
}

/// Whether a URL is the request's, but for query and fragment (RFC 9449 section 4.3, RFC 3986 section 6).
fn is_target(url: &str, asked: &ProofAsked<'_>) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if !scheme.as_bytes().eq_ignore_ascii_case(asked.scheme) {
        return false;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let own = without_port(asked.authority, asked.scheme);
    if own.is_empty() || !without_port(authority.as_bytes(), asked.scheme).eq_ignore_ascii_case(own)
    {
        return false;
    }
    let mut path = if path.is_empty() { b"/".to_vec() } else { path.as_bytes().to_vec() };
    canonicalise(&mut path, asked.slash).is_ok_and(|length| path[..length] == *asked.path)
}

/// An authority without the port that its scheme has anyway.
fn without_port<'a>(authority: &'a [u8], scheme: &[u8]) -> &'a [u8] {
    let port: &[u8] = if scheme == b"https" { b":443" } else { b":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}
