//! Which route a request takes: every matcher, and the one order of precedence.

use crate::harness::{Driver, Gateway};

/// A gateway whose routes answer with their own names.
fn routes(driver: Driver, routes: &[(&str, &str)]) -> Gateway {
    let text: String = routes
        .iter()
        .map(|(name, matchers)| {
            format!(
                "[[routes]]\nname = \"{name}\"\n{matchers}\nrespond = {{ body = \"{name}\" }}\n"
            )
        })
        .collect();
    Gateway::start(driver, text)
}

#[track_caller]
fn taken(gateway: &Gateway, request: &str) -> String {
    let (first, fields) = request.split_once('|').unwrap_or((request, ""));
    let (method, target) = first.split_once(' ').expect("METHOD TARGET");
    let (host, path) = target.split_at(target.find('/').expect("a path"));
    let fields: String =
        fields.split('|').filter(|f| !f.is_empty()).map(|f| format!("{f}\r\n")).collect();
    let response =
        gateway.once(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    match response.status {
        200 => response.text(),
        other => other.to_string(),
    }
}

#[track_caller]
fn check(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (request, route) in cases {
        assert_eq!(taken(gateway, request), *route, "{request}");
    }
}

both_drivers!(
    by_host,
    by_path,
    by_method,
    by_header,
    by_absence_of_a_header,
    by_query,
    a_hosts_own_routes_come_before_wildcards_before_any,
    what_no_route_takes_is_404,
    ten_thousand_routes_are_each_found,
);

fn by_host(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("exact", "host = \"api.example.com\"\npath = \"/*\""),
            ("below", "host = \"*.example.com\"\npath = \"/*\""),
            ("any", "path = \"/*\""),
        ],
    );
    check(
        &gateway,
        &[
            ("GET api.example.com/", "exact"),
            ("GET API.Example.COM/", "exact"),
            ("GET api.example.com:8080/", "exact"),
            ("GET www.example.com/", "below"),
            ("GET example.com/", "any"),
            ("GET other.test/", "any"),
            ("GET [::1]:80/", "any"),
        ],
    );
}

fn by_path(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("root", "path = \"/\""),
            ("exact", "path = \"/orders/new\""),
            ("parameter", "path = \"/orders/{id}\""),
            ("two", "path = \"/orders/{id}/lines/{line}\""),
            ("prefix", "path = \"/orders/*\""),
            ("regex", "path_regex = \"/v[0-9]+/users\""),
            ("all", "path = \"/files/*\""),
        ],
    );
    check(
        &gateway,
        &[
            ("GET a/", "root"),
            ("GET a/orders/new", "exact"),
            ("GET a/orders/42", "parameter"),
            ("GET a/orders/42?x=y", "parameter"),
            ("GET a/orders/42/lines/7", "two"),
            ("GET a/orders/42/lines", "prefix"),
            ("GET a/orders/42/lines/7/x", "prefix"),
            ("GET a/v12/users", "regex"),
            ("GET a/v12/users/x", "404"),
            ("GET a/v/users", "404"),
            ("GET a/files/a/b/c", "all"),
            ("GET a/nothing", "404"),
            ("GET a/files/../orders/new", "exact"),
            ("GET a/%6frders/new", "exact"),
        ],
    );
}

fn by_method(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("read", "path = \"/a\"\nmethods = [\"GET\", \"HEAD\"]"),
            ("write", "path = \"/a\"\nmethods = [\"POST\"]"),
            ("purge", "path = \"/a\"\nmethods = [\"PURGE\"]"),
        ],
    );
    check(
        &gateway,
        &[("GET a/a", "read"), ("POST a/a", "write"), ("PURGE a/a", "purge"), ("PUT a/a", "405")],
    );
    let refused =
        gateway.once("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").expect_failure(405);
    let mut allowed: Vec<_> = refused.value("allow").expect("Allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST", "PURGE"]);
}

