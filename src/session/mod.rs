//! The plot: the keep-alive loop of a connection ([`connection`]) and the way of a request through
//! the stages ([`request`]: read that one first); and the way of a connection that is passed on unread
//! ([`tcp`]).
//!
//! Owns all branching and all I/O of a request; what is decided, is decided in the stages.
//!
//! Invariants:
//! - A request takes one snapshot and keeps it to its log line.
//! - Nothing goes upstream without a [`crate::policy::Permit`].
//! - An upstream connection is kept only when both messages on it were consumed whole.
//! - Once a byte of an answer is out, a failure resets the connection, or its stream: a truncated
//!   message must not look whole.
//! - A request goes the same way whatever its version, and its target's: where it came from is a
//!   [`downstream::Downstream`], what carries it a [`crate::upstream::Carrier`].

mod account;
mod accounting;
mod answers;
mod arrival;
mod belief;
mod client;
pub mod connection;
pub mod core;
mod download;
mod downstream;
mod ending;
mod exchange;
mod form;
mod forward;
mod forward_auth;
mod grpc;
mod h2;
mod handshake;
mod hello;
pub mod inquiry;
mod introduce;
mod introspection;
mod journal;
mod judgements;
mod judging;
mod outcome;
mod passage;
mod piece;
mod pump;
pub mod records;
mod relay;
mod request;
mod routing;
mod scratch;
mod switch;
mod task;
mod tcp;
mod through;
mod token;
mod tunnel;
mod upgrade;
pub mod usage;
mod way;
mod withheld;
