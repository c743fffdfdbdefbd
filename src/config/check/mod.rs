//! From the file as written to [`Settings`]: every name resolved, every value known to make sense.
//!
//! Each function takes a part of the file and its place, reports what is wrong with it, and goes
//! on, so that one run reports everything. A part without a sensible value is left out.

mod acme;
mod acme_names;
mod action;
mod address;
mod claims;
mod client;
mod forward;
mod forward_auth;
mod grpc;
mod introspection;
mod jwt;
mod limit;
mod listener;
mod matcher;
mod process;
mod product;
mod reach;
mod route;
mod template;
mod tls;
mod upgrade;
mod upstream;
mod upstream_tls;
mod words;

use std::collections::{BTreeMap, HashMap};

pub use product::{attribute_mistakes, mistakes as product_mistakes};

use super::diagnostic::Report;
use super::document::Place;
use super::file::File;
use super::settings::Settings;
use super::trail::Trail;
use super::units::{HumanDuration, Size};
use crate::limits::CONFIG_MAX_TIMEOUT;

/// The settings; they count only if the report holds no error.
pub(super) fn settings(file: File, top: &Place<'_>, report: &mut Report<'_>) -> Settings {
    let named = upstream::Named::by(&file, top);
    let server = process::server(file.server, &top.key("server"), report);
    let admin = process::admin(&file.admin, &top.key("admin"), report);
    let access_log = process::access_log(file.access_log, &top.key("access_log"), report);
    let log = process::log(file.log, &top.key("log"), report);
    let forwarding = process::forwarding(&file.forwarding);
    let global = limit::Scope::plain("global");
    let limits = limit::limits(file.limits, &top.key("limits"), &global, report);
    let acme = file.acme.map(|written| acme::acme(written, &top.key("acme"), report));
    let store = process::store(file.store, &top.key("store"), report);
    let upstreams: BTreeMap<_, _> = file
        .upstreams
        .into_iter()
        .map(|(name, written)| upstream::upstream(name, written, &top.key("upstreams"), report))
        .collect();
    let listeners = listener::listeners(file.listeners, &upstreams, &top.key("listeners"), report);
    listener::addresses(&listeners, admin.as_ref(), top, report);
    acme::wishes(&listeners, acme.as_ref(), top, report);
    upstream::loops(&upstreams, &listeners, top, report);
    let jwt = jwt::all(file.jwt, &top.key("jwt"), report);
    let introspection = introspection::all(file.introspection, &top.key("introspection"), report);
    let forward_auth = forward_auth::all(file.forward_auth, &top.key("forward_auth"), report);
    let products = product::products(file.products, &top.key("products"), report);
    let takers = jwt::Takers { jwt: &jwt, introspection: &introspection };
    product::verified(&products, takers, &top.key("products"), report);
    let routes = route::routes(file.routes, (&upstreams, takers), &top.key("routes"), report);
    listener::routed(&listeners, &routes, top, report);
    reach::unreachable(&routes, &top.key("routes"), report);
    listener::unseen_fields(&listeners, &routes, &top.key("routes"), report);
    upstream::unused(&upstreams, &named, top, report);
    product::routed(&products, &routes, top, report);
    claims::known(&routes, &products, &top.key("routes"), report);
    forward_auth::routed(&forward_auth, &routes, top, report);
    let routes = routes.into_iter().map(|(_, route)| route).collect();
    let rate_limit_fields = file.rate_limit_fields;
    Settings {
        server,
        admin,
        access_log,
        log,
        store,
        acme,
        forwarding,
        limits,
        rate_limit_fields,
        listeners,
        upstreams,
        jwt,
        introspection,
        forward_auth,
        products,
        routes,
    }
}

/// Tells duplicate names.
struct Names {
    /// What they name, for messages.
    kind: &'static str,
    seen: HashMap<String, usize>,
}

impl Names {
    fn new(kind: &'static str) -> Self {
        Self { kind, seen: HashMap::new() }
    }

    /// Remembers a name; one that was there already is an error.
    fn add(&mut self, name: &str, trail: &Trail<'_>, report: &mut Report<'_>) {
        let line = report.line(trail.at());
        match self.seen.get(name) {
            Some(first) => {
                let message = format!("another {} (line {first}) is named {name:?} too", self.kind);
                report.error(trail, message, "give each a name of its own");
            }
            None => {
                self.seen.insert(name.to_owned(), line);
            }
        }
    }
}

/// A timeout: more than nothing, and not absurdly long.
fn timeout(
    written: HumanDuration,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> std::time::Duration {
    let HumanDuration(time) = written;
    if time < std::time::Duration::from_millis(1) {
        let message = format!("a timeout of {written} is over before it begins");
        report.error(&place.trail, message, "write 1ms or more");
    } else if time > CONFIG_MAX_TIMEOUT {
        let longest = HumanDuration(CONFIG_MAX_TIMEOUT);
        let message = format!("{written} is longer than any timeout may be");
        report.error(&place.trail, message, format!("write {longest} or less"));
    }
    time
}

/// A size that memory is held for.
fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
