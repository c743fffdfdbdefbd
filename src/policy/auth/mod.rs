//! Who calls, and what their plan lets them do.
//!
//! Owns the directory of applications ([`directory`]) that control makes of the store, products
//! compiled for requests ([`product`]), and the verdict on a request ([`admit()`]). Services that
//! judge requests in the gateway's place are in [`forward_auth`]. Pure: the request's
//! head, `now` and the directory are arguments; what takes longer than a lookup to find out comes back as
//! a question ([`Stop::Ask`]), and the verdict is asked for again with its answer.

mod admit;
mod challenge;
mod compile;
mod digest;
pub mod directory;
pub mod forward_auth;
pub mod introspection;
pub mod jwt;
pub mod mapping;
mod password;
mod pattern;
pub mod places;
pub mod present;
pub mod product;
mod remembered;
mod service;
mod sharded;

pub use admit::{Admitted, Asked, Refusal, Stop, Wanted, admit};
pub use challenge::realm;
pub use compile::{Definition, Mistake, attribute_lines};
pub use digest::{Digest, digest};
pub use directory::{Application, Credential, Directory};
pub use mapping::{Hit, Hits};
pub use password::{Outcomes, PasswordQuestion};
pub use places::Carrier;
pub use present::{Presented, Told};
pub use product::{Metric, Plan, Product};
pub use remembered::Remembered;
pub use service::{NoAnswer, Service};
