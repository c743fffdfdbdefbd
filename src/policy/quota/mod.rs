//! Quotas: how much of a metric an application may use in a calendar period.
//!
//! Owns the counts of all quotas ([`Counts`], one a process, outliving every reload), the periods
//! ([`calendar`]) and the fields that tell a client how it stands ([`fields`]). Control writes counts
//! to the ledger and restores them when the process begins.
//!
//! # Exactness
//!
//! A count is one word that all cores exchange: the period's end and what was used of it. There are
//! no leases, so nothing is outstanding when a process ends, and no more is ever admitted than the
//! quota. A contended exchange takes some 100 ns, and only requests of one application contend.
//!
//! # Clocks
//!
//! The wall clock is an argument, and may jump. Under a key there is one count, of the latest period
//! that was ever charged:
//!
//! - a clock that shows a later period begins it with nothing used;
//! - a clock that goes back goes on in the later period, which then lasts longer. So no period ever
//!   begins twice, and setting a clock back and forth gives nobody a quota anew. After a clock that
//!   was wrong by months, starting the gateway again takes up the counts of the period that the
//!   right clock shows (`control/ledger`).
//!
//! A count is forgotten some minutes after its period's end, when its place is wanted.

pub mod calendar;
pub mod fields;

mod counts;
mod tally;

pub use calendar::Calendar;
pub use counts::{Beyond, Charge, Charged, Counts, Ends, Standing, Told};

use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::limit::member::{parameter, quoted};
use super::limit::shared::client_bits;
use crate::config::file::Period;

/// What a count stands under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Id of the application, or [`address_holder`].
    pub holder: u64,
    /// Id of the metric in the store.
    pub metric: u32,
    /// The kind of period.
    pub period: Period,
}

/// A quota of a metric.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Name in fields and problems: `hits-month`.
    pub name: Box<str>,
    /// Id of its metric in the store.
    pub metric: u32,
    /// Its periods.
    pub calendar: Calendar,
    /// How much of each.
    pub max: u64,
    /// Whether requests go on beyond it.
    pub soft: bool,
    /// Another plan of the product has this quota, and this one has not: it is counted, so that who
    /// changes plans takes along what was used, and nobody is told or refused.
    pub only_counted: bool,
    /// `"hits-month"`
    quoted_name: Box<[u8]>,
    /// `"hits-month";q=10000`
    policy: Box<[u8]>,
}

impl Quota {
    /// Of a metric, by its name and its id in the store.
    pub fn new(
        metric_name: &str,
        metric: u32,
        period: Period,
        zone: TimeZone,
        max: u64,
        soft: bool,
    ) -> Self {
        let name = format!("{metric_name}-{}", word(period));
        let quoted_name = quoted(&name);
        let mut policy = quoted_name.to_vec();
        parameter(&mut policy, super::limit::fields::NAMES.quota, max);
        Self {
            name: name.into(),
            metric,
            calendar: Calendar::new(period, zone),
            max,
            soft,
            only_counted: false,
            quoted_name,
            policy: policy.into(),
        }
    }

    /// This quota in a plan that does not have it.
    pub fn counted(&self) -> Self {
        Self { max: u64::MAX, soft: true, only_counted: true, ..self.clone() }
    }

    /// What its count for a holder stands under. Plans share it: what was used under one counts
    /// under the next.
    pub fn key(&self, holder: u64) -> Key {
        Key { holder, metric: self.metric, period: self.calendar.kind() }
    }
}

/// A period's name, as it is configured and stored.
pub fn word(period: Period) -> &'static str {
    match period {
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
        Period::Year => "year",
    }
}

/// The holder that stands for a client address within a product (for requests without
/// credentials), IPv6 by its prefix; the same in every process, and never an application's id.
pub fn address_holder(product: u64, client: IpAddr, ipv6_prefix: u8) -> u64 {
    let address = client_bits(client, ipv6_prefix);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&product.to_le_bytes());
    hasher.update(&address.to_le_bytes());
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    first | ADDRESS
}

/// Marks holders that stand for addresses; ids of applications are below.
const ADDRESS: u64 = 1 << 63;

fn is_address(holder: u64) -> bool {
    holder & ADDRESS != 0
}
