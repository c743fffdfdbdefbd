//! What is told of certificates: whose they are and when they end.

use crate::limits::ADMIN_MAX_CERTIFICATES;

const DAY: i64 = 24 * 60 * 60;

/// A certificate's names and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Hosts and addresses, as the certificate lists them; at least one.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// When the stapled OCSP response ends, seconds since 1970; `None`: there is none, or it says nothing
    /// of that.
    pub ocsp_until: Option<i64>,
}

impl Validity {
    /// Whole days until the end; negative behind it.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(DAY)
    }
}

/// The certificates of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validities {
    /// Those that expire first, the first first.
    pub soonest: Vec<Validity>,
    /// How many there are in all.
    pub total: usize,
    /// When the first list of revoked client certificates is to be replaced, seconds since 1970;
    /// `None`: there is none, or it says nothing of that.
    pub lists_until: Option<i64>,
}

/// The certificates of a listener, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerCertificates {
    /// The listener.
    pub listener: String,
    /// Its certificates.
    pub validities: Validities,
}

impl Validities {
    pub(super) fn of(all: Vec<Validity>) -> Self {
        Self::default().with(all)
    }

    /// These, and more.
    pub fn with(self, more: Vec<Validity>) -> Self {
        let total = self.total + more.len();
        let mut all = self.soonest;
        all.extend(more);
        all.sort_by(|a, b| (a.not_after, &a.names).cmp(&(b.not_after, &b.names)));
        all.truncate(ADMIN_MAX_CERTIFICATES);
        all.shrink_to_fit();
        Self { soonest: all, total, ..self }
    }
}
