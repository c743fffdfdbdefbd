//! How one try on one target ends.

use crate::http::Bad;
use crate::io::clock;
use crate::io::deadline::Expired;
use crate::respond::failure::Failure;
use crate::upstream::Carrier;
use crate::upstream::h2::Lost;
use crate::upstream::retry::Sent;

use super::task::Fate;
use super::way::Way;

/// Why a try failed, and how far it got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    pub(super) sent: Sent,
    /// Bytes of the answer went to the client.
    pub(super) begun: bool,
}

impl Broken {
    /// Before any byte was sent upstream.
    pub(super) fn before(failure: Failure) -> Self {
        Self { failure, sent: Sent::Nothing, begun: false }
    }

    /// While the answer was on its way.
    pub(super) fn during(failure: Failure, begun: bool) -> Self {
        Self { failure, sent: Sent::ResponseBegun, begun }
    }
}

/// An answer that went out whole.
pub(super) struct Done {
    pub(super) fate: Fate,
    /// Both messages were consumed whole and the target keeps the connection.
    pub(super) reusable: bool,
}

/// What was carried ended before an answer: who ended it, and may the request be sent again?
pub(super) fn lost(way: &Way<'_, '_>, carrier: &Carrier, answered: bool) -> Broken {
    let failure = match carrier.guard().expired() {
        Some(Expired::PartnerGone) => return Broken::during(Failure::ClientGone, false),
        Some(Expired::Deadline) if clock::coarse_ns() >= way.total_at_ns => Failure::TotalTimeout,
        Some(Expired::Deadline) => Failure::FirstByteTimeout,
        None if answered => Failure::ResponseIncomplete,
        None => {
            let sent = if carrier.reused() { Sent::OnReused } else { Sent::OnFresh };
            return Broken { failure: Failure::ClosedEarly, sent, begun: false };
        }
    };
    Broken::during(failure, false)
}

/// The same of a stream, whose target may have said that it did nothing.
pub(super) fn lost_stream(
    way: &Way<'_, '_>,
    carrier: &Carrier,
    why: Lost,
    answered: bool,
) -> Broken {
    let broken = lost(way, carrier, answered);
    match (broken.failure, why) {
        (Failure::ClosedEarly | Failure::ResponseIncomplete, Lost::Malformed) => {
            Broken::during(Failure::BadResponse(Bad::MalformedStream), false)
        }
        (Failure::ClosedEarly | Failure::ResponseIncomplete, Lost::Bad(bad)) => {
            Broken::during(Failure::BadResponse(bad), false)
        }
        (Failure::ClosedEarly, Lost::Refused) => Broken { sent: Sent::Refused, ..broken },
        // Only a connection that ends may have done so before it saw the request.
        (Failure::ClosedEarly, Lost::Reset) => Broken { sent: Sent::OnFresh, ..broken },
        _ => broken,
    }
}