fn by_header(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("gold", "path = \"/*\"\nheaders = { \"x-tier\" = \"gold\" }"),
            ("beta", "path = \"/*\"\nheaders = { \"x-version\" = { prefix = \"2.\" } }"),
            ("agent", "path = \"/*\"\nheaders = { \"user-agent\" = { regex = \"curl/[0-9.]+\" } }"),
            ("token", "path = \"/*\"\nheaders = { \"x-token\" = { present = true } }"),
            ("rest", "path = \"/*\""),
        ],
    );
    check(
        &gateway,
        &[
            ("GET a/|X-Tier: gold", "gold"),
            ("GET a/|X-TIER:   gold  ", "gold"),
            ("GET a/|X-Tier: Gold", "rest"),
            ("GET a/|X-Version: 2.7", "beta"),
            ("GET a/|X-Version: 3", "rest"),
            ("GET a/|User-Agent: curl/8.1", "agent"),
            ("GET a/|User-Agent: xcurl/8.1", "rest"),
            ("GET a/|X-Token:", "token"),
            ("GET a/", "rest"),
        ],
    );
}

fn by_absence_of_a_header(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("anonymous", "path = \"/*\"\nheaders = { authorization = { present = false } }"),
            ("known", "path = \"/*\""),
        ],
    );
    check(&gateway, &[("GET a/", "anonymous"), ("GET a/|Authorization: x", "known")]);
}

fn by_query(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("both", "path = \"/*\"\nquery = { a = \"1\", b = { present = true } }"),
            ("one", "path = \"/*\"\nquery = { a = \"1\" }"),
            ("rest", "path = \"/*\""),
        ],
    );
    check(
        &gateway,
        &[
            ("GET a/?a=1&b=2", "both"),
            ("GET a/?b&a=1", "both"),
            ("GET a/?a=1", "one"),
            ("GET a/?a=12", "rest"),
            ("GET a/?xa=1", "rest"),
            ("GET a/", "rest"),
        ],
    );
}

fn a_hosts_own_routes_come_before_wildcards_before_any(driver: Driver) {
    let gateway = routes(
        driver,
        &[
            ("any-exact-path", "path = \"/a/b\""),
            ("wildcard", "host = \"*.example.com\"\npath = \"/a/*\""),
            ("host", "host = \"api.example.com\"\npath = \"/*\""),
        ],
    );
    check(
        &gateway,
        &[
            ("GET api.example.com/a/b", "host"),
            ("GET www.example.com/a/b", "wildcard"),
            ("GET other.test/a/b", "any-exact-path"),
        ],
    );
}

fn what_no_route_takes_is_404(driver: Driver) {
    let gateway = routes(driver, &[("one", "host = \"api.example.com\"\npath = \"/one\"")]);
    gateway.once("GET /two HTTP/1.1\r\nHost: api.example.com\r\n\r\n").expect_failure(404);
    gateway.once("GET /one HTTP/1.1\r\nHost: other.test\r\n\r\n").expect_failure(404);
    let mut client = gateway.connect();
    client.get("/two").expect(404);
    client.ask("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").expect(404);
    client.ask("GET /one HTTP/1.1\r\nHost: api.example.com\r\n\r\n").expect(200);
}

fn ten_thousand_routes_are_each_found(driver: Driver) {
    // Hosts by paths; the ready line itself proves the start within the harness's patience.
    let mut text = String::new();
    for host in 0..200 {
        for path in 0..50 {
            text.push_str(&format!(
                "[[routes]]\nname = \"r{host}-{path}\"\nhost = \"h{host}.example.com\"\npath = \"/p{path}/{{id}}\"\nrespond = {{ body = \"r{host}-{path}\" }}\n"
            ));
        }
    }
    let gateway = Gateway::start(driver, text);
    check(
        &gateway,
        &[
            ("GET h0.example.com/p0/x", "r0-0"),
            ("GET h199.example.com/p49/x", "r199-49"),
            ("GET h100.example.com/p25/x", "r100-25"),
            ("GET h200.example.com/p25/x", "404"),
        ],
    );
}
