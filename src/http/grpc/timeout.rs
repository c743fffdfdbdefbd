//! `grpc-timeout`: how long a call may take, from its sender's point of view.

use crate::http::Bad;
use crate::http::head::{Field, values};

/// Digits that a value may have.
const MAX_DIGITS: usize = 8;

/// Values above have more digits.
const MAX_VALUE: u64 = 99_999_999;

/// Units, the finest first, and their nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The time that a call says it has, nanoseconds; `None`: it does not say.
///
/// # Errors
/// There is more than one, or it is none.
pub fn timeout(fields: &[Field], buf: &[u8]) -> Result<Option<u64>, Bad> {
    let mut all = values(fields, buf, b"grpc-timeout");
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value).map(Some).ok_or(Bad::BadGrpcTimeout),
        (Some(_), Some(_)) => Err(Bad::BadGrpcTimeout),
    }
}

fn parse(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let fits = (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let unit = UNITS.iter().find(|(letter, _)| letter == unit).filter(|_| fits)?;
    let number = digits.iter().fold(0, |n: u64, digit| n * 10 + u64::from(digit - b'0'));
    Some(number.saturating_mul(unit.1))
}

/// Appends a time in the finest unit that has room for it. What is lost makes it shorter, never
/// longer.
pub fn write_timeout(ns: u64, out: &mut Vec<u8>) {
    let fits = |(_, unit): &&(u8, u64)| ns / unit <= MAX_VALUE;
    let (letter, unit) = UNITS.iter().find(fits).copied().unwrap_or((b'H', 3_600_000_000_000));
    out.extend_from_slice(itoa::Buffer::new().format((ns / unit).min(MAX_VALUE)).as_bytes());
    out.push(letter);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::grpc::tests::head;
    use proptest::prelude::*;

    fn told(values: &[&str]) -> Result<Option<u64>, Bad> {
        let lines: String = values.iter().map(|v| format!("\r\ngrpc-timeout: {v}")).collect();
        let (head, buf) = head(&format!("POST / HTTP/1.1{lines}"));
        timeout(&head.fields, &buf)
    }

    #[test]
    fn each_unit_is_understood() {
        for (value, ns) in [
            ("1n", 1),
            ("20u", 20_000),
            ("300m", 300_000_000),
            ("4S", 4_000_000_000),
            ("5M", 300_000_000_000),
            ("2H", 7_200_000_000_000),
            ("00000001S", 1_000_000_000),
            ("0S", 0),
            ("99999999H", u64::MAX),
        ] {
            assert_eq!(told(&[value]), Ok(Some(ns)), "{value}");
        }
        assert_eq!(told(&[]), Ok(None));
    }

    #[test]
    fn bad_grpc_timeout() {
        for value in ["", "S", "1", "1s", "1 S", "-1S", "+1S", "1.5S", "000000001S", "1SS", "x"] {
            assert_eq!(told(&[value]), Err(Bad::BadGrpcTimeout), "{value}");
        }
        assert_eq!(told(&["1S", "1S"]), Err(Bad::BadGrpcTimeout));
    }

    fn written(ns: u64) -> String {
        let mut out = Vec::new();
        write_timeout(ns, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_finest_unit_that_fits_is_written() {
        assert_eq!(written(99_999_999), "99999999n");
        assert_eq!(written(100_000_000), "100000u");
        assert_eq!(written(3_600_000_000_000), "3600000m");
        assert_eq!(written(u64::MAX), "5124095H");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_never_longer(ns in any::<u64>()) {
            let read = parse(written(ns).as_bytes()).expect("a time");
            prop_assert!(read <= ns && u128::from(ns - read) <= u128::from(ns) / 16_000);
        }
    }
}
