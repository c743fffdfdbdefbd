//! What upstreams are told of who calls, and what they are not.

use super::directory::{Application, Directory};
use super::forward_auth::Judged;
use super::product::{Plan, Product};
use crate::policy::transform::Edits;

/// What the fields begin with by which the gateway tells upstreams who calls.
const OURS: &[u8] = b"x-tollgate-";

/// Whether only the gateway may say what a field of this name says: no client's ever passes.
#[inline]
pub fn is_ours(name: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a, *b) == (b'_', b'-');
    name.len() > OURS.len() && name.iter().zip(OURS).all(same)
}

/// What upstreams are told of who calls, by whom.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    /// By the product.
    pub caller: Option<Presented<'a>>,
    /// By the service that was asked.
    pub judged: Option<Judged<'a>>,
}

impl Told<'_> {
    /// Whether a client's field of this name stays here.
    #[inline]
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.caller.is_some_and(|caller| caller.withholds(name))
            || self.judged.is_some_and(|judged| judged.withholds(name))
    }

    /// Appends all lines, each with its line end, but for those of the service's that `edits` have the
    /// say on.
    pub fn append(&self, edits: Option<&Edits>, out: &mut Vec<u8>) {
        if let Some(judged) = &self.judged {
            judged.append(edits, out);
        }
        if let Some(caller) = &self.caller {
            caller.append(out);
        }
    }
}

/// A request's caller as upstreams are told.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The product.
    pub product: &'a Product,
    /// Which application calls; `None`: nobody in particular.
    pub application: Option<&'a Application>,
    /// Its plan.
    pub plan: &'a Plan,
    /// Who else might have.
    pub directory: &'a Directory,
}

impl Presented<'_> {
    /// Whether a client's field of this name stays here: a credential, or one by which upstreams are
    /// told something of callers, whether of this one or of another.
    pub fn withholds(&self, name: &[u8]) -> bool {
        let product = self.product;
        product.attributes.has(name)
            || self.directory.attributes.has(name)
            || !product.forward && product.secrets.fields.has(name)
    }

    /// Appends the gateway's lines, each with its line end.
    pub fn append(&self, out: &mut Vec<u8>) {
        let Self { product, application, plan, .. } = self;
        out.extend_from_slice(&product.secret_line);
        if let Some(application) = application {
            out.extend_from_slice(b"X-Tollgate-Application: ");
            out.extend_from_slice(application.app_id.as_bytes());
            out.extend_from_slice(b"\r\nX-Tollgate-Account: ");
            out.extend_from_slice(itoa::Buffer::new().format(application.account).as_bytes());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&application.lines);
        }
        out.extend_from_slice(&plan.lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_fields_are_ours_in_any_spelling() {
        for name in ["X-Tollgate-Plan", "x-tollgate-secret", "X_TOLLGATE_ANYTHING"] {
            assert!(is_ours(name.as_bytes()), "{name}");
        }
        for name in ["X-Tollgate-", "X-Toll", "XX-Tollgate-Plan", ""] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }
}
