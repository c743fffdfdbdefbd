//! What all workers count in together.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::bucket::Buckets;
use super::counter::Counters;
use crate::limits::{BUCKET_SLOTS, COUNTER_SLOTS};
use crate::policy::table::Table;

/// What all workers share: the authority over every bucket and counter. Lock-free; fixed size.
pub struct Shared {
    /// Keyed by random numbers of this process: nobody outside can aim at a slot.
    pub(super) hasher: RandomState,
    pub(super) buckets: Table<Buckets>,
    pub(super) counters: Table<Counters>,
}

impl Shared {
    /// Tables of the default sizes (`limits.rs`).
    pub fn new() -> Self {
        Self::with_slots(BUCKET_SLOTS, COUNTER_SLOTS)
    }

    /// Tables of about that many slots.
    pub fn with_slots(buckets: usize, counters: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            buckets: Table::new(buckets),
            counters: Table::new(counters),
        }
    }

    /// Address space that the tables take, bytes; memory is used as keys arrive.
    pub fn size(&self) -> usize {
        self.buckets.size() + self.counters.size()
    }

    /// The shares of the tables of buckets and of counters that hold state, 0 to 1, estimated.
    pub fn used(&self, now_ns: u64) -> [(&'static str, f64); 2] {
        let steps = super::bucket::steps(now_ns);
        [("buckets", self.buckets.used(steps)), ("counters", self.counters.used(now_ns))]
    }

    /// The hash under which one thing (a route's stable id, say) is counted as a whole.
    pub fn scope_hash(&self, scope: u64) -> u64 {
        self.hasher.hash_one((scope, 0u8))
    }

    /// The hash under which a client within `scope` is counted; IPv6 by its prefix.
    pub fn client_hash(&self, scope: u64, client: IpAddr, ipv6_prefix: u8) -> u64 {
        self.hasher.hash_one((scope, 1u8, client_bits(client, ipv6_prefix)))
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// The client's address as a number: IPv4 as IPv4-mapped, IPv6 cut to its prefix.
pub(super) fn client_bits(client: IpAddr, ipv6_prefix: u8) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => {
            let host_bits = 128 - u32::from(ipv6_prefix.min(128));
            v6.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0)
        }
    }
}
