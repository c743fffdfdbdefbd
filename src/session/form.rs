//! Forms: mapping rules look for parameters in the content of one too, as those of 3scale do, so that
//! it must be there before they are asked. It lies behind its head then, and goes upstream from there.

use crate::http::{Framing, Method, values};
use crate::io::clock;
use crate::limits::{BUFFER_SMALL, FORM_MAX};
use crate::respond::failure::Failure;
use crate::snapshot::Action;

use super::downstream::Downstream;
use super::pump::{End, Inlet, Pace};
use super::scratch::Scratch;
use super::task::Request;

/// Whether to wait for it: a form whose parameters its product's rules ask for. One that is large is not
/// looked into; nor one of HTTP/1.1 without a length, nor one whose client asks first whether to send it.
pub(super) fn is_wanted(r: &Request<'_>, s: &Scratch) -> bool {
    let Some((_, product)) = r.product else { return false };
    let (head, buf) = (&s.head, s.input.data());
    let fits = match head.framing {
        Framing::Length(n) => n <= FORM_MAX as u64,
        Framing::Chunked => r.stream.is_some(),
        Framing::None | Framing::UntilClose => false,
    };
    fits && matches!(head.method, Method::Post | Method::Put | Method::Patch)
        && !head.expect_continue
        && product.mapping.asks_for_parameters(head.method_span.of(buf))
        && values(&head.fields, buf, b"content-type").next().is_some_and(is_form)
}

/// Whether a Content-Type names a form's.
fn is_form(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The content, once it is known to be a whole form.
pub(super) fn content<'s>(r: &Request<'_>, s: &'s Scratch) -> &'s [u8] {
    let behind = s.input.data().get(s.head.len..).unwrap_or_default();
    match s.head.framing {
        _ if !r.is_form => &[],
        // The next request may have come along.
        Framing::Length(n) => &behind[..behind.len().min(n as usize)],
        _ => behind,
    }
}

/// Waits for all of it, as long as for any content; `false`: it is too large to look into.
pub(super) async fn wait(r: &Request<'_>, s: &mut Scratch) -> Result<bool, Failure> {
    let Action::Forward(rules) = &r.route().action else { return Ok(false) };
    let (downstream, watch) = (r.downstream(), &r.connection.core.watch);
    let guard = match downstream {
        Downstream::Connection(connection) => watch.guard(connection.stream.fd()),
        Downstream::Stream(_) => watch.stream_guard(),
    };
    let from = End {
        side: downstream.inlet(),
        guard: &guard,
        idle_ns: rules.idle_ns,
        min_rate: r.listener.body_min_rate,
        grace_ns: r.listener.body_grace_ns,
        total_at_ns: r.account.began_ns.saturating_add(rules.total_ns),
        expiry: downstream.expiry_of_reading(),
    };
    let mut pace = Pace::default();
    loop {
        let here = s.input.len() - s.head.len;
        let lacks = match s.head.framing {
            Framing::Length(n) => (n as usize).saturating_sub(here),
            _ => (FORM_MAX + 1).saturating_sub(here),
        };
        if lacks == 0 {
            return Ok(matches!(s.head.framing, Framing::Length(_)));
        }
        // A read leaves some of the room to others.
        s.input.reserve(lacks + BUFFER_SMALL);
        if !read(&from, s, &mut pace).await? {
            // The end of a stream; a connection, or one that announced more, was cut off.
            let ended = matches!((from.side, s.head.framing), (Inlet::Stream(_), Framing::Chunked));
            return if ended { Ok(true) } else { Err(Failure::ClientGone) };
        }
    }
}

/// Reads some of it; `false`: it ends.
async fn read(
    from: &End<'_, Inlet<'_>>,
    s: &mut Scratch,
    pace: &mut Pace,
) -> Result<bool, Failure> {
    from.arm(pace);
    let began = clock::coarse_ns();
    let (result, input) = from.side.read(std::mem::take(&mut s.input), from.guard).await;
    s.input = input;
    match result {
        Ok(0) | Err(_) if from.guard.expired().is_some() => {
            Err(match clock::coarse_ns() >= from.total_at_ns {
                true => Failure::TotalTimeout,
                false => Failure::BodyTimeout,
            })
        }
        Ok(0) => Ok(false),
        Ok(n) => {
            from.guard.disarm();
            pace.add(began, n);
            Ok(true)
        }
        Err(_) => Err(Failure::ClientGone),
    }
}
