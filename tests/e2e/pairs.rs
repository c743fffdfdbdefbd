//! Every feature of a request and its answer over all four pairs of HTTP/1.1 and HTTP/2: one test
//! each, whatever the versions.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Ask, Broken, Caller, Driver, Ends, Gate, Gateway, Keys, Origin, PATIENCE, Piece, Refusing,
    Response, Version, Versions, eventually, pass,
};

const MIB: u64 = 1 << 20;

/// Most that sockets, windows and buffers on the way may swallow before a writer is stopped.
const ON_THE_WAY: u64 = 40 * MIB;

fn start(driver: Driver, versions: Versions, origin: &Origin, keys: Keys<'_>) -> Gateway {
    Gateway::start(driver, versions.config(&[&origin.address], keys))
}

fn route(route: &str) -> Keys<'_> {
    Keys { route, ..Keys::default() }
}

fn connect(versions: Versions, gateway: &Gateway) -> Caller {
    Caller::connect(versions.down, gateway.web())
}

/// Answers with the request's content and trailers.
fn echo(versions: Versions) -> Origin {
    Origin::new(versions.up, |turn| {
        let (body, trailers) = turn.content().expect("the request's content");
        let ends =
            if turn.head.has("x-chunked") { Ends::Chunked } else { Ends::After(body.len() as u64) };
        turn.begin(200, &[], ends);
        let talk = turn.talk();
        talk.send(&body).and_then(|()| talk.end(&trailers)).expect("the gateway takes the answer");
    })
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

fn channel<T>() -> (Mutex<Sender<T>>, Receiver<T>) {
    let (tell, told) = mpsc::channel();
    (Mutex::new(tell), told)
}

fn tell<T>(to: &Mutex<Sender<T>>, what: T) {
    to.lock().expect("one sender").send(what).expect("a listener");
}

#[track_caller]
fn told<T>(by: &Receiver<T>) -> T {
    by.recv_timeout(PATIENCE).expect("a word in time")
}

/// Nothing is in flight any more, and nothing was kept that a request had.
#[track_caller]
fn comes_to_rest(gateway: &Gateway) {
    gateway.wait_stats("nothing in flight", |s| {
        s.in_flight() == 0
            && s.route("all", "/requests_in_flight") == 0
            && s.upstream("app", "/requests_in_flight") == 0
    });
    gateway.wait_stats("no buffer is held", |s| s.number("/gateway/buffer_bytes") == 0);
}

#[track_caller]
fn expect_cut(outcome: Result<Response, Broken>) {
    match outcome {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        other => panic!("not a broken answer: {other:?}"),
    }
}

all_pairs!(
    every_method_passes,
    content_of_every_size_passes_both_ways,
    an_answer_to_head_has_no_content,
    answers_without_content_end,
    trailers_pass_both_ways,
    trailers_behind_no_content_pass,
    an_expectation_is_met_before_the_content_is_sent,
    early_hints_pass,
    fields_are_edited,
    repeated_fields_stay_apart,
    hop_by_hop_fields_stay_here,
    the_client_is_named_to_the_target,
    via_names_the_version_of_each_side,
    the_gateways_own_answers,
    the_gateways_own_failures,
    content_that_is_too_large_is_refused,
    a_limit_is_told_and_kept,
    a_path_is_rewritten,
    the_host_is_the_routes,
    a_location_is_put_right,
    each_request_has_an_id_and_a_record,
    a_refused_connection_is_tried_elsewhere,
    the_first_byte_takes_too_long,
    the_whole_takes_too_long,
    the_whole_takes_too_long_though_pieces_keep_coming,
    a_client_whose_content_stalls_is_told,
    a_target_whose_content_stalls_is_cut_off,
    a_target_that_takes_no_content_is_given_up,
    a_client_that_leaves_while_it_waits_is_seen_by_the_target,
    a_client_that_leaves_in_its_content_is_seen_by_the_target,
    a_client_that_leaves_in_an_answer_is_seen_by_the_target,
    an_answer_that_breaks_off_never_looks_whole,
    a_target_that_breaks_off_before_its_answer_is_a_502,
    a_slow_client_stops_the_target,
    a_slow_target_stops_the_client,
    events_arrive_one_by_one,
    pieces_of_a_request_arrive_one_by_one,
    an_early_answer_reaches_a_client_that_still_sends,
    an_early_answer_and_no_more_wish_for_the_content,
    both_contents_at_once,
    what_was_counted_is_what_came,
    many_clients_at_once_each_get_their_own,
    nothing_is_left_behind,
);

fn every_method_passes(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    for (n, method) in ["GET", "DELETE", "OPTIONS", "PATCH", "PUT", "QUERY"].iter().enumerate() {
        client.ask(&Ask::new(method, "/a?b=c")).expect(200);
        let seen = origin.wait_for_request(n + 1);
        assert_eq!((seen.method(), seen.target()), (*method, "/a?b=c"));
        assert_eq!(seen.value("host"), Some("test.example"));
        assert!(!seen.head.has("content-length") || *method == "PUT" || *method == "PATCH");
    }
    assert_eq!(origin.connections(), 1);
    comes_to_rest(&gateway);
}

fn content_of_every_size_passes_both_ways(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    for size in [0, 1, 4096, 16_384, 65_536, 300_000, 3 << 20] {
        let body = pattern(size);
        for method in ["POST", "PUT"] {
            for sends in [Ends::After(size as u64), Ends::Chunked] {
                for answer in ["x-sized", "x-chunked"] {
                    let ask = Ask { sends, ..Ask::new(method, "/") }.field(answer, "1");
                    let shown = format!("{method} {size} {sends:?} {answer}");
                    client.begin(&ask);
                    let (upload, response) = both_ways(&mut client, &body);
                    upload.expect("the gateway takes the content");
                    let response = response.expect(&shown).expect(200);
                    assert!(response.body == body, "{shown}: {} bytes", response.body.len());
                    let length = response.value("content-length").map(str::to_owned);
                    let announced = (answer == "x-sized").then(|| size.to_string());
                    if size > 0 {
                        assert_eq!(length, announced, "{shown}");
                    }
                }
            }
        }
    }
    assert_eq!(origin.requests().len(), 7 * 8);
    comes_to_rest(&gateway);
}

fn both_ways(client: &mut Caller, body: &[u8]) -> (Result<(), Broken>, Result<Response, Broken>) {
    let talk = client.talk();
    let upload = talk.send(body).and_then(|()| talk.end(&[]));
    (upload, client.response())
}

fn an_answer_to_head_has_no_content(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.begin(200, &[("content-length", "1234")], Ends::None);
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    for _ in 0..2 {
        let response = client.ask(&Ask::new("HEAD", "/")).expect(200);
        assert_eq!(response.value("content-length"), Some("1234"));
        assert!(response.body.is_empty());
    }
    assert_eq!(origin.connections(), 1);
    comes_to_rest(&gateway);
}

fn answers_without_content_end(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        let status = turn.target()[1..].parse().expect("a status");
        match status {
            204 | 304 => turn.begin(status, &[("etag", "\"a\"")], Ends::None),
            _ => turn.answer(status, &[], ""),
        }
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    for status in [204, 304, 200, 404, 599] {
        let response = client.ask(&Ask::get(&format!("/{status}"))).expect(status);
        assert!(response.body.is_empty());
    }
    assert_eq!(origin.connections(), 1);
    comes_to_rest(&gateway);
}

fn trailers() -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![pair("grpc-status", "0"), pair("x-sum", "a b"), pair("x-sum", "c")]
}

