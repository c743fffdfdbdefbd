//! What is different where a request is a gRPC call.

use crate::http::grpc::web::Translation;
use crate::http::grpc::{self, Call, Dialect, timeout};
use crate::http::{Field, RequestHead, ResponseHead};
use crate::respond::failure::Failure;
use crate::snapshot::{Action, Forward};

use super::account::Account;
use super::scratch::Scratch;
use super::task::{Fate, Request};

/// Notes a call of gRPC-Web, where its route has it told as gRPC; elsewhere it is a request as any.
pub(super) fn note(r: &mut Request<'_>, s: &Scratch) {
    if let Action::Forward(rules) = &r.route().action
        && rules.grpc_web
    {
        r.grpc = Call::of(&s.head, s.input.data());
    }
}

/// When a request must be over, nanoseconds of the core's clock: what a call says counts as the
/// route's own bound does.
pub(super) fn deadline(
    r: &Request<'_>,
    rules: &Forward,
    head: &RequestHead,
    buf: &[u8],
    began_ns: u64,
) -> Result<u64, Failure> {
    let at = began_ns.saturating_add(rules.total_ns);
    if r.grpc.is_none() {
        return Ok(at);
    }
    let told = timeout(&head.fields, buf).map_err(Failure::BadRequest)?;
    Ok(told.map_or(at, |ns| at.min(began_ns.saturating_add(ns))))
}

/// Notes what the answer's head says of a call.
pub(super) fn note_answer(
    r: &Request<'_>,
    response: &ResponseHead,
    buf: &[u8],
    account: &mut Account,
) {
    if r.grpc.is_some() {
        let told = grpc::content_type(&response.fields, buf).and_then(Dialect::named);
        account.grpc_answer = told == Some(Dialect::Plain);
        account.grpc_status = grpc::status(&response.fields, buf);
    }
}

/// How the answer's content is told to a client of gRPC-Web. One without content has its trailers in
/// its head, which browsers show.
pub(super) fn translation(r: &Request<'_>, account: &Account) -> Option<Translation> {
    let answered = r.grpc?.answered;
    let translates = answered.is_web() && account.grpc_answer;
    translates.then(|| Translation::of_answer(answered == Dialect::WebText))
}

/// Ends an answer that has begun and can't go on. Where the client waits for trailers, these tell
/// what became of the call, and nobody takes it for a whole one; else the stream is cut.
pub(super) fn break_off(r: &Request<'_>, failure: Failure, account: &mut Account) -> Fate {
    account.failure = Some(failure);
    let told = r.grpc.is_some_and(|call| !call.answered.is_web()) && account.grpc_answer;
    let Some(answer) = r.stream.and_then(|stream| stream.answer()) else { return Fate::Reset };
    if !told || failure == Failure::ClientGone || answer.is_ended() {
        return Fate::Reset;
    }
    let code = failure.grpc().number();
    let mut told = Vec::new();
    let code_text = code.to_string();
    let message = grpc::escaped(failure.meaning().title);
    let fields =
        [(&b"grpc-status"[..], code_text.as_bytes()), (b"grpc-message", message.as_bytes())]
            .map(|(name, value)| Field::unknown(name, value, &mut told));
    if answer.end_with(&fields, &told).is_err() {
        return Fate::Reset;
    }
    account.grpc_status = Some(code);
    Fate::Linger
}
