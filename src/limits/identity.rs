//! Bounds of questions about who calls.

use std::time::Duration;

/// Passwords that are verified at once: each keeps a core busy for tens of milliseconds, which the
/// workers have a better use for.
pub const PASSWORD_THREADS: usize = 2;
/// Passwords that wait for their turn; with more, requests get 503. At two at once and 30 ms each these
/// take a second.
pub const PASSWORD_QUEUE: usize = 64;
/// How long a request waits for the verdict on its password.
pub const PASSWORD_WAIT: Duration = Duration::from_secs(5);
/// How long a core believes a password that was right, seconds. What becomes of the credential meanwhile
/// counts at once.
pub const PASSWORD_GOOD_S: u64 = 300;
/// How long it believes one that was wrong, seconds.
pub const PASSWORD_BAD_S: u64 = 5;
/// Passwords that a core remembers, the right ones and the wrong ones each: some 100 bytes for one.
pub const PASSWORDS_REMEMBERED: usize = 16 * 1024;
/// Requests of a core that wait for answers about who calls. Those that ask the same service have as many of
/// these places as are free beside them, others get 503: one service that is slow takes half of them,
/// `n` take each an `n + 1`-th, and whoever asks another finds room.
pub const INQUIRIES_OPEN: usize = 4096;
/// Questions of all cores on their way to control.
pub const INQUIRIES_QUEUED: usize = 16 * 1024;
/// Answers on their way to a core: all that it can wait for.
pub const INQUIRY_ANSWERS: usize = INQUIRIES_OPEN;
/// Questions to one service outside that are under way at once: more would be a load of its own, and
/// a service that takes 5 ms for each answers 10,000 a second that way.
pub const SERVICE_AT_ONCE: usize = 64;
/// Questions that wait for their turn to be asked, for each service. More get 503.
pub const SERVICE_QUEUE: usize = 1024;
/// Bytes of an answer's head: what most servers write at most, eight times.
pub const OUTSIDE_HEAD_MAX: usize = 64 * 1024;
/// How long a connection to a service is kept that nothing is asked on: less than what servers keep
/// theirs for, by default a minute or more.
pub const OUTSIDE_IDLE: Duration = Duration::from_secs(30);
/// How often the log says that a service fails.
pub const SERVICE_FAILURES_TOLD: Duration = Duration::from_secs(1);