fn trailers_pass_both_ways(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    let ask = Ask::post("/", Ends::Chunked).field("te", "trailers").field("x-chunked", "1");
    for body in [b"some".to_vec(), pattern(100_000)] {
        client.begin(&ask);
        let talk = client.talk();
        talk.send(&body).and_then(|()| talk.end(&trailers())).expect("the content");
        let response = client.response().expect("an answer").expect(200);
        assert!(response.body == body);
        assert_eq!(response.trailers, trailers());
    }
    assert_eq!(origin.requests()[1].trailers, trailers());
    comes_to_rest(&gateway);
}

fn trailers_behind_no_content_pass(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.content().expect("no content");
        turn.begin(200, &[], Ends::Chunked);
        turn.talk().end(&trailers()).expect("the gateway takes the trailers");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::Chunked));
    client.talk().end(&trailers()).expect("the gateway takes the trailers");
    let response = client.response().expect("an answer").expect(200);
    assert!(response.body.is_empty());
    assert_eq!(response.trailers, trailers());
    assert_eq!(origin.only_request().trailers, trailers());
    comes_to_rest(&gateway);
}

fn an_expectation_is_met_before_the_content_is_sent(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        assert_eq!(turn.head.value("expect"), Some("100-continue"));
        turn.interim(100, &[]);
        let (body, _) = turn.content().expect("the content, after the word");
        turn.answer(200, &[], body);
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    for sends in [Ends::After(4), Ends::Chunked] {
        client.begin(&Ask::post("/", sends).field("expect", "100-continue"));
        assert_eq!(client.interim().expect("an interim answer").0, 100);
        let (upload, response) = both_ways(&mut client, b"late");
        upload.expect("the gateway takes the content");
        assert_eq!(response.expect("an answer").expect(200).text(), "late");
    }
    comes_to_rest(&gateway);
}

