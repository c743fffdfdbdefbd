//! `[jwt.NAME]`. Whether the files are any good is for whoever reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tls::path;
use super::{timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::introspection::Introspection;
use crate::config::jwt::{ClaimTest, Jwt, JwtAlgorithm, JwtKeys, JwtUrl, TokenRules};
use crate::config::units::{HumanDuration, Size};
use crate::limits::{JWKS_REFRESH_RANGE, JWT_MAX_CACHE, JWT_MAX_LEEWAY};

pub(super) fn all(
    written: BTreeMap<String, file::Jwt>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, Jwt> {
    let each = written.into_iter();
    each.map(|(name, written)| {
        words::name(&name, &place.name(&name), report);
        if name.starts_with("introspection:") {
            let message = "that is how servers are named that know tokens";
            report.error(&place.name(&name), message, "write another name");
        }
        let checked = jwt(written, &place.key(&name), report);
        (name, checked)
    })
    .collect()
}

fn jwt(written: file::Jwt, place: &Place<'_>, report: &mut Report<'_>) -> Jwt {
    let algorithms = algorithms(&written, place, report);
    let leeway = leeway(written.leeway, &place.key("leeway"), report);
    let says = Says {
        issuer: written.issuer.as_ref(),
        audience: written.audience.as_ref(),
        scopes: &written.scopes,
        claims: &written.claims,
        application_claim: written.application_claim.as_deref(),
    };
    Jwt {
        says: says.rules(place, report),
        token_type: token_type(written.token_type.as_deref(), &place.key("token_type"), report),
        dpop: written.dpop,
        cache: cache(written.cache, &place.key("cache"), report),
        keys: keys(written, &algorithms, place, report),
        algorithms,
        leeway,
    }
}

/// Bytes that each worker remembers.
pub(super) fn cache(written: Size, place: &Place<'_>, report: &mut Report<'_>) -> usize {
    if written.0 > JWT_MAX_CACHE {
        let message = format!("{written} are too many for each worker");
        report.error(&place.trail, message, format!("write at most {}", Size(JWT_MAX_CACHE)));
    }
    usize::try_from(written.0).unwrap_or(usize::MAX)
}

/// What tokens must say, as written.
pub(super) struct Says<'w> {
    pub(super) issuer: Option<&'w file::OneOrMore>,
    pub(super) audience: Option<&'w file::OneOrMore>,
    pub(super) scopes: &'w [String],
    pub(super) claims: &'w BTreeMap<String, file::OneOrMore>,
    pub(super) application_claim: Option<&'w str>,
}

impl Says<'_> {
    pub(super) fn rules(&self, place: &Place<'_>, report: &mut Report<'_>) -> TokenRules {
        TokenRules {
            issuers: texts(self.issuer, &place.key("issuer"), report),
            audiences: texts(self.audience, &place.key("audience"), report),
            scopes: scopes(self.scopes.to_vec(), &place.key("scopes"), report),
            claims: claims(self.claims, &place.key("claims"), report),
            application_claim: claim_name(self.application_claim, place, report),
        }
    }
}

