//! What a peer sends beside content, weighed: each frame that makes work and carries nothing runs
//! up a debt, which time, messages, content and what we send pay off (gRPC's clients ping with every
//! message). A peer in too deep is not listened to any more.
//!
//! Messages and content may pay in advance, within bounds: a hundred requests that were begun are
//! reset all at once when a page is left. The reset of a stream that is not young any more is no
//! attack, only its end: somebody waited, and then left.
//!
//! So are weighed resets of streams that were just opened (CVE-2023-44487), PING, SETTINGS, empty DATA,
//! PRIORITY, CONTINUATION without end, windows opened byte by byte, streams begun beyond those allowed.

use super::super::kinds::{CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS};
use crate::http::h2::code::{Code, Fault};
use crate::limits::{
    H2_COST_CONTROL, H2_COST_REFUSED, H2_COST_RESET, H2_COST_SMALL, H2_CREDIT_MAX, H2_DEBT_MAX,
    H2_PAID_PER_SECOND, H2_YOUNG_NS,
};

/// Nanoseconds that pay for one point.
const POINT_NS: u64 = 1_000_000_000 / H2_PAID_PER_SECOND;

/// A peer's debt.
#[derive(Debug)]
pub(super) struct Account {
    /// Below zero: paid in advance.
    debt: i64,
    /// What resets of young streams cost, on a ledger of their own: only new streams and time pay it, or a
    /// byte of content would pay for each.
    resets: i64,
    paid_at_ns: u64,
    ages: Ages,
}

/// Which streams are not young any more: those up to a number that was the highest a while ago.
#[derive(Debug, Default)]
struct Ages {
    old: u32,
    highest: u32,
    highest_at_ns: u64,
    newest: u32,
}

impl Account {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { debt: 0, resets: 0, paid_at_ns: now_ns, ages: Ages::default() }
    }

    /// A byte sent pays a point. Neither that nor time pays in advance.
    pub(super) fn pay(&mut self, sent: u64, now_ns: u64) {
        let earned = now_ns.saturating_sub(self.paid_at_ns) / POINT_NS;
        self.paid_at_ns += earned * POINT_NS;
        let paid = |points: u64| i64::try_from(points).unwrap_or(i64::MAX);
        let less = |debt: i64, paid: i64| debt.min(debt.saturating_sub(paid).max(0));
        self.debt = less(self.debt, paid(earned.saturating_add(sent)));
        self.resets = less(self.resets, paid(earned));
        self.ages.pass(now_ns);
    }

    /// A frame of this kind comes; those with content are told of by [`Self::content`].
    pub(super) fn frame(&mut self, kind: u8, stream: u32) -> Result<(), Fault> {
        let cost = match kind {
            DATA => 0,
            HEADERS => {
                if stream > self.ages.newest {
                    self.resets = (self.resets - H2_COST_CONTROL).max(-H2_CREDIT_MAX);
                }
                self.ages.newest = self.ages.newest.max(stream);
                -H2_COST_CONTROL
            }
            RST_STREAM if stream <= self.ages.old => H2_COST_SMALL,
            RST_STREAM => {
                self.resets = self.resets.saturating_add(H2_COST_RESET);
                H2_COST_RESET
            }
            PING | SETTINGS | GOAWAY | CONTINUATION => H2_COST_CONTROL,
            // A kind that nobody knows is to be overlooked, which costs little.
            _ => H2_COST_SMALL,
        };
        self.charge(cost)
    }

    /// So many bytes of content came in a frame, padding not counted.
    pub(super) fn content(&mut self, bytes: usize, ends: bool) -> Result<(), Fault> {
        self.charge(match bytes {
            0 if ends => 0,
            0 => H2_COST_CONTROL,
            _ => -H2_COST_CONTROL,
        })
    }

    /// What came is of no use: it was for a stream that its peer should know to be over.
    pub(super) fn late(&mut self) -> Result<(), Fault> {
        self.charge(H2_COST_CONTROL)
    }

    /// A stream that was begun is one too many.
    pub(super) fn refused(&mut self) -> Result<(), Fault> {
        self.charge(H2_COST_CONTROL + H2_COST_REFUSED)
    }

    /// A stream was reset here for what its peer did with it (CVE-2025-8671). Whoever is in too deep hears of
    /// it with the next frame.
    pub(super) fn provoked(&mut self, stream: u32) {
        let _ = self.frame(RST_STREAM, stream);
    }

    fn charge(&mut self, cost: i64) -> Result<(), Fault> {
        self.debt = self.debt.saturating_add(cost).max(-H2_CREDIT_MAX);
        match self.debt.max(self.resets) > H2_DEBT_MAX {
            true => Err(Fault(Code::ENHANCE_YOUR_CALM)),
            false => Ok(()),
        }
    }
}