fn early_hints_pass(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        turn.interim(103, &[("link", "</a.css>; rel=preload")]);
        turn.interim(103, &[("link", "</b.css>; rel=preload")]);
        held.wait();
        turn.answer(200, &[], "page");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/"));
    for link in ["</a.css>; rel=preload", "</b.css>; rel=preload"] {
        let (status, head) = client.interim().expect("a hint, before the answer");
        assert_eq!((status, head.value("link")), (103, Some(link)));
    }
    gate.open();
    assert_eq!(client.response().expect("an answer").expect(200).text(), "page");
    comes_to_rest(&gateway);
}

fn fields_are_edited(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.answer(200, &[("server", "x"), ("x-set", "old"), ("x-kept", "1")], "ok");
    });
    let keys = route(
        "request_headers = { remove = [\"x-gone\"], set = { \"x-set\" = \"{host}\" }, add = { \"x-add\" = [\"one\", \"two\"] } }\n\
         response_headers = { remove = [\"server\"], set = { \"x-set\" = \"new\" }, add = { \"X-Add\" = \"{route}\" } }",
    );
    let gateway = start(driver, versions, &origin, keys);
    let ask = Ask::get("/").field("x-gone", "1").field("x-set", "old").field("x-kept", "1");
    let response = connect(versions, &gateway).ask(&ask).expect(200);
    let seen = origin.only_request().head;
    assert!(!seen.has("x-gone"), "{seen:?}");
    assert_eq!(seen.values("x-set"), ["test.example"]);
    assert_eq!(seen.values("x-add").join(","), "one,two");
    assert_eq!(seen.value("x-kept"), Some("1"));
    assert!(!response.head.has("server"));
    assert_eq!(response.head.values("x-set"), ["new"]);
    assert_eq!(response.head.values("x-add"), ["all"]);
    assert_eq!(response.value("x-kept"), Some("1"));
}

fn repeated_fields_stay_apart(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.answer(200, &[("set-cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")], "ok");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let ask = Ask::get("/").field("x-many", "1").field("x-other", "o").field("x-many", "2");
    let response = connect(versions, &gateway).ask(&ask).expect(200);
    assert_eq!(response.head.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(origin.only_request().head.values("x-many"), ["1", "2"]);
}

fn hop_by_hop_fields_stay_here(driver: Driver, versions: Versions) {
    let (up, down) = (versions.up, versions.down);
    let origin = Origin::new(up, move |turn| match up {
        Version::Http1 => {
            let fields = [("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=9")];
            turn.answer(200, &fields, "ok");
        }
        Version::Http2 => turn.answer(200, &[("x-end", "1")], "ok"),
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let ask = match down {
        Version::Http1 => Ask::get("/").field("connection", "x-hop, te").field("x-hop", "1"),
        Version::Http2 => Ask::get("/"),
    };
    let response = connect(versions, &gateway).ask(&ask.field("te", "trailers")).expect(200);
    for gone in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!response.head.has(gone), "{gone}: {:?}", response.head);
        assert!(!origin.only_request().head.has(gone), "{gone}");
    }
    if down == Version::Http2 {
        assert!(!response.head.has("connection") && !response.head.has("transfer-encoding"));
    }
}

fn the_client_is_named_to_the_target(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "ok");
    let keys = Keys { top: "[forwarding]\nforwarded = true\n", ..Keys::default() };
    let gateway = start(driver, versions, &origin, keys);
    let ask = Ask::get("/").field("x-forwarded-for", "1.2.3.4").field("x-forwarded-host", "evil");
    connect(versions, &gateway).ask(&ask).expect(200);
    let seen = origin.only_request().head;
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.values("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.values("x-forwarded-host"), ["test.example"]);
    let forwarded = seen.value("forwarded").expect("Forwarded");
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert!(seen.has("traceparent") && seen.has("x-request-id"));
}

fn via_names_the_version_of_each_side(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "ok");
    let gateway = start(driver, versions, &origin, Keys::default());
    let response = connect(versions, &gateway).ask(&Ask::get("/")).expect(200);
    let via = |version| match version {
        Version::Http1 => "1.1 tollgate",
        Version::Http2 => "2.0 tollgate",
    };
    assert_eq!(origin.only_request().value("via"), Some(via(versions.down)));
    assert_eq!(response.value("via"), Some(via(versions.up)));
}

