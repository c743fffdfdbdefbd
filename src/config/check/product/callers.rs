//! Who may call, and where they say who they are.

use super::fields;
use super::notes::Notes;
use crate::config::check::words;
use crate::config::file::{Authentication, Product};
use crate::limits::{PRODUCT_PLACES_MAX, PRODUCT_WAYS_MAX};

pub(super) fn check(product: &Product, notes: &mut Notes) {
    notes.within("authentication", |notes| authentication(product, notes));
    notes.within("credentials", |notes| credentials(product, notes));
}

fn authentication(product: &Product, notes: &mut Notes) {
    let Authentication { any_of, all_of, anonymous_plan } = &product.authentication;
    ways("any_of", any_of, notes);
    ways("all_of", all_of, notes);
    if !all_of.is_empty() && *any_of != Authentication::default().any_of {
        notes.error("any_of", "`all_of` stands in its place", "keep one of them");
    }
    let count = |ways: &[String], kind| ways.iter().filter(|way| way.starts_with(kind)).count();
    if count(any_of, "introspection:") > 1 {
        let help = "name one, which knows the tokens of all";
        notes.error("any_of", "a token is one server's to know", help);
    }
    if count(all_of, "jwt:") > 1 {
        let help = "keep one of them; others go into its `claims`";
        notes.error("all_of", "a token has one issuer", help);
    }
    if any_of.is_empty() && all_of.is_empty() && anonymous_plan.is_none() {
        let help = "write any_of = [\"user_key\"], or an `anonymous_plan` for everybody";
        notes.error("any_of", "nobody can call without a way to prove who they are", help);
    }
    if let Some(plan) = anonymous_plan.as_deref().filter(|name| !product.plans.contains_key(*name))
    {
        let known = product.plans.keys().map(String::as_str);
        notes.unknown("anonymous_plan", "plan", plan, known);
    }
}

fn ways(key: &'static str, ways: &[String], notes: &mut Notes) {
    notes.at_most(key, ways.len(), PRODUCT_WAYS_MAX, "ways");
    notes.within(key, |notes| {
        for (position, way) in ways.iter().enumerate() {
            if ways.iter().take(position).any(|earlier| earlier == way) {
                notes.error(position, format!("{way:?} is listed twice"), "list it once");
            } else {
                notes.refuse(position, way_refusal(way));
            }
        }
    });
}

fn way_refusal(way: &str) -> Option<words::Refusal> {
    let help = "write \"user_key\", \"app_key\", \"basic\", \"certificate\", \"jwt:NAME\" or \
                \"introspection:NAME\"";
    match words::selector(way) {
        ("user_key" | "app_key" | "basic" | "certificate", None) => None,
        (kind @ ("jwt" | "introspection"), Some(name)) => match words::name_refusal(name) {
            None if way == format!("{kind}:{name}") => None,
            None => Some((format!("{way:?} holds spaces"), format!("write \"{kind}:{name}\""))),
            refusal => refusal,
        },
        (kind, _) => {
            let meant = match kind {
                "api_key" | "apikey" | "key" => Some("user_key"),
                "app_id" => Some("app_key"),
                "http_basic" => Some("basic"),
                "mtls" | "client_certificate" => Some("certificate"),
                "oidc" | "oauth" | "oauth2" | "bearer" => Some("jwt:NAME"),
                _ => None,
            };
            let help = meant.map_or(help.to_owned(), |meant| format!("write {meant:?}"));
            Some((format!("{way:?} is no way to prove who one is"), help))
        }
    }
}

fn credentials(product: &Product, notes: &mut Notes) {
    let Authentication { any_of, all_of, .. } = &product.authentication;
    let in_force = if all_of.is_empty() { any_of } else { all_of };
    let used = |kind: &str| in_force.iter().any(|way| words::selector(way).0 == kind);
    let places = &product.credentials;
    for (key, listed, used) in [
        ("user_key", &places.user_key, used("user_key")),
        ("app_id", &places.app_id, used("app_key")),
        ("app_key", &places.app_key, used("app_key")),
        ("token", &places.token, used("jwt") || used("introspection")),
    ] {
        notes.at_most(key, listed.len(), PRODUCT_PLACES_MAX, "places");
        if used && listed.is_empty() {
            let help = "write a place like \"header:X-API-Key\", or leave the key out";
            notes.error(key, "there is no place to look for it", help);
        }
        notes.within(key, |notes| {
            for (position, place) in listed.iter().enumerate() {
                let same = |earlier: &String| same_place(earlier, place);
                if listed.iter().take(position).any(same) {
                    notes.error(position, format!("{place:?} is listed twice"), "list it once");
                } else {
                    notes.refuse(position, place_refusal(place));
                }
            }
        });
    }
    let both = places.app_key.iter().position(|key| places.app_id.iter().any(|id| id == key));
    if let Some(position) = both.filter(|_| used("app_key")) {
        notes.within("app_key", |notes| {
            let message = "the app_id is looked for in the same place";
            notes.error(position, message, "give each a place of its own");
        });
    }
}

/// Names of fields have no case.
fn same_place(a: &str, b: &str) -> bool {
    let is_field = |place: &str| words::selector(place).0 == "header";
    if is_field(a) && is_field(b) { a.eq_ignore_ascii_case(b) } else { a == b }
}

fn place_refusal(place: &str) -> Option<words::Refusal> {
    match place.split_once(':') {
        None if ["bearer", "basic_user", "basic_password"].contains(&place) => None,
        Some(("header", name)) => fields::credential_refusal(name),
        Some(("query", name)) => match name {
            "" => Some(("a query parameter's name is empty".to_owned(), "write a name".to_owned())),
            name if name.bytes().any(|b| !b.is_ascii_graphic() || b"&=#".contains(&b)) => {
                let message = format!("{name:?} is no name of a query parameter");
                Some((message, "write letters, digits, `-`, `_` and `.`".to_owned()))
            }
            _ => None,
        },
        _ => {
            let help = match words::selector(place) {
                ("basic", _) => "write \"basic_user\" or \"basic_password\"".to_owned(),
                (name, None) if place.starts_with(|c: char| c.is_ascii_uppercase()) => {
                    format!("write \"header:{name}\"")
                }
                _ => "write \"header:NAME\", \"query:NAME\", \"bearer\", \"basic_user\" or \
                      \"basic_password\""
                    .to_owned(),
            };
            Some((format!("{place:?} is no place of a credential"), help))
        }
    }
}
