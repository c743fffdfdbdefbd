//! Strings with a grammar of their own: durations, sizes, rates, addresses. What is said about a
//! wrong one.

use std::net::SocketAddr;

use super::units::{HumanDuration, Percent, Rate, Size, UnitError};

/// Strings with a grammar of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Duration,
    Size,
    Rate,
    Percent,
    Address,
}

impl Quantity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Rate => "a rate",
            Self::Percent => "a share in percent",
            Self::Address => "an IP address with port",
        }
    }

    pub(super) fn check(self, text: &str) -> Result<(), Option<UnitError>> {
        match self {
            Self::Duration => text.parse::<HumanDuration>().map(drop).map_err(Some),
            Self::Size => text.parse::<Size>().map(drop).map_err(Some),
            Self::Rate => text.parse::<Rate>().map(drop).map_err(Some),
            Self::Percent => text.parse::<Percent>().map(drop).map_err(Some),
            Self::Address => text.parse::<SocketAddr>().map(drop).map_err(|_| None),
        }
    }

    /// What to write instead: the text mended where that is easy, else an example.
    pub(super) fn help(self, text: &str) -> String {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let unit = text.get(digits.len()..).unwrap_or_default().trim();
        let mended = match self {
            Self::Duration => Some(format!("{digits}{}", time_unit(unit))),
            Self::Size => Some(format!("{digits}{}", size_unit(unit))),
            Self::Rate => {
                Some(format!("{digits}/{}", time_unit(unit.trim_start_matches(['r', '/']))))
            }
            Self::Percent => None,
            Self::Address => Some(address(text)),
        };
        let mended = mended.filter(|mended| mended != text && self.check(mended).is_ok());
        match (mended, self) {
            (Some(mended), _) => format!("write {mended:?}"),
            (None, Self::Duration) => "write one like \"30s\", \"250ms\", \"1h30m\"".to_owned(),
            (None, Self::Size) => {
                "write one like \"64KiB\", \"10MB\", or the number of bytes".to_owned()
            }
            (None, Self::Rate) => "write one like \"100/s\", \"1000/m\", \"10/500ms\"".to_owned(),
            (None, Self::Percent) => "write one like 20 or \"20%\"".to_owned(),
            (None, Self::Address) => {
                "write one like \"0.0.0.0:8080\", \"127.0.0.1:8080\", \"[::]:8080\"".to_owned()
            }
        }
    }
}

fn time_unit(unit: &str) -> &str {
    match unit.to_ascii_lowercase().as_str() {
        "" | "sec" | "secs" | "second" | "seconds" | "s" | "r/s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hour" | "hours" | "hr" | "h" => "h",
        "day" | "days" | "d" => "d",
        "msec" | "millis" | "milliseconds" | "ms" => "ms",
        "µs" | "usec" => "us",
        _ => unit,
    }
}

fn size_unit(unit: &str) -> &str {
    match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "b" | "bytes" => "B",
        _ => unit,
    }
}

fn address(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("0.0.0.0:{text}");
    }
    match text.rsplit_once(':') {
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some((host, port)) if host.contains(':') => format!("[{host}]:{port}"),
        _ => format!("{text}:8080"),
    }
}