fn the_gateways_own_answers(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "never");
    let keys = Keys {
        routes: "[[routes]]\nname = \"moved\"\npath = \"/moved/{id}\"\nredirect = { to = \"https://{host}/new/{id}?{query}\", status = 308 }\n\
                 [[routes]]\nname = \"fixed\"\npath = \"/fixed\"\nrespond = { status = 203, body = \"hello\" }\n",
        ..Keys::default()
    };
    let gateway = start(driver, versions, &origin, keys);
    let mut client = connect(versions, &gateway);
    let moved = client.ask(&Ask::get("/moved/7?a=b")).expect(308);
    assert_eq!(moved.value("location"), Some("https://test.example/new/7?a=b"));
    assert_eq!(client.ask(&Ask::get("/fixed")).expect(203).text(), "hello");
    let head = client.ask(&Ask::new("HEAD", "/fixed")).expect(203);
    assert_eq!((head.value("content-length"), head.text().as_str()), (Some("5"), ""));
    let sent = client.ask_with(&Ask::post("/fixed", Ends::After(4)), b"some");
    assert_eq!(sent.expect(203).text(), "hello");
    assert!(origin.requests().is_empty());
    comes_to_rest(&gateway);
}

fn the_gateways_own_failures(driver: Driver, versions: Versions) {
    let refusing = Refusing::new();
    let keys = Keys {
        upstream: "retries = 0",
        routes: "[[routes]]\nname = \"get\"\nhost = \"only.example\"\npath = \"/get\"\nmethods = [\"GET\"]\nupstream = \"app\"\n",
        ..route("host = \"test.example\"")
    };
    let gateway = Gateway::start(driver, versions.config(&[&refusing.address], keys));
    let mut client = connect(versions, &gateway);
    client.ask(&Ask::get("/").host("other.example")).expect_failure(404);
    let refused = client.ask(&Ask::new("DELETE", "/get").host("only.example"));
    let allowed = refused.expect_failure(405).value("allow").expect("Allow").to_owned();
    assert!(allowed.contains("GET"), "{allowed}");
    let failed = client.ask(&Ask::get("/").field("accept", "application/json")).expect_failure(502);
    assert_eq!(failed.value("content-type"), Some("application/problem+json"));
    let told = failed.value("proxy-status").expect("Proxy-Status").to_owned();
    assert!(told.contains("connection_refused"), "{told}");
    comes_to_rest(&gateway);
}

fn content_that_is_too_large_is_refused(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        if turn.content().is_ok() {
            turn.answer(200, &[], "whole");
        }
    });
    let gateway = start(driver, versions, &origin, route("max_body = \"10B\""));
    let ask = |sends, body: &[u8]| {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        // The gateway may have had enough before all is sent.
        let (_, response) = both_ways(&mut client, body);
        response.expect("an answer")
    };
    ask(Ends::After(11), b"12345678901").expect_failure(413);
    assert!(origin.requests().is_empty());
    ask(Ends::Chunked, b"12345678901").expect_failure(413);
    for sends in [Ends::After(10), Ends::Chunked] {
        assert_eq!(ask(sends, b"1234567890").expect(200).text(), "whole");
    }
    comes_to_rest(&gateway);
}

fn a_limit_is_told_and_kept(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "ok");
    let keys = route("limits = [{ rate = \"1/h\", burst = 2, key = \"client_ip\" }]");
    let gateway = start(driver, versions, &origin, keys);
    let mut client = connect(versions, &gateway);
    for left in [1, 0] {
        let response = client.ask(&Ask::get("/")).expect(200);
        assert_eq!(response.value("ratelimit-policy"), Some("\"all\";q=1;w=3600"));
        let standing = response.value("ratelimit").expect("RateLimit");
        assert!(standing.starts_with(&format!("\"all\";r={left};t=")), "{standing}");
    }
    let refused = client.ask(&Ask::get("/")).expect_failure(429);
    assert!(refused.head.has("retry-after"));
    let refused = client.ask_with(&Ask::post("/", Ends::Chunked), b"content");
    refused.expect_failure(429);
    assert_eq!(origin.requests().len(), 2);
    comes_to_rest(&gateway);
}

