//! Services that are asked whether requests may pass: what they are told, what their answers do, for
//! whom answers count, and what becomes of requests while there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::grpc::{GrpcClient, GrpcServer};
use crate::harness::websocket::{echo_of, frame, opening};
use crate::harness::{
    Ask, Caller, Driver, Ends, Gate, Gateway, Hanging, Received, Refusing, Response, Signer,
    Upstream, Version, eventually, ok,
};

both_drivers!(
    the_service_is_told_of_the_request_and_of_nothing_else,
    what_a_client_says_in_the_services_place_does_not_pass,
    a_refusal_is_the_clients_answer,
    a_redirection_goes_to_the_client_with_its_cookies,
    lines_that_end_early_and_fields_of_the_connection_do_not_pass,
    without_an_answer_requests_are_refused,
    without_an_answer_requests_pass_where_that_is_wanted,
    a_service_is_known_by_its_certificate,
    without_a_cache_each_request_asks,
    an_answer_counts_for_the_same_inputs,
    other_inputs_are_another_question,
    what_is_for_one_client_is_never_anothers,
    a_refusal_is_remembered_for_a_shorter_time,
    one_who_waits_holds_up_nobody,
    a_client_may_leave_while_it_waits,
    a_reload_while_one_waits_lets_it_go_on,
    a_reload_keeps_answers_to_the_same_questions,
    streams_are_judged_one_by_one,
    an_upgrade_is_judged_first,
    a_refused_call_is_told_as_grpc,
    content_is_not_sent_to_the_service,
    addresses_and_limits_are_asked_before,
);

/// A service that answers as the function says.
fn service(answer: impl Fn(&Received) -> String + Send + Sync + 'static) -> Upstream {
    Upstream::new(move |peer| {
        while let Some(request) = peer.next_request() {
            // The gateway may have lost its patience.
            if peer.try_send(answer(&request)).is_err() {
                break;
            }
        }
    })
}

fn answer(status: &str, fields: &str, text: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len())
}

/// A gateway that asks the service about every request but those to `/free`.
fn text(service: &str, upstream: &str, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"http/1.1\", \"h2\"]\n\
         [server]\nworkers = 1\n[upstreams.app]\ntargets = [\"{upstream}\"]\n\
         [forward_auth.gate]\nurl = \"http://{service}/check?by=tollgate\"\n{keys}\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\nforward_auth = \"gate\"\n\
         [[routes]]\nname = \"free\"\npath = \"/free\"\nupstream = \"app\"\n"
    )
}

fn started(driver: Driver, service: &Upstream, upstream: &Upstream, keys: &str) -> Gateway {
    Gateway::start(driver, text(&service.address, &upstream.address, keys))
}

fn ask(gateway: &Gateway, line: &str, fields: &str) -> Response {
    gateway.once(&format!("{line} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n"))
}

/// What the stats page says of the service.
fn told(gateway: &Gateway, what: &str) -> u64 {
    let page = gateway.admin_get("/stats").expect(200).body;
    let stats: Value = serde_json::from_slice(&page).expect("JSON");
    let all = stats["identity"].as_array().expect("an array");
    let one = all.iter().find(|one| one["about"] == "forward_auth:gate").expect("the service");
    one[what].as_u64().expect("a number")
}

