//! The route table against a plain scan by the documented order of precedence.

use std::cmp::Reverse;
use std::time::Duration;

use proptest::prelude::*;
use tollgate::config::{
    Action, HeaderEdits, HostMatch, HostPolicy, PathMatch, Rewrite, Route, RouteAuthentication,
    Timeouts, ValueMatch, ValueTest,
};
use tollgate::http::{Field, Known, Method, Span};
use tollgate::route::{BuildProblem, Claims, Found, Params, Reason, Request, Table, Unread};

/// A route for a host (empty: any) and a path (`~` before a regular expression).
fn route(host: &str, path: &str) -> Route {
    Route {
        name: format!("{host}{path}"),
        host: match (host, host.strip_prefix('*')) {
            ("", _) => HostMatch::Any,
            (_, Some(suffix)) => HostMatch::Wildcard(suffix.into()),
            (_, None) => HostMatch::Exact(host.into()),
        },
        path: match path.strip_prefix('~') {
            Some(regex) => PathMatch::Regex(regex.into()),
            None => PathMatch::Pattern(path.into()),
        },
        methods: vec![],
        headers: vec![],
        query: vec![],
        client_certificate: vec![],
        claims: vec![],
        action: Action::Upstream("app".into()),
        authentication: None,
        forward_auth: None,
        product: None,
        allow: Vec::new(),
        deny: Vec::new(),
        rewrite: Rewrite::None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        host_policy: HostPolicy::Preserve,
        timeouts: Timeouts {
            connect: None,
            first_byte: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            total: None,
            tunnel: Duration::from_secs(1),
            tunnel_total: None,
        },
        max_body: None,
        upgrades: vec![],
        grpc_web: false,
        limits: vec![],
        max_concurrent: None,
        max_concurrent_per_client: None,
    }
}

fn with_methods(route: Route, methods: &[&str]) -> Route {
    Route { methods: methods.iter().map(ToString::to_string).collect(), ..route }
}

fn with_header(route: Route, name: &str, test: ValueTest) -> Route {
    Route { headers: vec![ValueMatch { name: name.into(), test }], ..route }
}

fn with_query(route: Route, name: &str, test: ValueTest) -> Route {
    Route { query: vec![ValueMatch { name: name.into(), test }], ..route }
}

/// A request as people write it.
#[derive(Debug, Clone)]
struct Sent {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

fn get(host: &str, target: &str) -> Sent {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let (method, host, path) = ("GET".into(), host.into(), path.into());
    Sent { method, host, path, query, headers: vec![] }
}

/// What a lookup gave, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Route(u32, Vec<(String, String)>),
    Allow(Vec<String>),
    NotFound,
}

impl Sent {
    fn with<R>(&self, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let mut buf = Vec::new();
        let mut add = |text: &str| {
            buf.extend_from_slice(text.as_bytes());
            Span::new(buf.len() - text.len(), buf.len())
        };
        let fields = self.headers.iter().map(|(name, value)| {
            let (name, value) = (add(name), add(value));
            Field { name, value, known: Known::Other, hop: false }
        });
        let fields: Vec<Field> = fields.collect();
        look(&Request {
            host: self.host.as_bytes(),
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            method: match self.method.as_str() {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                "POST" => Method::Post,
                "PUT" => Method::Put,
                "OPTIONS" => Method::Options,
                _ => Method::Other,
            },
            method_text: self.method.as_bytes(),
            fields: &fields,
            buf: &buf,
            identity: None,
            claims: &Unread,
        })
    }

