//! Services that are asked whether a request may pass (`[forward_auth.NAME]`): what one is asked
//! ([`Question`]), and what it means that it answers ([`Answer`]).
//!
//! Invariants:
//! - What a service says reaches upstreams and clients in fields that the configuration or this room
//!   names, and no value of them holds CR, LF or NUL.
//! - An answer counts for another request only where it may be kept, and where all that the service got
//!   of the client's fields was the same.

mod answer;
mod gatekeeper;
mod question;

pub use answer::{Answer, Line, Refused, Unusable, Verdict};
pub use gatekeeper::{Ask, Asking, Gatekeeper, Judged};
pub use question::{Asked, Question};
