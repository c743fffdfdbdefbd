//! Who is known: products, and applications by their credentials.
//!
//! A credential is found by a digest of what it is known by, keyed with a secret of the store: who
//! reads memory or the store learns no key, and a lookup's time tells nothing of other keys.
//! Immutable; one credential's change copies a few hundred others and shares the rest.

use std::sync::Arc;

use super::digest::Digest;
use super::places::Parameters;
use super::product::Product;
use super::sharded::{Filling, Sharded};
use crate::policy::transform::FieldNames;

/// An application that may call: it, its account and its product are live.
#[derive(Debug)]
pub struct Application {
    /// Id.
    pub id: u64,
    /// Id of its account.
    pub account: u64,
    /// The product's slot in [`Directory::product`].
    pub product: u32,
    /// Id of its plan.
    pub plan: u32,
    /// Its public id (`app_id`).
    pub app_id: Box<str>,
    /// Whether calls get 403 (suspended or pending, it or its account).
    pub suspended: bool,
    /// From when on calls get 403, seconds since 1970.
    pub ends_at: u64,
    /// Field lines of its own that upstreams get, each with its CRLF.
    pub lines: Box<[u8]>,
}

/// A credential.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Id.
    pub id: u64,
    /// Whose it is.
    pub application: Arc<Application>,
    /// From when on it is refused, seconds since 1970.
    pub ends_at: u64,
    /// Of `basic`: the password's hash (argon2, PHC string).
    pub password: Option<Arc<str>>,
}

/// Who is known.
#[derive(Clone)]
pub struct Directory {
    /// Digests are keyed with it.
    pub secret: Digest,
    /// Fields that upstreams get of anybody's attributes, or got before: a client's own never pass,
    /// since who has none could claim another's.
    pub attributes: Arc<FieldNames>,
    /// Parameters of queries that are a credential to any product, or were before: no log has them, whichever
    /// route a request takes, since who mistakes a path has shown its key all the same.
    pub parameters: Arc<Parameters>,
    products: Arc<[Option<Arc<Product>>]>,
    credentials: Sharded<Credential>,
}

impl Directory {
    /// Nobody.
    pub fn empty(secret: Digest) -> Self {
        let (attributes, parameters) = (Arc::default(), Arc::default());
        let (products, credentials) = (Arc::new([]), Sharded::empty());
        Self { secret, attributes, parameters, products, credentials }
    }

    /// The product in a slot; `None`: it is not there (any more).
    pub fn product(&self, slot: u32) -> Option<&Arc<Product>> {
        self.products.get(slot as usize)?.as_ref()
    }

    /// The credential with this digest.
    pub fn credential(&self, digest: &Digest) -> Option<&Credential> {
        self.credentials.value(digest)
    }

    /// How many credentials there are.
    pub fn len(&self) -> usize {
        self.credentials.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a product into its slot, or takes it out.
    pub fn set_product(&mut self, slot: u32, product: Option<Arc<Product>>) {
        let shown = product.iter().flat_map(|product| product.secrets.parameters.iter());
        for name in shown {
            if !self.parameters.has(name) {
                Arc::make_mut(&mut self.parameters).add(name);
            }
        }
        let mut products = self.products.to_vec();
        let slot = slot as usize;
        if products.len() <= slot {
            products.resize(slot + 1, None);
        }
        products[slot] = product;
        self.products = products.into();
    }

    /// Notes names of fields that upstreams get of attributes.
    pub fn withhold<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        for name in names {
            if !self.attributes.has(name.as_bytes()) {
                Arc::make_mut(&mut self.attributes).add(name.as_bytes());
            }
        }
    }

    /// Takes the credentials that are handed over in place of all there were.
    ///
    /// # Errors
    /// Those of `all`; nothing has changed then.
    pub fn fill<E>(
        &mut self,
        all: impl FnOnce(&mut dyn FnMut(Digest, Credential)) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut filling = Filling::new();
        let mut attributes = self.attributes.clone();
        all(&mut |digest, credential| {
            learn(&mut attributes, &credential.application.lines);
            filling.add(digest, credential);
        })?;
        (self.credentials, self.attributes) = (filling.settle(), attributes);
        Ok(())
    }

    /// Sets credentials, or removes them.
    pub fn change(&mut self, changes: impl IntoIterator<Item = (Digest, Option<Credential>)>) {
        let attributes = &mut self.attributes;
        self.credentials.change(changes.into_iter().inspect(|(_, credential)| {
            if let Some(credential) = credential {
                learn(attributes, &credential.application.lines);
            }
        }));
    }
}

/// Notes the names of field lines.
fn learn(names: &mut Arc<FieldNames>, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n') {
        let name = memchr::memchr(b':', line).map_or(&[][..], |colon| &line[..colon]);
        if !name.is_empty() && !names.has(name) {
            Arc::make_mut(names).add(name);
        }
    }
}