fn a_path_is_rewritten(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "ok");
    let keys = Keys {
        routes: "[[routes]]\nname = \"old\"\npath = \"/old/{id}/*\"\nupstream = \"app\"\nrewrite = \"/new/{*}/{id}\"\n\
                 [[routes]]\nname = \"cut\"\npath = \"/api/*\"\nupstream = \"app\"\nstrip_prefix = \"/api\"\n",
        ..Keys::default()
    };
    let gateway = start(driver, versions, &origin, keys);
    let mut client = connect(versions, &gateway);
    for (n, (sent, seen)) in [
        ("/old/7/a/b?q=1", "/new/a/b/7?q=1"),
        ("/api/x/../y?z", "/y?z"),
        ("/a//b/./c%20d?x=%7e", "/a//b/c%20d?x=%7e"),
    ]
    .iter()
    .enumerate()
    {
        client.ask(&Ask::get(sent)).expect(200);
        assert_eq!(origin.wait_for_request(n + 1).target(), *seen, "{sent}");
    }
}

fn the_host_is_the_routes(driver: Driver, versions: Versions) {
    for (policy, seen) in [
        ("", Some("test.example:81")),
        ("\"inner.example\"", Some("inner.example")),
        ("\"target\"", None),
    ] {
        let origin = Origin::saying(versions.up, "ok");
        let key = if policy.is_empty() { String::new() } else { format!("host_policy = {policy}") };
        let gateway = start(driver, versions, &origin, route(&key));
        connect(versions, &gateway).ask(&Ask::get("/").host("test.example:81")).expect(200);
        let hosts = origin.only_request().head;
        assert_eq!(hosts.values("host"), [seen.unwrap_or(&origin.address)], "{policy}");
    }
}

fn a_location_is_put_right(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        let host = turn.head.value("host").expect("a host").to_owned();
        turn.answer(302, &[("location", &format!("http://{host}/there?a=b"))], "");
    });
    let gateway = start(driver, versions, &origin, route("host_policy = \"target\""));
    let response = connect(versions, &gateway).ask(&Ask::get("/")).expect(302);
    assert_eq!(response.value("location"), Some("http://test.example/there?a=b"));
}

fn each_request_has_an_id_and_a_record(driver: Driver, versions: Versions) {
    let origin = Origin::saying(versions.up, "0123456789");
    let keys = Keys { top: "[access_log]\nformat = \"json\"\n", ..Keys::default() };
    let gateway = start(driver, versions, &origin, keys);
    let ask = Ask::post("/orders/7?x=y", Ends::Chunked).field("user-agent", "test/1");
    connect(versions, &gateway).ask_with(&ask, b"hello").expect(200);
    let line = gateway.wait_output("a record", |l| l.contains("/orders/7"));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    let id = origin.only_request().value("x-request-id").expect("an id").to_owned();
    for (key, value) in [
        ("method", "POST"),
        ("path", "/orders/7"),
        ("query", "x=y"),
        ("host", "test.example"),
        ("client", "127.0.0.1"),
        ("route", "all"),
        ("upstream", "app"),
        ("target", &origin.address),
        ("user_agent", "test/1"),
        ("request_id", &id),
    ] {
        assert_eq!(record[key], value, "{key} in {line}");
    }
    let version = (versions.down == Version::Http2).then_some("2");
    assert_eq!(record.get("version").and_then(Value::as_str), version, "{line}");
    for (key, value) in [("status", 200), ("bytes_in", 5), ("bytes_out", 10), ("retries", 0)] {
        assert_eq!(record[key], value, "{key} in {line}");
    }
}

fn a_refused_connection_is_tried_elsewhere(driver: Driver, versions: Versions) {
    let refusing = Refusing::new();
    let origin = echo(versions);
    let targets = [refusing.address.as_str(), &origin.address];
    let gateway = Gateway::start(driver, versions.config(&targets, Keys::default()));
    for sends in [Ends::After(4), Ends::Chunked] {
        for _ in 0..4 {
            let mut client = connect(versions, &gateway);
            let response = client.ask_with(&Ask::post("/", sends), b"once");
            assert_eq!(response.expect(200).text(), "once");
        }
    }
    assert_eq!(origin.requests().len(), 8);
    assert!(gateway.stats().upstream("app", "/retries") > 0);
    comes_to_rest(&gateway);
}