fn the_service_is_told_of_the_request_and_of_nothing_else(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|_| {
        answer("204 No Content", "X-User: ann\r\nX-Group: a\r\nx-group: b\r\nX-More: 1\r\n", "")
    });
    let keys =
        "response_headers = [\"X-User\", \"X-Group\"]\nrequest_headers = [\"Cookie\", \"X-Key\"]";
    let gateway = started(driver, &service, &upstream, keys);
    let fields = "X-Forwarded-Uri: /admin\r\nX-Forwarded-Method: HEAD\r\nX-Forwarded-Host: evil\r\n\
                  X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nCookie: a=1\r\nCookie: b=2\r\n\
                  Authorization: Bearer x\r\nx-key: 7\r\nX_Key: 8\r\nX-Else: 1\r\n";
    ask(&gateway, "DELETE /a/../b%7e?q=1&r", fields).expect(200);
    let asked = service.only_request();
    assert_eq!((asked.method(), asked.target()), ("GET", "/check?by=tollgate"));
    for (name, value) in [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-uri", "/b~?q=1&r"),
        ("x-forwarded-host", "test.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-key", "7"),
        ("host", &*service.address),
    ] {
        assert_eq!(asked.head.values(name), [value], "{name}");
    }
    assert_eq!(asked.head.values("cookie"), ["a=1", "b=2"]);
    for name in ["authorization", "x-else", "x_key", "content-length", "transfer-encoding", "via"] {
        assert!(!asked.head.has(name), "{name}");
    }
    let received = upstream.only_request();
    assert_eq!(received.head.values("x-user"), ["ann"]);
    assert_eq!(received.head.values("x-group"), ["a", "b"]);
    assert!(!received.head.has("x-more"));
}

fn what_a_client_says_in_the_services_place_does_not_pass(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|request| match request.value("x-forwarded-uri") {
        Some("/told") => answer("200 OK", "X-User: ann\r\nAuthorization: Bearer inner\r\n", ""),
        _ => answer("200 OK", "", ""),
    });
    let keys = "response_headers = [\"X-User\", \"Authorization\"]";
    let gateway = started(driver, &service, &upstream, keys);
    let fields = "X-User: root\r\nx_user: root\r\nAuthorization: Bearer outer\r\n";
    ask(&gateway, "GET /told", fields).expect(200);
    ask(&gateway, "GET /silent", fields).expect(200);
    let chunked = "X-User: root\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n";
    gateway
        .once(&format!(
            "POST /silent HTTP/1.1\r\nHost: a\r\n{chunked}\r\n1\r\nx\r\n0\r\nX-User: root\r\nX-Sum: 1\r\n\r\n"
        ))
        .expect(200);
    let [told, silent, trailed] = &upstream.requests()[..] else { panic!("three requests") };
    assert_eq!(told.head.values("x-user"), ["ann"]);
    assert_eq!(told.head.values("authorization"), ["Bearer inner"]);
    for name in ["x-user", "x_user", "authorization"] {
        assert!(!silent.head.has(name) && !trailed.head.has(name), "{name}");
    }
    assert_eq!(trailed.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert!(!told.head.has("x_user"));
    // The service itself was shown what the client sent.
    assert_eq!(service.requests()[0].head.values("authorization"), ["Bearer outer"]);
}

fn a_refusal_is_the_clients_answer(driver: Driver) {
    let upstream = Upstream::saying("no");
    let service = service(|request| {
        let fields = "WWW-Authenticate: Bearer realm=\"a\"\r\nWWW-Authenticate: Basic\r\nContent-Type: text/html\r\n\
                      X-Secret: inner\r\nServer: inner\r\n";
        match request.value("x-forwarded-uri") {
            Some("/401") => answer("401 Unauthorized", fields, "<p>Sign in</p>"),
            Some("/429") => answer("429 Slow", "Retry-After: 7\r\nCache-Control: private\r\n", ""),
            _ => answer("403 Forbidden", "", "never"),
        }
    });
    let gateway = started(driver, &service, &upstream, "");
    let mut client = gateway.connect();
    let refused = client.get("/401").expect(401);
    let challenges = ["Bearer realm=\"a\"", "Basic"];
    assert_eq!(refused.head.values("www-authenticate"), challenges);
    assert_eq!(
        (refused.text(), refused.value("content-type")),
        ("<p>Sign in</p>".into(), Some("text/html"))
    );
    assert_eq!(refused.value("cache-control"), Some("no-store"));
    for name in ["x-secret", "server", "proxy-status"] {
        assert!(!refused.head.has(name), "{name}");
    }
    let slower = client.get("/429").expect(429);
    assert_eq!(
        (slower.value("retry-after"), slower.value("cache-control")),
        (Some("7"), Some("private"))
    );
    assert_eq!(client.get("/403").expect(403).text(), "never");
    let head = "HEAD /401 HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(head);
    let refused = client.response_to(head).expect(401);
    assert_eq!((refused.value("content-length"), refused.body.len()), (Some("14"), 0));
    client.get("/free").expect(200);
    upstream.only_request();
    gateway.wait_stats("it is counted", |stats| {
        stats.number("/gateway/failures/forward_auth_denied") == 4
    });
}

