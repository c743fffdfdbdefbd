//! Listening sockets: bound here, before anything is published, so that an address that is taken
//! is a clear error and changes nothing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::Listener;
use crate::io::listener::{bind, listen, local_address};

/// One socket a worker, for one listener.
pub(super) type Sockets = Arc<Vec<OwnedFd>>;

/// The sockets in use.
#[derive(Default, Clone)]
pub(super) struct Bound {
    by_place: HashMap<Place, Sockets>,
}

/// The address as written. Port 0 keeps the port it was given, but each listener has its own.
#[derive(PartialEq, Eq, Hash, Clone)]
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
                Some(sockets) => Ok(sockets.clone()),
                None => open(listener, workers).map(Arc::new).map_err(|e| refused(listener, &e)),
            })
            .collect()
    }

    /// Has them all take connections and remembers what is in use now; sockets of listeners that
    /// are gone close when the last worker lets go of them.
    ///
    /// # Errors
    /// As [`Bound::sockets`]; nothing that was in use has changed then.
    pub(super) fn keep(
        &mut self,
        listeners: &[Listener],
        sockets: &[Sockets],
    ) -> Result<(), String> {
        let all = || listeners.iter().zip(sockets);
        for (listener, sockets) in all() {
            let mut each = sockets.iter();
            each.try_for_each(|socket| listen(socket, listener.backlog))
                .map_err(|e| refused(listener, &e))?;
        }
        self.by_place = all().map(|(l, sockets)| (Place::of(l), sockets.clone())).collect();
        Ok(())
    }
}

fn refused(listener: &Listener, error: &io::Error) -> String {
    format!("listener {:?} can't listen on {}: {error}", listener.name, listener.listen)
}

fn open(listener: &Listener, workers: usize) -> io::Result<Vec<OwnedFd>> {
    let first = bind(listener.listen)?;
    // With port 0 the others must get the port that the first was given.
    let address = local_address(&first)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(address)?);
    }
    Ok(sockets)
}
