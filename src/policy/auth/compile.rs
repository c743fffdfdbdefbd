//! Products as written become products for requests.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::challenge::challenges;
use super::mapping::{self, Mapping};
use super::places::{Place, Secrets};
use super::present::is_ours;
use super::product::{Metric, Places, Plan, Plans, Product, Terms, Way};
use crate::config::file::{self, Lifecycle};
use crate::config::units::HumanDuration;
use crate::config::{Limit, LimitKey};
use crate::policy::limit::Rule;
use crate::policy::quota::Quota;
use crate::policy::transform::FieldNames;
use crate::policy::transform::alphabet::is_token_byte;
use crate::policy::transform::edits::is_reserved;

/// A product as written, with what the store knows of it.
#[derive(Clone, Copy)]
pub struct Definition<'a> {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub product: &'a file::Product,
    /// Ids of its metrics and methods by name, `hits` among them.
    pub metrics: &'a BTreeMap<String, u32>,
    /// Ids of its plans by name.
    pub plans: &'a BTreeMap<String, u32>,
    /// What tells upstreams who forwards; empty: nothing does.
    pub secret: &'a str,
}

/// What is wrong with a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `plans.gold.limits[0].metric`.
    pub at: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

impl Product {
    /// Compiles a product.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn compile(definition: &Definition<'_>) -> Result<Self, Vec<Mistake>> {
        let mut compiler = Compiler { definition, wrong: Vec::new(), names: HashMap::new() };
        let product = compiler.product();
        if compiler.wrong.is_empty() { Ok(product) } else { Err(compiler.wrong) }
    }
}

/// Field lines of attributes, each with its CRLF.
///
/// # Errors
/// The name of each that can't be a field, and why.
pub fn attribute_lines(attributes: &BTreeMap<String, String>) -> Result<Box<[u8]>, Vec<Mistake>> {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in attributes {
        let what = if name.is_empty() || !name.bytes().all(is_token_byte) {
            "no field has such a name"
        } else if is_reserved(name) || is_ours(name.as_bytes()) {
            "only the gateway may say this"
        } else if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            "a value is printable ASCII"
        } else {
            lines.extend_from_slice(format!("{name}: {}\r\n", value.trim()).as_bytes());
            continue;
        };
        wrong.push(Mistake { at: name.clone(), what: what.into() });
    }
    if wrong.is_empty() { Ok(lines.into()) } else { Err(wrong) }
}

/// What a rate's period is called in names of limits. Those of quotas are called otherwise, so that a
/// plan may have `hits-per-minute` and `hits-minute`.
fn period(per: Duration) -> String {
    const WORDS: [(u64, &str); 4] =
        [(1, "second"), (60, "minute"), (3_600, "hour"), (86_400, "day")];
    let word = WORDS.iter().find(|(seconds, _)| per == Duration::from_secs(*seconds));
    word.map_or_else(|| HumanDuration(per).to_string(), |(_, word)| (*word).to_owned())
}

struct Compiler<'a> {
    definition: &'a Definition<'a>,
    wrong: Vec<Mistake>,
    /// Indices of metrics and methods.
    names: HashMap<&'a str, u16>,
}

impl<'a> Compiler<'a> {
    fn wrong(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.wrong.push(Mistake { at: at.into(), what: what.into() });
    }

    fn product(&mut self) -> Product {
        let Definition { id, name, product: written, plans, secret, .. } = *self.definition;
        let metrics = self.metrics();
        let (ways, verifiers, all_ways) = self.ways();
        let places = self.places(&ways);
        let mut secrets = Secrets::default();
        let all = [&places.user_key, &places.app_id, &places.app_key, &places.token];
        all.into_iter().flatten().for_each(|place| secrets.add(place));
        if ways.contains(&Way::Basic) {
            secrets.add(&Place::BasicPassword);
        }
        if ways.iter().any(|way| matches!(way, Way::Jwt(_))) {
            // A proof belongs to its token.
            secrets.fields.add(b"dpop");
        }
        let (challenge, challenge_bad) = challenges(name, &ways, &places);
        let mut counted_names = FieldNames::default();
        let mut counted_fields = Vec::new();
        for metric in &written.metrics {
            let index = self.names.get(metric.name.as_str());
            if let (Some(field), Some(index)) = (&metric.response_header, index) {
                counted_names.add(field.as_bytes());
                counted_fields.push((field.to_ascii_lowercase().into_bytes().into(), *index));
            }
        }
        let mut attributes = FieldNames::default();
        for plan in written.plans.values() {
            for name in plan.attributes.keys() {
                attributes.add(name.as_bytes());
            }
        }
        let anonymous = written.authentication.anonymous_plan.as_ref();
        let anonymous_plan = anonymous.and_then(|name| plans.get(name).copied());
        if anonymous.is_some() && anonymous_plan.is_none() {
            self.wrong("authentication.anonymous_plan", "there is no such plan");
        }
        Product {
            id,
            name: name.into(),
            state: written.state,
            notice: self.notice(),
            mapping: self.mapping(&metrics),
            plans: self.plans(&metrics),
            metrics,
            ways,
            verifiers,
            all_ways,
            places,
            secrets,
            forward: written.credentials.forward,
            challenge,
            challenge_bad,
            counted_fields,
            counted_names,
            anonymous_plan,
            secret_line: secret_line(secret),
            attributes,
        }
    }