fn a_redirection_goes_to_the_client_with_its_cookies(driver: Driver) {
    let upstream = Upstream::saying("no");
    let service = service(|_| {
        let fields = "Location: https://id.example/sign-in?to=%2F\r\nSet-Cookie: state=1; HttpOnly\r\n\
                      Set-Cookie: nonce=2\r\n";
        answer("302 Found", fields, "")
    });
    let gateway = started(driver, &service, &upstream, "");
    let refused = gateway.get("/").expect(302);
    assert_eq!(refused.value("location"), Some("https://id.example/sign-in?to=%2F"));
    assert_eq!(refused.head.values("set-cookie"), ["state=1; HttpOnly", "nonce=2"]);
    upstream.expect_untouched();
}

fn lines_that_end_early_and_fields_of_the_connection_do_not_pass(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|request| match request.value("x-forwarded-uri") {
        Some("/cr") => answer("200 OK", "X-User: a\rX-Admin: 1\r\n", ""),
        Some("/nul") => answer("200 OK", "X-User: a\0b\r\n", ""),
        Some("/lf") => answer("200 OK", "X-User: a\nX-Admin: 1\r\n", ""),
        Some("/refused") => answer("401 No", "Location: /a\rX: 1\r\n", ""),
        _ => answer("403 No", "Keep-Alive: timeout=1\r\nUpgrade: h2c\r\nTrailer: a\r\n", "no"),
    });
    let gateway = started(driver, &service, &upstream, "response_headers = [\"X-User\"]");
    for path in ["/cr", "/nul", "/refused"] {
        gateway.get(path).expect_failure(503);
    }
    upstream.expect_untouched();
    // A bare LF ends the line for its client; what stands behind is a field that nobody wants.
    gateway.get("/lf").expect(200);
    assert!(!upstream.only_request().head.has("x-admin"));
    let refused = gateway.get("/").expect(403);
    for name in ["keep-alive", "upgrade", "trailer"] {
        assert!(!refused.head.has(name), "{name}");
    }
}

/// Services that give no answer, and what they are asked with.
fn silent_services() -> Vec<(String, Box<dyn std::any::Any>)> {
    let (refusing, hanging) = (Refusing::new(), Hanging::new());
    let slow = Upstream::new(|peer| drop(peer.wait_closed()));
    let large = answer("200 OK", "", &"x".repeat(100_000));
    let many = answer("200 OK", &format!("X-User: {}\r\n", "x".repeat(20_000)), "");
    let mut all: Vec<(String, Box<dyn std::any::Any>)> = vec![
        (refusing.address.clone(), Box::new(refusing)),
        (hanging.address.clone(), Box::new(hanging)),
        (slow.address.clone(), Box::new(slow)),
    ];
    for bytes in [
        "garbage\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut".to_owned(),
        answer("500 Internal Server Error", "", ""),
        answer("304 Not Modified", "", ""),
        large,
        many,
    ] {
        let one = Upstream::new(move |peer| {
            peer.next_request();
            let _ = peer.try_send(&bytes);
        });
        all.push((one.address.clone(), Box::new(one)));
    }
    all
}

const IMPATIENT: &str = "timeout = \"300ms\"\nresponse_headers = [\"X-User\"]";

