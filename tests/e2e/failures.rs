//! The full table of the gateway's own errors: status, Proxy-Status, problem details, what becomes
//! of the connection, and the log line. docs/ERRORS.md shows the same table to people.

use serde_json::Value;

use crate::harness::{Broken, Client, Driver, Gateway, Hanging, Refusing, Response, Upstream};

/// One row: what is sent, and what comes of it.
struct Row {
    name: &'static str,
    /// Sent, at once.
    request: &'static str,
    status: u16,
    /// Error type in Proxy-Status (RFC 9209 section 2.3).
    error: &'static str,
    /// Whether the connection ends.
    closes: bool,
}

const fn row(
    name: &'static str,
    request: &'static str,
    status: u16,
    error: &'static str,
    closes: bool,
) -> Row {
    Row { name, request, status, error, closes }
}

const TABLE: &[Row] = &[
    row("bad request", "GET / HTTP/1.1\r\nX-A : b\r\n\r\n", 400, "http_request_error", true),
    row(
        "no route",
        "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        404,
        "destination_not_found",
        false,
    ),
    row(
        "method not allowed",
        "DELETE /ok HTTP/1.1\r\nHost: a\r\n\r\n",
        405,
        "http_request_denied",
        false,
    ),
    row("header timeout", "GET /ok HTTP/1.1\r\nHos", 408, "http_request_error", true),
    row(
        "body timeout",
        "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        408,
        "http_request_error",
        true,
    ),
    row(
        "body too large",
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhellohell",
        413,
        "http_request_denied",
        true,
    ),
    row(
        "rate limited",
        "GET /limited HTTP/1.1\r\nHost: a\r\n\r\n",
        429,
        "http_request_denied",
        false,
    ),
    row(
        "tunnel",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        501,
        "http_request_denied",
        true,
    ),
    row(
        "trace that ends here",
        "TRACE /refused HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        501,
        "http_request_denied",
        false,
    ),
    row(
        "other version of WebSocket",
        "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        426,
        "http_request_error",
        true,
    ),
    row("version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http_request_error", true),
    row(
        "refused connection",
        "GET /refused HTTP/1.1\r\nHost: a\r\n\r\n",
        502,
        "connection_refused",
        false,
    ),
    row(
        "closed early",
        "GET /closes HTTP/1.1\r\nHost: a\r\n\r\n",
        502,
        "connection_terminated",
        false,
    ),
    row(
        "bad response",
        "GET /garbage HTTP/1.1\r\nHost: a\r\n\r\n",
        502,
        "http_protocol_error",
        false,
    ),
    row(
        "incomplete response head",
        "GET /half HTTP/1.1\r\nHost: a\r\n\r\n",
        502,
        "http_response_incomplete",
        true,
    ),
    row(
        "no address",
        "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        503,
        "destination_unavailable",
        false,
    ),
    row(
        "connect timeout",
        "GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n",
        504,
        "connection_timeout",
        false,
    ),
    row(
        "first byte timeout",
        "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
        504,
        "http_response_timeout",
        false,
    ),
    row(
        "total timeout",
        "GET /total HTTP/1.1\r\nHost: a\r\n\r\n",
        504,
        "http_response_timeout",
        false,
    ),
];

struct World {
    gateway: Gateway,
    _app: Upstream,
    _refusing: Refusing,
    _hanging: Hanging,
}

fn world(driver: Driver) -> World {
    let app = Upstream::new(|peer| {
        let Some(head) = peer.next_head() else { return };
        match head.start.split(' ').nth(1).unwrap_or_default() {
            "/closes" => {}
            "/garbage" => peer.send("garbage\r\n\r\n"),
            "/half" => peer.send("HTTP/1.1 200 OK\r\nX-"),
            _ => {
                peer.wait_closed();
            }
        }
    });
    let (refusing, hanging) = (Refusing::new(), Hanging::new());
    let upstreams = [
        ("app", app.address.as_str()),
        ("refused", &refusing.address),
        ("hangs", &hanging.address),
        ("nowhere", "nobody.invalid:80"),
    ]
    .map(|(name, target)| format!("[upstreams.{name}]\ntargets = [\"{target}\"]\nretries = 0\n"))
    .concat();
    let routes = [
        ("ok", "app", "methods = [\"GET\", \"POST\"]"),
        ("small", "app", "max_body = 5"),
        ("limited", "app", "limits = [{ rate = \"1/h\", burst = 1 }]"),
        ("closes", "app", ""),
        ("garbage", "app", ""),
        ("half", "app", ""),
        ("refused", "refused", ""),
        ("nowhere", "nowhere", ""),
        ("hangs", "hangs", "timeouts = { connect = \"100ms\" }"),
        ("slow", "app", "timeouts = { first_byte = \"100ms\" }"),
        ("total", "app", "timeouts = { total = \"100ms\" }"),
    ]
    .map(|(name, upstream, keys)| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{upstream}\"\n{keys}\n"
        )
    })
    .concat();
    let gateway = Gateway::start(
        driver,
        format!(
            "[access_log]\nformat = \"json\"\n[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             header_timeout = \"200ms\"\nbody_min_rate = 1000\nbody_rate_grace = \"200ms\"\n{upstreams}{routes}"
        ),
    );
    // Takes the one token of /limited; its answer does not matter.
    let mut client = gateway.connect();
    client.send("GET /limited HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.wait_stats("the token is taken", |s| s.route("limited", "/limits/allowed") == 1);
    client.reset();
    World { gateway, _app: app, _refusing: refusing, _hanging: hanging }
}

