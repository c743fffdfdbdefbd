//! JSON web tokens (RFC 7519, RFC 9068): whether one is to be believed, and what it says.
//!
//! A token gets no say in how it is judged (RFC 8725): a key is for the algorithms of its type and
//! curve, or for the one that it names, and the header only picks among them; a secret is never made
//! of a public key; keys and URLs in a header (`jwk`, `jku`, `x5c`, `x5u`) are not looked at. What two
//! readers could read differently (names that stand twice, padding, bits left over) is refused.

mod algorithm;
mod asking;
mod bearer;
mod cache;
mod claims;
mod dpop;
mod fault;
mod json;
mod key;
mod key_set;
mod proofs;
mod refusal;
mod token;
mod verifier;
mod verifiers;

#[cfg(test)]
mod tests;

pub use asking::Asking;
pub(super) use bearer::after;
pub use bearer::{Challenge, Offered, Scheme, shown, write_challenges};
pub use cache::Cache;
pub use claims::says;
pub use dpop::{Proof, ProofAsked, proof_shown};
pub use fault::Fault;
pub use json::Json;
pub use key::{Key, Unfit};
pub use key_set::{KeySet, NoKeySet};
pub use proofs::{Proofs, Use};
pub use refusal::Refusal;
pub use verifier::{Bound, Proved, Verified, Verifier};
pub use verifiers::Verifiers;