    /// `hits` first, then metrics, then methods.
    fn metrics(&mut self) -> Vec<Metric> {
        let written = self.definition.product;
        let metrics = written.metrics.iter().map(|metric| (metric.name.as_str(), None));
        let methods = written.methods.iter().map(|method| {
            let parent = method.metric.as_deref().unwrap_or("hits");
            (method.name.as_str(), Some(parent))
        });
        let all: Vec<_> = [("hits", None)].into_iter().chain(metrics).chain(methods).collect();
        let counted = 1 + written.metrics.len();
        let mut compiled = Vec::with_capacity(all.len());
        for (index, (name, parent)) in all.iter().enumerate() {
            let at = match index.checked_sub(counted) {
                Some(method) => format!("methods[{method}]"),
                None => format!("metrics[{}]", index.saturating_sub(1)),
            };
            if self.names.insert(name, index as u16).is_some() {
                self.wrong(format!("{at}.name"), "the name is taken");
            }
            let parent = parent.map(|parent| {
                all[..counted].iter().position(|(known, _)| *known == parent).map(|ix| ix as u16)
            });
            if parent == Some(None) {
                self.wrong(format!("{at}.metric"), "there is no such metric");
            }
            let id = self.definition.metrics.get(*name).copied();
            if id.is_none() {
                self.wrong(format!("{at}.name"), "the store has no such metric");
            }
            let id = id.unwrap_or_default();
            compiled.push(Metric { id, name: (*name).into(), parent: parent.flatten() });
        }
        if u16::try_from(compiled.len()).is_err() {
            self.wrong("metrics", "they are too many");
        }
        compiled
    }

    /// Ways, names of those who take tokens, and whether all must succeed.
    fn ways(&mut self) -> (Vec<Way>, Vec<Box<str>>, bool) {
        let written = &self.definition.product.authentication;
        let all = !written.all_of.is_empty();
        let (list, words) = match all {
            true => ("all_of", &written.all_of),
            false => ("any_of", &written.any_of),
        };
        if all
            && written.any_of != file::Authentication::default().any_of
            && !written.any_of.is_empty()
        {
            self.wrong("authentication", "`any_of` and `all_of` exclude each other");
        }
        let (mut ways, mut verifiers) = (Vec::with_capacity(words.len()), Vec::new());
        for (index, word) in words.iter().enumerate() {
            if let Some(name) = word.strip_prefix("jwt:").filter(|name| !name.is_empty()) {
                ways.push(Way::Jwt(verifiers.len() as u16));
                verifiers.push(name.into());
                continue;
            }
            if word.strip_prefix("introspection:").is_some_and(|name| !name.is_empty()) {
                ways.push(Way::Introspection(verifiers.len() as u16));
                verifiers.push(word.as_str().into());
                continue;
            }
            match word.as_str() {
                "user_key" => ways.push(Way::UserKey),
                "app_key" => ways.push(Way::AppKey),
                "basic" => ways.push(Way::Basic),
                "certificate" => ways.push(Way::Certificate),
                _ => {
                    let at = format!("authentication.{list}[{index}]");
                    self.wrong(at, format!("there is no way called {word:?}"));
                }
            }
        }
        (ways, verifiers, all)
    }

