//! What plans cost.

use std::collections::HashSet;

use super::Names;
use super::notes::Notes;
use crate::config::check::words::Refusal;
use crate::config::file::Price;
use crate::limits::{PLAN_PRICES_MAX, PRICE_DIGITS};

pub(super) fn check(price: &Price, names: &Names<'_>, notes: &mut Notes) {
    let currency = &price.currency;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        let upper = currency.to_ascii_uppercase();
        let fits = upper.len() == 3 && upper.bytes().all(|b| b.is_ascii_uppercase());
        let help = if fits { upper } else { "EUR".to_owned() };
        let message = format!("{currency:?} is no code of a currency (ISO 4217)");
        notes.error("currency", message, format!("write one like {help:?}"));
    }
    if let Some(fixed) = &price.fixed {
        notes.refuse("fixed", decimal_refusal(fixed));
    }
    notes.at_most("units", price.units.len(), PLAN_PRICES_MAX, "prices");
    let mut seen = HashSet::new();
    notes.within("units", |notes| {
        for (position, unit) in price.units.iter().enumerate() {
            if !seen.insert((&unit.metric, unit.from)) {
                let message = format!("{:?} has a price from {} already", unit.metric, unit.from);
                notes.error(position, message, "give each tier a `from` of its own");
            }
            notes.within(position, |notes| {
                names.counted(&unit.metric, notes);
                notes.refuse("price", decimal_refusal(&unit.price));
            });
        }
    });
}

/// What is wrong with an amount of money: it is text, so that no digit of it is lost.
fn decimal_refusal(text: &str) -> Option<Refusal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (most_whole, most_fraction) = PRICE_DIGITS;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        let message = format!("{text:?} is no decimal number of at least 0");
        Some((message, "write one like \"49.00\"".to_owned()))
    } else if whole.len() > most_whole || fraction.len() > most_fraction {
        let message = format!("{text:?} has too many digits");
        let help =
            format!("write at most {most_whole} digits, and {most_fraction} behind the point");
        Some((message, help))
    } else {
        None
    }
}
