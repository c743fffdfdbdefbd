//! Texts that people give: what there may be in them.

use std::ops::RangeInclusive;

use super::problem::Problem;
use crate::config::attribute_mistakes;
use crate::config::units::HumanDuration;
use crate::limits::{TEXT_MAX, TITLE_MAX};
use crate::store::catalog::{Attributes, ProductRow};

/// A name or title: something, on one line.
pub(super) fn title(pointer: &str, text: &str) -> Result<(), Problem> {
    let length = text.chars().count();
    match (1..=TITLE_MAX).contains(&length) && !text.chars().any(char::is_control) {
        true if text.trim() == text => Ok(()),
        _ => {
            let detail = format!(
                "1 to {TITLE_MAX} characters are needed, no control characters, and no space around"
            );
            Err(Problem::invalid(pointer, detail))
        }
    }
}

/// A title that may be empty.
pub(super) fn label(pointer: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() { Ok(()) } else { title(pointer, text) }
}

/// A longer text.
pub(super) fn text(pointer: &str, text: &str) -> Result<(), Problem> {
    let fits = |c: char| !c.is_control() || c == '\n' || c == '\t';
    match text.chars().count() <= TEXT_MAX && text.chars().all(fits) {
        true => Ok(()),
        false => {
            let detail = format!("at most {TEXT_MAX} characters, no control characters");
            Err(Problem::invalid(pointer, detail))
        }
    }
}

/// Something that looks like a mail address; whether it is one, a mail tells.
pub(super) fn email(pointer: &str, address: Option<&str>) -> Result<(), Problem> {
    let Some(address) = address else { return Ok(()) };
    title(pointer, address)?;
    let looks_good = address.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !address.contains([' ', '<', '>', ','])
    });
    looks_good.then_some(()).ok_or_else(|| Problem::invalid(pointer, "this is no mail address"))
}

/// Fields that upstreams of these products get: names that are free, values that are one line.
pub(super) fn attributes(
    at: &str,
    attributes: &Attributes,
    products: &[ProductRow],
) -> Result<(), Problem> {
    let credentials: Vec<_> = products.iter().map(|row| &row.definition.credentials).collect();
    Problem::of_remarks(at, attribute_mistakes(attributes, &credentials))
}

/// What a field can hold between two spaces: so many letters, digits and signs of ASCII.
pub(super) fn graphic(
    pointer: &str,
    text: &str,
    lengths: RangeInclusive<usize>,
) -> Result<(), Problem> {
    match lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => {
            let (least, most) = lengths.into_inner();
            let detail =
                format!("{least} to {most} visible ASCII characters are needed, no spaces");
            Err(Problem::invalid(pointer, detail))
        }
    }
}

/// A duration, seconds.
pub(super) fn seconds(pointer: &str, text: &str, max: i64) -> Result<i64, Problem> {
    let read =
        text.parse::<HumanDuration>().map_err(|why| Problem::invalid(pointer, why.to_string()));
    let seconds = i64::try_from(read?.0.as_secs()).unwrap_or(i64::MAX);
    match seconds <= max {
        true => Ok(seconds),
        false => Err(Problem::invalid(pointer, format!("at most {max} seconds"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line_of_something() {
        assert_eq!(title("/name", "Ørsted & Co"), Ok(()));
        for bad in ["", " x", "a\nb", "x\u{7f}", &"x".repeat(TITLE_MAX + 1)] {
            assert!(title("/name", bad).is_err(), "{bad:?}");
        }
        assert_eq!(text("/description", "a\nb"), Ok(()));
        assert!(text("/description", "a\0").is_err());
    }

    #[test]
    fn an_address_has_two_sides() {
        assert_eq!(email("/email", Some("ops@example.org")), Ok(()));
        assert_eq!(email("/email", None), Ok(()));
        for bad in ["ops", "@x", "x@", "a b@c", "<a@b>", ""] {
            assert!(email("/email", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_are_fields_that_are_free() {
        let ask =
            |name: &str, value: &str| attributes("", &[(name.into(), value.into())].into(), &[]);
        assert_eq!(ask("X-Tier", "gold"), Ok(()));
        for (name, value) in [("X Tier", "a"), ("X-Tier", "a\r\nX: y"), ("Host", "a"), ("", "a")] {
            assert!(ask(name, value).is_err(), "{name}: {value}");
        }
        assert!(ask("X-Tollgate-Plan", "gold").is_err());
    }

    #[test]
    fn an_overlap_has_a_unit_and_a_bound() {
        assert_eq!(seconds("/overlap", "1h", 7200), Ok(3600));
        assert!(
            seconds("/overlap", "3h", 7200).is_err() && seconds("/overlap", "1", 7200).is_err()
        );
    }
}
