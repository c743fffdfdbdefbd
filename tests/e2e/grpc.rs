//! gRPC from end to end: all kinds of calls, deadlines, what failed ones are told, which routes take
//! them.

use std::time::Duration;

use serde_json::Value;

use crate::harness::grpc::{GrpcClient, GrpcServer, Outcome};
use crate::harness::{Driver, Gate, Gateway, Upstream, eventually, pass};

both_drivers!(
    a_unary_call_passes_with_all_that_it_says,
    a_client_may_stream,
    a_server_may_stream,
    both_may_stream_at_once,
    messages_of_a_mebibyte_pass,
    many_calls_share_two_connections,
    a_servers_refusal_passes,
    a_call_that_is_given_up_ends_at_the_server,
    an_error_is_a_head_alone,
    each_failure_has_its_status,
    a_fixed_refusal_is_told_as_grpc,
    other_requests_get_errors_of_http,
    a_record_has_the_grpc_status,
    a_deadline_shrinks_on_its_way,
    a_routes_bound_is_told_as_a_deadline,
    a_deadline_that_passes_ends_the_call,
    a_deadline_ends_an_answer_that_has_begun,
    a_deadline_holds_while_the_client_streams,
    the_shorter_of_deadline_and_bound_holds,
    a_deadline_that_has_passed_goes_nowhere,
    bad_grpc_timeout,
    a_server_that_fails_in_an_answer_is_told_in_trailers,
    one_direction_may_be_silent_while_the_other_is_not,
    silence_in_both_directions_ends_a_call,
    a_route_takes_a_service_or_a_method_of_it,
);

fn start(driver: Driver, server: &GrpcServer, keys: &str) -> (Gateway, GrpcClient) {
    let gateway = Gateway::start(driver, server.behind(keys));
    let client = GrpcClient::connect(gateway.web());
    (gateway, client)
}

fn a_unary_call_passes_with_all_that_it_says(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    let fields = [("x-words", "a, b"), ("x-key-bin", "AAEC"), ("grpc-encoding", "identity")];
    let mut call = client.call("/shop.v1.Orders/Get", &fields);
    call.send(b"order 7");
    call.end();
    let outcome = call.outcome();
    assert_eq!(outcome.messages, [b"order 7"]);
    assert_eq!((outcome.status(), outcome.head_only), (0, false));
    assert_eq!(outcome.said("x-trailing-bin"), "AAEC");
    assert_eq!(outcome.head.headers["x-initial"], "early");
    assert_eq!(outcome.head.headers["content-type"], "application/grpc+proto");
    let head = server.only_head();
    assert_eq!(head.method, "POST");
    assert_eq!(head.uri.path(), "/shop.v1.Orders/Get");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["content-type"], "application/grpc+proto");
    assert!(!head.headers.contains_key("grpc-timeout"), "nobody set a bound");
    for (name, value) in fields {
        assert_eq!(head.headers[name], value);
    }
}

fn a_client_may_stream(driver: Driver) {
    let server = GrpcServer::new(|call| {
        let mut sum = 0;
        while let Some(message) = call.next().expect("no reset") {
            sum += message.len();
        }
        call.send(sum.to_string().as_bytes());
        call.finish(0, "");
    });
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Sum", &[]);
    for n in 0..50 {
        call.send(&vec![b'x'; n * 100]);
    }
    server.wait_for_call(1);
    call.end();
    let outcome = call.outcome();
    assert_eq!(outcome.messages, [(0..50).map(|n| n * 100).sum::<usize>().to_string().as_bytes()]);
    assert_eq!(outcome.status(), 0);
}

fn a_server_may_stream(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let server = GrpcServer::new(move |call| {
        for n in 0..5 {
            call.send(format!("{n}").as_bytes());
            held.wait();
        }
        call.finish(0, "");
    });
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/List", &[]);
    call.send(b"from 0");
    call.end();
    for n in 0..5 {
        assert_eq!(call.expect(), format!("{n}").as_bytes(), "each as it comes");
        gate.release();
    }
    assert_eq!(call.outcome().status(), 0);
}

