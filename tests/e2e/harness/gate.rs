//! Events between a test and its scripts, and the one place that polls.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Locks whatever a panicking test thread may have left poisoned.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value that threads wait on.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Changes the value and wakes every waiter.
    pub fn change<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        let result = with(&mut lock(&self.value));
        self.changed.notify_all();
        result
    }

    /// Looks at the value as it is.
    pub fn look<R>(&self, with: impl FnOnce(&T) -> R) -> R {
        with(&lock(&self.value))
    }

    /// Waits until `found` gives something; `None` at the deadline.
    pub fn wait_for<R>(
        &self,
        patience: Duration,
        mut found: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let deadline = Instant::now() + patience;
        let mut value = lock(&self.value);
        loop {
            if let Some(result) = found(&mut value) {
                return Some(result);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value =
                self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Lets a script go on, one step a [`Gate::release`]. Dropping every handle a test holds is not
/// needed: [`Gate::open`] lets everything through.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Watched<usize>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one waiter through.
    pub fn release(&self) {
        self.0.change(|permits| *permits += 1);
    }

    /// Lets every waiter through from now on.
    pub fn open(&self) {
        self.0.change(|permits| *permits = usize::MAX / 2);
    }

    /// Waits for a permit and takes it.
    pub fn wait(&self) {
        let passed = self.0.wait_for(PATIENCE, |permits| {
            *permits = permits.checked_sub(1)?;
            Some(())
        });
        assert!(passed.is_some(), "the gate was not opened in time");
    }
}

/// Lets time pass between two acts of a slow peer: being slow is made of time, there is no event
/// to wait for. Never used to wait for the gateway.
pub fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// Polls a state that sends no event (counters of the running gateway, `/proc`) until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}
