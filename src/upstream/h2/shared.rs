//! A connection that many requests share, and their places on it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{EncodedSlash, HttpBounds};
use crate::http::h2::machine::{Asking, Unsent};
use crate::io::clock;
use crate::limits::{H2_LAST_WORDS_NS, H2_SILENT_NS};
use crate::multiplexed::{Held, Link};
use crate::upstream::group::{Address, Group, Target};

/// A connection to a target and its streams.
pub(super) struct Shared {
    link: Rc<Link>,
    terms: Terms,
    open: Cell<usize>,
    carried: Cell<bool>,
    /// It takes no more streams.
    closing: Cell<bool>,
    silent_since_ns: Cell<u64>,
}

/// What a connection was made with.
#[derive(Clone)]
pub(super) struct Terms {
    address: Address,
    max_idle: usize,
    tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) max_streams: usize,
    pub(super) bounds: HttpBounds,
    pub(super) idle_ns: u64,
    pub(super) within: Duration,
}

impl Terms {
    pub(super) fn of(target: &Target, group: &Group, within: Duration) -> Self {
        Self {
            address: target.address.clone(),
            max_idle: group.max_idle,
            tls: group.tls.clone(),
            max_streams: group.max_streams,
            bounds: bounds(group.max_response_head),
            idle_ns: if group.max_idle == 0 { 0 } else { group.idle_ns },
            within,
        }
    }
}

/// An answer's head is only held against its size.
fn bounds(max_head: usize) -> HttpBounds {
    HttpBounds {
        max_head,
        max_fields: usize::MAX,
        max_uri: 0,
        max_chunk_extension: 0,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: true,
    }
}

impl Shared {
    pub(super) fn new(link: Rc<Link>, terms: Terms) -> Rc<Self> {
        Rc::new(Self {
            link,
            terms,
            open: Cell::new(0),
            carried: Cell::new(false),
            closing: Cell::new(false),
            silent_since_ns: Cell::new(clock::coarse_ns()),
        })
    }

    /// Whether a stream began on it before.
    pub(super) fn has_carried(&self) -> bool {
        self.carried.get()
    }

    pub(super) fn may_tunnel(&self) -> bool {
        self.link.ask(|machine| machine.may_tunnel())
    }

    pub(super) fn is_secure(&self) -> bool {
        self.terms.tls.is_some()
    }

    /// Begins a stream.
    pub(super) fn request(&self, asking: &Asking<'_>) -> Result<Held, Unsent> {
        let key = self.link.say(|machine, out| machine.ask(asking, out))?;
        self.carried.set(true);
        Ok(Held { link: self.link.clone(), key })
    }

    /// No answer came in time to a request of that moment. If nothing else came either, and that
    /// was no short time, the connection is taken for dead.
    pub(super) fn suspect(&self, since_ns: u64) {
        let waited_ns = clock::coarse_ns().saturating_sub(since_ns);
        if waited_ns >= H2_SILENT_NS && self.link.last_come_ns() <= since_ns {
            self.closing.set(true);
        }
    }

    /// How many streams the target allows.
    pub(super) fn allows(&self) -> usize {
        self.link.ask(|machine| machine.allows() as usize)
    }

    /// Whether another stream may begin on it, to this target of a group. A target's id may have come to
    /// stand for another while the connection was made.
    pub(super) fn has_room(&self, target: &Target, group: &Group) -> bool {
        let terms = &self.terms;
        let same = group.has_terms(terms.tls.as_ref()) && terms.address == target.address;
        if !same || self.closing.get() || self.link.ask(|machine| machine.is_leaving()) {
            return false;
        }
        let most = self.allows().min(group.max_streams);
        self.open.get() < most && self.link.ask(|machine| machine.may_begin())
    }

    /// Whether it carries nothing now.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Whether it carried something, and carries nothing now.
    pub(super) fn is_kept(&self) -> bool {
        self.is_idle() && self.has_carried()
    }

    /// How many idle ones there may be, to its target.
    pub(super) fn max_idle(&self) -> usize {
        self.terms.max_idle
    }

    /// Takes no more streams, and ends with the last of those it has.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.link.wake();
    }

    /// Takes no more streams.
    pub(super) fn note_end(&self) {
        self.closing.set(true);
    }

    /// When it has been without streams for as long as it may, nanoseconds; `None`: there are some.
    pub(super) fn ends_at_ns(&self) -> Option<u64> {
        if self.open.get() > 0 {
            return None;
        }
        // Who waited for it has not come yet.
        let least = if self.has_carried() { 0 } else { H2_LAST_WORDS_NS };
        let idle_ns = if self.closing.get() { 0 } else { self.terms.idle_ns.max(least) };
        Some(self.silent_since_ns.get().saturating_add(idle_ns))
    }
}

/// A stream's place on its connection.
pub(super) struct Lease(Rc<Shared>);

impl Lease {
    pub(super) fn take(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(shared.clone())
    }

    pub(super) fn of(&self) -> &Rc<Shared> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.open.set(shared.open.get() - 1);
        if shared.open.get() == 0 {
            shared.silent_since_ns.set(clock::coarse_ns());
            shared.link.wake();
        }
    }
}
