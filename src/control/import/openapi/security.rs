//! Security schemes as ways to prove who one is, and places of credentials.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Operation;
use crate::config::file::Product;
use crate::control::import::findings::Findings;
use crate::control::import::source::At;

/// What a scheme is here.
enum Scheme {
    /// A key in this place.
    Key(String),
    Basic,
    Certificate,
}

/// Reads what all operations ask for together: a product asks for the same everywhere.
pub(super) fn read(
    top: &At<'_>,
    file: &Value,
    operations: &[Operation<'_>],
    product: &mut Product,
    findings: &mut Findings,
) {
    let everywhere = top.key("security").into_iter();
    let own = operations.iter().filter_map(|operation| operation.at.key("security"));
    let (mut seen, mut asked) = (BTreeSet::new(), Vec::new());
    let mut open = false;
    for list in everywhere.chain(own) {
        open |= list.value.as_array().is_some_and(Vec::is_empty);
        for requirement in list.items() {
            let names: BTreeSet<&str> = requirement.entries().map(|(name, _)| name).collect();
            open |= names.is_empty();
            if seen.insert(names.clone()) && !names.is_empty() {
                asked.push((requirement, names));
            }
        }
    }
    if open {
        let help = "write an `anonymous_plan`, or give what is open a route without `product`";
        findings.warning(top, "some operations are open to everybody", help);
    }
    if asked.is_empty() {
        let help = "keys are looked for in X-API-Key: see `authentication` and `credentials`";
        findings.warning(top, "the file does not say how clients prove who they are", help);
        return;
    }
    let mut ways = Ways { product, any_of: Vec::new(), places: Vec::new() };
    for (requirement, names) in asked {
        ways.requirement(&requirement, &names, top, file, findings);
    }
    ways.take();
}

/// What was understood so far.
struct Ways<'p> {
    product: &'p mut Product,
    any_of: Vec<String>,
    /// Places of single keys.
    places: Vec<String>,
}

impl Ways<'_> {
    fn requirement(
        &mut self,
        at: &At<'_>,
        names: &BTreeSet<&str>,
        top: &At<'_>,
        file: &Value,
        findings: &mut Findings,
    ) {
        let mut schemes = Vec::new();
        for name in names {
            match scheme(name, at, top, file, findings) {
                Some(scheme) => schemes.push((*name, scheme)),
                None => return,
            }
        }
        match schemes.as_slice() {
            [(_, Scheme::Key(place))] => {
                self.way("user_key");
                self.places.extend((!self.places.contains(place)).then(|| place.clone()));
            }
            [(_, Scheme::Basic)] => self.way("basic"),
            [(_, Scheme::Certificate)] => self.way("certificate"),
            [(first, Scheme::Key(a)), (second, Scheme::Key(b))] => {
                match (is_id(first, a), is_id(second, b)) {
                    (true, false) => self.pair(a, b),
                    (false, true) => self.pair(b, a),
                    _ => self.not_both(at, findings),
                }
            }
            _ => self.not_both(at, findings),
        }
    }

    fn not_both(&self, at: &At<'_>, findings: &mut Findings) {
        let help = "see `all_of` in `authentication`";
        findings.warning(at, "several schemes at once have no counterpart as they are", help);
    }

    fn pair(&mut self, id: &str, key: &str) {
        self.way("app_key");
        self.product.credentials.app_id = vec![id.to_owned()];
        self.product.credentials.app_key = vec![key.to_owned()];
    }

    fn way(&mut self, way: &str) {
        if !self.any_of.iter().any(|known| known == way) {
            self.any_of.push(way.to_owned());
        }
    }

    fn take(self) {
        if !self.places.is_empty() {
            self.product.credentials.user_key = self.places;
        }
        if !self.any_of.is_empty() {
            self.product.authentication.any_of = self.any_of;
        }
    }
}

/// Whether a key is an application's id, by what it is called.
fn is_id(name: &str, place: &str) -> bool {
    let parameter = place.split(':').next_back().unwrap_or_default();
    [name, parameter].into_iter().any(|name| name.to_ascii_lowercase().ends_with("id"))
}

fn scheme(
    name: &str,
    at: &At<'_>,
    top: &At<'_>,
    file: &Value,
    findings: &mut Findings,
) -> Option<Scheme> {
    let schemes = top.key("components").and_then(|all| all.key("securitySchemes"));
    let Some(scheme) = schemes.and_then(|all| all.key(name)) else {
        findings.error(at, format!("there is no security scheme {name:?}"), "");
        return None;
    };
    let scheme = findings.resolved(scheme, file)?;
    let kind = findings.text(&scheme, "type").unwrap_or_default();
    match kind.as_str() {
        "apiKey" => key(&scheme, findings),
        "mutualTLS" => Some(Scheme::Certificate),
        "http" => {
            let protocol = findings.text(&scheme, "scheme").unwrap_or_default();
            if protocol.eq_ignore_ascii_case("basic") {
                return Some(Scheme::Basic);
            }
            let message = format!("{protocol:?} wants somebody who verifies tokens");
            findings.warning(&scheme, message, TOKENS);
            None
        }
        "oauth2" | "openIdConnect" => {
            findings.warning(&scheme, "tokens want somebody who verifies them", TOKENS);
            None
        }
        _ => {
            let message = format!("{kind:?} is no kind of security scheme");
            findings.error(&scheme, message, "");
            None
        }
    }
}

const TOKENS: &str = "write any_of = [\"jwt:NAME\"] in `authentication`";

fn key(scheme: &At<'_>, findings: &mut Findings) -> Option<Scheme> {
    let name = findings.text(scheme, "name").unwrap_or_default();
    let place = findings.text(scheme, "in").unwrap_or_default();
    match place.as_str() {
        "header" if name.eq_ignore_ascii_case("authorization") => {
            Some(Scheme::Key("bearer".to_owned()))
        }
        "header" | "query" => Some(Scheme::Key(format!("{place}:{name}"))),
        _ => {
            let help = "see `credentials` for places where keys are looked for";
            findings.warning(scheme, format!("a key in {place:?} has no counterpart"), help);
            None
        }
    }
}
