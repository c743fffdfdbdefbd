//! What is changed in a message on its way through: fields, forwarding fields, path, Location.
//!
//! Everything is compiled once per route and then only appends to the head that is being written.
//! A request's emission asks two questions per field, [`Forward::replaces`] and
//! [`Edits::removes`], leaves out what either claims, and then lets both append their own lines.
//!
//! Invariants: what is substituted comes from a parsed head, the route or the gateway itself, so
//! it never holds CR, LF or NUL; a client's word about where it comes from never passes the trust
//! boundary; a rewritten path is as canonical as the one it was made from.

pub mod address;
pub(crate) mod alphabet;
pub mod claims;
pub mod edits;
mod field_names;
pub mod forward;
pub mod location;
pub mod naming;
pub mod redirect;
pub mod request_id;
pub mod rewrite;
pub mod template;
pub mod trace;

pub use address::AddressText;
pub use claims::{Scheme, Trust, outside};
pub use edits::{EditError, Edits};
pub use field_names::FieldNames;
pub use forward::{Forward, Hop};
pub use location::LocationContext;
pub use redirect::Redirect;
pub use request_id::RequestId;
pub use rewrite::{PathRewrite, RewriteError};
pub use template::{Names, Parameters, Place, Template, TemplateError, Values};