    fn find(&self, table: &Table) -> Outcome {
        let mut params = Params::default();
        match self.with(|request| table.find(request, &mut params)) {
            Found::Route(route, _) => {
                let names = table.parameter_names(route);
                assert_eq!(names.len(), params.len());
                let value = |ix| String::from_utf8_lossy(params.value(ix, self.path.as_bytes()));
                let pairs = names.iter().enumerate();
                let pairs = pairs.map(|(ix, name)| (name.clone(), value(ix).into_owned()));
                Outcome::Route(route, pairs.collect())
            }
            Found::MethodNotAllowed(allowed) => {
                let mut text = Vec::new();
                table.write_allow(allowed, &mut text);
                let text = String::from_utf8(text).unwrap();
                let mut names: Vec<_> = text.split(", ").map(str::to_owned).collect();
                names.sort();
                Outcome::Allow(names)
            }
            Found::Token(_) => panic!("no route has claims"),
            Found::NotFound => Outcome::NotFound,
        }
    }
}

/// The reference: tests every route, and takes the first of those that match.
mod reference {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use regex::Regex;

    use super::*;

    pub(super) fn find(routes: &[Route], sent: &Sent) -> Outcome {
        let fits = |(_, route): &(usize, &Route)| {
            host(&route.host, &sent.host)
                && path(&route.path, &sent.path).is_some()
                && route.headers.iter().all(|m| header(m, sent))
                && route.query.iter().all(|m| query(m, sent))
        };
        let fitting: Vec<(usize, &Route)> = routes.iter().enumerate().filter(fits).collect();
        let taking = fitting.iter().filter(|(_, route)| method(&route.methods, &sent.method));
        match taking.min_by_key(|(index, route)| rank(route, *index)) {
            Some((index, best)) => {
                Outcome::Route(*index as u32, path(&best.path, &sent.path).unwrap())
            }
            None if fitting.is_empty() => Outcome::NotFound,
            None => Outcome::Allow(allowed(&fitting)),
        }
    }

    fn allowed(routes: &[(usize, &Route)]) -> Vec<String> {
        let mut names: Vec<String> = routes.iter().flat_map(|(_, r)| r.methods.clone()).collect();
        if names.iter().any(|name| name == "GET") {
            names.push("HEAD".into());
        }
        names.sort();
        names.dedup();
        names
    }

    fn method(methods: &[String], given: &str) -> bool {
        methods.is_empty() || methods.iter().any(|m| m == given || (m == "GET" && given == "HEAD"))
    }

    fn host(matcher: &HostMatch, given: &str) -> bool {
        match matcher {
            HostMatch::Any => true,
            HostMatch::Exact(text) => text == given,
            HostMatch::Wildcard(suffix) => {
                given.strip_suffix(suffix.as_str()).is_some_and(|rest| !rest.is_empty())
            }
        }
    }

    /// The parameters, where it matches. By way of a regular expression.
    fn path(matcher: &PathMatch, given: &str) -> Option<Vec<(String, String)>> {
        let mut names = Vec::new();
        let text = match matcher {
            PathMatch::Regex(text) => text.clone(),
            PathMatch::Pattern(text) if text == "*" => r"\*".into(),
            PathMatch::Pattern(text) => {
                let mut regex = String::new();
                for segment in text.split('/').skip(1) {
                    if segment == "*" {
                        names.push("*".to_owned());
                        regex += if regex.is_empty() { "/(.*)" } else { "(?:/(.*))?" };
                    } else if let Some(name) = segment.strip_prefix('{') {
                        names.push(name.trim_end_matches('}').to_owned());
                        regex += "/([^/]+)";
                    } else {
                        regex = regex + "/" + &regex::escape(segment);
                    }
                }
                regex
            }
        };
        let regex = compiled(&text);
        let captures = regex.captures(given)?;
        if let PathMatch::Regex(_) = matcher {
            names = regex.capture_names().flatten().map(str::to_owned).collect();
        }
        let values = captures.iter().skip(1).map(|c| c.map_or("", |c| c.as_str()).to_owned());
        Some(names.into_iter().zip(values).collect())
    }

    fn header(matcher: &ValueMatch, sent: &Sent) -> bool {
        let lines = sent.headers.iter().filter(|(name, _)| name.to_lowercase() == matcher.name);
        value(&matcher.test, &lines.map(|(_, v)| v.clone()).collect::<Vec<_>>())
    }

