//! Question and answer as they go over the wire (RFC 7662 section 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::policy::auth::jwt::Json;

/// What a server says of a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It is active, and all this.
    Active(Json),
    /// It is not, for whatever reason.
    Inactive,
}

/// The content of a question (section 2.1), `application/x-www-form-urlencoded`.
pub fn question(token: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(token.len() + 64);
    out.extend_from_slice(b"token=");
    form_encoded(token, &mut out);
    out.extend_from_slice(b"&token_type_hint=access_token");
    out
}

/// Who asks, by HTTP Basic: id and secret are encoded before they are coded (RFC 6749 section 2.3.1).
pub fn authorization(id: &str, secret: &str) -> String {
    let mut both = Vec::new();
    form_encoded(id.as_bytes(), &mut both);
    both.push(b':');
    form_encoded(secret.as_bytes(), &mut both);
    format!("Basic {}", STANDARD.encode(both))
}

fn form_encoded(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

impl Said {
    /// Reads the content of an answer.
    ///
    /// # Errors
    /// What is wrong with it, for the log. Nothing of the answer is in it.
    pub fn read(content: &[u8]) -> Result<Self, &'static str> {
        let claims = Json::object(content).ok_or("the answer is no JSON object")?;
        match claims.member("active") {
            Some(Json::Boolean(true)) => {}
            Some(Json::Boolean(false)) => return Ok(Self::Inactive),
            _ => return Err("the answer does not say whether the token is `active`"),
        }
        let dates = ["exp", "nbf", "iat"].into_iter().filter_map(|name| claims.member(name));
        match dates.into_iter().all(|date| date.date().is_some()) {
            true => Ok(Self::Active(claims)),
            false => Err("a time in the answer is no number"),
        }
    }
}
