//! Durations, sizes, rates and shares as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitError {
    /// Nothing there, or something that does not begin with a digit.
    NotANumber,
    /// A number without the unit it needs.
    NoUnit,
    /// A unit that is not known, or one with two meanings.
    UnknownUnit,
    /// More than fits.
    TooLarge,
    /// Finer than the smallest unit.
    TooFine,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "no number is there",
            Self::NoUnit => "the unit is missing",
            Self::UnknownUnit => "the unit is not known",
            Self::TooLarge => "it is too large",
            Self::TooFine => "it is finer than the smallest unit",
        })
    }
}

impl std::error::Error for UnitError {}

/// A duration: `"30s"`, `"250ms"`, `"1.5h"`, `"1h30m"`. Units: ns, us, ms, s, m, h, d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HumanDuration(pub Duration);

const TIME_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut rest = text.trim();
        let mut total: u128 = 0;
        loop {
            let (number, unit, tail) = quantity(rest)?;
            if unit.is_empty() {
                return Err(UnitError::NoUnit);
            }
            let scale = TIME_UNITS.iter().find(|u| u.0 == unit).ok_or(UnitError::UnknownUnit)?.1;
            total = total.checked_add(number.scaled(scale)?).ok_or(UnitError::TooLarge)?;
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let nanos = u64::try_from(total).map_err(|_| UnitError::TooLarge)?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        // Below two minutes people think in seconds: 75s, not 1m15s.
        if self.0.subsec_nanos() == 0 && self.0.as_secs() < 120 {
            return write!(f, "{}s", self.0.as_secs());
        }
        for (unit, scale) in TIME_UNITS {
            let count = rest / scale;
            rest %= scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// A size in bytes: `"64KiB"`, `"1MiB"`, `"10kB"`, or a plain integer. Powers of ten: kB, MB, GB,
/// TB; powers of two: KiB, MiB, GiB, TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u128); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit, tail) = quantity(text.trim())?;
        if !tail.is_empty() {
            return Err(UnitError::UnknownUnit);
        }
        let scale = match unit {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|u| u.0 == unit).ok_or(UnitError::UnknownUnit)?.1,
        };
        // TOML integers are signed: a larger size could not be written without its unit.
        match u64::try_from(number.scaled(scale)?) {
            Ok(bytes) if bytes <= i64::MAX as u64 => Ok(Self(bytes)),
            _ => Err(UnitError::TooLarge),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |scale: u128| self.0 > 0 && u128::from(self.0) % scale == 0;
        match SIZE_UNITS.iter().find(|u| fits(u.1)) {
            Some((unit, scale)) => write!(f, "{}{unit}", u128::from(self.0) / scale),
            None => f.write_str("0B"),
        }
    }
}

/// A rate: `"100/s"`, `"1000/m"`, `"5000/h"`, `"10/500ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per `per`.
    pub amount: u64,
    /// The period.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (amount, per) = text.split_once('/').ok_or(UnitError::NoUnit)?;
        let (amount, per) = (amount.trim(), per.trim());
        if !amount.starts_with(|c: char| c.is_ascii_digit()) || amount.contains('.') {
            return Err(UnitError::NotANumber);
        }
        if !amount.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UnitError::UnknownUnit);
        }
        let amount = amount.parse().map_err(|_| UnitError::TooLarge)?;
        let per = match per {
            "" => return Err(UnitError::NoUnit),
            digits if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse(),
            unit => format!("1{unit}").parse(),
        };
        let HumanDuration(per) = per?;
        Ok(Self { amount, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.as_nanos();
        match TIME_UNITS.iter().find(|unit| unit.1 == per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.amount),
            None => write!(f, "{}/{}", self.amount, HumanDuration(self.per)),
        }
    }
}

/// A share in percent: `20` or `"20%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percent(pub u32);

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let digits = text.trim();
        let digits = digits.strip_suffix('%').unwrap_or(digits).trim_end();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UnitError::NotANumber);
        }
        match digits.parse() {
            Ok(share) if share <= 100 => Ok(Self(share)),
            _ => Err(UnitError::TooLarge),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A decimal number: `digits × 10^-places`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// This many of a unit worth `scale` of the smallest one.
    fn scaled(self, scale: u128) -> Result<u128, UnitError> {
        let product = self.digits.checked_mul(scale).ok_or(UnitError::TooLarge)?;
        let divisor = 10u128.checked_pow(self.places).ok_or(UnitError::TooFine)?;
        if product % divisor == 0 { Ok(product / divisor) } else { Err(UnitError::TooFine) }
    }
}

