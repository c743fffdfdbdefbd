//! What holds for every try of a forwarded request.

use std::cell::Cell;

use crate::config::HostPolicy;
use crate::http::RequestHead;
use crate::http::h1::BodyReader;
use crate::io::clock;
use crate::policy::transform::{Hop, LocationContext, Values, outside};
use crate::snapshot::Forward;
use crate::upstream::{Group, Target};

use super::task::Request;

/// What holds for every try of a request.
pub(super) struct Way<'a, 'v> {
    pub(super) request: &'a Request<'a>,
    pub(super) rules: &'a Forward,
    pub(super) group: &'a Group,
    pub(super) head: &'a RequestHead,
    pub(super) buf: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) values: &'a Values<'v>,
    pub(super) hop: &'a Hop<'a>,
    /// Whether the client's connection ends with this answer anyway.
    pub(super) last: bool,
    pub(super) total_at_ns: u64,
}

impl Way<'_, '_> {
    /// What a Location of the answer must not name.
    pub(super) fn location<'t>(&'t self, target: &'t Target) -> LocationContext<'t> {
        let (scheme, authority) = outside(self.head, self.buf, self.hop.trust, self.hop.scheme);
        let upstream_host = match &self.rules.host {
            HostPolicy::Preserve => &[][..],
            HostPolicy::Literal(host) => host.as_bytes(),
            HostPolicy::Target => target.authority.as_bytes(),
        };
        LocationContext {
            targets: &self.group.authorities,
            upstream_host,
            scheme,
            authority,
            stripped: self.rules.rewrite.as_ref().map_or(&[], |r| r.stripped()),
        }
    }

    /// Nanoseconds that are left for the whole exchange; `None`: no bound.
    pub(super) fn time_left(&self) -> Option<u64> {
        let left = self.total_at_ns.saturating_sub(clock::coarse_ns());
        (self.total_at_ns != u64::MAX).then_some(left)
    }

    /// Whether it is a call whose two streams may be silent by turns.
    pub(super) fn is_streaming_call(&self) -> bool {
        self.request.grpc.is_some() && self.request.stream.is_some() && self.group.http2
    }

    /// Where the two directions of a gRPC call tell one another that they move.
    pub(super) fn company<'p>(&self, progress: &'p Progress) -> Option<&'p Cell<u64>> {
        self.is_streaming_call().then_some(&progress.moved_ns)
    }

    /// Reads the request's content from the client.
    pub(super) fn body_reader(&self) -> BodyReader {
        BodyReader::new(self.head.framing, self.request.listener.http.max_chunk_extension)
    }
}

/// How far an exchange has got: what its two directions know of each other, also after one of
/// them was dropped in the middle.
#[derive(Default)]
pub(super) struct Progress {
    /// The request's content has gone out whole.
    pub(super) uploaded: Cell<bool>,
    /// The target did not take the request's content in time.
    pub(super) target_slow: Cell<bool>,
    /// The answer's final head has come.
    pub(super) answered: Cell<bool>,
    /// When content last moved in either direction of a gRPC call: a stream may be silent in one for as
    /// long as it talks in the other. Nanoseconds of the core's clock.
    pub(super) moved_ns: Cell<u64>,
    /// A byte of the answer may have gone to the client; set before the first write begins.
    pub(super) begun: Cell<bool>,
}
