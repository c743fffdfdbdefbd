//! `limits`, in whatever scope.

use super::{Names, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::identity::ClientAttribute;
use crate::config::limit::{Limit, LimitKey};
use crate::config::suggest;
use crate::config::units::{HumanDuration, Rate};
use crate::limits::{
    CONFIG_MAX_LIMITS, CONFIG_MAX_RATE, CONFIG_MAX_RATE_PERIOD, CONFIG_MAX_REFILL,
    CONFIG_MIN_RATE_PERIOD,
};

/// What limits belong to.
pub(super) struct Scope<'s> {
    /// Name of a limit that has none.
    pub(super) default_name: &'s str,
    /// The route's path parameters, where its path is known.
    pub(super) parameters: Option<&'s [String]>,
    /// Whether it is a route: only routes have path parameters.
    pub(super) is_route: bool,
    /// Whether connections are judged that no request is read from.
    pub(super) unread: bool,
}

impl<'s> Scope<'s> {
    /// One that is no route's.
    pub(super) fn plain(default_name: &'s str) -> Self {
        Self { default_name, parameters: Some(&[]), is_route: false, unread: false }
    }
}

pub(super) fn limits(
    written: Vec<file::Limit>,
    place: &Place<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Vec<Limit> {
    if written.len() > CONFIG_MAX_LIMITS {
        let message = format!("{} limits for one request are too many", written.len());
        report.error(&place.trail, message, format!("write at most {CONFIG_MAX_LIMITS}"));
    }
    let mut names = Names::new("limit here");
    let mut limits = Vec::with_capacity(written.len());
    for (position, written) in written.into_iter().enumerate() {
        let place = place.item(position);
        let name = match &written.name {
            Some(given) => {
                words::name(given, &place.key("name").trail, report);
                given.clone()
            }
            None if position == 0 => scope.default_name.to_owned(),
            None => format!("{}-{}", scope.default_name, position + 1),
        };
        names.add(&name, &place.key("name").trail, report);
        limits.extend(limit(name, &written, &place, scope, report));
    }
    limits
}

fn limit(
    name: String,
    written: &file::Limit,
    place: &Place<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Option<Limit> {
    let key = key(&written.key, &place.key("key"), scope, report);
    let rate = written.rate?;
    let burst = written.burst.unwrap_or(rate.amount);
    let fits = check_rate(rate, burst, place, report);
    fits.then_some(Limit { name, rate: rate.amount, per: rate.per, burst, key: key? })
}

fn check_rate(rate: Rate, burst: u64, place: &Place<'_>, report: &mut Report<'_>) -> bool {
    let Some(mistake) = rate_mistake(rate, burst) else { return true };
    let (key, burst_key) = (place.key("rate"), place.key("burst"));
    let of_burst = mistake.of_burst && burst_key.given();
    let trail = if of_burst { &burst_key.trail } else { &key.trail };
    report.error(trail, mistake.message, mistake.help);
    false
}

/// A rate that no bucket can be made of.
pub(super) struct RateMistake {
    /// Whether the burst is the cause, where one was written.
    pub(super) of_burst: bool,
    pub(super) message: String,
    pub(super) help: String,
}

/// What is wrong with a rate.
pub(super) fn rate_mistake(rate: Rate, burst: u64) -> Option<RateMistake> {
    let Rate { amount, per } = rate;
    let of_rate = |message: String, help: String| RateMistake { of_burst: false, message, help };
    if amount == 0 {
        let help = "write a rate like \"1/m\"; to refuse requests, answer with `respond`";
        Some(of_rate("a rate of 0 lets nothing through".to_owned(), help.to_owned()))
    } else if amount > CONFIG_MAX_RATE {
        let help = format!("write {CONFIG_MAX_RATE} or less, or a shorter period");
        Some(of_rate(format!("a rate of {amount} is out of range"), help))
    } else if !(CONFIG_MIN_RATE_PERIOD..=CONFIG_MAX_RATE_PERIOD).contains(&per) {
        let (least, most) =
            (HumanDuration(CONFIG_MIN_RATE_PERIOD), HumanDuration(CONFIG_MAX_RATE_PERIOD));
        let message = format!("a period of {} is out of range", HumanDuration(per));
        Some(of_rate(message, format!("write a period from {least} to {most}")))
    } else if u128::from(burst) * per.as_nanos() / u128::from(amount) > CONFIG_MAX_REFILL.as_nanos()
    {
        let message = format!("a bucket of {burst} at {rate} takes more than a year to fill");
        let help = "write a smaller burst or a higher rate".to_owned();
        Some(RateMistake { of_burst: true, message, help })
    } else {
        None
    }
}

fn key(
    text: &str,
    place: &Place<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Option<LimitKey> {
    const HELP: &str = "write \"client_ip\", \"header:NAME\", \"query:NAME\", \"path:NAME\", \
                        \"client_certificate\", \"application\", \"claim:NAME\" or \"route\"";
    match words::selector(text) {
        ("client_ip", None) => Some(LimitKey::ClientIp),
        ("route", None) => Some(LimitKey::Route),
        ("header" | "query" | "path" | "client_certificate" | "application" | "claim", _)
            if scope.unread =>
        {
            let message = format!("{text:?} is unknown of connections that are passed on unread");
            let help = "write \"client_ip\" or \"route\"; limits of routes may have other keys";
            report.error(&place.trail, message, help);
            None
        }
        ("client_certificate", None) => {
            Some(LimitKey::ClientCertificate(ClientAttribute::Fingerprint))
        }
        ("client_certificate", Some("subject")) => {
            Some(LimitKey::ClientCertificate(ClientAttribute::Subject))
        }
        ("application", None) if scope.is_route => Some(LimitKey::Application),
        ("application", None) => {
            let message = "only a route knows which application calls";
            report.error(&place.trail, message, "move the limit to a route with a `product`");
            None
        }
        ("claim", Some(name)) if !name.is_empty() && scope.is_route => {
            Some(LimitKey::Claim(name.to_owned()))
        }
        ("claim", Some(name)) if !name.is_empty() => {
            let message = "only a route knows whose token a request shows";
            let help = "move the limit to a route with `authentication` or a `product`";
            report.error(&place.trail, message, help);
            None
        }
        ("header", Some(name)) => {
            Some(LimitKey::Header(words::field_name(name, &place.trail, report)))
        }
        ("query", Some(name)) if !name.is_empty() => Some(LimitKey::Query(name.to_owned())),
        ("path", Some(name)) => parameter(name, place, scope, report),
        (kind, _) => {
            let near = match kind {
                "ip" | "client" | "remote_addr" | "src" | "client_address" => Some("client_ip"),
                "global" | "listener" | "all" => Some("route"),
                "fingerprint" | "client_cert" | "certificate" => Some("client_certificate"),
                "subject" => Some("client_certificate:subject"),
                "app" | "app_id" | "user_key" => Some("application"),
                "jwt" | "token" | "sub" | "claims" => Some("claim:sub"),
                kind => {
                    let known = ["client_ip", "route", "client_certificate", "application"];
                    suggest::nearest(kind, known.into_iter())
                }
            };
            let help = near.map_or(HELP.to_owned(), |near| format!("write {near:?}"));
            report.error(
                &place.trail,
                format!("{text:?} is not what a limit can be kept for"),
                help,
            );
            None
        }
    }
}

fn parameter(
    name: &str,
    place: &Place<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Option<LimitKey> {
    let parameters = match scope.parameters {
        Some(parameters) if !parameters.iter().any(|known| known == name) => parameters,
        _ => return Some(LimitKey::PathParameter(name.to_owned())),
    };
    let known = parameters.iter().map(String::as_str);
    let help = match suggest::nearest(name, known) {
        Some(near) => format!("write \"path:{near}\""),
        None if !scope.is_route => "only limits of routes can be kept by path parameter".to_owned(),
        None if parameters.is_empty() => format!("write `{{{name}}}` into the route's path"),
        None => format!("the path has {}", parameters.join(", ")),
    };
    report.error(&place.trail, format!("there is no path parameter {name:?} here"), help);
    None
}