impl Ages {
    fn pass(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.highest_at_ns) >= H2_YOUNG_NS {
            self.old = self.highest;
            self.highest = self.newest;
            self.highest_at_ns = now_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kinds::{PRIORITY, WINDOW_UPDATE};
    use super::*;

    /// How many frames of a kind are taken at once.
    fn taken(kind: u8) -> i64 {
        let mut account = Account::new(0);
        (0..1_000_000).take_while(|_| account.frame(kind, 1).is_ok()).count() as i64
    }

    #[test]
    fn so_many_at_once_and_no_more() {
        let within = |cost: i64| H2_DEBT_MAX / cost;
        for kind in [PING, SETTINGS, CONTINUATION, GOAWAY] {
            assert_eq!(taken(kind), within(H2_COST_CONTROL));
        }
        assert_eq!(taken(RST_STREAM), within(H2_COST_RESET));
        for kind in [PRIORITY, WINDOW_UPDATE, 0x77] {
            assert_eq!(taken(kind), within(H2_COST_SMALL));
        }
        let mut account = Account::new(0);
        let most = (0..1_000_000).take_while(|_| account.content(0, false).is_ok()).count() as i64;
        assert_eq!(most, within(H2_COST_CONTROL));
    }

    #[test]
    fn requests_and_content_run_up_no_debt() {
        assert_eq!(taken(HEADERS), 1_000_000);
        let mut account = Account::new(0);
        assert!((0..1_000_000).all(|_| account.content(1, false).is_ok()));
        assert!((0..1_000_000).all(|_| account.content(0, true).is_ok()));
    }

    #[test]
    fn time_and_what_is_sent_pay() {
        let cost = u64::try_from(H2_COST_CONTROL).expect("positive");
        let mut account = Account::new(0);
        assert!((0..10_000).all(|n| {
            account.pay(0, n * cost * POINT_NS);
            account.frame(PING, 0).is_ok()
        }));
        let mut account = Account::new(0);
        assert!((0..10_000).all(|_| {
            account.pay(cost, 0);
            account.frame(PING, 0).is_ok()
        }));
    }

    #[test]
    fn neither_time_nor_what_is_sent_pays_in_advance() {
        let mut account = Account::new(0);
        account.pay(1 << 30, 1 << 50);
        let more = (0..1_000_000).take_while(|_| account.frame(PING, 0).is_ok()).count();
        assert_eq!(more as i64, H2_DEBT_MAX / H2_COST_CONTROL);
    }

    #[test]
    fn requests_begun_pay_for_their_resets_later() {
        let mut account = Account::new(0);
        let streams = || (0..100u32).map(|n| 2 * n + 1);
        assert!(streams().all(|stream| account.frame(HEADERS, stream).is_ok()));
        assert!(streams().all(|stream| account.frame(RST_STREAM, stream).is_ok()));
    }

    #[test]
    fn content_does_not_pay_for_resets() {
        let mut account = Account::new(0);
        let mut stream = |stream: u32| {
            account.frame(HEADERS, stream).is_ok()
                && account.content(1, false).is_ok()
                && account.frame(RST_STREAM, stream).is_ok()
        };
        let most = u32::try_from(H2_DEBT_MAX / (H2_COST_RESET - H2_COST_CONTROL)).expect("small");
        assert!((0..=most + 1).any(|n| !stream(2 * n + 1)), "a byte must not pay for a reset");
    }

    #[test]
    fn who_waited_and_then_left_is_no_attacker() {
        let mut account = Account::new(0);
        for round in 0..10u64 {
            let now = |seconds| (4 * round + seconds) * H2_YOUNG_NS;
            account.pay(0, now(1));
            assert!(account.frame(HEADERS, 1).is_ok());
            account.pay(0, now(2));
            assert!(account.frame(HEADERS, 1).is_ok());
            account.pay(0, now(3));
            assert!((0..100).all(|_| account.frame(RST_STREAM, 1).is_ok()));
        }
    }

    #[test]
    fn streams_beyond_those_allowed_are_refused_some_times() {
        let mut account = Account::new(0);
        let mut refused = 0;
        while account.frame(HEADERS, 2 * refused + 1).is_ok() && account.refused().is_ok() {
            refused += 1;
        }
        assert_eq!(i64::from(refused), H2_DEBT_MAX / H2_COST_REFUSED);
    }
}