    fn query(matcher: &ValueMatch, sent: &Sent) -> bool {
        let decode = |text: &str| text.replace('+', " ").replace("%61", "a").replace("%20", " ");
        let pieces = sent.query.as_deref().unwrap_or("").split('&').filter(|p| !p.is_empty());
        let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
        let named = pairs.filter(|(name, _)| decode(name) == matcher.name);
        value(&matcher.test, &named.map(|(_, v)| decode(v)).collect::<Vec<_>>())
    }

    fn value(test: &ValueTest, values: &[String]) -> bool {
        match test {
            ValueTest::Exact(text) => values.contains(text),
            ValueTest::Prefix(text) => values.iter().any(|v| v.starts_with(text)),
            ValueTest::Regex(text) => {
                let regex = compiled(text);
                values.iter().any(|v| regex.is_match(v))
            }
            ValueTest::Present(wanted) => values.is_empty() != *wanted,
        }
    }

    /// Compiled once for all cases: they are what this test's time goes to.
    fn compiled(text: &str) -> Regex {
        thread_local!(static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default());
        KNOWN.with_borrow_mut(|known| {
            let compile = || Regex::new(&format!("^(?:{text})$")).unwrap();
            known.entry(text.to_owned()).or_insert_with(compile).clone()
        })
    }

    type PathRank = (u8, Reverse<usize>, Vec<bool>, usize);
    type Rank = ((u8, Reverse<usize>), PathRank, (bool, Reverse<usize>, usize));

    fn rank(route: &Route, index: usize) -> Rank {
        let host = match &route.host {
            HostMatch::Exact(_) => (0, Reverse(0)),
            HostMatch::Wildcard(suffix) => (1, Reverse(suffix.len())),
            HostMatch::Any => (2, Reverse(0)),
        };
        let path = match &route.path {
            PathMatch::Regex(_) => (3, Reverse(0), vec![], index),
            PathMatch::Pattern(text) => {
                let segments: Vec<&str> = text.split('/').skip(1).collect();
                let parameters = segments.iter().map(|s| s.starts_with('{')).collect();
                if text != "*" && text.ends_with('*') {
                    (2, Reverse(segments.len()), parameters, 0)
                } else if text.contains('{') {
                    (1, Reverse(0), parameters, 0)
                } else {
                    (0, Reverse(0), vec![], 0)
                }
            }
        };
        let matchers = Reverse(route.headers.len() + route.query.len());
        (host, path, (route.methods.is_empty(), matchers, index))
    }
}

