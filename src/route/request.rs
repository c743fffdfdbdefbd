//! What a lookup is given.

use std::fmt::Debug;

use crate::config::ClaimTest;
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
    /// What is known of its tokens so far.
    pub claims: &'a dyn Claims,
}

/// What is known of a request's tokens. Routes that ask for one in the same way are of the same source.
pub trait Claims: Debug {
    /// Whether a source's token says this; `None`: it was not looked at yet.
    fn say(&self, source: u16, test: &ClaimTest) -> Option<bool>;
}

/// Nothing was looked at.
#[derive(Debug)]
pub struct Unread;

impl Claims for Unread {
    fn say(&self, _: u16, _: &ClaimTest) -> Option<bool> {
        None
    }
}