    /// Only of credentials that are asked for: what is not looked at is none of ours.
    fn places(&mut self, ways: &[Way]) -> Places {
        let written = &self.definition.product.credentials;
        let (user_key, app_key) = (ways.contains(&Way::UserKey), ways.contains(&Way::AppKey));
        let token = ways.iter().any(|way| matches!(way, Way::Jwt(_) | Way::Introspection(_)));
        Places {
            user_key: self.place_list("user_key", &written.user_key, user_key),
            app_id: self.place_list("app_id", &written.app_id, app_key),
            app_key: self.place_list("app_key", &written.app_key, app_key),
            token: self.place_list("token", &written.token, token),
        }
    }

    fn place_list(&mut self, name: &str, written: &[String], asked: bool) -> Vec<Place> {
        let mut places = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            match text.parse() {
                Ok(place) if asked => places.push(place),
                Ok(_) => {}
                Err(what) => self.wrong(format!("credentials.{name}[{index}]"), what),
            }
        }
        if asked && written.is_empty() {
            self.wrong(format!("credentials.{name}"), "there is no place to look at");
        }
        places
    }

    /// RFC 9745 and RFC 8594.
    fn notice(&mut self) -> Box<[u8]> {
        let written = self.definition.product;
        let mut lines = String::new();
        if let Some(at) = self.moment("deprecated_at", written.deprecated_at.as_deref()) {
            lines.push_str(&format!("Deprecation: @{at}\r\n"));
        } else if written.state == Lifecycle::Deprecated {
            self.wrong("deprecated_at", "a deprecated product says since when it is");
        }
        if let Some(at) = self.moment("sunset", written.sunset.as_deref()) {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
            lines.push_str(&format!("Sunset: {date}\r\n"));
        }
        lines.into_bytes().into()
    }

    /// Seconds since 1970.
    fn moment(&mut self, at: &str, written: Option<&str>) -> Option<u64> {
        let read = written?.parse::<jiff::Timestamp>().map(|moment| moment.as_second());
        match read.ok().and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) => Some(seconds),
            None => {
                self.wrong(at, "write a moment like \"2027-01-31T00:00:00Z\"");
                None
            }
        }
    }

    fn mapping(&mut self, metrics: &[Metric]) -> Mapping {
        let written = &self.definition.product.mapping_rules;
        let mut rules = Vec::with_capacity(written.len());
        for (index, rule) in written.iter().enumerate() {
            let metric = self.metric(&format!("mapping_rules[{index}].metric"), &rule.metric);
            rules.push(mapping::Rule {
                method: &rule.method,
                pattern: &rule.pattern,
                metric: metric.unwrap_or_default(),
                amount: rule.increment.max(1),
                last: rule.last,
            });
        }
        let parents = metrics.iter().map(|metric| metric.parent).collect();
        Mapping::compile(&rules, parents).unwrap_or_else(|wrong| {
            for (index, what) in wrong {
                self.wrong(format!("mapping_rules[{index}].pattern"), what);
            }
            Mapping::default()
        })
    }

    fn metric(&mut self, at: &str, name: &str) -> Option<u16> {
        let found = self.names.get(name).copied();
        if found.is_none() {
            self.wrong(at, format!("there is no metric {name:?}"));
        }
        found
    }

    fn plans(&mut self, metrics: &[Metric]) -> Plans {
        let mut plans = Vec::new();
        for (name, plan) in &self.definition.product.plans {
            let at = format!("plans.{name}");
            match self.definition.plans.get(name) {
                Some(id) => plans.push(self.plan(*id, name, plan, metrics, &at)),
                None => self.wrong(at, "the store has no such plan"),
            }
        }
        count_alike(&mut plans, metrics.len());
        plans.into_iter().map(|plan| (plan.id, Arc::new(plan))).collect()
    }

    fn plan(
        &mut self,
        id: u32,
        name: &str,
        plan: &file::Plan,
        metrics: &[Metric],
        at: &str,
    ) -> Plan {
        let mut terms: Vec<Terms> = metrics.iter().map(|_| Terms::default()).collect();
        self.switch_off(&mut terms, plan, metrics, at);
        for (index, limit) in plan.limits.iter().enumerate() {
            let at = format!("{at}.limits[{index}]");
            let Some(metric) = self.metric(&format!("{at}.metric"), &limit.metric) else {
                continue;
            };
            match self.limit(id, limit, &terms[usize::from(metric)].limits, &at) {
                Some(rule) => terms[usize::from(metric)].limits.push(rule),
                None => self.wrong(format!("{at}.rate"), "there is none"),
            }
        }
        self.quotas(&mut terms, plan, metrics, at);
        let mut lines = format!("X-Tollgate-Plan: {name}\r\n").into_bytes();
        match attribute_lines(&plan.attributes) {
            Ok(attributes) => lines.extend_from_slice(&attributes),
            Err(wrong) => {
                for Mistake { at: name, what } in wrong {
                    self.wrong(format!("{at}.attributes.{name}"), what);
                }
            }
        }
        Plan { id, name: name.into(), metrics: terms, strict: plan.strict, lines: lines.into() }
    }

    fn switch_off(&mut self, terms: &mut [Terms], plan: &file::Plan, metrics: &[Metric], at: &str) {
        let Some(on) = &plan.methods else { return };
        for (index, name) in on.iter().enumerate() {
            if !metrics.iter().any(|metric| *metric.name == **name && metric.parent.is_some()) {
                self.wrong(
                    format!("{at}.methods[{index}]"),
                    format!("there is no method {name:?}"),
                );
            }
        }
        for (terms, metric) in terms.iter_mut().zip(metrics) {
            terms.off = metric.parent.is_some() && !on.iter().any(|name| **name == *metric.name);
        }
    }

    /// One bucket an application: found by the plan's id and the limit's name, so that it survives
    /// any change but of its metric and period.
    fn limit(
        &mut self,
        plan: u32,
        written: &file::PlanLimit,
        before: &[Rule],
        at: &str,
    ) -> Option<Rule> {
        let rate = written.rate?;
        let name = format!("{}-per-{}", written.metric, period(rate.per));
        let same = before.iter().filter(|rule| rule.name().starts_with(&name)).count();
        let name = if same == 0 { name } else { format!("{name}-{}", same + 1) };
        let burst = written.burst.unwrap_or(rate.amount);
        let rules = self.definition.product.mapping_rules.iter().enumerate();
        let mut counting = rules.filter(|(_, rule)| rule.metric == written.metric);
        if let Some((index, _)) = counting.find(|(_, rule)| u64::from(rule.increment) > burst) {
            let what = format!("`mapping_rules[{index}]` adds more at once than this ever allows");
            self.wrong(format!("{at}.burst"), what);
        }
        let key = LimitKey::Application;
        let limit = Limit { name, rate: rate.amount, per: rate.per, burst, key };
        let product = self.definition.id;
        Some(Rule::new(&format!("product {product} plan {plan}"), &limit, None))
    }

    fn quotas(&mut self, terms: &mut [Terms], plan: &file::Plan, metrics: &[Metric], at: &str) {
        let zone = plan.time_zone.as_deref().unwrap_or("UTC");
        let Ok(time_zone) = jiff::tz::TimeZone::get(zone) else {
            return self
                .wrong(format!("{at}.time_zone"), format!("there is no time zone {zone:?}"));
        };
        for (index, quota) in plan.quotas.iter().enumerate() {
            let at = format!("{at}.quotas[{index}]");
            let Some(metric) = self.metric(&format!("{at}.metric"), &quota.metric) else {
                continue;
            };
            let (Some(period), Some(max)) = (quota.period, quota.max) else {
                self.wrong(at, "a quota has a `period` and a `max`");
                continue;
            };
            let (zone, id) = (time_zone.clone(), metrics[usize::from(metric)].id);
            let compiled = Quota::new(&quota.metric, id, period, zone, max, quota.soft);
            terms[usize::from(metric)].quotas.push(compiled);
        }
    }
}

