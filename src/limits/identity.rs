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
/// Requests of a core that wait for answers about who calls. More get 503.
pub const INQUIRIES_OPEN: usize = 4096;
/// Questions of all cores on their way to control.
pub const INQUIRIES_QUEUED: usize = 16 * 1024;
/// Answers on their way to a core: all that it can wait for.
pub const INQUIRY_ANSWERS: usize = INQUIRIES_OPEN;
