//! Field blocks become heads.
//!
//! A tunnel is begun by an extended CONNECT (RFC 8441) and granted by a 2xx. Both are written out as
//! what they stand for, the GET with Upgrade and its 101, so that one place judges all of them.

mod answer;
mod block;
mod request;

pub use answer::{Arrived, Switch, answer, response, trailers};
pub use block::nothing;
pub use request::request;
