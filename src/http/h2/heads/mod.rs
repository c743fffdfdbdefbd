//! Heads of HTTP/2 (RFC 9113 section 8) as those of HTTP/1.1, and back.
//!
//! A field block becomes lines, and they are read by the one parser that decides what a request or an
//! answer is: so what HTTP/1.1 refuses is refused here too, and nothing that an HTTP/1.1 server behind
//! could read in another way gets that far. A head that goes out is composed as lines, whatever the
//! version, and becomes a field block.

mod collect;
pub mod decode;
pub mod encode;
mod wrong;

pub use decode::{Arrived, Switch};
pub use wrong::Wrong;