fn without_an_answer_requests_are_refused(driver: Driver) {
    let upstream = Upstream::saying("no");
    for (address, _service) in silent_services() {
        let gateway = Gateway::start(driver, text(&address, &upstream.address, IMPATIENT));
        let refused = gateway.get("/").expect_failure(503);
        assert!(refused.text().contains("forward_auth_failed"), "{}", refused.text());
        assert!(!refused.text().contains(&address));
        gateway.wait_log("the failure is told", |line| line.contains("forward_auth:gate"));
        assert_eq!((told(&gateway, "asked"), told(&gateway, "failed")), (1, 1));
    }
    upstream.expect_untouched();
}

fn without_an_answer_requests_pass_where_that_is_wanted(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let keys = format!("{IMPATIENT}\non_error = \"allow\"");
    for (address, _service) in silent_services() {
        let gateway = Gateway::start(driver, text(&address, &upstream.address, &keys));
        ask(&gateway, "GET /", "X-User: root\r\n").expect(200);
    }
    for received in upstream.requests() {
        assert!(!received.head.has("x-user"));
    }
}

fn a_service_is_known_by_its_certificate(driver: Driver) {
    let (signer, upstream) = (Signer::new(), Upstream::saying("ok"));
    let made = signer.certify(&["localhost"]);
    let service = Upstream::tls(signer.server(&made), |peer| peer.serve(ok("").as_bytes()));
    let port = service.port();
    let text = |keys: &str| {
        text("x", &upstream.address, keys)
            .replace("http://x/", &format!("https://localhost:{port}/"))
    };
    let gateway = Gateway::with(driver, text("roots = \"roots.pem\""))
        .file("roots.pem", signer.pem())
        .file("other.pem", Signer::new().pem())
        .start();
    gateway.get("/").expect(200);
    gateway.reload(text("roots = \"other.pem\""));
    gateway.get("/").expect_failure(503);
    gateway.rewrite(text("roots = \"missing.pem\""));
    let refused = gateway.admin_post("/reload");
    assert_ne!(refused.status, 200);
    assert!(refused.text().contains("forward_auth.gate.roots"), "{}", refused.text());
}

fn without_a_cache_each_request_asks(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|_| answer("200 OK", "Cache-Control: max-age=60\r\n", ""));
    let gateway = started(driver, &service, &upstream, "");
    let mut client = gateway.connect();
    for n in 1..=3 {
        client.get("/").expect(200);
        assert_eq!(service.count(), n);
    }
    // The connection is kept.
    assert_eq!(service.connections(), 1);
}

const CACHED: &str = "request_headers = [\"Authorization\", \"Cookie\"]\nresponse_headers = [\"X-User\"]\n\
     cache = { key = [\"header:authorization\", \"cookie:session\", \"path\"], for = \"1h\", denied_for = \"30m\" }";

fn an_answer_counts_for_the_same_inputs(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|request| {
        let user = format!("X-User: {}\r\n", request.value("cookie").unwrap_or("nobody"));
        answer("200 OK", &user, "")
    });
    let gateway = started(driver, &service, &upstream, CACHED);
    for (line, cookies) in [
        ("GET /a", "other=1; session=7; third=3"),
        ("POST /a?q=1", "session=7"),
        ("GET /a", "session=7; other=2"),
    ] {
        ask(&gateway, line, &format!("Cookie: {cookies}\r\nContent-Length: 0\r\n")).expect(200);
    }
    // Of cookies the service sees what the answer is remembered by.
    assert_eq!(service.only_request().head.values("cookie"), ["session=7"]);
    for received in upstream.requests() {
        assert_eq!(received.head.values("x-user"), ["session=7"]);
    }
    assert_eq!((told(&gateway, "asked"), told(&gateway, "remembered")), (1, 2));
}

