//! Stage 3: which route a request takes. Those with claims it takes only by what its token says, which is then
//! looked at before it has a route.

use std::rc::Rc;

use crate::config::ClaimTest;
use crate::limits::MAX_CLAIM_SOURCES;
use crate::policy::auth::jwt::{Verified, says};
use crate::policy::auth::places::{Parameters, Place};
use crate::respond::failure::Failure;
use crate::route::{self, Claims, Found};
use crate::snapshot::Snapshot;
use crate::stats::prefetch;

use super::client::Connection;
use super::scratch::Scratch;
use super::task::Request;
use super::token;

/// Which route the request takes, as far as its tokens are known.
pub(super) fn look_up(
    c: &Connection,
    s: &mut Scratch,
    snapshot: &Snapshot,
    claims: &dyn Claims,
) -> Found {
    let buf = s.input.data();
    let asked = route::Request {
        host: s.head.host.of(buf),
        path: s.head.path.of(buf),
        query: s.head.query.map(|q| q.of(buf)),
        method: s.head.method,
        method_text: s.head.method_span.of(buf),
        fields: &s.head.fields,
        buf,
        identity: c.identity.as_deref(),
        claims,
    };
    let found = snapshot.table.find(&asked, &mut s.params);
    if let Found::Route(index, id) = found {
        prefetch(&snapshot.routes[index as usize]);
        prefetch(c.core.stats.route(id));
    }
    found
}

/// Takes the route that was found.
pub(super) fn take(r: &mut Request<'_>, found: Found) -> Result<(), Failure> {
    match found {
        Found::Route(index, id) => {
            r.route = Some(index as usize);
            r.route_id = id;
            Ok(())
        }
        Found::MethodNotAllowed(allowed) => {
            r.answer_fields.extend_from_slice(b"Allow: ");
            r.snapshot.table.write_allow(allowed, &mut r.answer_fields);
            r.answer_fields.extend_from_slice(b"\r\n");
            Err(Failure::MethodNotAllowed)
        }
        Found::NotFound | Found::Token(_) => Err(Failure::NoRoute),
    }
}

/// The tokens that were looked at, by their sources; `None`: there is none that is taken.
#[derive(Debug, Default)]
struct Seen(Vec<(u16, Option<Rc<Verified>>)>);

impl Claims for Seen {
    fn say(&self, source: u16, test: &ClaimTest) -> Option<bool> {
        let (_, token) = self.0.iter().find(|(seen, _)| *seen == source)?;
        Some(token.as_ref().is_some_and(|token| says(&token.claims, test)))
    }
}

/// Goes on with a lookup that came to a route with claims. Each source of tokens is asked once.
pub(super) async fn resolve(
    r: &mut Request<'_>,
    s: &mut Scratch,
    mut found: Found,
) -> Result<Found, Failure> {
    let mut seen = Seen::default();
    while let Found::Token(route) = found {
        let source = r.snapshot.table.source(route).ok_or(Failure::NoRoute)?;
        debug_assert!(seen.0.len() < MAX_CLAIM_SOURCES);
        let token = token::looked_at(r, s, route).await?;
        seen.0.push((source, token));
        hide(r, s, route);
        found = look_up(r.connection, s, r.snapshot, &seen);
    }
    Ok(found)
}

/// A token that was looked at in the query is nothing for upstreams, whichever route is taken in the end.
fn hide(r: &mut Request<'_>, s: &mut Scratch, route: u32) {
    let slot = r.snapshot.routes[route as usize].access().and_then(|access| access.product);
    let Some(product) = slot.and_then(|slot| r.snapshot.directory.product(slot)) else { return };
    let mut names = Parameters::default();
    for place in &product.places.token {
        if let Place::Query(name) = place {
            names.add(name);
        }
    }
    if !product.forward {
        r.hide(&names, s);
    }
}