fn both_may_stream_at_once(driver: Driver) {
    let server = GrpcServer::new(|call| {
        call.begin();
        while let Some(message) = call.next().expect("no reset") {
            call.send(&[&b"re: "[..], &message].concat());
        }
        call.finish(0, "");
    });
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Chat", &[]);
    assert!(!call.begin().expect("an answer"), "a head before any message");
    for n in 0..20 {
        call.send(format!("{n}").as_bytes());
        assert_eq!(call.expect(), format!("re: {n}").as_bytes());
    }
    call.end();
    assert_eq!(call.outcome().status(), 0);
}

fn messages_of_a_mebibyte_pass(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    let message: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let outcome = client.unary("/a.B/Echo", &message);
    assert!(outcome.messages == [message], "as it was sent");
    assert_eq!(outcome.status(), 0);
}

fn many_calls_share_two_connections(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    for round in 0..20 {
        let calls: Vec<_> = (0..25)
            .map(|n| {
                let mut call = client.call("/a.B/Echo", &[]);
                call.send(format!("{round} {n}").as_bytes());
                call.end();
                call
            })
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.outcome().messages, [format!("{round} {n}").as_bytes()]);
        }
    }
    assert_eq!((server.count(), server.connections()), (500, 1));
}

fn a_servers_refusal_passes(driver: Driver) {
    // The encoding of messages leaves blanks as they are, at the end too, where they are lost.
    let server = GrpcServer::new(|call| call.refuse(5, "no such order: "));
    let (_gateway, client) = start(driver, &server, "");
    let outcome = client.unary("/a.B/Get", b"");
    assert!(outcome.head_only, "one head here as there");
    assert_eq!((outcome.status(), outcome.said("grpc-message")), (5, "no such order:"));
}

fn a_call_that_is_given_up_ends_at_the_server(driver: Driver) {
    let (ended, waits) = (Gate::new(), Gate::new());
    let (told, held) = (ended.clone(), waits.clone());
    let server = GrpcServer::new(move |call| {
        call.send(b"first");
        held.wait();
        call.wait_reset().expect("a reset");
        told.release();
    });
    let (gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Watch", &[]);
    assert_eq!(call.expect(), b"first");
    call.cancel();
    waits.release();
    ended.wait();
    gateway.wait_stats("nothing is in flight", |stats| stats.in_flight() == 0);
}

/// A call that comes to nothing.
fn refused(gateway: &Gateway, path: &str, status: u16) -> Outcome {
    let outcome = GrpcClient::connect(gateway.web()).unary(path, b"message");
    outcome.expect_refusal(status);
    outcome
}

fn an_error_is_a_head_alone(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
         [[routes]]\nname = \"old\"\npath = \"/old\"\nredirect = { to = \"/new\" }\n",
    );
    let outcome = refused(&gateway, "/a.B/Get", 12);
    assert_eq!(outcome.said("grpc-message"), "No such resource");
    assert_eq!(outcome.said("proxy-status"), "tollgate; error=destination_not_found");
    assert_eq!(outcome.said("x-request-id").len(), 32);
}

fn each_failure_has_its_status(driver: Driver) {
    let hanging = GrpcServer::new(|call| {
        let _ = call.wait_reset();
    });
    let dying = GrpcServer::new(|call| call.reset());
    let (hanging, dying) = (&hanging.address, &dying.address);
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
             [upstreams.nobody]\ntargets = [\"127.0.0.1:1\"]\nprotocol = \"h2\"\n\
             [upstreams.hanging]\ntargets = [\"{hanging}\"]\nprotocol = \"h2\"\n\
             [upstreams.dying]\ntargets = [\"{dying}\"]\nprotocol = \"h2\"\n\
             [[routes]]\nname = \"nobody\"\npath = \"/nobody/*\"\nupstream = \"nobody\"\n\
             [[routes]]\nname = \"dying\"\npath = \"/dying/*\"\nupstream = \"dying\"\n\
             [[routes]]\nname = \"slow\"\npath = \"/slow/*\"\nupstream = \"hanging\"\n\
             timeouts = {{ first_byte = \"50ms\" }}\n\
             [[routes]]\nname = \"bounded\"\npath = \"/bounded/*\"\nupstream = \"hanging\"\n\
             timeouts = {{ total = \"50ms\", first_byte = \"50ms\", idle = \"50ms\" }}\n\
             [[routes]]\nname = \"large\"\npath = \"/large/*\"\nupstream = \"hanging\"\n\
             max_body = \"4B\"\n\
             [[routes]]\nname = \"limited\"\npath = \"/limited/*\"\nupstream = \"nobody\"\n\
             limits = [{{ rate = \"1/h\", key = \"route\" }}]\n\
             [[routes]]\nname = \"get\"\npath = \"/get/*\"\nmethods = [\"GET\"]\n\
             upstream = \"nobody\"\n"
        ),
    );
    refused(&gateway, "/nobody/Get", 14);
    refused(&gateway, "/dying/Get", 14);
    refused(&gateway, "/slow/Get", 14);
    refused(&gateway, "/bounded/Get", 4);
    refused(&gateway, "/large/Get", 8);
    refused(&gateway, "/limited/Get", 14);
    let outcome = refused(&gateway, "/limited/Get", 8);
    assert!(outcome.head.headers.contains_key("retry-after"));
    assert_eq!(refused(&gateway, "/get/Get", 12).said("allow"), "GET, HEAD");
}