fn other_inputs_are_another_question(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|_| answer("200 OK", "", ""));
    let gateway = started(driver, &service, &upstream, CACHED);
    let requests = [
        ("GET /a", ""),
        ("GET /a", "Cookie: session=\r\n"),
        ("GET /a", "Cookie: session=7\r\n"),
        ("GET /a", "Cookie: session=8\r\n"),
        ("GET /a", "Cookie: session=7; session=8\r\n"),
        ("GET /a", "Authorization: session=7\r\n"),
        ("GET /a", "Authorization: a\r\nCookie: session=7\r\n"),
        ("GET /b", "Cookie: session=7\r\n"),
        ("GET /a7", ""),
    ];
    for (n, (line, fields)) in requests.into_iter().enumerate() {
        ask(&gateway, line, fields).expect(200);
        assert_eq!(service.count(), n + 1, "{line} {fields}");
    }
    for (line, fields) in requests {
        ask(&gateway, line, fields).expect(200);
    }
    assert_eq!(service.count(), requests.len());
}

fn what_is_for_one_client_is_never_anothers(driver: Driver) {
    let (gate, upstream) = (Gate::new(), Upstream::saying("no"));
    let held = gate.clone();
    let number = Arc::new(AtomicUsize::new(0));
    let service = service(move |request| {
        held.wait();
        let n = number.fetch_add(1, Ordering::SeqCst);
        match request.value("x-forwarded-uri") {
            Some("/cookie") => {
                let cookie = format!("Location: /in\r\nSet-Cookie: state={n}\r\n");
                answer("302 Found", &cookie, "")
            }
            _ => answer("403 No", "Cache-Control: no-store\r\n", &n.to_string()),
        }
    });
    for keys in ["", CACHED] {
        let gateway = started(driver, &service, &upstream, keys);
        let waiting = || told(&gateway, "asked") + told(&gateway, "joined");
        for path in ["/cookie", "/no-store"] {
            let (before, waited) = (service.count(), waiting());
            let mut clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
            for client in &mut clients {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            }
            eventually("all of them ask or wait", || waiting() == waited + 4);
            (0..4).for_each(|_| gate.release());
            let mut answers: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    let response = client.response();
                    format!("{:?} {}", response.value("set-cookie"), response.text())
                })
                .collect();
            answers.sort();
            answers.dedup();
            assert_eq!((answers.len(), service.count() - before), (4, 4), "{path} {answers:?}");
        }
        // Nor is it remembered.
        gate.release();
        gateway.get("/no-store").expect(403);
    }
    upstream.expect_untouched();
}

fn a_refusal_is_remembered_for_a_shorter_time(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|request| match request.value("authorization") {
        Some("good") => answer("200 OK", "", ""),
        Some("brief") => answer("200 OK", "Cache-Control: max-age=1\r\n", ""),
        _ => answer("403 Forbidden", "", ""),
    });
    let keys = CACHED.replace("30m", "1s");
    let gateway = started(driver, &service, &upstream, &keys);
    let asked = |who: &str| {
        service.requests().iter().filter(|one| one.value("authorization") == Some(who)).count()
    };
    let call = |who: &str| ask(&gateway, "GET /", &format!("Authorization: {who}\r\n")).status;
    assert_eq!((call("good"), call("bad"), call("bad"), call("brief")), (200, 403, 403, 200));
    assert!(asked("bad") <= 2);
    eventually("the refusal is asked for again", || call("bad") == 403 && asked("bad") >= 3);
    eventually("what holds for a second too", || call("brief") == 200 && asked("brief") >= 2);
    assert_eq!((call("good"), asked("good")), (200, 1));
}

fn one_who_waits_holds_up_nobody(driver: Driver) {
    let (gate, upstream) = (Gate::new(), Upstream::saying("ok"));
    let held = gate.clone();
    let service = service(move |request| {
        if request.value("x-forwarded-uri") == Some("/slow") {
            held.wait();
        }
        answer("200 OK", "", "")
    });
    let gateway = started(driver, &service, &upstream, "");
    let mut waits = gateway.connect();
    waits.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    service.wait_for_request(1);
    gateway.get("/free").expect(200);
    gateway.get("/quick").expect(200);
    gate.release();
    waits.response().expect(200);
}