/// Sends a row's request and reads the answer; the second says whether the connection ended.
#[track_caller]
fn provoke(gateway: &Gateway, row: &Row, accept: &str) -> (Response, bool) {
    let mut client = Client::connect(gateway.web());
    let request = row.request.replacen("\r\n", &format!("\r\n{accept}"), 1);
    client.send(request);
    let response = client.response_to(row.request);
    let closed = if response.head.values("connection").contains(&"close") {
        client.expect_closed();
        true
    } else {
        client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response().expect(404);
        false
    };
    (response, closed)
}

both_drivers!(
    every_row_of_the_table,
    a_client_that_wants_no_json_gets_text,
    a_head_request_gets_the_head_of_an_error,
    a_client_that_left_is_only_logged,
    a_response_cut_short_is_logged,
);

fn every_row_of_the_table(driver: Driver) {
    let world = world(driver);
    for row in TABLE {
        let (response, closed) = provoke(&world.gateway, row, "Accept: application/json\r\n");
        let name = row.name;
        assert_eq!(response.status, row.status, "{name}");
        assert_eq!(closed, row.closes, "{name}: the connection's fate");
        let told = response.value("proxy-status").unwrap_or_default();
        assert_eq!(told, format!("tollgate; error={}", row.error), "{name}");
        assert_eq!(response.value("content-type"), Some("application/problem+json"), "{name}");
        let problem: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(problem["status"], row.status, "{name}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{name}: {problem}");
        let id = problem["request_id"].as_str().unwrap_or_default().to_owned();
        assert!(!id.is_empty(), "{name}: {problem}");
        assert_eq!(response.value("x-request-id"), Some(id.as_str()), "{name}");
        // One line with the details, found by that id.
        let line = world.gateway.wait_output(name, |line| line.contains(&id));
        let record: Value = serde_json::from_str(&line).expect("a JSON line");
        assert_eq!(record["status"], row.status, "{name}: {line}");
        let text = line.to_lowercase();
        let blamed =
            problem["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default();
        assert!(text.contains(blamed), "{name}: no `{blamed}` in {line}");
    }
}

fn a_client_that_wants_no_json_gets_text(driver: Driver) {
    let world = world(driver);
    for row in TABLE {
        let (response, _) = provoke(&world.gateway, row, "Accept: text/html\r\n");
        assert_eq!(response.status, row.status, "{}", row.name);
        // Of a head that cannot be read nobody knows what it would accept.
        if [400, 505].contains(&row.status) || row.name == "header timeout" {
            continue;
        }
        assert_eq!(
            response.value("content-type"),
            Some("text/plain; charset=utf-8"),
            "{}",
            row.name
        );
        let id = response.value("x-request-id").expect("an id").to_owned();
        assert!(response.text().contains(&id), "{}", row.name);
    }
}

fn a_head_request_gets_the_head_of_an_error(driver: Driver) {
    let world = world(driver);
    let mut client = world.gateway.connect();
    client.ask("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n").expect_failure(404);
    client.ask("HEAD /refused HTTP/1.1\r\nHost: a\r\n\r\n").expect_failure(502);
    client.get("/nothing").expect(404);
}

fn a_client_that_left_is_only_logged(driver: Driver) {
    let world = world(driver);
    let mut client = world.gateway.connect();
    client.send("GET /ok?left HTTP/1.1\r\nHost: a\r\n\r\n");
    world.gateway.wait_stats("the request is there", |s| s.in_flight() == 1);
    client.reset();
    let line = world.gateway.wait_output("a record of the request", |line| {
        line.contains("left") && line.contains("499")
    });
    assert!(line.contains("client_gone"), "{line}");
}

fn a_response_cut_short_is_logged(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[access_log]\nformat = \"json\"\n{}",
            crate::harness::forward_all(&upstream.address)
        ),
    );
    let mut client = gateway.connect();
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.try_response() {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        other => panic!("{other:?}"),
    }
    let line = gateway.wait_output("a record of the request", |line| line.contains("/cut"));
    assert!(line.contains("response_incomplete"), "{line}");
}