/// Lets each plan count what any of them has a quota of.
fn count_alike(plans: &mut [Plan], metrics: usize) {
    for metric in 0..metrics {
        let of = |plan: &Plan| plan.metrics[metric].quotas.clone();
        let mut all: Vec<Quota> = plans.iter().flat_map(of).collect();
        all.sort_by_key(|quota| quota.calendar.kind());
        all.dedup_by_key(|quota| quota.calendar.kind());
        for plan in &mut *plans {
            let own = &mut plan.metrics[metric].quotas;
            let is_own =
                |quota: &Quota| own.iter().any(|one| one.calendar.kind() == quota.calendar.kind());
            let others: Vec<Quota> =
                all.iter().filter(|quota| !is_own(quota)).map(Quota::counted).collect();
            own.extend(others);
        }
    }
}

fn secret_line(secret: &str) -> Box<[u8]> {
    match secret {
        "" => Box::default(),
        secret => format!("X-Tollgate-Secret: {secret}\r\n").into_bytes().into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::{Field, Known, Span};

    /// The words of a product, with ids by the order of names.
    pub(in crate::policy::auth) fn compiled(words: &str) -> Result<Product, Vec<Mistake>> {
        let product: file::Product = toml::from_str(words).expect("words of a product");
        let names = ["hits".to_owned()].into_iter();
        let names = names.chain(product.metrics.iter().map(|metric| metric.name.clone()));
        let names = names.chain(product.methods.iter().map(|method| method.name.clone()));
        let metrics: BTreeMap<String, u32> = names.zip(10..).collect();
        let plans: BTreeMap<String, u32> = product.plans.keys().cloned().zip(1..).collect();
        let (name, product, secret) = ("shop", &product, "s3cret");
        Product::compile(&Definition {
            id: 5,
            name,
            product,
            metrics: &metrics,
            plans: &plans,
            secret,
        })
    }

    #[test]
    fn notices_tell_since_when_and_until_when() {
        let product = compiled(
            "state = \"deprecated\"\ndeprecated_at = \"2026-01-01T00:00:00Z\"\n\
             sunset = \"2027-01-01T01:00:00+01:00\"",
        );
        assert_eq!(
            &*product.unwrap().notice,
            b"Deprecation: @1767225600\r\nSunset: Fri, 01 Jan 2027 00:00:00 GMT\r\n"
        );
    }

    #[test]
    fn answers_tell_by_how_much_metrics_grow() {
        let product = compiled("metrics = [{ name = \"tokens\", response_header = \"X-Tokens\" }]");
        let product = product.unwrap();
        let read = |value: &str| {
            let buf = format!("x-tokens{value}");
            let (name, value) = (Span::new(0, 8), Span::new(8, buf.len()));
            let field = Field { name, value, known: Known::Other, hop: false };
            let mut grown = Vec::new();
            product.read_amounts(&[field], buf.as_bytes(), &mut grown);
            grown
        };
        assert_eq!(read("42"), [(1, 42)]);
        for nothing in ["", "0", "-1", "+1", "1.5", "x", "99999999999999999999"] {
            assert_eq!(read(nothing), [], "{nothing}");
        }
        assert!(product.counted_names.has(b"X-Tokens"));
    }

    #[test]
    fn mistakes_are_all_told_with_their_place() {
        let words = r#"
            state = "deprecated"
            sunset = "tomorrow"
            authentication = { any_of = ["password"], anonymous_plan = "none" }
            credentials = { user_key = ["cookie:x"] }
            metrics = [{ name = "bytes" }, { name = "bytes" }]
            methods = [{ name = "list", metric = "nothing" }]
            mapping_rules = [
                { method = "GET", pattern = "orders", metric = "list" },
                { method = "GET", pattern = "/", metric = "nothing" },
                { method = "GET", pattern = "/", metric = "bytes", increment = 50 },
            ]
            [plans.p]
            methods = ["bytes"]
            time_zone = "Mars/Olympus"
            limits = [{ metric = "x", rate = "1/s" }, { metric = "bytes", rate = "10/s" }, {}]
            attributes = { X-Tollgate-Plan = "gold", Host = "a", x = "a\nb", "a b" = "" }
            [plans.q]
            quotas = [{ metric = "hits", period = "month" }]
        "#;
        let wrong = compiled(words).unwrap_err();
        let mut places: Vec<&str> = wrong.iter().map(|mistake| mistake.at.as_str()).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "authentication.anonymous_plan",
                "authentication.any_of[0]",
                "credentials.user_key[0]",
                "deprecated_at",
                "mapping_rules[0].pattern",
                "mapping_rules[1].metric",
                "methods[0].metric",
                "metrics[1].name",
                "plans.p.attributes.Host",
                "plans.p.attributes.X-Tollgate-Plan",
                "plans.p.attributes.a b",
                "plans.p.attributes.x",
                "plans.p.limits[0].metric",
                "plans.p.limits[1].burst",
                "plans.p.limits[2].rate",
                "plans.p.methods[0]",
                "plans.p.time_zone",
                "plans.q.quotas[0]",
                "sunset",
            ]
        );
    }
}
