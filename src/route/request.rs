//! What a lookup is given.

use crate::http::{Field, Identity, Method};

/// What is looked up: parts of a request head.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Lower-case, without port.
    pub host: &'a [u8],
    /// Canonical.
    pub path: &'a [u8],
    /// Without `?`.
    pub query: Option<&'a [u8]>,
    /// Method.
    pub method: Method,
    /// Its text, which tells custom methods apart.
    pub method_text: &'a [u8],
    /// Field lines, as ranges in `buf`.
    pub fields: &'a [Field],
    /// The buffer of the message head.
    pub buf: &'a [u8],
    /// Who the client proved to be.
    pub identity: Option<&'a Identity>,
}