/// The first number and unit of a text, and what comes after.
fn quantity(text: &str) -> Result<(Decimal, &str, &str), UnitError> {
    let is_digit = |c: char| c.is_ascii_digit();
    let whole_end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    if whole_end == 0 {
        return Err(UnitError::NotANumber);
    }
    let (whole, rest) = text.split_at(whole_end);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(tail) => tail.split_at(tail.find(|c| !is_digit(c)).unwrap_or(tail.len())),
        None => ("", rest),
    };
    let digits = format!("{whole}{fraction}").parse().map_err(|_| UnitError::TooLarge)?;
    let rest = rest.trim_start();
    let (unit, tail) = rest.split_at(rest.find(is_digit).unwrap_or(rest.len()));
    Ok((Decimal { digits, places: fraction.len() as u32 }, unit.trim_end(), tail))
}

/// How a quantity is read from a value and named in the schema.
macro_rules! as_text {
    ($type:ident, $format:literal, $integer:expr, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $format))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        let from: fn(i64) -> Option<$type> = $integer;
                        from(number).ok_or_else(|| E::custom("out of range"))
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

as_text!(HumanDuration, "duration", |_| None, { "type": "string", "format": "duration" });
as_text!(Rate, "rate", |_| None, { "type": "string", "format": "rate" });
as_text!(Size, "size", |n| u64::try_from(n).ok().map(Size),
    { "type": ["string", "integer"], "format": "size", "minimum": 0 });
as_text!(Percent, "percent", |n| u32::try_from(n).ok().filter(|n| *n <= 100).map(Percent),
    { "type": ["string", "integer"], "format": "percent", "minimum": 0, "maximum": 100 });

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn duration(text: &str) -> Result<Duration, UnitError> {
        text.parse::<HumanDuration>().map(|d| d.0)
    }

    fn size(text: &str) -> Result<u64, UnitError> {
        text.parse::<Size>().map(|s| s.0)
    }

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration(" 1d "), Ok(Duration::from_secs(86400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration() {
        assert_eq!(duration(""), Err(UnitError::NotANumber));
        assert_eq!(duration("soon"), Err(UnitError::NotANumber));
        assert_eq!(duration("-1s"), Err(UnitError::NotANumber));
        assert_eq!(duration("30"), Err(UnitError::NoUnit));
        assert_eq!(duration("1m30"), Err(UnitError::NoUnit));
        assert_eq!(duration("30 sec"), Err(UnitError::UnknownUnit));
        assert_eq!(duration("99999999999999d"), Err(UnitError::TooLarge));
        assert_eq!(duration("0.1ns"), Err(UnitError::TooFine));
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert_eq!(size("10kB"), Ok(10_000));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("64k"), Err(UnitError::UnknownUnit));
        assert_eq!(size("64KB"), Err(UnitError::UnknownUnit));
        assert_eq!(size("1KiB2"), Err(UnitError::UnknownUnit));
        assert_eq!(size("1.5B"), Err(UnitError::TooFine));
        assert_eq!(size("99999999TiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn rates_as_people_write_them() {
        let rate = |text: &str| text.parse::<Rate>().map(|r| (r.amount, r.per));
        assert_eq!(rate("100/s"), Ok((100, Duration::from_secs(1))));
        assert_eq!(rate("5000 / h"), Ok((5000, Duration::from_secs(3600))));
        assert_eq!(rate("10/500ms"), Ok((10, Duration::from_millis(500))));
        assert_eq!(rate("100"), Err(UnitError::NoUnit));
        assert_eq!(rate("/s"), Err(UnitError::NotANumber));
        assert_eq!(rate("1.5/s"), Err(UnitError::NotANumber));
        assert_eq!(rate("100/"), Err(UnitError::NoUnit));
        assert_eq!(rate("100/fortnight"), Err(UnitError::UnknownUnit));
    }

    proptest! {
        #[test]
        fn durations_survive_a_round_trip(nanos in any::<u64>()) {
            let before = HumanDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(before.to_string().parse(), Ok(before));
        }

        #[test]
        fn sizes_survive_a_round_trip(bytes in 0..=i64::MAX as u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn rates_survive_a_round_trip(amount in any::<u64>(), nanos in 1..u64::MAX) {
            let before = Rate { amount, per: Duration::from_nanos(nanos) };
            prop_assert_eq!(before.to_string().parse(), Ok(before));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.]{0,50}[a-zA-Z/% ]{0,4}[0-9.]*") {
            let _ = (duration(&text), size(&text), text.parse::<Rate>(), text.parse::<Percent>());
        }
    }
}
