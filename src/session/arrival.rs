//! A request's head arrives.

use crate::http::h1::{Scan, parse_request};
use crate::io::{Buffer, Expiry, clock};
use crate::limits::{AWAKE_NS, BUFFER_SMALL, HEAD_ROOM};
use crate::respond::failure::Failure;

use super::client::Connection;
use super::scratch::Scratch;

/// What came.
pub(super) enum Arrival {
    /// A whole head, in the scratch.
    Request,
    /// Nothing for a while.
    Silence,
    /// The end of the connection, or its idle timeout.
    End,
    /// Something that is no request, or too slow to be one.
    Refused(Failure),
    /// The beginning of HTTP/2, in the scratch.
    Http2,
}

/// What a client begins with that knows without asking that HTTP/2 is spoken here (RFC 9113 section
/// 3.4). No request of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the next request's head.
pub(super) async fn head(c: &mut Connection, s: &mut Scratch) -> Arrival {
    s.scan = Scan::default();
    let listener = c.listener.settings();
    let mut first_byte_ns = None;
    loop {
        if !s.input.is_empty() {
            match parse_request(s.input.data_mut(), &mut s.scan, &listener.http, &mut s.head) {
                Ok(true) => {
                    // The time for a head bounds neither its content nor its answer.
                    c.guard.disarm();
                    return Arrival::Request;
                }
                Ok(false) => {}
                Err(_) if listener.http2 && c.requests.get() == 0 && is_preface(s) => {
                    return Arrival::Http2;
                }
                Err(bad) => return Arrival::Refused(Failure::BadRequest(bad)),
            }
            let since = *first_byte_ns.get_or_insert_with(clock::coarse_ns);
            c.guard.arm(since.saturating_add(listener.header_ns), Expiry::ShutRead);
            s.input.reserve(BUFFER_SMALL);
        } else {
            // A connection that was just accepted may still bring its first request.
            if c.core.draining.get() && c.requests.get() > 0 {
                return Arrival::End;
            }
            if s.input.capacity() == 0 {
                s.input = if c.reads_large { Buffer::medium() } else { Buffer::small() };
            }
            if c.reads_large {
                // Room for the head that goes upstream, in front of content that came along.
                s.input.set_headroom(HEAD_ROOM);
            }
            let awake_until = c.silent_since_ns.saturating_add(AWAKE_NS);
            if awake_until < c.silent_until_ns() {
                c.guard.arm(awake_until, Expiry::CancelRead);
            } else {
                c.guard.arm(c.silent_until_ns(), Expiry::CloseIdle);
            }
        }
        let (result, input) = c.stream.read_or_cancel(std::mem::take(&mut s.input), &c.guard).await;
        s.input = input;
        match result {
            Ok(n) if n > 0 => {
                clock::now_ns();
                c.reads_large |= s.input.is_full();
            }
            Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => return Arrival::Silence,
            _ if first_byte_ns.is_some() && c.guard.expired().is_some() => {
                return Arrival::Refused(Failure::HeaderTimeout);
            }
            _ => return Arrival::End,
        }
    }
}

/// Whether what came is the preface's beginning, and what follows it. That it is no request shows in
/// its version.
fn is_preface(s: &Scratch) -> bool {
    let come = s.input.data();
    let n = come.len().min(PREFACE.len());
    come[..n] == PREFACE[..n]
}
