//! Listening sockets: bound here, before anything is published, so that an address that is taken
//! is a clear error and changes nothing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::Listener;
use crate::io::listener::{bind, local_address};

/// One socket a worker, for one listener.
pub(super) type Sockets = Arc<Vec<OwnedFd>>;

/// The sockets in use.
#[derive(Default)]
pub(super) struct Bound {
    by_place: HashMap<Place, (u32, Sockets)>,
}

/// The address as written. Port 0 keeps the port it was given, but each listener has its own.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    Address(SocketAddr),
    AnyPort(SocketAddr, String),
}

impl Place {
    fn of(listener: &Listener) -> Self {
        match listener.listen.port() {
            0 => Self::AnyPort(listener.listen, listener.name.clone()),
            _ => Self::Address(listener.listen),
        }
    }
}

impl Bound {
    /// Sockets for these listeners: those in use already, and new ones. Nothing changes until
    /// [`Bound::keep`].
    ///
    /// # Errors
    /// Which listener's address can't be bound, and why.
    pub(super) fn sockets(
        &self,
        listeners: &[Listener],
        workers: usize,
    ) -> Result<Vec<Sockets>, String> {
        listeners
            .iter()
            .map(|listener| match self.by_place.get(&Place::of(listener)) {
                Some((backlog, sockets)) if *backlog == listener.backlog => Ok(sockets.clone()),
                _ => open(listener, workers).map(Arc::new).map_err(|e| {
                    format!("listener {:?} can't listen on {}: {e}", listener.name, listener.listen)
                }),
            })
            .collect()
    }

    /// Remembers what is in use now; sockets of listeners that are gone close when the last
    /// worker lets go of them.
    pub(super) fn keep(&mut self, listeners: &[Listener], sockets: &[Sockets]) {
        self.by_place = listeners
            .iter()
            .zip(sockets)
            .map(|(l, sockets)| (Place::of(l), (l.backlog, sockets.clone())))
            .collect();
    }
}

fn open(listener: &Listener, workers: usize) -> io::Result<Vec<OwnedFd>> {
    let first = bind(listener.listen, listener.backlog)?;
    // With port 0 the others must get the port that the first was given.
    let address = local_address(&first)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(address, listener.backlog)?);
    }
    Ok(sockets)
}