/// A small alphabet, so that routes and requests collide in every way.
mod arbitrary {
    use super::*;

    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "LOCK", "MKCOL"];

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "a", "", "{}", "{}", "long-segment"]);
        let segments = (prop::collection::vec(segment, 1..6), any::<bool>());
        segments.prop_map(|(segments, star)| {
            let mut text = String::new();
            for (at, segment) in segments.iter().enumerate() {
                text += &match *segment {
                    "{}" => format!("/{{p{at}}}"),
                    literal => format!("/{literal}"),
                };
            }
            text + if star { "/*" } else { "" }
        })
    }

    fn path_matcher() -> impl Strategy<Value = String> {
        let regex = prop::sample::select(vec![
            "~/a.*",
            "~/(?P<first>[ab])/(?P<rest>.*)",
            "~/b|/a/b",
            "~/(?:(?P<one>a)|(?P<other>b))/b",
            "~.*",
        ]);
        prop_oneof![
            12 => pattern(),
            2 => regex.prop_map(str::to_owned),
            1 => Just("/*".to_owned()),
            1 => Just("*".to_owned()),
        ]
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "a", "b", "b", "", "c", "long-segment"]);
        let segments = prop::collection::vec(segment, 1..8);
        let path = segments.prop_map(|all| format!("/{}", all.join("/")));
        prop_oneof![12 => path, 1 => Just("*".to_owned())]
    }

    fn matchers(names: &'static [&'static str]) -> impl Strategy<Value = Vec<ValueMatch>> {
        let test = prop_oneof![
            Just(ValueTest::Exact("a".into())),
            Just(ValueTest::Prefix("a".into())),
            Just(ValueTest::Regex("a|b".into())),
            any::<bool>().prop_map(ValueTest::Present),
        ];
        let one = (prop::sample::select(names), test);
        let one = one.prop_map(|(name, test)| ValueMatch { name: name.into(), test });
        prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(one, 1..3)]
    }

    fn methods() -> impl Strategy<Value = Vec<String>> {
        let some = prop::collection::vec(prop::sample::select(&METHODS[..6]), 1..3);
        let some = some.prop_map(|all| all.into_iter().map(str::to_owned).collect());
        prop_oneof![2 => Just(vec![]), 1 => some]
    }

    prop_compose! {
        pub(super) fn a_route()(
            host in prop::sample::select(vec!["", "a.x", "b.a.x", "x", "*.x", "*.a.x", "*.b.a.x"]),
            path in path_matcher(),
            methods in methods(),
            headers in matchers(&["x-a", "x-b"]),
            query in matchers(&["a", "b a"]),
        ) -> Route {
            Route { methods, headers, query, ..route(host, &path) }
        }
    }

    fn query() -> impl Strategy<Value = Option<String>> {
        let name = prop::sample::select(vec!["a", "%61", "b+a", "b%20a", "c", ""]);
        let value = prop::sample::select(vec!["", "=", "=a", "=%61b", "=b", "=+"]);
        let pair = (name, value).prop_map(|(name, value)| format!("{name}{value}"));
        prop::option::of(prop::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&")))
    }

    fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop::sample::select(vec!["x-a", "X-A", "x-b", "x-c"]);
        let value = prop::sample::select(vec!["", "a", "ab", "b"]);
        let line = (name, value).prop_map(|(name, value)| (name.to_owned(), value.to_owned()));
        prop::collection::vec(line, 0..3)
    }

    prop_compose! {
        pub(super) fn a_request()(
            method in prop::sample::select(&METHODS[..]),
            host in prop::sample::select(vec![
                "", "x", ".x", "a.x", "b.a.x", "c.b.a.x", "c.x", "y", "a..x",
            ]),
            path in path(),
            query in query(),
            headers in headers(),
        ) -> Sent {
            Sent { method: method.into(), host: host.into(), path, query, headers }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_table_agrees_with_a_scan(
        routes in prop::collection::vec(arbitrary::a_route(), 0..40),
        requests in prop::collection::vec(arbitrary::a_request(), 1..30),
    ) {
        let table = Table::build(&routes).unwrap();
        for (nth, request) in requests.iter().enumerate() {
            let expected = reference::find(&routes, request);
            prop_assert_eq!(request.find(&table), expected.clone(), "{:?}", request);
            if nth > 0 {
                continue;
            }
            let explained = request.with(|request| table.explain(&routes, request));
            match expected {
                Outcome::Route(route, _) => prop_assert_eq!(explained.matched, Some(route)),
                _ => prop_assert_eq!(explained.matched, None),
            }
            let is_method = |why: &Reason| matches!(why, Reason::Method { .. });
            if let Outcome::Allow(_) = expected {
                prop_assert!(explained.considered.iter().any(|(_, why)| is_method(why)));
            } else if expected == Outcome::NotFound {
                let later = |why: &Reason| *why == Reason::ComesLater;
                prop_assert!(!explained.considered.iter().any(|(_, why)| later(why)));
            }
        }
    }

    /// The explanation's own order puts the winner first, as the lookup does.
    #[test]
    fn routes_that_match_too_are_explained_in_order(
        routes in prop::collection::vec(arbitrary::a_route(), 2..20),
        request in arbitrary::a_request(),
    ) {
        let table = Table::build(&routes).unwrap();
        let explained = request.with(|request| table.explain(&routes, request));
        let later = explained.considered.iter().filter(|(_, why)| *why == Reason::ComesLater);
        let later: Vec<u32> = later.map(|(route, _)| *route).collect();
        let mut left: Vec<(u32, Route)> = (0..).zip(routes).collect();
        let mut winner = explained.matched;
        for next in later {
            left.retain(|(index, _)| Some(*index) != winner);
            let rest: Vec<Route> = left.iter().map(|(_, route)| route.clone()).collect();
            let Outcome::Route(found, _) = request.find(&Table::build(&rest).unwrap()) else {
                return Err(TestCaseError::fail("nothing left to find"));
            };
            winner = Some(left[found as usize].0);
            prop_assert_eq!(winner, Some(next));
        }
    }

    #[test]
    fn any_bytes_can_be_looked_up(
        routes in prop::collection::vec(arbitrary::a_route(), 0..20),
        host in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..300),
        query in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let table = Table::build(&routes).unwrap();
        for path in [&path[..], &[b"/", &path[..]].concat()] {
            let (method, method_text) = (Method::Other, &b""[..]);
            let query = Some(&query[..]);
            let request =
                Request { host: &host, path, query, method, method_text, fields: &[], buf: &[], identity: None, claims: &Unread };
            let mut params = Params::default();
            table.find(&request, &mut params);
            table.explain(&routes, &request);
            for ix in 0..params.len() {
                prop_assert!(params.value(ix, path).len() <= path.len());
            }
        }
    }
}

