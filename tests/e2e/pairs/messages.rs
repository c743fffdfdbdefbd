//! What is said in heads, contents and trailers, and the gateway's own answers.

use serde_json::Value;

use super::{both_ways, comes_to_rest, connect, echo, pattern, route, start, trailers};
use crate::harness::{Ask, Driver, Ends, Gate, Gateway, Keys, Origin, Refusing, Version, Versions};

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
    no_field_names_the_target,
    each_request_has_an_id_and_a_record,
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

fn no_field_names_the_target(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        let host = turn.head.value("host").expect("a host").to_owned();
        let name = host.split(':').next().expect("a name").to_owned();
        let link = format!("<http://{host}/a.css>; rel=preload");
        turn.interim(103, &[("link", &link)]);
        let fields = [
            ("content-location", format!("http://{host}/7")),
            ("refresh", format!("5; url=http://{host}/there")),
            ("link", format!("{link}, <http://else.example/>; rel=next")),
            ("set-cookie", format!("a=b; Domain={name}; Path=/")),
            ("set-cookie", "c=d; Domain=test.example".to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        turn.answer(200, &fields, "");
    });
    let gateway = start(driver, versions, &origin, route("host_policy = \"target\""));
    let response = connect(versions, &gateway).ask(&Ask::get("/")).expect(200);
    let link = "<http://test.example/a.css>; rel=preload";
    assert_eq!(response.interim[0].value("link"), Some(link));
    for (name, shown) in [
        ("content-location", vec!["http://test.example/7"]),
        ("refresh", vec!["5; url=http://test.example/there"]),
        ("link", vec![&*format!("{link}, <http://else.example/>; rel=next")]),
        ("set-cookie", vec!["a=b; Path=/", "c=d; Domain=test.example"]),
    ] {
        assert_eq!(response.head.values(name), shown, "{name}");
    }
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