fn a_client_may_leave_while_it_waits(driver: Driver) {
    let (gate, upstream) = (Gate::new(), Upstream::saying("ok"));
    let held = gate.clone();
    let service = service(move |_| {
        held.wait();
        answer("403 No", "", "")
    });
    let gateway = started(driver, &service, &upstream, "");
    for version in [Version::Http1, Version::Http2] {
        let mut leaves = Caller::connect(version, gateway.web());
        let before = service.count();
        leaves.begin(&Ask::get("/"));
        service.wait_for_request(before + 1);
        leaves.abort();
        gate.release();
        gateway.wait_stats("nothing is left of it", |stats| stats.in_flight() == 0);
    }
    gate.open();
    gateway.get("/").expect(403);
    upstream.expect_untouched();
}

fn a_reload_while_one_waits_lets_it_go_on(driver: Driver) {
    let (gate, upstream) = (Gate::new(), Upstream::saying("ok"));
    let held = gate.clone();
    let service = service(move |_| {
        held.wait();
        answer("200 OK", "X-User: ann\r\n", "")
    });
    let keys = "response_headers = [\"X-User\"]";
    let gateway = started(driver, &service, &upstream, keys);
    let mut waits = gateway.connect();
    waits.send("GET /a HTTP/1.1\r\nHost: a\r\nX-User: root\r\n\r\n");
    service.wait_for_request(1);
    let without = text(&service.address, &upstream.address, "")
        .lines()
        .filter(|line| !line.contains("forward_auth") && !line.starts_with("url"))
        .collect::<Vec<_>>()
        .join("\n");
    gateway.reload(without);
    ask(&gateway, "GET /b", "X-User: bob\r\n").expect(200);
    gate.release();
    waits.response().expect(200);
    let users: Vec<_> =
        upstream.requests().iter().map(|one| one.value("x-user").map(str::to_owned)).collect();
    assert_eq!(users, [Some("bob".to_owned()), Some("ann".to_owned())]);
}

fn a_reload_keeps_answers_to_the_same_questions(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|_| answer("200 OK", "", ""));
    let gateway = started(driver, &service, &upstream, CACHED);
    gateway.get("/").expect(200);
    gateway.reload(text(&service.address, &upstream.address, CACHED) + "max_concurrent = 7\n");
    gateway.get("/").expect(200);
    assert_eq!(service.count(), 1);
    let others = CACHED.replace("1h", "50m");
    gateway.reload(text(&service.address, &upstream.address, &others));
    gateway.get("/").expect(200);
    assert_eq!(service.count(), 2);
}

fn streams_are_judged_one_by_one(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|request| match request.value("authorization") {
        Some("good") => answer("200 OK", "X-User: ann\r\n", ""),
        _ => answer("401 No", "WWW-Authenticate: Bearer\r\nContent-Type: text/plain\r\n", "who?"),
    });
    let gateway = started(driver, &service, &upstream, "response_headers = [\"X-User\"]");
    let mut caller = Caller::connect(Version::Http2, gateway.web());
    let ask = |who: &str| Ask::get("/a?b").field("authorization", who).field("x-user", "root");
    assert_eq!(caller.ask(&ask("good")).expect(200).text(), "ok");
    let refused = caller.ask(&ask("bad")).expect(401);
    assert_eq!(
        (refused.text(), refused.value("www-authenticate")),
        ("who?".into(), Some("Bearer"))
    );
    assert_eq!(caller.ask(&ask("good")).expect(200).text(), "ok");
    for received in upstream.requests() {
        assert_eq!(received.head.values("x-user"), ["ann"]);
    }
    let asked = service.requests().remove(0);
    assert_eq!(asked.value("x-forwarded-uri"), Some("/a?b"));
    assert_eq!(asked.value("x-forwarded-host"), Some("test.example"));
}