/// Each request's winner among these routes, by position.
fn check(routes: &[Route], cases: &[(&str, &str, Option<u32>)]) {
    let table = Table::build(routes).unwrap();
    for (host, target, expected) in cases {
        let sent = get(host, target);
        let outcome = sent.find(&table);
        assert_eq!(outcome, reference::find(routes, &sent), "{host}{target}");
        let found = match outcome {
            Outcome::Route(route, _) => Some(route),
            _ => None,
        };
        assert_eq!(found, *expected, "{host}{target}");
    }
}

#[test]
fn hosts_exact_then_longest_wildcard_then_any() {
    let routes = [
        route("", "/*"),
        route("*.example.com", "/*"),
        route("*.eu.example.com", "/*"),
        route("api.eu.example.com", "/*"),
        route("api.eu.example.com", "/only"),
    ];
    let cases = [
        ("api.eu.example.com", "/", Some(3)),
        ("api.eu.example.com", "/only", Some(4)),
        ("x.api.eu.example.com", "/", Some(2)),
        ("eu.example.com", "/", Some(1)),
        ("a.b.c.example.com", "/", Some(1)),
        ("example.com", "/", Some(0)),
        (".example.com", "/", Some(0)),
        ("badexample.com", "/", Some(0)),
        ("", "/", Some(0)),
        ("[::1]", "/", Some(0)),
    ];
    check(&routes, &cases);
    let table = Table::build(&routes).unwrap();
    let outcome = |host| get(host, "/only").find(&table);
    assert_eq!(outcome("api.eu.example.com."), outcome("api.eu.example.com"));
}

#[test]
fn paths_plain_then_parameters_then_catch_alls_then_expressions() {
    let routes = [
        route("", "~/orders/.*"),
        route("", "/*"),
        route("", "/orders/*"),
        route("", "/orders/{id}"),
        route("", "/orders/special"),
        route("", "/{kind}/special/{x}"),
        route("", "/orders/{id}/{x}"),
    ];
    let cases = [
        ("h", "/orders/special", Some(4)),
        ("h", "/orders/7", Some(3)),
        ("h", "/orders/special/7", Some(6)),
        ("h", "/users/special/7", Some(5)),
        ("h", "/orders/1/2/3", Some(2)),
        ("h", "/orders/", Some(2)),
        ("h", "/orders", Some(2)),
        ("h", "/order", Some(1)),
        ("h", "/", Some(1)),
        ("h", "*", None),
    ];
    check(&routes, &cases);
    check(&routes[..1], &[("h", "/orders/1", Some(0)), ("h", "/x/orders/1", None)]);
}

