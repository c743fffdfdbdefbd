//! Streams, buffers, deadlines and the driver: the only room, beside `worker`, that knows the
//! ring. It knows nothing of HTTP's messages.
//!
//! Invariants:
//! - A deadline never drops a pending operation on a connection that lives on: it shuts the
//!   socket down or cancels the read, and the operation itself reports that.
//! - A buffer belongs to exactly one operation at a time; it goes back to its core's pool when
//!   dropped, wherever that happens.

pub mod buffer;
pub mod clock;
pub mod deadline;
pub mod driver;
pub mod inbox;
pub mod join;
pub mod listener;
pub mod memory;
pub mod questions;
mod raw;
mod socket;
pub mod splice;
pub mod stream;
pub mod tls;

pub use buffer::Buffer;
pub use deadline::{Expiry, Guard, Partner, Watch};
pub use driver::Driver;
pub use inbox::{Inbox, Mailer, Waker, WorkerInbox};
pub use listener::Listener;
pub use questions::{Answer, Questions};
pub use stream::Stream;

/// Starts a task on this core.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    monoio::spawn(task);
}

/// Waits for `work` so long; `None`: it was given up, and dropped. Only for what is thrown away then.
pub async fn timeout<T>(within: std::time::Duration, work: impl Future<Output = T>) -> Option<T> {
    monoio::time::timeout(within, work).await.ok()
}

/// Waits at least `millis` milliseconds (1 ms grain).
pub async fn sleep_ms(millis: u64) {
    monoio::time::sleep(std::time::Duration::from_millis(millis)).await;
}
