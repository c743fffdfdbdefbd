//! Numbers as people read them: three digits and a unit.

use std::time::Duration;

/// A count: exact below 100,000, then with a unit.
pub(super) fn count(n: u64) -> String {
    if n < 100_000 { grouped(n) } else { scaled(n as f64, 1000.0, &["", "k", "M", "G", "T", "P"]) }
}

/// A rate a second.
pub(super) fn rate(n: f64) -> String {
    match n {
        n if n <= 0.0 => "0".into(),
        n if n < 10.0 => format!("{n:.1}"),
        n => count(n.round() as u64),
    }
}

/// Bytes.
pub(super) fn bytes(n: f64) -> String {
    scaled(n, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

/// Seconds, from microseconds up.
pub(super) fn seconds(s: f64) -> String {
    match s {
        s if s < 1e-3 => format!("{} µs", digits(s * 1e6)),
        s if s < 1.0 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} s", digits(s)),
    }
}

/// A share of one, in percent.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p <= 0.0 => "0 %".into(),
        p if p < 0.01 => "< 0.01 %".into(),
        p if (99.95..100.0).contains(&p) => "> 99.9 %".into(),
        p => format!("{} %", digits(p)),
    }
}

/// A long time: its two largest units.
pub(super) fn span(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min {} s", s / 60, s % 60),
        s if s < 86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        s => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

fn scaled(n: f64, base: f64, units: &[&str]) -> String {
    let mut n = n.max(0.0);
    let mut unit = 0;
    // 999.5 would read 1000.
    while n >= base.min(999.5) && unit + 1 < units.len() {
        n /= base;
        unit += 1;
    }
    format!("{}{}", digits(n), units[unit])
}

/// Three significant digits, none after the point where they would be noughts only.
fn digits(n: f64) -> String {
    let decimals = match n {
        n if n >= 99.95 => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{n:.decimals$}");
    match text.split_once('.') {
        Some((whole, rest)) if rest.bytes().all(|b| b == b'0') => whole.to_string(),
        _ => text,
    }
}

fn grouped(n: u64) -> String {
    // A narrow space that does not break.
    if n < 10_000 { n.to_string() } else { format!("{}\u{202f}{:03}", n / 1000, n % 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 9999, 12_345, 123_456, 999_999, 1_234_567_890];
        assert_eq!(counts.map(count), ["0", "9999", "12\u{202f}345", "123k", "1M", "1.23G"]);
        assert_eq!([0.0, 0.25, 9.96, 1234.4].map(rate), ["0", "0.2", "10.0", "1234"]);
        assert_eq!(
            [0.0, 1000.0, 1536.0, 1e9].map(bytes),
            ["0 B", "0.98 KiB", "1.50 KiB", "954 MiB"]
        );
        let times = [0.000_012_34, 0.000_999_9, 0.0123, 2.5].map(seconds);
        assert_eq!(times, ["12.3 µs", "1000 µs", "12.3 ms", "2.50 s"]);
        let shares = [0.0, 0.000_01, 0.5, 0.9999, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "< 0.01 %", "50 %", "> 99.9 %", "100 %"]);
        let spans = [59, 61, 3700, 90_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