fn an_upgrade_is_judged_first(driver: Driver) {
    let upstream = echo_of(frame("hello").len());
    let service = service(|request| match request.value("cookie") {
        Some("session=1") => answer("200 OK", "X-User: ann\r\n", ""),
        _ => answer("401 No", "", "who?"),
    });
    let gateway = started(driver, &service, &upstream, "response_headers = [\"X-User\"]");
    let mut client = gateway.connect();
    client.send(opening("/chat", ""));
    assert_eq!(client.response().expect(401).text(), "who?");
    client.expect_closed();
    upstream.expect_untouched();
    let mut client = gateway.connect();
    client.send(opening("/chat", "Cookie: session=1\r\n"));
    client.switched();
    client.send(frame("hello"));
    assert_eq!(client.exactly(frame("hello").len()), frame("hello"));
    assert_eq!(upstream.requests()[0].head.values("x-user"), ["ann"]);
    for asked in service.requests() {
        for name in ["upgrade", "sec-websocket-key"] {
            assert!(!asked.head.has(name), "{name}");
        }
    }
}

fn a_refused_call_is_told_as_grpc(driver: Driver) {
    let server = GrpcServer::echo();
    let service = service(|request| match request.value("authorization") {
        Some("good") => answer("200 OK", "", ""),
        Some("poor") => answer("403 No", "", "never"),
        Some("new") => answer("302 Found", "Location: /in\r\n", ""),
        Some("down") => answer("500 No", "", ""),
        _ => answer("401 No", "WWW-Authenticate: Bearer\r\nContent-Type: text/html\r\n", "<p>"),
    });
    let gate = format!("[forward_auth.gate]\nurl = \"http://{}/\"\n", service.address);
    let gateway = Gateway::start(driver, gate + &server.behind("forward_auth = \"gate\"\n"));
    let client = GrpcClient::connect(gateway.web());
    let call = |who: &str| {
        let mut call = client.call("/a.B/C", &[("authorization", who)]);
        call.send(b"x");
        call.end();
        call.outcome()
    };
    assert_eq!(call("good").status(), 0);
    for (who, status) in [("", 16), ("new", 16), ("poor", 7), ("down", 14)] {
        let outcome = call(who);
        outcome.expect_refusal(status);
        assert!(!outcome.head.headers.contains_key("location"));
    }
    assert_eq!(call("").head.headers["www-authenticate"], "Bearer");
    assert_eq!(server.count(), 1);
}

fn content_is_not_sent_to_the_service(driver: Driver) {
    let upstream = Upstream::echo();
    let service = service(|_| answer("200 OK", "", ""));
    let gateway = started(driver, &service, &upstream, "");
    for version in [Version::Http1, Version::Http2] {
        let mut caller = Caller::connect(version, gateway.web());
        let ask = Ask::post("/", Ends::After(5));
        assert_eq!(caller.ask_with(&ask, b"hello").expect(200).text(), "hello");
    }
    for asked in service.requests() {
        assert!(asked.body.is_empty() && !asked.head.has("content-length"));
    }
}

fn addresses_and_limits_are_asked_before(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let service = service(|_| answer("401 No", "", ""));
    let more = "[[routes]]\nname = \"denied\"\npath = \"/denied\"\nupstream = \"app\"\n\
                forward_auth = \"gate\"\ndeny = [\"127.0.0.0/8\"]\n\
                [[routes]]\nname = \"limited\"\npath = \"/limited\"\nupstream = \"app\"\n\
                forward_auth = \"gate\"\nlimits = [{ rate = \"1/h\" }]\n";
    let gateway = Gateway::start(driver, text(&service.address, &upstream.address, "") + more);
    gateway.get("/denied").expect_failure(403);
    gateway.get("/limited").expect(401);
    gateway.get("/limited").expect_failure(429);
    assert_eq!(service.count(), 1);
    upstream.expect_untouched();
}
