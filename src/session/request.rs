//! THE PLOT: the way of one request, in order. Stages decide; the branching is here.

use crate::http::{Framing, Method, TargetForm, max_forwards};
use crate::io::{buffer, clock};
use crate::policy::Permit;
use crate::respond::failure::Failure;
use crate::route::{Found, Unread};
use crate::snapshot::{Action, Route};

use super::arrival::{self, Arrival};
use super::client::{After, Connection};
use super::h2::ClientStream;
use super::scratch::{Scratch, Upload};
use super::task::{Fate, Request, begin};
use super::{answers, forward, grpc, journal, judging, routing, upgrade};

/// Serves one request of a connection that has one at a time. `None`: the next one may come.
pub(super) async fn serve(c: &mut Connection, s: &mut Scratch) -> Option<After> {
    // 1, 2: a head arrives.
    let refused = match arrival::head(c, s).await {
        Arrival::Request => None,
        Arrival::Silence => return Some(After::Sleep),
        Arrival::End => return Some(After::Close),
        Arrival::Refused(failure) => Some(failure),
        Arrival::Http2 => return Some(After::Http2(std::mem::take(&mut s.input))),
    };
    if refused.is_none() && c.is_early() && !Box::pin(c.may_serve_early(&s.head)).await {
        return Some(After::Close);
    }
    c.requests.set(c.requests.get() + 1);
    let fate = whole(c, None, s, refused).await;
    take_off(s);
    c.client_closes = !s.head.keep_alive && s.input.is_empty();
    c.guard.disarm();
    c.silent_since_ns = clock::coarse_ns();
    match fate {
        Fate::Keep => None,
        Fate::Close => Some(After::Close),
        Fate::Linger => Some(After::Linger),
        Fate::Reset => Some(After::Reset),
    }
}

/// Serves the request of a stream, whose head is in the scratch unless it was `refused`.
pub(super) async fn serve_stream(
    c: &Connection,
    stream: &ClientStream,
    s: &mut Scratch,
    refused: Option<Failure>,
) -> Fate {
    whole(c, Some(stream), s, refused).await
}

/// Refuses what a connection began with, of which no head was read.
pub(super) async fn refuse(c: &Connection, s: &mut Scratch, failure: Failure) -> Fate {
    whole(c, None, s, Some(failure)).await
}

/// A request from its head to its record.
#[inline(always)]
async fn whole(
    c: &Connection,
    stream: Option<&ClientStream>,
    s: &mut Scratch,
    refused: Option<Failure>,
) -> Fate {
    let snapshot = c.core.snapshot();
    // Its listener's settings are those of the same snapshot, unless it was removed.
    let kept = c.listener.settings();
    let listener = snapshot.listener(c.listener.id).unwrap_or(&kept);
    c.core.stats.in_flight.up();
    // Looked up first, so that what is found is fetched from memory while the request is begun.
    let found = match refused {
        None => routing::look_up(c, s, &snapshot, &Unread),
        Some(_) => Found::NotFound,
    };
    let mut request = begin(c, stream, s, &snapshot, listener, refused.is_none());
    let outcome = match refused {
        Some(failure) => Err(failure),
        None => run(&mut request, s, found).await,
    };
    let fate = match outcome {
        Ok(fate) => fate,
        Err(failure) => answers::failure(&mut request, s, failure).await,
    };
    journal::finish(&request, s);
    // Its room is for the next request's.
    request.answer_fields.clear();
    s.words.answer_fields = request.answer_fields;
    c.core.stats.in_flight.down();
    fate
}

/// Stages 3 to 6.
async fn run(r: &mut Request<'_>, s: &mut Scratch, found: Found) -> Result<Fate, Failure> {
    if buffer::is_over() {
        return Err(Failure::Overloaded);
    }
    if s.head.method == Method::Connect {
        return Err(Failure::ConnectMethod);
    }
    if s.head.form == TargetForm::Asterisk {
        return answers::options(r, s).await;
    }
    if let Some(proof) = acme_proof(r, s) {
        return answers::proof(r, s, proof).await;
    }
    if r.listener.tls.as_ref().is_some_and(|tls| tls.strict_sni)
        && !r.connection.is_for(s.head.host.of(s.input.data()))
    {
        return Err(Failure::Misdirected);
    }
    // 3: the route.
    let found = match found {
        // Boxed: what waits for keys is large, and rare.
        Found::Token(_) => Box::pin(routing::resolve(r, s, found)).await?,
        found => found,
    };
    routing::take(r, found)?;
    upgrade::note(r, s);
    grpc::note(r, s);
    let stats = &r.connection.core.stats;
    let route = r.route_id;
    stats.route(route).begin();
    let fate = judge_and_answer(r, s).await;
    stats.route(route).in_flight.down();
    fate
}

/// What an ACME server is answered that looks for the proof of a name (RFC 8555 section 8.3). Tokens
/// that nobody here waits for are routed: they may be those of another client behind.
fn acme_proof<'a>(r: &Request<'a>, s: &Scratch) -> Option<&'a str> {
    let tokens = &r.snapshot.acme_tokens;
    if tokens.is_empty() || r.listener.tls.is_some() {
        return None;
    }
    let path = s.head.path.of(s.input.data());
    let token = path.strip_prefix(b"/.well-known/acme-challenge/")?;
    let asks = matches!(s.head.method, Method::Get | Method::Head);
    asks.then(|| tokens.get(std::str::from_utf8(token).ok()?)).flatten().map(AsRef::as_ref)
}

async fn judge_and_answer(r: &mut Request<'_>, s: &mut Scratch) -> Result<Fate, Failure> {
    // 4: its rules.
    let permit = judging::judge(r, s).await?;
    // 5, 6: an answer.
    let fate = match check_length(r.route(), s.head.framing) {
        Ok(()) => answer(r, s, &permit).await,
        Err(failure) => Err(failure),
    };
    permit.leave(&r.connection.core.shared.limits);
    fate
}

async fn answer(r: &mut Request<'_>, s: &mut Scratch, permit: &Permit) -> Result<Fate, Failure> {
    if upgrade::is_vain(r, s) {
        return Err(Failure::ConnectMethod);
    }
    match &r.snapshot.routes[r.route.unwrap_or_default()].action {
        Action::Forward(_) if max_forwards(&s.head, s.input.data()) == Some(0) => {
            answers::last_hop(r, s).await
        }
        Action::Forward(rules) => {
            upgrade::check(r, s)?;
            forward::run(r, s, rules, permit).await
        }
        Action::Redirect(status, redirect) => answers::redirect(r, s, *status, redirect).await,
        Action::Respond(fixed) => answers::fixed(r, s, fixed).await,
    }
}

/// Refuses content that is announced too long before any of it is read.
fn check_length(route: &Route, framing: Framing) -> Result<(), Failure> {
    match framing {
        Framing::Length(n) if n > route.max_body => Err(Failure::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Drops the request's bytes; what follows it stays for the next one.
fn take_off(s: &mut Scratch) {
    let upload = s.upload.take();
    s.input.consume(s.head.len.min(s.input.len()));
    let apart = s.body.capacity() > 0;
    match (upload, s.head.framing) {
        // Its buffer serves the next request.
        (Some(Upload::Whole(_)), _) if apart => s.body.clear(),
        (Some(Upload::Stream), _) => {}
        (_, Framing::Length(n)) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            s.input.consume(n.min(s.input.len()));
        }
        _ => {}
    }
    if apart {
        debug_assert!(s.input.is_empty());
        s.input = std::mem::take(&mut s.body);
    }
}