fn a_fixed_refusal_is_told_as_grpc(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
         [[routes]]\nname = \"away\"\npath = \"/*\"\n\
         respond = { status = 503, body = \"back at 100 % soon\\n\" }\n\
         response_headers = { set = { retry-after = \"60\" } }\n",
    );
    let client = GrpcClient::connect(gateway.web());
    let outcome = client.unary("/a.B/Get", b"");
    assert_eq!((outcome.head.status.as_u16(), outcome.head_only), (200, true));
    assert_eq!((outcome.status(), outcome.said("retry-after")), (14, "60"));
    assert_eq!(outcome.said("grpc-message"), "back at 100 %25 soon");
    let mut plain = client.request("GET", "/", &[]);
    plain.end();
    plain.begin().expect("an answer");
    assert_eq!(plain.head_status(), 503);
}

fn other_requests_get_errors_of_http(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
         [[routes]]\nname = \"old\"\npath = \"/old\"\nredirect = { to = \"/new\" }\n",
    );
    let client = GrpcClient::connect(gateway.web());
    for (method, content_type) in [
        ("POST", "application/json"),
        ("POST", "application/grpcx"),
        ("POST", "application/grpc-web"),
        ("PUT", "application/grpc"),
    ] {
        let mut call = client.request(method, "/a.B/Get", &[("content-type", content_type)]);
        call.end();
        call.begin().expect("an answer");
        assert_eq!(call.head_status(), 404, "{method} {content_type}");
    }
}

fn a_record_has_the_grpc_status(driver: Driver) {
    let server = GrpcServer::new(|call| match call.head.uri.path() {
        "/a.B/Fine" => {
            call.send(b"m");
            call.finish(0, "");
        }
        "/a.B/Late" => {
            call.send(b"m");
            call.finish(9, "");
        }
        _ => call.refuse(5, ""),
    });
    let log = "\n[access_log]\nformat = \"json\"\n";
    let (gateway, client) = start(driver, &server, log);
    client.unary("/a.B/Fine", b"");
    client.unary("/a.B/Late", b"");
    client.unary("/a.B/Refused", b"");
    let mut call = client.call("/a.B/Fine", &[("grpc-timeout", "0S")]);
    call.end();
    call.outcome().expect_refusal(4);
    let records = || {
        let lines = gateway.output();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|record| (record["status"].clone(), record["grpc_status"].clone())).collect()
    };
    let wanted = [(200, 0), (200, 9), (200, 5), (504, 4)];
    let wanted: Vec<(Value, Value)> = wanted.map(|(a, b)| (a.into(), b.into())).into();
    eventually("four records", || {
        let all: Vec<_> = records();
        all.len() == 4
    });
    assert_eq!(records(), wanted);
}

/// What a server was told of the time it has, milliseconds.
fn told(server: &GrpcServer) -> f64 {
    let head = server.only_head();
    let value = head.headers["grpc-timeout"].to_str().expect("text");
    let (digits, unit) = value.split_at(value.len() - 1);
    assert!((1..=8).contains(&digits.len()), "{value}");
    let unit = match unit {
        "n" => 1e-6,
        "u" => 1e-3,
        "m" => 1.0,
        "S" => 1e3,
        "M" => 6e4,
        _ => 3.6e6,
    };
    digits.parse::<f64>().expect("a number") * unit
}

