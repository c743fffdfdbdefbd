//! X-Request-Id: kept from a trusted peer, made here otherwise.

use super::alphabet::hex;
use crate::http::{Field, Known, Span};
use crate::limits::MAX_REQUEST_ID;

/// A request's id. It is at hand whether or not it is forwarded: logs and problem details name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestId {
    /// The trusted peer's, in the request's buffer.
    Kept(Span),
    /// Made here: 128 random bits as lower-case hexadecimal.
    Made([u8; 32]),
}

impl RequestId {
    /// The id of a request: what a trusted peer gave in exactly one X-Request-Id if that is
    /// printable and at most [`MAX_REQUEST_ID`] bytes, else `random`.
    pub fn choose(fields: &[Field], buf: &[u8], trusted: bool, random: u128) -> Self {
        match trusted.then(|| given(fields, buf)).flatten() {
            Some(span) => Self::Kept(span),
            None => Self::Made(hex(random.to_be_bytes())),
        }
    }

    /// Its text; `buf` is the request's.
    pub fn text<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Kept(span) => span.of(buf),
            Self::Made(text) => text,
        }
    }
}

fn given(fields: &[Field], buf: &[u8]) -> Option<Span> {
    let mut ids = fields.iter().filter(|f| f.known == Known::XRequestId);
    let (first, second) = (ids.next()?, ids.next());
    (second.is_none() && is_valid(first.value.of(buf))).then_some(first.value)
}

/// Letters, digits and a few signs that need no escape in a field, a URI, JSON or a log line.
fn is_valid(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ids: &[&str], trusted: bool) -> String {
        let buf = ids.concat().into_bytes();
        let mut at = 0;
        let field = |id: &&str| {
            let value = Span::new(at, at + id.len());
            at += id.len();
            Field { name: Span::default(), value, known: Known::XRequestId, hop: false }
        };
        let fields: Vec<_> = ids.iter().map(field).collect();
        let id = RequestId::choose(&fields, &buf, trusted, 0xab);
        String::from_utf8(id.text(&buf).to_vec()).unwrap()
    }

    const MADE: &str = "000000000000000000000000000000ab";

    #[test]
    fn a_trusted_peers_id_is_kept() {
        assert_eq!(chosen(&["req-1.a"], true), "req-1.a");
        assert_eq!(chosen(&[&"x".repeat(MAX_REQUEST_ID)], true), "x".repeat(MAX_REQUEST_ID));
    }

    #[test]
    fn all_others_are_made_here() {
        assert_eq!(chosen(&[], true), MADE);
        assert_eq!(chosen(&["req-1"], false), MADE);
        assert_eq!(chosen(&["a", "b"], true), MADE);
        for bad in ["", "a b", "a\"b", "é", "a,b"] {
            assert_eq!(chosen(&[bad], true), MADE, "{bad:?}");
        }
        assert_eq!(chosen(&[&"x".repeat(MAX_REQUEST_ID + 1)], true), MADE);
    }
}
