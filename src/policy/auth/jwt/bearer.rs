//! Bearer tokens in requests, and what is said of them (RFC 6750).

use super::refusal::Refusal;
use crate::http::Field;

/// The token of `Authorization: Bearer`. `None`: there is none.
///
/// # Errors
/// Several fields say who calls: which of them counts, two servers could decide differently.
pub fn bearer<'b>(fields: &[Field], buf: &'b [u8]) -> Result<Option<&'b [u8]>, Refusal> {
    let mut values =
        fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"authorization"));
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::Malformed),
        (Some(field), None) => Ok(after_scheme(field.value.of(buf))),
    }
}

/// What follows the scheme, which is told without regard to case (RFC 9110 section 11.1): nothing, where
/// nothing does.
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer".len())?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ');
    (ends && scheme.eq_ignore_ascii_case(b"bearer")).then(|| rest.trim_ascii_start())
}

/// What a client is told of a token that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// It showed none: no error is named (RFC 6750 section 3.1).
    Missing,
    /// Whatever is wrong with it.
    Invalid,
    /// It is good, but not for this.
    Insufficient,
}

/// Appends a WWW-Authenticate line.
pub fn write_challenge(challenge: Challenge, scopes: &[String], out: &mut Vec<u8>) {
    out.extend_from_slice(b"WWW-Authenticate: Bearer");
    match challenge {
        Challenge::Missing => {}
        Challenge::Invalid => out.extend_from_slice(b" error=\"invalid_token\""),
        Challenge::Insufficient => {
            out.extend_from_slice(b" error=\"insufficient_scope\"");
            if !scopes.is_empty() {
                // Scopes hold no quotes: the configuration was checked.
                out.extend_from_slice(b", scope=\"");
                out.extend_from_slice(scopes.join(" ").as_bytes());
                out.push(b'"');
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(after_scheme(b"Bearer abc"), Some(b"abc".as_slice()));
        assert_eq!(after_scheme(b"bEARER   abc"), Some(b"abc".as_slice()));
        assert_eq!(after_scheme(b"Bearer"), Some(b"".as_slice()));
        for other in [b"Basic abc".as_slice(), b"Bearerabc", b"Bearer\tabc", b"", b"abc"] {
            assert_eq!(after_scheme(other), None);
        }
    }

    #[test]
    fn challenges_name_errors_and_scopes() {
        let told = |challenge, scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
            let mut out = Vec::new();
            write_challenge(challenge, &scopes, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(Challenge::Missing, &["a"]), "WWW-Authenticate: Bearer\r\n");
        assert_eq!(
            told(Challenge::Invalid, &["a"]),
            "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
        );
        assert_eq!(
            told(Challenge::Insufficient, &["a", "b"]),
            "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"a b\"\r\n"
        );
        assert_eq!(
            told(Challenge::Insufficient, &[]),
            "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n"
        );
    }
}
