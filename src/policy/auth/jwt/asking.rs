//! How workers have keys asked for that they do not know.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A wish for newer keys, which any worker may have and control fulfils; never more often than allowed,
/// whatever key ids clients invent.
pub struct Asking {
    /// Before this moment of the clock nobody asks.
    next_ns: AtomicU64,
    under_way: AtomicBool,
    pause_ns: u64,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl Asking {
    /// The first question is under way. `tell` lets control know of others; `pause_ns` passes from one to
    /// the next.
    pub fn new(pause_ns: u64, tell: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { next_ns: AtomicU64::new(0), under_way: AtomicBool::new(true), pause_ns, tell }
    }

    /// Has keys asked for, unless that was done a moment ago. Whether it is worth waiting for them.
    pub fn ask(&self, now_ns: u64) -> bool {
        if self.is_under_way() {
            return true;
        }
        let next = self.next_ns.load(Ordering::Acquire);
        let later = now_ns.saturating_add(self.pause_ns);
        let mine = now_ns >= next
            && self
                .next_ns
                .compare_exchange(next, later, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if mine {
            self.under_way.store(true, Ordering::Release);
            (self.tell)();
        }
        // Whoever lost has another worker's question to wait for.
        mine || self.is_under_way()
    }

    /// Whether control still has it to do.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// Keys were asked for, with whatever success; they are in force where there are new ones.
    pub fn done(&self, now_ns: u64) {
        self.next_ns.store(now_ns.saturating_add(self.pause_ns), Ordering::Release);
        self.under_way.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn nobody_asks_twice_within_the_pause() {
        let told = Arc::new(AtomicU64::new(0));
        let counter = told.clone();
        let tell = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let asking = Asking::new(100, Box::new(tell));
        assert!(asking.is_under_way() && asking.ask(900));
        assert_eq!(told.load(Ordering::Relaxed), 0);
        asking.done(900);
        assert!(asking.ask(1000) && asking.ask(1001) && asking.is_under_way());
        asking.done(1050);
        assert!(!asking.ask(1149) && !asking.is_under_way());
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(asking.ask(1150));
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
