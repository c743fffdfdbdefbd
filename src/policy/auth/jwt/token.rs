//! The compact form (RFC 7515 sections 3.1 and 5.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::named;
use super::json::Json;
use super::refusal::Refusal;
use crate::config::JwtAlgorithm as Algorithm;
use crate::limits::JWT_MAX;

/// A token, read but not believed.
pub(super) struct Token<'t> {
    /// Its header.
    pub(super) header: Json,
    /// Which algorithm the header names.
    pub(super) algorithm: Algorithm,
    /// What was signed.
    pub(super) signed: &'t [u8],
    /// Its payload, in base64url.
    payload: &'t [u8],
    /// Its signature.
    pub(super) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    pub(super) fn read(text: &'t [u8]) -> Result<Self, Refusal> {
        if text.len() > JWT_MAX {
            return Err(Refusal::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let signed = &text[..header.len() + 1 + payload.len()];
        let header = Json::object(&decoded(header)?).ok_or(Refusal::Malformed)?;
        // Nothing is understood that a header can demand (RFC 7515 section 4.1.11), unencoded
        // payloads (RFC 7797) least.
        if header.member("crit").is_some() || header.member("b64").is_some() {
            return Err(Refusal::Critical);
        }
        let name = header.member("alg").and_then(Json::text).ok_or(Refusal::Malformed)?;
        let algorithm = named(name).ok_or(Refusal::Algorithm)?;
        let signature = decoded(signature)?;
        Ok(Self { header, algorithm, signed, payload, signature })
    }

    /// What a text says that has the form of a token, whoever made it.
    pub(super) fn unbelieved(text: &[u8]) -> Option<Json> {
        let payload = text.split(|byte| *byte == b'.').nth(1).filter(|_| text.len() <= JWT_MAX)?;
        Json::object(&decoded(payload).ok()?)
    }

    /// The id of its key.
    pub(super) fn key_id(&self) -> Result<Option<&str>, Refusal> {
        let id = self.header.member("kid");
        id.map(|id| id.text().ok_or(Refusal::Malformed)).transpose()
    }

    /// What it says. To be asked once the signature is known to be good.
    pub(super) fn claims(&self) -> Result<Json, Refusal> {
        Json::object(&decoded(self.payload)?).ok_or(Refusal::Malformed)
    }
}

/// Base64url as one writer only writes it: no padding, no other letters, no bits left over.
fn decoded(part: &[u8]) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}
