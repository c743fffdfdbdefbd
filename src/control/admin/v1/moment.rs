//! Moments as people and programs read them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// A moment, seconds since 1970; in JSON an RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-22T14:24:02Z")]
pub(super) struct Moment(pub i64);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// Reads an RFC 3339 text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let at: Timestamp = text.parse().ok()?;
        Some(Self(at.as_second())).filter(|moment| moment.0 >= 0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond the year 9999 nothing is told apart.
        let at = Timestamp::from_second(self.0).unwrap_or(Timestamp::MAX);
        serializer.collect_str(&at)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a moment since 1970 as RFC 3339 writes it is needed");
        Self::parse(&text).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_both_ways() {
        let moment: Moment = serde_json::from_str("\"2026-11-22T15:24:02+01:00\"").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-22T14:24:02Z\"");
        assert!(serde_json::from_str::<Moment>("\"1960-01-01T00:00:00Z\"").is_err());
        assert!(serde_json::from_str::<Moment>("\"soon\"").is_err());
        assert!(serde_json::to_string(&Moment(i64::MAX)).unwrap().starts_with("\"9999"));
    }
}