fn a_deadline_shrinks_on_its_way(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Get", &[("grpc-timeout", "30S")]);
    call.send(b"m");
    call.end();
    assert_eq!(call.outcome().status(), 0);
    let told = told(&server);
    assert!(told <= 30_000.0 && told > 10_000.0, "{told} ms");
}

fn a_routes_bound_is_told_as_a_deadline(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "timeouts = { total = \"20s\" }");
    assert_eq!(client.unary("/a.B/Get", b"m").status(), 0);
    let told = told(&server);
    assert!(told <= 20_000.0 && told > 5_000.0, "{told} ms");
}

/// A server that never answers, or only begins to, and a gate that opens when its stream is reset.
fn never_ending(begins: bool) -> (GrpcServer, Gate) {
    let ended = Gate::new();
    let told = ended.clone();
    let server = GrpcServer::new(move |call| {
        if begins {
            call.send(b"first");
        }
        call.wait_reset().expect("a reset");
        told.release();
    });
    (server, ended)
}

fn a_deadline_that_passes_ends_the_call(driver: Driver) {
    let (server, ended) = never_ending(false);
    let (gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Get", &[("grpc-timeout", "100m")]);
    call.send(b"m");
    call.end();
    call.outcome().expect_refusal(4);
    ended.wait();
    gateway.wait_stats("it is counted as what it is", |stats| {
        stats.route("all", "/responses/504") == 1
    });
    // Nothing is wrong with the connection.
    assert_eq!(server.connections(), 1);
}

fn a_deadline_ends_an_answer_that_has_begun(driver: Driver) {
    let (server, ended) = never_ending(true);
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Watch", &[("grpc-timeout", "300m")]);
    call.send(b"m");
    call.end();
    assert_eq!(call.expect(), b"first");
    let outcome = call.outcome();
    assert!(!outcome.head_only);
    assert_eq!(outcome.status(), 4);
    assert_eq!(outcome.said("grpc-message"), "The service did not answer in time");
    ended.wait();
}

fn a_deadline_holds_while_the_client_streams(driver: Driver) {
    let (server, ended) = never_ending(false);
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Sum", &[("grpc-timeout", "200m")]);
    call.send(b"one, and no end");
    call.outcome().expect_refusal(4);
    ended.wait();
}

fn the_shorter_of_deadline_and_bound_holds(driver: Driver) {
    let (server, ended) = never_ending(false);
    let (_gateway, client) = start(
        driver,
        &server,
        "timeouts = { total = \"150ms\", first_byte = \"150ms\", idle = \"150ms\" }",
    );
    let mut call = client.call("/a.B/Get", &[("grpc-timeout", "1H")]);
    call.end();
    call.outcome().expect_refusal(4);
    ended.wait();
    let told = told(&server);
    assert!(told <= 150.0, "{told} ms");
}

fn a_deadline_that_has_passed_goes_nowhere(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    let mut call = client.call("/a.B/Get", &[("grpc-timeout", "0n")]);
    call.end();
    call.outcome().expect_refusal(4);
    assert_eq!(server.count(), 0);
}

fn bad_grpc_timeout(driver: Driver) {
    let server = GrpcServer::echo();
    let (_gateway, client) = start(driver, &server, "");
    for value in ["1s", "123456789S", "soon", "-1S"] {
        let mut call = client.call("/a.B/Get", &[("grpc-timeout", value)]);
        call.end();
        let outcome = call.outcome();
        outcome.expect_refusal(13);
        assert!(outcome.said("grpc-message").starts_with("grpc-timeout is not"), "{value}");
    }
    assert_eq!(server.count(), 0);
    // To others than gRPC it is a field as any.
    let fields = [("content-type", "text/plain"), ("grpc-timeout", "soon")];
    let mut plain = client.request("POST", "/", &fields);
    plain.send(b"m");
    plain.end();
    assert_eq!(plain.outcome().messages, [b"m"]);
    assert_eq!(server.only_head().headers["grpc-timeout"], "soon");
}

fn a_server_that_fails_in_an_answer_is_told_in_trailers(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let server = GrpcServer::new(move |call| {
        call.send(b"whole");
        call.send_raw(vec![0, 0, 0, 0, 9, b'c', b'u', b't']);
        held.wait();
        call.reset();
    });
    let log = "\n[access_log]\nformat = \"json\"\n";
    let (gateway, client) = start(driver, &server, log);
    let mut call = client.call("/a.B/Watch", &[]);
    call.end();
    assert_eq!(call.expect(), b"whole");
    gate.release();
    let trailers = call.trailers_after_a_cut();
    assert_eq!(trailers["grpc-status"], "14");
    let record = gateway.wait_output("its record", |line| line.contains("response_incomplete"));
    assert!(record.contains(r#""status":200,"grpc_status":14"#), "{record}");
}

fn one_direction_may_be_silent_while_the_other_is_not(driver: Driver) {
    let server = GrpcServer::new(|call| {
        for _ in 0..12 {
            call.send(b"tick");
            pass(Duration::from_millis(200));
        }
        assert_eq!(call.next().expect("no reset"), Some(b"enough".to_vec()));
        call.finish(0, "");
    });
    let (_gateway, client) = start(driver, &server, "timeouts = { idle = \"1200ms\" }");
    let mut call = client.call("/a.B/Watch", &[]);
    for _ in 0..12 {
        assert_eq!(call.expect(), b"tick");
    }
    call.send(b"enough");
    assert_eq!(call.outcome().status(), 0);
}

fn silence_in_both_directions_ends_a_call(driver: Driver) {
    let (server, ended) = never_ending(true);
    let (_gateway, client) = start(driver, &server, "timeouts = { idle = \"200ms\" }");
    let mut call = client.call("/a.B/Watch", &[]);
    assert_eq!(call.expect(), b"first");
    assert!([4, 14].contains(&call.outcome().status()), "whose silence is noticed first");
    ended.wait();
}

fn a_route_takes_a_service_or_a_method_of_it(driver: Driver) {
    let name = |text: &'static str| {
        GrpcServer::new(move |call| {
            call.send(text.as_bytes());
            call.finish(0, "");
        })
    };
    let (method, service) = (name("method"), name("service"));
    let rest = Upstream::saying("rest");
    let (a, b, c) = (&method.address, &service.address, &rest.address);
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             protocols = [\"h2\", \"http/1.1\"]\n\
             [upstreams.method]\ntargets = [\"{a}\"]\nprotocol = \"h2\"\n\
             [upstreams.service]\ntargets = [\"{b}\"]\nprotocol = \"h2\"\n\
             [upstreams.rest]\ntargets = [\"{c}\"]\n\
             [[routes]]\nname = \"service\"\ngrpc = {{ service = \"shop.v1.Orders\" }}\n\
             upstream = \"service\"\n\
             limits = [{{ rate = \"1/h\", burst = 2, key = \"path:method\" }}]\n\
             [[routes]]\nname = \"method\"\n\
             grpc = {{ service = \"shop.v1.Orders\", method = \"Get\" }}\nupstream = \"method\"\n\
             [[routes]]\nname = \"rest\"\npath = \"/shop.v1.Orders/*\"\nupstream = \"rest\"\n"
        ),
    );
    let client = GrpcClient::connect(gateway.web());
    let unary = |path: &str| client.unary(path, b"");
    assert_eq!(unary("/shop.v1.Orders/Get").messages, [b"method"]);
    assert_eq!(unary("/shop.v1.Orders/List").messages, [b"service"]);
    let mut deeper = client.call("/shop.v1.Orders/Get/more", &[]);
    deeper.end();
    assert_eq!(deeper.bytes(), b"rest");
    unary("/shop.v1.orders/Get").expect_refusal(12);
    // Limits may tell methods apart.
    unary("/shop.v1.Orders/List");
    unary("/shop.v1.Orders/List").expect_refusal(8);
    assert_eq!(unary("/shop.v1.Orders/Put").messages, [b"service"]);
    // What is no call goes to others.
    let post = "POST /shop.v1.Orders/Get HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.once(post).expect(200).text(), "rest");
}
