//! Tokens in requests, and what is said of them (RFC 6750, RFC 9449).

use crate::config::{Dpop, JwtAlgorithm};
use crate::http::{Field, values};

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

    fn of(value: &[u8]) -> Option<(Self, &[u8])> {
        [Self::Bearer, Self::Dpop].into_iter().find_map(|scheme| {
            let text = after(scheme.name(), value)?;
            Some((scheme, text))
        })
    }
}

/// What follows a scheme in Authorization, which is told without regard to case (RFC 9110 section 11.1): nothing,
/// where nothing does.
pub(in crate::policy::auth) fn after<'v>(scheme: &str, value: &'v [u8]) -> Option<&'v [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ');
    let is_it = ends && name.eq_ignore_ascii_case(scheme.as_bytes());
    is_it.then(|| rest.trim_ascii_start())
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
    /// What those offer who take tokens, of whom one must take it, or `all`.
    pub fn by(takers: impl Iterator<Item = Dpop> + Clone, all: bool) -> Self {
        let strict = takers.clone().filter(|one| *one == Dpop::Required).count();
        let bearer = if all { strict == 0 } else { strict < takers.clone().count() };
        Self { bearer, dpop: takers.into_iter().any(|one| one != Dpop::Off) }
    }
}

/// The token of Authorization. `None`: there is none; nor where several fields say who calls, since two
/// servers could decide differently which of them counts.
pub fn shown<'b>(
    fields: &'b [Field],
    buf: &'b [u8],
    offered: Offered,
) -> Option<(Scheme, &'b [u8])> {
    let mut said = values(fields, buf, b"authorization");
    let only = said.next().filter(|_| said.next().is_none());
    Scheme::of(only?).filter(|(scheme, _)| *scheme == Scheme::Bearer || offered.dpop)
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
/// the client went. The realm, if any, is the first parameter of Bearer, as of the other schemes that ask for one.
pub fn write_challenges(
    challenge: Challenge,
    went: Scheme,
    offered: Offered,
    (realm, scopes): (&str, &[String]),
    out: &mut Vec<u8>,
) {
    let went = if offered.bearer { went } else { Scheme::Dpop };
    for (scheme, is_offered) in [(Scheme::Bearer, offered.bearer), (Scheme::Dpop, offered.dpop)] {
        if !is_offered {
            continue;
        }
        let mut parameters = Vec::new();
        if scheme == Scheme::Bearer && !realm.is_empty() {
            parameters.push(format!("realm=\"{realm}\""));
        }
        if scheme == went {
            parameters.extend(error(challenge, scopes));
        }
        if scheme == Scheme::Dpop {
            parameters.push(format!("algs=\"{}\"", algorithms()));
        }
        let space = if parameters.is_empty() { "" } else { " " };
        let (name, parameters) = (scheme.name(), parameters.join(", "));
        let line = format!("WWW-Authenticate: {name}{space}{parameters}\r\n");
        out.extend_from_slice(line.as_bytes());
    }
}

fn error(challenge: Challenge, scopes: &[String]) -> Option<String> {
    let name = match challenge {
        Challenge::Missing => return None,
        Challenge::Invalid => "invalid_token",
        Challenge::Unproved => "invalid_dpop_proof",
        Challenge::Insufficient => "insufficient_scope",
    };
    let scope = match scopes {
        // Scopes hold no quotes: the configuration was checked.
        [_, ..] if challenge == Challenge::Insufficient => {
            format!(", scope=\"{}\"", scopes.join(" "))
        }
        _ => String::new(),
    };
    Some(format!("error=\"{name}\"{scope}"))
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
            write_challenges(challenge, Scheme::Bearer, BEARER, ("", &scopes), &mut out);
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
            write_challenges(challenge, went, offered, ("", &[]), &mut out);
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