#[test]
fn a_refused_route_gives_way_to_less_specific_ones() {
    let gold = |route| with_header(route, "x-tier", ValueTest::Exact("gold".into()));
    let routes = [
        with_methods(route("a.x", "/o/1"), &["POST"]),
        gold(route("a.x", "/o/{id}")),
        with_methods(route("a.x", "/o/*"), &["PUT"]),
        gold(route("*.x", "/o/1")),
        route("", "/o/1"),
    ];
    check(&routes, &[("a.x", "/o/1", Some(4)), ("b.x", "/o/1", Some(4)), ("a.x", "/o/2", None)]);
    let mut golden = get("a.x", "/o/1");
    golden.headers.push(("X-Tier".into(), "gold".into()));
    let outcome = golden.find(&Table::build(&routes).unwrap());
    assert_eq!(outcome, Outcome::Route(1, vec![("id".into(), "1".into())]));
}

#[test]
fn more_constrained_routes_come_first_at_one_path() {
    let header = |route, name| with_header(route, name, ValueTest::Present(true));
    let routes = [
        route("", "/{a}"),
        header(route("", "/{b}"), "x"),
        with_methods(route("", "/{c}"), &["GET"]),
        with_methods(header(route("", "/{d}"), "y"), &["GET"]),
        route("", "/{e}"),
    ];
    let table = Table::build(&routes).unwrap();
    let winner = |headers: &[&str], method: &str| {
        let headers = headers.iter().map(|name| (name.to_string(), String::new())).collect();
        match (Sent { method: method.into(), headers, ..get("h", "/1") }).find(&table) {
            Outcome::Route(route, params) => (route, params[0].0.clone()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(winner(&["x", "y"], "GET"), (3, "d".into()));
    assert_eq!(winner(&["x"], "HEAD"), (2, "c".into()));
    assert_eq!(winner(&["x", "y"], "POST"), (1, "b".into()));
    assert_eq!(winner(&[], "POST"), (0, "a".into()));
}

#[test]
fn other_methods_are_told() {
    let routes = [
        with_methods(route("", "/a"), &["GET", "LOCK"]),
        with_methods(route("", "/{x}"), &["POST"]),
        with_methods(route("", "/b/*"), &["PUT"]),
        with_methods(with_query(route("", "/a"), "q", ValueTest::Present(true)), &["DELETE"]),
    ];
    let table = Table::build(&routes).unwrap();
    let send = |method: &str| Sent { method: method.into(), ..get("h", "/a") };
    let find = |method: &str| send(method).with(|r| table.find(r, &mut Params::default()));
    let Found::MethodNotAllowed(allowed) = find("OPTIONS") else { panic!("found") };
    let mut text = Vec::new();
    table.write_allow(allowed, &mut text);
    assert_eq!(String::from_utf8(text).unwrap(), "GET, HEAD, POST, LOCK");
    for (method, expected) in [("LOCK", 0), ("HEAD", 0), ("POST", 1)] {
        assert_eq!(find(method), Found::Route(expected, expected), "{method}");
    }
    assert_eq!(find("lock"), Found::MethodNotAllowed(allowed));
}

#[test]
fn parameters_are_cut_out() {
    let routes = [
        route("", "/a/{x}/b/{y}/*"),
        route("", "/files/*"),
        route("", "/{x}"),
        route("", r"~/v(?P<version>\d+)(?:/(?P<rest>.*))?/end"),
    ];
    let table = Table::build(&routes).unwrap();
    let values = |path: &str| match get("h", path).find(&table) {
        Outcome::Route(_, params) => params.into_iter().map(|(_, value)| value).collect(),
        _ => vec!["nothing".to_owned()],
    };
    assert_eq!(values("/a/1/b/22/c/d"), ["1", "22", "c/d"]);
    assert_eq!(values("/a/1/b/22/"), ["1", "22", ""]);
    assert_eq!(values("/a/1/b/22"), ["1", "22", ""]);
    assert_eq!(values("/a/1/b//"), ["nothing"]);
    assert_eq!(values("/files//x"), ["/x"]);
    assert_eq!(values("/files/"), [""]);
    assert_eq!(values("/abc"), ["abc"]);
    assert_eq!(values("/v12/x/end"), ["12", "x"]);
    assert_eq!(values("/v12/end"), ["12", ""]);
    assert_eq!(table.parameter_index(0, "y"), Some(1));
    assert_eq!(table.parameter_index(0, "*"), Some(2));
    assert_eq!(table.parameter_index(0, "z"), None);
    assert_eq!(table.parameter_names(3), ["version", "rest"]);
    assert!(table.parameter_names(99).is_empty());
}

#[test]
fn mistakes_name_their_route() {
    let problem = |routes: &[Route]| {
        let error = Table::build(routes).err().unwrap();
        (error.route, error.problem)
    };
    assert_eq!(problem(&[route("", "/"), route("", "/a*")]), (1, BuildProblem::Star));
    assert_eq!(problem(&[route(&"h".repeat(256), "/")]), (0, BuildProblem::HostLength));
    assert_eq!(problem(&[route("", "~(")]), (0, BuildProblem::Regex));
    let header = with_header(route("", "/"), "x", ValueTest::Regex("[".into()));
    assert_eq!(problem(&[header]), (0, BuildProblem::Regex));
}

#[test]
fn near_misses_are_explained() {
    let routes = [
        with_methods(route("", "/o/{id}"), &["POST"]),
        with_header(route("a.x", "/o/1"), "x-tier", ValueTest::Exact("gold".into())),
        with_query(route("", "/o/1"), "v", ValueTest::Prefix("2".into())),
        route("b.x", "/o/*"),
        route("", "/*"),
        route("", "/o/1/"),
        route("", "/O/1"),
        route("", "/elsewhere"),
        route("", "/o/*"),
    ];
    let table = Table::build(&routes).unwrap();
    let explained = get("a.x", "/o/1?v=1").with(|request| table.explain(&routes, request));
    assert_eq!(explained.matched, Some(8));
    let lines = explained.considered.iter().map(|(route, why)| format!("{route} {why}"));
    let expected = [
        "1 wants that the header x-tier is \"gold\", and the request has none",
        "2 wants that the query parameter v begins with \"2\", and the request has \"1\"",
        "0 takes the methods POST, not GET",
        "4 matches too, but comes later by precedence",
        "3 is for another host (b.x)",
        "5 would match but for the slash at the end of the path",
        "6 would match but for upper and lower case",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn explanations_are_bounded() {
    let routes: Vec<Route> = (0..100).map(|_| route("", "/a")).collect();
    let table = Table::build(&routes).unwrap();
    let explained = get("h", "/a").with(|request| table.explain(&routes, request));
    assert_eq!(explained.matched, Some(0));
    assert_eq!(explained.considered.len() + explained.omitted, 99);
    assert_eq!(explained.considered.len(), tollgate::limits::MAX_EXPLAINED);
}

/// Every prefix of the path matches literals and parameters, and all fails at the last segment.
#[test]
fn misleading_paths_do_not_blow_up() {
    let depth = 15;
    let mut routes = Vec::new();
    for cut in 0..=depth {
        let literals = "/a".repeat(cut);
        let parameters: String = (cut..depth).map(|n| format!("/{{p{n}}}")).collect();
        routes.push(route("", &format!("{literals}{parameters}/x")));
        routes.push(route("", &format!("{literals}{parameters}/y/*")));
        let alternating: String = (0..depth)
            .map(|n| if n % 2 == 0 { "/a".into() } else { format!("/{{p{n}}}") })
            .collect();
        routes.push(route("", &format!("{alternating}/x")));
    }
    let table = Table::build(&routes).unwrap();
    for path in ["/a".repeat(depth + 1), "/a".repeat(depth), "/a".repeat(4000)] {
        let sent = get("h", &path);
        for _ in 0..1000 {
            assert_eq!(sent.find(&table), Outcome::NotFound);
        }
    }
    let dots = get(&".a".repeat(4000), "/");
    assert_eq!(dots.find(&table), Outcome::NotFound);
}

#[test]
fn a_hundred_thousand_routes_stay_small() {
    let paths = ["/v1/resource{}/items", "/v1/resource{}/items/{id}", "/v1/resource{}/files/*"];
    let hosts = (0..1000).map(|n| format!("api{n}.example.com"));
    let routes = hosts.flat_map(|host| {
        (0..100).map(move |n| route(&host, &paths[n % paths.len()].replace("{}", &n.to_string())))
    });
    let routes: Vec<Route> = routes.collect();
    let table = Table::build(&routes).unwrap();
    let per_route = table.memory() / routes.len();
    assert!(per_route <= 200, "{per_route} bytes a route");
    for (rest, nth) in [("3/items", 3), ("4/items/7", 4), ("5/files/a/b", 5)] {
        let sent = get("api999.example.com", &format!("/v1/resource{rest}"));
        let outcome = sent.find(&table);
        assert!(matches!(outcome, Outcome::Route(r, _) if r == 99_900 + nth), "{outcome:?}");
    }
}

/// What a test knows of tokens: sources that were looked at, and the claims that they have.
#[derive(Debug)]
struct LookedAt(Vec<(u16, &'static str)>);

impl Claims for LookedAt {
    fn say(&self, source: u16, (name, values): &(String, Vec<String>)) -> Option<bool> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == source)?;
        Some(name == "tier" && values.iter().any(|one| one == value))
    }
}

#[test]
fn claims_are_asked_last_and_by_their_source() {
    let tiered = |jwt: &str, tier: &str| Route {
        claims: vec![("tier".into(), vec![tier.into()])],
        authentication: Some(RouteAuthentication {
            jwt: vec![jwt.into()],
            introspection: Vec::new(),
            all: false,
            optional: false,
        }),
        ..route("", "/a")
    };
    let test = ValueTest::Exact("1".into());
    let routes = [
        route("", "/a"),
        with_header(tiered("one", "gold"), "x-a", test),
        with_methods(tiered("one", "gold"), &["GET"]),
        tiered("two", "gold"),
        tiered("one", "silver"),
    ];
    let table = Table::build(&routes).expect("a table");
    assert_eq!(
        [0, 1, 2, 3, 4].map(|at| table.source(at)),
        [None, Some(0), Some(0), Some(1), Some(0)]
    );
    let find = |method: Method, known: &dyn Claims| {
        let method_text: &[u8] = if method == Method::Get { b"GET" } else { b"POST" };
        let (fields, buf) = (&[][..], &[][..]);
        let request = Request {
            host: b"a",
            path: b"/a",
            query: None,
            method,
            method_text,
            fields,
            buf,
            identity: None,
            claims: known,
        };
        table.find(&request, &mut Params::default())
    };
    assert_eq!(find(Method::Get, &Unread), Found::Token(2));
    assert_eq!(find(Method::Post, &Unread), Found::Token(3));
    let known = |all: &[(u16, &'static str)]| LookedAt(all.to_vec());
    assert_eq!(find(Method::Get, &known(&[(0, "gold")])), Found::Route(2, 2));
    assert_eq!(find(Method::Get, &known(&[(0, "none")])), Found::Token(3));
    assert_eq!(find(Method::Get, &known(&[(0, "none"), (1, "gold")])), Found::Route(3, 3));
    assert_eq!(find(Method::Get, &known(&[(0, "silver"), (1, "none")])), Found::Route(4, 4));
    assert_eq!(find(Method::Get, &known(&[(0, "none"), (1, "none")])), Found::Route(0, 0));
}
