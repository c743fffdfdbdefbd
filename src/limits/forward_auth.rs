//! Services that are asked whether a request may pass.

use std::time::Duration;

/// How long a question may take by default: as long as a client's patience for a page bears it once more.
pub const FORWARD_AUTH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer holds by default that let a request pass: as long as a session that ends may
/// linger.
pub const FORWARD_AUTH_FOR: Duration = Duration::from_secs(10);
/// How long one holds by default that refused it: whoever signs in is let in at once, and whoever
/// storms asks once a second.
pub const FORWARD_AUTH_DENIED_FOR: Duration = Duration::from_secs(1);
/// The longest time that an answer may hold: a revoked session counts for as long.
pub const FORWARD_AUTH_MAX_FOR: Duration = Duration::from_secs(3600);
/// Bytes of an answer's content. Pages that ask people to sign in have some KiB; what lets a request
/// pass has none.
pub const FORWARD_AUTH_CONTENT: usize = 64 * 1024;
/// Bytes of the fields of an answer that are kept, names and values: what clients and upstreams take
/// in a head beside all else.
pub const FORWARD_AUTH_FIELDS: usize = 16 * 1024;
/// Bytes of answers that let requests pass that each worker remembers: some ten thousands.
pub const FORWARD_AUTH_ALLOWED: usize = 8 << 20;
/// Bytes of answers that refused requests that each worker remembers. Apart, so that whoever is
/// refused drives out nobody who passes.
pub const FORWARD_AUTH_DENIED: usize = 2 << 20;