/// Reads a request and answers nothing until the gateway has had enough; tells of that.
fn silent(versions: Versions) -> (Origin, Receiver<()>) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.content().expect("the request's content");
        turn.wait_gone().expect("the gateway gives up");
        tell(&gone, ());
    });
    (origin, is_gone)
}

fn the_first_byte_takes_too_long(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let keys = route("timeouts = { first_byte = \"200ms\" }");
    let gateway = start(driver, versions, &origin, keys);
    let mut client = connect(versions, &gateway);
    client.ask(&Ask::get("/")).expect_failure(504);
    told(&gone);
    let sent = client.ask_with(&Ask::post("/", Ends::Chunked), &pattern(100_000));
    sent.expect_failure(504);
    told(&gone);
    comes_to_rest(&gateway);
}

fn the_whole_takes_too_long(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let gateway = start(driver, versions, &origin, route("timeouts = { total = \"200ms\" }"));
    let mut client = connect(versions, &gateway);
    let response = client.ask(&Ask::get("/").field("accept", "application/json"));
    let response = response.expect_failure(504);
    assert!(response.text().contains("total_timeout"), "{}", response.text());
    told(&gone);
    comes_to_rest(&gateway);
}

fn the_whole_takes_too_long_though_pieces_keep_coming(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::Chunked);
        while turn.talk().send(b"x").is_ok() {
            pass(Duration::from_millis(20));
        }
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, route("timeouts = { total = \"300ms\" }"));
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/"));
    expect_cut(client.response());
    told(&is_gone);
    comes_to_rest(&gateway);
}

fn a_client_whose_content_stalls_is_told(driver: Driver, versions: Versions) {
    let (cut, is_cut) = channel();
    let origin = Origin::new(versions.up, move |turn| tell(&cut, turn.content()));
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"200ms\" }"));
    for sends in [Ends::After(100), Ends::Chunked] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        client.talk().send(b"half").expect("the gateway takes the content");
        client.response().expect("an answer").expect_failure(408);
        assert!(told(&is_cut).is_err(), "the target must not take it for whole");
    }
    comes_to_rest(&gateway);
}

fn a_target_whose_content_stalls_is_cut_off(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        let sends = if turn.target() == "/sized" { Ends::After(100) } else { Ends::Chunked };
        turn.begin(200, &[], sends);
        turn.talk().send(b"half").expect("the gateway takes the content");
        turn.wait_gone().expect("the gateway gives up");
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"200ms\" }"));
    for path in ["/sized", "/chunked"] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get(path));
        expect_cut(client.response());
        told(&is_gone);
    }
    comes_to_rest(&gateway);
}

fn a_target_that_takes_no_content_is_given_up(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |_| held.wait());
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"300ms\" }"));
    let mut client = connect(versions, &gateway);
    let size = 256 * MIB;
    client.begin(&Ask::post("/", Ends::After(size)));
    let taken = client.talk().send_until_stopped(&pattern(65_536), size);
    assert!(taken < ON_THE_WAY, "{} MiB", taken / MIB);
    client.response().expect("an answer").expect_failure(504);
    gate.open();
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_while_it_waits_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    for n in 1..=2 {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get("/"));
        origin.wait_for_request(n);
        client.abort();
        told(&gone);
    }
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_in_its_content_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (cut, is_cut) = channel();
    let origin = Origin::new(versions.up, move |turn| tell(&cut, turn.content()));
    let gateway = start(driver, versions, &origin, Keys::default());
    for (n, sends) in [Ends::After(100), Ends::Chunked].into_iter().enumerate() {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        client.talk().send(b"half").expect("the gateway takes the content");
        origin.wait_for_request(n + 1);
        client.abort();
        assert!(told(&is_cut).is_err(), "the target must not take it for whole");
    }
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_in_an_answer_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::After(512 * MIB));
        let piece = pattern(65_536);
        while turn.talk().send(&piece).is_ok() {}
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/"));
    client.head().expect("the head");
    client.talk().piece().expect("a piece");
    client.abort();
    told(&is_gone);
    comes_to_rest(&gateway);
}

