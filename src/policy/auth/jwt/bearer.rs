//! Tokens in requests, and what is said of them (RFC 6750, RFC 9449).

use super::refusal::Refusal;
use crate::config::{Dpop, JwtAlgorithm};
use crate::http::Field;

/// How a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// By itself.
    Bearer,
    /// With a proof that its key is the client's.
    Dpop,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }

    /// What follows the scheme, which is told without regard to case (RFC 9110 section 11.1): nothing,
    /// where nothing does.
    pub(in crate::policy::auth) fn of(value: &[u8]) -> Option<(Self, &[u8])> {
        [Self::Bearer, Self::Dpop].into_iter().find_map(|scheme| {
            let (name, rest) = value.split_at_checked(scheme.name().len())?;
            let ends = rest.first().is_none_or(|byte| *byte == b' ');
            let is_it = ends && name.eq_ignore_ascii_case(scheme.name().as_bytes());
            is_it.then(|| (scheme, rest.trim_ascii_start()))
        })
    }
}

/// In which ways tokens may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offered {
    /// By themselves.
    pub bearer: bool,
    /// With proofs.
    pub dpop: bool,
}

impl Offered {
    /// What those offer who take tokens.
    pub fn by(takers: impl Iterator<Item = Dpop>) -> Self {
        takers.fold(Self::default(), |all, one| Self {
            bearer: all.bearer || one != Dpop::Required,
            dpop: all.dpop || one != Dpop::Off,
        })
    }
}

/// The token of Authorization. `None`: there is none.
///
/// # Errors
/// Several fields say who calls: which of them counts, two servers could decide differently.
pub fn shown<'b>(
    fields: &[Field],
    buf: &'b [u8],
    offered: Offered,
) -> Result<Option<(Scheme, &'b [u8])>, Refusal> {
    let mut values =
        fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"authorization"));
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::Malformed),
        (Some(field), None) => {
            let said = Scheme::of(field.value.of(buf));
            Ok(said.filter(|(scheme, _)| *scheme == Scheme::Bearer || offered.dpop))
        }
    }
}

/// What a client is told of a token that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// It showed none: no error is named (RFC 6750 section 3.1).
    Missing,
    /// Whatever is wrong with it.
    Invalid,
    /// Its proof is not taken.
    Unproved,
    /// It is good, but not for this.
    Insufficient,
}

/// Appends WWW-Authenticate lines: one for each way that is offered, with what went wrong at the one that
/// the client went.
pub fn write_challenges(
    challenge: Challenge,
    went: Scheme,
    offered: Offered,
    scopes: &[String],
    out: &mut Vec<u8>,
) {
    let went = if offered.bearer { went } else { Scheme::Dpop };
    for (scheme, is_offered) in [(Scheme::Bearer, offered.bearer), (Scheme::Dpop, offered.dpop)] {
        if !is_offered {
            continue;
        }
        let mut parameters = String::new();
        if scheme == went {
            error(challenge, scopes, &mut parameters);
        }
        if scheme == Scheme::Dpop {
            let separator = if parameters.is_empty() { "" } else { ", " };
            parameters = format!("{parameters}{separator}algs=\"{}\"", algorithms());
        }
        let space = if parameters.is_empty() { "" } else { " " };
        let line = format!("WWW-Authenticate: {}{space}{parameters}\r\n", scheme.name());
        out.extend_from_slice(line.as_bytes());
    }
}

fn error(challenge: Challenge, scopes: &[String], out: &mut String) {
    match challenge {
        Challenge::Missing => {}
        Challenge::Invalid => out.push_str("error=\"invalid_token\""),
        Challenge::Unproved => out.push_str("error=\"invalid_dpop_proof\""),
        Challenge::Insufficient => {
            out.push_str("error=\"insufficient_scope\"");
            if !scopes.is_empty() {
                // Scopes hold no quotes: the configuration was checked.
                out.push_str(", scope=\"");
                out.push_str(&scopes.join(" "));
                out.push('"');
            }
        }
    }
}

/// Those that proofs may be signed by.
fn algorithms() -> String {
    JwtAlgorithm::WITH_PUBLIC_KEY.map(JwtAlgorithm::name).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEARER: Offered = Offered { bearer: true, dpop: false };
    const BOTH: Offered = Offered { bearer: true, dpop: true };

    #[test]
    fn the_scheme_is_told_in_any_case() {
        let bearer = |text| Some((Scheme::Bearer, text));
        assert_eq!(Scheme::of(b"Bearer abc"), bearer(b"abc".as_slice()));
        assert_eq!(Scheme::of(b"bEARER   abc"), bearer(b"abc".as_slice()));
        assert_eq!(Scheme::of(b"Bearer"), bearer(b"".as_slice()));
        assert_eq!(Scheme::of(b"dpop abc"), Some((Scheme::Dpop, b"abc".as_slice())));
        for other in
            [b"Basic abc".as_slice(), b"Bearerabc", b"Bearer\tabc", b"DPoPx a", b"", b"abc"]
        {
            assert_eq!(Scheme::of(other), None);
        }
    }

    #[test]
    fn challenges_name_errors_and_scopes() {
        let told = |challenge, scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
            let mut out = Vec::new();
            write_challenges(challenge, Scheme::Bearer, BEARER, &scopes, &mut out);
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

    #[test]
    fn every_way_that_is_offered_is_named() {
        let told = |challenge, went, offered| {
            let mut out = Vec::new();
            write_challenges(challenge, went, offered, &[], &mut out);
            String::from_utf8(out).unwrap()
        };
        let algs = "algs=\"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA\"\r\n";
        assert_eq!(
            told(Challenge::Missing, Scheme::Bearer, BOTH),
            format!("WWW-Authenticate: Bearer\r\nWWW-Authenticate: DPoP {algs}")
        );
        assert_eq!(
            told(Challenge::Unproved, Scheme::Dpop, BOTH),
            format!(
                "WWW-Authenticate: Bearer\r\nWWW-Authenticate: DPoP error=\"invalid_dpop_proof\", {algs}"
            )
        );
        let only = Offered { bearer: false, dpop: true };
        assert_eq!(
            told(Challenge::Invalid, Scheme::Bearer, only),
            format!("WWW-Authenticate: DPoP error=\"invalid_token\", {algs}")
        );
    }
}