/// Where the keys are: exactly one place.
fn keys(
    written: file::Jwt,
    algorithms: &[JwtAlgorithm],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> JwtKeys {
    let places = ["jwks_url", "jwks_file", "secret"].map(|key| place.key(key).written());
    let count = places.iter().filter(|written| **written).count();
    if count != 1 && !place.damaged() {
        let help = "write one of `jwks_url`, `jwks_file` and `secret`";
        let message = match count {
            0 => "nothing says what the tokens are signed with",
            _ => {
                "tokens are signed with one kind of keys: a secret beside public keys invites forgeries"
            }
        };
        report.error(&place.trail, message, help);
    }
    only_with_url(place, places[0], report);
    if let Some(secret) = written.secret {
        return JwtKeys::Secret(self::secret(secret, algorithms, &place.key("secret"), report));
    }
    if written.jwks_file.is_some() {
        return JwtKeys::File(path(written.jwks_file, &place.key("jwks_file"), "file", report));
    }
    let mut time = |key: &'static str, written| timeout(written, &place.key(key), report);
    let (refetch, timeout) = (time("refetch", written.refetch), time("timeout", written.timeout));
    JwtKeys::Url(JwtUrl {
        url: words::url(
            written.jwks_url.unwrap_or_default(),
            "https://id.example.com/.well-known/jwks.json",
            &place.key("jwks_url"),
            report,
        ),
        roots: written
            .jwks_roots
            .map(|name| path(Some(name), &place.key("jwks_roots"), "file", report)),
        refresh: refresh(written.refresh, &place.key("refresh"), report),
        refetch,
        timeout,
    })
}

fn only_with_url(place: &Place<'_>, has_url: bool, report: &mut Report<'_>) {
    for key in ["jwks_roots", "refresh", "refetch", "timeout"] {
        if !has_url && place.key(key).given() {
            let message = format!("`{key}` is about a question to `jwks_url`, and there is none");
            report.error(&place.key(key).trail, message, "remove it");
        }
    }
}

/// The secret is not repeated in messages.
fn secret(
    text: String,
    algorithms: &[JwtAlgorithm],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<u8> {
    let least = algorithms.iter().filter_map(|one| one.secret_length()).max().unwrap_or_default();
    if text.len() < least {
        let message = format!(
            "a secret of {} bytes is too short: it must have as many as the hash \
             (RFC 7518 section 3.2)",
            text.len()
        );
        report.error(&place.trail, message, format!("make one of {least} random bytes or more"));
    }
    text.into_bytes()
}

fn algorithms(
    written: &file::Jwt,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<JwtAlgorithm> {
    let place = place.key("algorithms");
    let secret = written.secret.is_some();
    let Some(listed) = &written.algorithms else {
        return match secret {
            true => vec![JwtAlgorithm::Hs256],
            false => JwtAlgorithm::WITH_PUBLIC_KEY.to_vec(),
        };
    };
    if listed.is_empty() && !place.damaged() {
        let help = "list some, or leave `algorithms` out";
        report.error(&place.trail, "no algorithm is taken: nor is any token", help);
    }
    for (position, algorithm) in listed.iter().enumerate() {
        if algorithm.secret_length().is_some() != secret {
            let (has, help) = match secret {
                true => ("a secret", "list HS256, HS384 or HS512"),
                false => ("public keys", "remove it"),
            };
            let message = format!("this algorithm has no use for {has}");
            report.error(&place.item(position).trail, message, help);
        }
    }
    listed.clone()
}

fn leeway(written: HumanDuration, place: &Place<'_>, report: &mut Report<'_>) -> Duration {
    if written.0 > JWT_MAX_LEEWAY {
        let message = format!("{written} is more than clocks differ");
        let help = format!("write {} or less", HumanDuration(JWT_MAX_LEEWAY));
        report.error(&place.trail, message, help);
    }
    written.0
}

fn refresh(written: HumanDuration, place: &Place<'_>, report: &mut Report<'_>) -> Duration {
    let (least, most) = (JWKS_REFRESH_RANGE.start(), JWKS_REFRESH_RANGE.end());
    if !JWKS_REFRESH_RANGE.contains(&written.0) {
        let help =
            format!("write a time from {} to {}", HumanDuration(*least), HumanDuration(*most));
        report.error(&place.trail, format!("{written} is out of range"), help);
    }
    written.0
}

fn texts(
    written: Option<&file::OneOrMore>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    let all = written.map(|written| written.all().to_vec()).unwrap_or_default();
    let empty = written.is_some() && (all.is_empty() || all.iter().any(String::is_empty));
    if empty {
        report.error(
            &place.trail,
            "no token says nothing here",
            "write a value, or remove the key",
        );
    }
    all
}

fn token_type(written: Option<&str>, place: &Place<'_>, report: &mut Report<'_>) -> Option<String> {
    let lower = written?.to_ascii_lowercase();
    let short = lower.strip_prefix("application/").unwrap_or(&lower);
    if !short.split('/').all(words::is_token) {
        let message = "this is not a media type";
        report.error(&place.trail, message, "write one like \"at+jwt\"");
    }
    Some(short.to_owned())
}

/// RFC 6749 section 3.3.
fn scopes(written: Vec<String>, place: &Place<'_>, report: &mut Report<'_>) -> Vec<String> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
    for (position, scope) in written.iter().enumerate() {
        if scope.is_empty() || !scope.bytes().all(fits) {
            let message = format!("{scope:?} is not a scope");
            let help = "write one scope an element, without spaces and quotes";
            report.error(&place.item(position).trail, message, help);
        }
    }
    written
}

/// What claims must say; that there is one, where the key is written.
pub(super) fn claims(
    written: &BTreeMap<String, file::OneOrMore>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<ClaimTest> {
    let each = written.iter();
    each.map(|(name, values)| {
        if name.is_empty() {
            report.error(&place.name(name), "a claim has a name", "write it");
        }
        if values.all().is_empty() {
            let help = "write a value, or some of which one must be there";
            report.error(&place.key(name).trail, "no token has one of no values", help);
        }
        (name.clone(), values.all().to_vec())
    })
    .collect()
}

fn claim_name(name: Option<&str>, place: &Place<'_>, report: &mut Report<'_>) -> Option<String> {
    if name == Some("") {
        let help = "write its name, or leave `application_claim` out";
        report.error(&place.key("application_claim").trail, "a claim has a name", help);
    }
    name.map(str::to_owned)
}

/// The tables that tokens of ways are taken by.
#[derive(Clone, Copy)]
pub(super) struct Takers<'t> {
    pub(super) jwt: &'t BTreeMap<String, Jwt>,
    pub(super) introspection: &'t BTreeMap<String, Introspection>,
}

impl Takers<'_> {
    /// The names of those that a way of this kind may name; `None`: it is of another kind.
    pub(super) fn of(&self, kind: &str) -> Option<Vec<&str>> {
        match kind {
            "jwt" => Some(self.jwt.keys().map(String::as_str).collect()),
            "introspection" => Some(self.introspection.keys().map(String::as_str).collect()),
            _ => None,
        }
    }
}

/// Whether who takes tokens of a way `jwt:NAME` or `introspection:NAME` is there: kind and name.
pub(super) fn known<'w>(
    way: &'w str,
    takers: Takers<'_>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<(&'w str, &'w str)> {
    let (kind, Some(name)) = words::selector(way) else {
        let message = format!("{way:?} is no way to prove who calls a route without a product");
        let help = "write \"jwt:NAME\" or \"introspection:NAME\"";
        report.error(&place.trail, message, help);
        return None;
    };
    if takers.of(kind).is_some_and(|names| names.contains(&name)) {
        return Some((kind, name));
    }
    let kinds = ["jwt", "introspection"].into_iter();
    let all = kinds.flat_map(|kind| {
        let names = takers.of(kind).unwrap_or_default().into_iter();
        names.map(move |name| format!("\"{kind}:{name}\""))
    });
    let all: Vec<_> = all.collect();
    let help = match (all.is_empty(), takers.of(kind).is_some()) {
        (true, true) => format!("write a table [{kind}.{name}]"),
        (true, false) => format!("write a table [jwt.{name}], and \"jwt:{name}\""),
        (false, _) => format!("write {}", all.join(" or ")),
    };
    report.error(&place.trail, format!("nothing is known of {way:?}"), help);
    None
}