fn an_answer_that_breaks_off_never_looks_whole(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        let sends = if turn.target() == "/sized" { Ends::After(100_000) } else { Ends::Chunked };
        turn.begin(200, &[], sends);
        turn.talk().send(&pattern(50_000)).expect("the gateway takes the content");
        held.wait();
        turn.abort();
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    for path in ["/sized", "/chunked"] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get(path));
        client.head().expect("the head, before the end");
        gate.release();
        let content = client.talk().content();
        assert!(matches!(content, Err(Broken::Cut(_) | Broken::Reset)), "{content:?}");
    }
    comes_to_rest(&gateway);
}

fn a_target_that_breaks_off_before_its_answer_is_a_502(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.content().expect("the request's content");
        turn.abort();
    });
    let gateway =
        start(driver, versions, &origin, Keys { upstream: "retries = 0", ..Keys::default() });
    let mut client = connect(versions, &gateway);
    client.ask(&Ask::get("/")).expect_failure(502);
    let sent = client.ask_with(&Ask::post("/", Ends::Chunked), b"content");
    sent.expect_failure(502);
    comes_to_rest(&gateway);
}

fn a_slow_client_stops_the_target(driver: Driver, versions: Versions) {
    let total = 96 * MIB;
    let (stopped, is_stopped) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::After(total));
        let piece = pattern(65_536);
        let taken = turn.talk().send_until_stopped(&piece, total);
        tell(&stopped, taken);
        let mut left = total - taken;
        while left > 0 {
            let n = left.min(65_536);
            turn.talk().send(&piece[..n as usize]).expect("the gateway takes the rest");
            left -= n;
        }
        turn.talk().end(&[]).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = Caller::connect_narrow(versions.down, gateway.web());
    client.begin(&Ask::get("/"));
    client.head().expect("the head");
    let taken = told(&is_stopped);
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the client", taken / MIB);
    assert_eq!(count(&mut client), total);
    comes_to_rest(&gateway);
}

/// Reads content to its end and counts it.
fn count(client: &mut Caller) -> u64 {
    let mut came = 0;
    while let Piece::Data(data) = client.talk().piece().expect("a piece") {
        came += data.len() as u64;
    }
    came
}

fn a_slow_target_stops_the_client(driver: Driver, versions: Versions) {
    let total = 96 * MIB;
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        held.wait();
        let mut came = 0;
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            came += data.len() as u64;
        }
        turn.answer(200, &[], came.to_string());
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::After(total)));
    let piece = pattern(65_536);
    let taken = client.talk().send_until_stopped(&piece, total);
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the target", taken / MIB);
    gate.open();
    let mut left = total - taken;
    while left > 0 {
        let n = left.min(65_536);
        client.talk().send(&piece[..n as usize]).expect("the gateway takes the rest");
        left -= n;
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.response().expect("an answer").expect(200).text(), total.to_string());
    comes_to_rest(&gateway);
}

fn events_arrive_one_by_one(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[("content-type", "text/event-stream")], Ends::Chunked);
        for n in 0..3 {
            held.wait();
            turn.talk().send(format!("data: {n}\n\n").as_bytes()).expect("the gateway takes it");
        }
        held.wait();
        turn.talk().end(&[]).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/events"));
    let (_, head) = client.head().expect("the head, before any event");
    assert_eq!(head.value("content-type"), Some("text/event-stream"));
    for n in 0..3 {
        gate.release();
        let event = Piece::Data(format!("data: {n}\n\n").into_bytes());
        assert_eq!(client.talk().piece(), Ok(event));
    }
    gate.release();
    assert_eq!(client.talk().piece(), Ok(Piece::End(Vec::new())));
    comes_to_rest(&gateway);
}

fn pieces_of_a_request_arrive_one_by_one(driver: Driver, versions: Versions) {
    let (came, pieces) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            tell(&came, data);
        }
        turn.answer(200, &[], "done");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::Chunked));
    for piece in ["one", "two", "three"] {
        client.talk().send(piece.as_bytes()).expect("the gateway takes it");
        assert_eq!(told(&pieces), piece.as_bytes());
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.response().expect("an answer").expect(200).text(), "done");
    comes_to_rest(&gateway);
}

fn an_early_answer_reaches_a_client_that_still_sends(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.answer(200, &[], "early");
        turn.wait_gone().expect("nobody sends the rest");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::After(7)));
    client.talk().send(b"some").expect("the gateway takes it");
    let (status, _) = client.head().expect("the answer, before all was sent");
    assert_eq!(status, 200);
    let text = client.talk().piece();
    assert_eq!(text, Ok(Piece::Data(b"early".to_vec())));
    comes_to_rest(&gateway);
}

