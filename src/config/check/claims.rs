//! What routes ask of claims: only where a token is asked for are there any.

use std::collections::{BTreeMap, HashSet};

use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file::Product;
use crate::config::limit::LimitKey;
use crate::config::settings::{HeaderEdits, Route};
use crate::limits::MAX_CLAIM_SOURCES;

pub(super) fn known(
    routes: &[(usize, Route)],
    products: &BTreeMap<String, Product>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let mut sources = HashSet::new();
    for (position, route) in routes {
        let item = place.item(*position);
        // A server is asked after limits, so routes are chosen by what issuers have signed.
        let signed = shows_tokens(route, products, "jwt");
        let any = signed || shows_tokens(route, products, "introspection");
        let lacks = |key: &&str| if *key == "claims" { !signed } else { !any };
        for key in uses(route).filter(lacks) {
            let message = "no token is asked for here that could have claims";
            let help = "write `authentication = { any_of = [\"jwt:NAME\"] }`, or a product that takes tokens";
            report.error(&item.key(key).trail, message, help);
        }
        if signed && !route.claims.is_empty() {
            sources.insert(route.token_source());
            if sources.len() == MAX_CLAIM_SOURCES + 1 {
                let message = format!(
                    "routes with `claims` ask for tokens in more than {MAX_CLAIM_SOURCES} different ways"
                );
                let help = "let some of them have the same `authentication` or product";
                report.error(&item.key("claims").trail, message, help);
            }
        }
    }
}

/// Whether tokens of this kind are asked for. A product that is not in the file may be in the
/// store, and take tokens.
fn shows_tokens(route: &Route, products: &BTreeMap<String, Product>, kind: &str) -> bool {
    match (&route.product, &route.authentication) {
        (Some(name), _) => products.get(name).is_none_or(|product| {
            let ways = &product.authentication;
            let mut ways = ways.any_of.iter().chain(&ways.all_of);
            ways.any(|way| way.split_once(':').is_some_and(|(of, _)| of == kind))
        }),
        (None, Some(asked)) if kind == "jwt" => !asked.jwt.is_empty(),
        (None, Some(asked)) => !asked.introspection.is_empty(),
        (None, None) => false,
    }
}

/// The keys of a route that are about claims.
fn uses(route: &Route) -> impl Iterator<Item = &'static str> {
    let names = |edits: &HeaderEdits| {
        edits.set.iter().chain(&edits.add).any(|(_, v)| v.contains("{claim:"))
    };
    let limits = route.limits.iter().any(|limit| matches!(limit.key, LimitKey::Claim(_)));
    let all = [
        ("claims", !route.claims.is_empty()),
        ("limits", limits),
        ("request_headers", names(&route.request_headers)),
        ("response_headers", names(&route.response_headers)),
    ];
    all.into_iter().filter(|(_, used)| *used).map(|(key, _)| key)
}
