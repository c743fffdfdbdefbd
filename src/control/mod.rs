//! Beside the road: everything that may be slow. Owns the running gateway ([`gateway`]), the
//! compiler from settings to a snapshot ([`compile`]), the admin listener ([`admin`]), the log
//! writer, the listeners' certificates ([`tls`]), those that are asked for ([`acme`]), name resolution and file watching. Runs on tokio, on threads of its own.
//!
//! Invariants:
//! - Nothing is published that was not checked and bound whole; what fails changes nothing.
//! - One task owns the state, so reloads come one after another.

pub mod acme;
pub mod admin;
pub mod announce;
pub mod catalog;
pub mod compile;
pub mod demo;
pub mod explain;
mod face;
pub mod forward_auth;
pub mod gateway;
pub mod identity;
pub mod import;
pub mod introspection;
pub mod jwks;
pub mod ledger;
pub mod log_writer;
mod machine;
pub mod outside;
pub mod process;
mod publisher;
mod redact;
pub mod rehearsal;
pub mod resolve;
pub mod run;
mod sockets;
pub mod source;
mod store_file;
pub mod tls;
pub mod watch;

pub use store_file::conflicts;
