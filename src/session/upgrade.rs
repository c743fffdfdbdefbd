//! Whether a request may become a tunnel, and whether its answer made it one.

use crate::http::upgrade::{self, WEBSOCKET};
use crate::http::{Bad, ResponseHead};
use crate::io::Buffer;
use crate::limits::BUFFER_SMALL;
use crate::respond::failure::Failure;
use crate::snapshot::Action;

use super::scratch::Scratch;
use super::task::Request;
use super::way::Way;

/// Goes with a 426 (RFC 6455 section 4.4, RFC 9110 section 15.5.22).
const WHAT_WE_SPEAK: &[u8] =
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";

/// Notes what the request asks to switch to, where its route allows that. Where it does not, the
/// request goes on as a plain one (RFC 9110 section 7.8), unless it [is vain](is_vain).
pub(super) fn note(r: &mut Request<'_>, s: &mut Scratch) {
    let Some(asked) = upgrade::asked(&s.head, s.input.data()) else { return };
    let snapshot = r.snapshot;
    let Action::Forward(rules) = &snapshot.routes[r.route.unwrap_or_default()].action else {
        return;
    };
    let mut allowed = rules.upgrades.iter().map(|protocol| &**protocol);
    r.upgrade = allowed.find(|protocol| protocol.as_bytes().eq_ignore_ascii_case(asked));
    // The head stays at hand as long as the tunnel lives: in no more memory than it needs.
    if r.upgrade.is_some() && s.input.capacity() > BUFFER_SMALL {
        let mut input = Buffer::fitting(s.input.len());
        input.append(s.input.data());
        s.input = input;
    }
}

/// Whether an extended CONNECT would get an answer that it must take for a tunnel and that is none: a
/// 2xx grants it (RFC 8441 section 4), and it can't go on as a plain request, since it has no end.
pub(super) fn is_vain(r: &Request<'_>, s: &Scratch) -> bool {
    let connects = r.stream.is_some() && s.head.upgrade;
    connects
        && match &r.snapshot.routes[r.route.unwrap_or_default()].action {
            Action::Forward(_) => r.upgrade.is_none(),
            Action::Respond(fixed) => (200..300).contains(&fixed.status),
            Action::Redirect(..) => false,
        }
}

/// Checks what the protocol demands of a request.
pub(super) fn check(r: &mut Request<'_>, s: &Scratch) -> Result<(), Failure> {
    if r.upgrade != Some(WEBSOCKET) {
        return Ok(());
    }
    upgrade::check_websocket(&s.head, s.input.data()).map_err(|bad| {
        if bad == Bad::OtherWebsocketVersion {
            r.answer_fields.extend_from_slice(WHAT_WE_SPEAK);
        }
        Failure::BadRequest(bad)
    })
}

/// Checks that a 101 grants what the request asked for.
pub(super) fn check_answer(
    way: &Way<'_, '_>,
    response: &ResponseHead,
    buf: &[u8],
) -> Result<(), Bad> {
    let asked = way.request.upgrade.ok_or(Bad::UnexpectedUpgrade)?;
    upgrade::check_answer(asked, (way.head, way.buf), (response, buf))
}