fn an_early_answer_and_no_more_wish_for_the_content(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        // It reads nothing of the content.
        turn.answer(413, &[("x-early", "1")], "early");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    for sends in [Ends::After(64 * MIB), Ends::Chunked] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        let piece = pattern(65_536);
        // It may be refused half-way; what counts is that the answer is not lost for that.
        for _ in 0..1024 {
            if client.talk().send(&piece).is_err() {
                break;
            }
        }
        let response = client.response().expect("the early answer").expect(413);
        assert_eq!((response.text().as_str(), response.value("x-early")), ("early", Some("1")));
    }
    comes_to_rest(&gateway);
}

fn both_contents_at_once(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.begin(200, &[], Ends::Chunked);
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            turn.talk().send(&data).expect("the gateway takes its echo");
        }
        turn.talk().end(&trailers()).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::Chunked));
    client.head().expect("the head, before the content is whole");
    for n in 0..5 {
        let piece = format!("ab{n}").into_bytes();
        client.talk().send(&piece).expect("the gateway takes it");
        assert_eq!(client.talk().piece(), Ok(Piece::Data(piece)));
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.talk().piece(), Ok(Piece::End(trailers())));
    connect(versions, &gateway).begin(&Ask::get("/"));
    comes_to_rest(&gateway);
}

fn what_was_counted_is_what_came(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    let body = pattern(10_000);
    for _ in 0..3 {
        client.ask_with(&Ask::post("/", Ends::Chunked), &body).expect(200);
    }
    comes_to_rest(&gateway);
    let stats = gateway.stats();
    assert_eq!(stats.number("/gateway/requests"), 3);
    assert_eq!(stats.route("all", "/requests"), 3);
    assert_eq!(stats.route("all", "/responses/200"), 3);
    assert_eq!(stats.upstream("app", "/requests"), 3);
    assert_eq!(stats.target("app", &origin.address, "/tries"), 3);
    for direction in ["/gateway/bytes_in", "/gateway/bytes_out"] {
        let bytes = stats.number(direction);
        assert!((30_000..33_000).contains(&bytes), "{direction}: {bytes}");
    }
}

fn many_clients_at_once_each_get_their_own(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let (web, down) = (gateway.web(), versions.down);
    let clients: Vec<_> = (0..16)
        .map(|n| {
            thread::spawn(move || {
                let mut client = Caller::connect(down, web);
                for size in [10, 5_000, 40_000, 90_000] {
                    let body = vec![n; size];
                    let sends = if n % 2 == 0 { Ends::Chunked } else { Ends::After(size as u64) };
                    let response = client.ask_with(&Ask::post("/", sends), &body).expect(200);
                    assert!(response.body == body, "another's content");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    assert_eq!(origin.requests().len(), 64);
    comes_to_rest(&gateway);
}

fn nothing_is_left_behind(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| match turn.target() {
        "/reset" => turn.abort(),
        "/cut" => {
            turn.begin(200, &[], Ends::After(9));
            turn.talk().send(b"cut").expect("the gateway takes it");
            turn.abort();
        }
        "/stall" => turn.wait_gone().expect("the gateway gives up"),
        _ => match turn.content() {
            Ok((body, _)) => turn.answer(200, &[], body),
            Err(_) => turn.abort(),
        },
    });
    let keys = Keys { upstream: "max_idle = 0\nretries = 0", ..Keys::default() };
    let gateway = start(driver, versions, &origin, keys);
    let mut served = 0;
    let mut round = || {
        for path in ["/reset", "/cut", "/fine"] {
            let mut client = connect(versions, &gateway);
            client.begin(&Ask::get(path));
            // Whatever comes of it.
            drop(client.response());
        }
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get("/stall"));
        served += 4;
        origin.wait_for_request(served);
        client.abort();
        let mut half = connect(versions, &gateway);
        half.begin(&Ask::post("/", Ends::Chunked));
        half.talk().send(b"half").expect("the gateway takes it");
        served += 1;
        origin.wait_for_request(served);
        drop(half);
    };
    round();
    gateway.wait_stats("the first round is over", |s| s.connections() == 0 && s.in_flight() == 0);
    let before = gateway.descriptors();
    for _ in 0..10 {
        round();
    }
    gateway.wait_stats("all are gone", |s| s.connections() == 0);
    comes_to_rest(&gateway);
    eventually("descriptors as before", || gateway.descriptors() <= before);
}
