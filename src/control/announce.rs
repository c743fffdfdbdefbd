//! Lines on standard output for whoever started the gateway.

use std::io::Write;
use std::sync::Arc;

use crate::io::listener::local_address;
use crate::snapshot::{Listener, Snapshot};

/// Prints, not minding a reader that went away.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Where clients reach the listeners whose sockets `before` did not have, a line each.
pub(super) fn listening(now: &Snapshot, before: Option<&Snapshot>) -> Vec<String> {
    let known = before.map_or(&[][..], |before| &before.listeners);
    let is_new =
        |new: &&Arc<Listener>| !known.iter().any(|l| Arc::ptr_eq(&l.sockets, &new.sockets));
    now.listeners.iter().filter(is_new).filter_map(|listener| line(listener)).collect()
}

fn line(listener: &Listener) -> Option<String> {
    let address = local_address(listener.sockets.first()?).ok()?;
    Some(format!("listening {} {address}", listener.name))
}
