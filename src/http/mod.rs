//! Bytes become a message and back. Pure: no I/O, no clock.
//!
//! Owns the version-neutral heads ([`head`]), what a refused message is called ([`Bad`]), the
//! rules shared by all versions (bytes, names, path, host), what switching protocols takes
//! ([`upgrade`]), what gRPC says in fields ([`grpc`]), HTTP/1.1 itself ([`h1`]), and what HTTP/2 makes of
//! the same heads ([`h2`]).
//! ([`upgrade`]), HTTP/1.1 itself ([`h1`]), and what HTTP/2 makes of the same heads ([`h2`]).
//! ([`upgrade`]), what a client certificate says ([`Identity`]) and HTTP/1.1 itself ([`h1`]).
//! Knows nothing of connections, routes, policies or who the peer is.
//!
//! Invariants: a message with two readings has none (it is refused, RFC 9112 sections 6.3 and
//! 11.2); the same bytes give the same result however they were cut into reads; a buffer
//! is changed only once its head is complete.

pub mod bad;
mod bytes;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
mod host;
mod identity;
mod known;
mod path;
pub mod upgrade;

pub use bad::Bad;
pub use head::*;
pub use identity::Identity;
pub use path::canonicalise;
