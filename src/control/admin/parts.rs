//! The pieces the page is made of.

use maud::{Markup, html};

use super::figures::{count, seconds};
use super::shown::Percentiles;
use crate::limits::ADMIN_HISTORY;
use crate::stats::StatusSums;

/// A fact in the head line.
pub(super) fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A figure, with what it is above, a line below, and where given its last two minutes.
pub(super) fn card(title: &str, figure: &str, below: Markup, trend: Option<&[f64]>) -> Markup {
    html! {
        article.has-trend[trend.is_some()] {
            h3 { (title) }
            p.figure { (figure) }
            p.below { (below) }
            @if let Some(trend) = trend { (sparkline(trend, title)) }
        }
    }
}

/// A table; a column with a star before its title is left out on narrow screens, one with a tilde
/// holds text.
pub(super) fn table(columns: &[&str], rows: Markup) -> Markup {
    html! {
        div.table tabindex="0" {
            table {
                thead { tr { @for column in columns {
                    th.wide[column.starts_with('*')].text[column.starts_with('~')] scope="col" {
                        (column.trim_start_matches(['*', '~']))
                    }
                } } }
                tbody { (rows) }
            }
        }
    }
}

/// A number that should be 0.
pub(super) fn alarming(n: u64) -> Markup {
    html! { td.bad[n > 0] { (count(n)) } }
}

/// A latency, or a dash where there was none.
pub(super) fn time(of: Percentiles, value: f64) -> String {
    if of.count == 0 { "–".into() } else { seconds(value) }
}

/// Shares of the status classes as one bar.
pub(super) fn classes(codes: &StatusSums) -> Markup {
    let total = codes.total().max(1) as f64;
    let mut x = 0.0;
    let bars: Vec<_> = (2..=5u16)
        .map(|class| {
            let width = codes.class(class) as f64 * 100.0 / total;
            x += width;
            (class, x - width, width)
        })
        .filter(|(_, _, width)| *width > 0.0)
        .collect();
    html! {
        svg.classes viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            @for (class, x, width) in bars {
                rect class={ "c" (class) } x=(format!("{x:.2}")) width=(format!("{width:.2}"))
                    y="0" height="8" {}
            }
        }
    }
}

/// The last two minutes, newest at the right edge.
pub(super) fn sparkline(values: &[f64], title: &str) -> Markup {
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let left = ADMIN_HISTORY.saturating_sub(values.len());
    let mut points = String::with_capacity(values.len() * 10);
    for (place, value) in values.iter().enumerate() {
        let y = 29.0 - value / top * 27.0;
        points.push_str(&format!("{},{y:.1} ", left + place));
    }
    let (first, last) = (left, (left + values.len()).saturating_sub(1));
    html! {
        svg.trend viewBox={ "0 0 " (ADMIN_HISTORY - 1) " 30" } preserveAspectRatio="none"
            role="img" aria-label={ (title) " over two minutes" } {
            @if values.len() > 1 {
                polygon points={ (first) ",30 " (points) (last) ",30" } {}
                polyline points=(points.trim_end()) vector-effect="non-scaling-stroke" {}
            }
        }
    }
}
