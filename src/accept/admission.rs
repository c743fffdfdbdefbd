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
    _client: Option<Seat<Arc<Shared>>>,
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

    /// Lets a connection in, or says why not.
    ///
    /// # Errors
    /// Where a cap is reached, or where there is no room to count this client.
    pub fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        max: usize,
        max_per_client: Option<u32>,
        ipv6_prefix: u8,
    ) -> Result<Admitted, Refused> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        // From here on dropping it gives the place back.
        let mut admitted = Admitted { admission: self.clone(), _client: None };
        if let Some(max) = max_per_client {
            let hash = self.shared.client_hash(CONNECTIONS, client, ipv6_prefix);
            let seat =
                Seat::take(self.shared.clone(), hash, max).map_err(|_| Refused::ClientFull)?;
            admitted._client = Some(seat);
        }
        Ok(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}
