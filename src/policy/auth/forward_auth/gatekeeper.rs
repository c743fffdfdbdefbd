//! A service as it is compiled for requests.

use std::pin::Pin;
use std::sync::Arc;

use super::answer::{Answer, Line};
use crate::config::{ForwardAuth, Forwarding, Input, OnError};
use crate::policy::auth::service::Service;
use crate::policy::transform::{Edits, FieldNames, Forward};

/// What it takes to ask: an answer, or, for the log, why there is none.
pub type Asking = Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>>;

/// Begins to ask a service: by these field lines, with the question's number.
pub type Ask = Box<dyn Fn(&[u8], u128) -> Asking + Send + Sync>;

/// A service that is asked whether a request may pass.
pub struct Gatekeeper {
    /// The service.
    pub service: Arc<Service>,
    /// What it is asked, and for how long its answers hold.
    pub rules: Arc<ForwardAuth>,
    /// Asks it.
    pub ask: Ask,
    /// Cookies that it gets; `None`: all, where it gets any.
    pub(super) cookies: Option<Vec<Box<[u8]>>>,
    /// Says where a request comes from.
    pub(super) forward: Forward,
    /// Fields that upstreams get from it and from nobody else.
    withheld: FieldNames,
}

impl Gatekeeper {
    /// Compiles a service by these rules.
    pub fn new(service: Arc<Service>, rules: &Arc<ForwardAuth>, ask: Ask) -> Self {
        let forwarding = Forwarding {
            via: false,
            x_forwarded: true,
            forwarded: false,
            request_id: false,
            traceparent: false,
        };
        let mut withheld = FieldNames::default();
        for name in &rules.response_headers {
            withheld.add(name.as_bytes());
        }
        Self {
            service,
            cookies: cookies(rules),
            forward: Forward::compile(&forwarding, "", &Edits::default()),
            withheld,
            rules: rules.clone(),
            ask,
        }
    }

    /// Whether requests pass that it gives no answer for.
    pub fn is_open(&self) -> bool {
        self.rules.on_error == OnError::Allow
    }

    /// Whether it gets a client's fields of this name, lower case.
    pub fn is_told(&self, name: &str) -> bool {
        self.rules.request_headers.iter().any(|told| told == name)
    }

    /// Whether answers may count for other requests.
    pub fn remembers(&self) -> bool {
        self.rules.cache.is_some()
    }
}

/// Where answers are kept for cookies by name, the service gets only these: an answer by another one
/// would count for who does not have it.
fn cookies(rules: &ForwardAuth) -> Option<Vec<Box<[u8]>>> {
    let key = &rules.cache.as_ref()?.key;
    let whole = key.iter().any(|input| *input == Input::Header("cookie".to_owned()));
    let named = key.iter().filter_map(|input| match input {
        Input::Cookie(name) => Some(name.as_bytes().into()),
        _ => None,
    });
    (!whole).then(|| named.collect())
}

/// What a service that let a request pass says of it.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// The service.
    pub by: &'a Gatekeeper,
    /// Fields for the upstream.
    pub fields: &'a [Line],
}

impl Judged<'_> {
    /// Whether a client's field of this name stays here.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.by.withheld.has(name)
    }

    /// Appends the service's fields, each with its line end, but for those that `edits` have the say on.
    pub fn append(&self, edits: Option<&Edits>, out: &mut Vec<u8>) {
        for (name, value) in self.fields {
            if !edits.is_some_and(|edits| edits.removes_name(name)) {
                for part in [name, &b": "[..], value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }
}
