//! Who calls, and what their plan lets them do.
//!
//! Owns the directory of applications ([`directory`]) that control makes of the store, and products
//! compiled for requests ([`product`]). Pure: the request's head, `now` and the directory are
//! arguments; what needs the network comes back as a question.

pub mod directory;
pub mod jwt;
pub mod product;
mod sharded;

pub use directory::{Application, Credential, Digest, Directory, digest};
pub use product::{Metric, Plan, Product};
