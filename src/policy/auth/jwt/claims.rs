//! What a token must say (RFC 7519 section 4.1, RFC 8725 section 3).

use std::time::Duration;

use super::json::Json;
use super::refusal::Refusal;
use crate::config::{Jwt, TokenRules};

/// Checks the header's `typ` (RFC 8725 section 3.11). Unless one is asked for it is absent, `JWT`, or
/// an access token's (RFC 9068): a logout or ID token of another kind is no pass.
pub(super) fn check_type(rules: &Jwt, header: &Json) -> Result<(), Refusal> {
    let written = match header.member("typ") {
        None => None,
        Some(text) => Some(text.text().ok_or(Refusal::Malformed)?.to_ascii_lowercase()),
    };
    let short = written.as_deref().map(|text| text.strip_prefix("application/").unwrap_or(text));
    let good = match &rules.token_type {
        Some(asked) => short == Some(asked),
        None => matches!(short, None | Some("jwt" | "at+jwt")),
    };
    if good { Ok(()) } else { Err(Refusal::Type) }
}

/// Checks who says it, and to whom.
pub(super) fn check_parties(rules: &TokenRules, claims: &Json) -> Result<(), Refusal> {
    let is = |accepted: &[String], text: &Json| {
        text.text().is_some_and(|text| accepted.iter().any(|one| one == text))
    };
    if !rules.issuers.is_empty() && !claims.member("iss").is_some_and(|c| is(&rules.issuers, c)) {
        return Err(Refusal::Issuer);
    }
    let for_us = |to: &Json| to.items().iter().any(|one| is(&rules.audiences, one));
    if !rules.audiences.is_empty() && !claims.member("aud").is_some_and(for_us) {
        return Err(Refusal::Audience);
    }
    Ok(())
}

/// Checks the times; `exp`, where it says one, seconds since 1970.
pub(super) fn check_times(
    leeway: Duration,
    claims: &Json,
    now: u64,
) -> Result<Option<f64>, Refusal> {
    let date = |name: &str| match claims.member(name) {
        None => Ok(None),
        Some(date) => date.date().map(Some).ok_or(Refusal::Malformed),
    };
    let (now, leeway) = (now as f64, leeway.as_secs() as f64);
    let ends = date("exp")?;
    if ends.is_some_and(|ends| now >= ends + leeway) {
        return Err(Refusal::Expired);
    }
    let later = |from: Option<f64>| from.is_some_and(|from| from > now + leeway);
    if later(date("nbf")?) || later(date("iat")?) {
        return Err(Refusal::NotYet);
    }
    Ok(ends)
}

/// Checks what it is good for.
pub(super) fn check_rights(rules: &TokenRules, claims: &Json) -> Result<(), Refusal> {
    if !rules.scopes.iter().all(|scope| has_scope(claims, scope)) {
        return Err(Refusal::Scope);
    }
    let holds = |(name, values): &(String, Vec<String>)| {
        let says = |json: &Json| json.plain().is_some_and(|text| values.contains(&text));
        claims.at(name).is_some_and(|claim| claim.items().iter().any(says))
    };
    if rules.claims.iter().all(holds) { Ok(()) } else { Err(Refusal::Claim) }
}

/// Whether a token has a scope: in `scope` (RFC 9068), or in `scp`, as text or array.
pub(super) fn has_scope(claims: &Json, scope: &str) -> bool {
    let names = ["scope", "scp"].into_iter().filter_map(|name| claims.member(name));
    let mut texts = names.flat_map(Json::items).filter_map(Json::text);
    texts.any(|text| text.split(' ').any(|one| one == scope))
}

/// The claim that names the application.
pub(super) fn application(rules: &TokenRules, claims: &Json) -> Option<Box<str>> {
    let named = match &rules.application_claim {
        Some(name) => claims.at(name),
        None => claims.member("client_id").or_else(|| claims.member("azp")),
    };
    named.and_then(Json::plain).filter(|text| !text.is_empty()).map(Into::into)
}
