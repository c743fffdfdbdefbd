//! Targets that speak HTTP/2 (RFC 9113): connections that the requests of a core share.

mod driver;
mod pool;
mod shared;
mod stream;

pub use pool::SharedPool;
pub use stream::{Answer, Lost, TargetStream};
