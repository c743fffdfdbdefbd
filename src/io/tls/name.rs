//! The name that a client asks for. rustls tells it to whoever chooses the certificate and, without
//! buffers of its own, to nobody else; so the chooser notes it for the handshake that is under way.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    /// Handshakes take turns on a thread, and each reads this right after it was written.
    static NAME: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// A chooser of certificates that notes which name was asked for.
#[derive(Debug)]
pub struct NotesName(pub Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for NotesName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
        NAME.with(|noted| *noted.borrow_mut() = name);
        self.0.resolve(hello)
    }
}

/// The name noted last, once.
pub(super) fn noted() -> Option<Box<str>> {
    NAME.with(|noted| noted.borrow_mut().take())
}
