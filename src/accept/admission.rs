//! How many connections are let in: in all, and per client address. The counts are the node's,
//! over all workers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::policy::limit::Shared;
use crate::policy::limit::concurrency::Seat;

/// The scope under which connections are counted per client.
const CONNECTIONS: u64 = 0x636f_6e6e_6563_7473;

/// The node's counts of open connections.
pub struct Admission {
    open: AtomicUsize,
    shared: Arc<Shared>,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `server.max_connections` are open.
    Full,
    /// `server.max_connections_per_client` are open from this address.
    ClientFull,
}

/// A connection that was let in; dropping it gives its place back.
pub struct Admitted {
    admission: Arc<Admission>,
    client: Option<Seat<Arc<Shared>>>,
}

impl Admission {
    /// No connections yet.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), shared })
    }

    /// Open connections of the node.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Lets a connection in, or says that it does not.
    ///
    /// # Errors
    /// Where `max` are open.
    pub fn admit(self: &Arc<Self>, max: usize) -> Result<Admitted, Refused> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        Ok(Admitted { admission: self.clone(), client: None })
    }
}

impl Admitted {
    /// Counts the connection for its client too, once that is known: behind a PROXY header that is
    /// later than the connection.
    ///
    /// # Errors
    /// Where `max` of this client are open, or where there is no room to count it.
    pub fn seat(&mut self, client: IpAddr, max: u32, ipv6_prefix: u8) -> Result<(), Refused> {
        let shared = &self.admission.shared;
        let hash = shared.client_hash(CONNECTIONS, client, ipv6_prefix);
        let seat = Seat::take(shared.clone(), hash, max).map_err(|_| Refused::ClientFull)?;
        self.client = Some(seat);
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.client = None;
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}
