//! What a route does with a request: rewriting, redirects, fixed responses, edits, Host, Location.

use crate::harness::{Driver, Gateway, Upstream};

/// One route with these keys in front of an upstream.
fn route(driver: Driver, upstream: &Upstream, keys: &str) -> Gateway {
    let address = &upstream.address;
    Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{address}\"]\n\n[[routes]]\nname = \"it\"\nupstream = \"app\"\n{keys}\n"
        ),
    )
}

#[track_caller]
fn path_seen(driver: Driver, keys: &str, cases: &[(&str, &str)]) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream, keys);
    let mut client = gateway.connect();
    for (n, (sent, seen)) in cases.iter().enumerate() {
        client.get(sent).expect(200);
        assert_eq!(upstream.wait_for_request(n + 1).target(), *seen, "{sent}");
    }
}

/// The Location that a client sees when the upstream sends this one.
#[track_caller]
fn location(
    driver: Driver,
    keys: &str,
    request: &str,
    sent: impl Fn(&str) -> String + Send + Sync + 'static,
) -> String {
    let upstream = Upstream::new(move |peer| {
        let own = peer.own_address();
        let location = sent(&own);
        peer.serve(
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        );
    });
    let gateway = route(driver, &upstream, keys);
    let response = gateway.once(request).expect(302);
    let shown = response.value("location").expect("Location").to_owned();
    assert!(!shown.contains(&upstream.address), "an internal address: {shown}");
    shown
}

const ASK: &str = "GET /api/x HTTP/1.1\r\nHost: shop.example\r\n\r\n";

both_drivers!(
    a_prefix_is_stripped_by_whole_segments,
    a_path_is_rewritten_by_a_template,
    a_rewritten_path_can_hold_the_whole_old_one,
    a_redirect_is_answered_without_upstream,
    a_redirect_does_not_let_a_client_write_fields,
    a_fixed_response_is_given_as_written,
    request_fields_are_edited,
    response_fields_are_edited,
    the_upstream_sees_the_clients_host,
    the_upstream_sees_its_own_address_as_host,
    the_upstream_sees_a_literal_host,
    a_location_that_names_the_target_is_rewritten,
    a_location_that_names_the_target_keeps_the_clients_port,
    a_location_elsewhere_stays,
    a_relative_location_stays,
    no_answer_of_the_gateway_names_an_internal_address,
);

fn a_prefix_is_stripped_by_whole_segments(driver: Driver) {
    path_seen(
        driver,
        "path = \"/api/*\"\nstrip_prefix = \"/api\"",
        &[
            ("/api/orders/1?x=y", "/orders/1?x=y"),
            ("/api/", "/"),
            ("/api/a/../b", "/b"),
            ("/api/apiary", "/apiary"),
        ],
    );
}

fn a_path_is_rewritten_by_a_template(driver: Driver) {
    path_seen(
        driver,
        "path = \"/users/{id}/files/*\"\nrewrite = \"/v2/files/{id}/{*}\"",
        &[
            ("/users/7/files/a/b?x=y", "/v2/files/7/a/b?x=y"),
            ("/users/%20/files/a%2Fb", "/v2/files/%20/a%2Fb"),
        ],
    );
}

fn a_rewritten_path_can_hold_the_whole_old_one(driver: Driver) {
    path_seen(driver, "path = \"/*\"\nrewrite = \"/base{path}\"", &[("/a/b", "/base/a/b")]);
}

fn a_redirect_is_answered_without_upstream(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        r#"
[[routes]]
name = "moved"
path = "/old/{id}/*"
redirect = { status = 308, to = "https://{host}/new/{id}/{*}?{query}" }

[[routes]]
name = "plain"
path = "/plain"
redirect = { to = "/elsewhere" }
"#,
    );
    let mut client = gateway.connect();
    let moved =
        client.ask("GET /old/7/a/b?x=y HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n").expect(308);
    assert_eq!(moved.value("location"), Some("https://shop.example/new/7/a/b?x=y"));
    assert_eq!(client.get("/plain").expect(302).value("location"), Some("/elsewhere"));
    client.ask("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").expect(302);
    client.get("/plain").expect(302);
}

fn a_redirect_does_not_let_a_client_write_fields(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        r#"
[[routes]]
name = "moved"
path = "/old/*"
redirect = { to = "/new/{*}" }
"#,
    );
    let response = gateway.once("GET /old/a%0d%0aX-Evil:%20yes HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!response.head.has("x-evil"), "{:?}", response.head);
    assert!([302, 400].contains(&response.status));
}

fn a_fixed_response_is_given_as_written(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        r#"
[[routes]]
name = "fixed"
path = "/robots.txt"
respond = { status = 203, body = "Disallow: /\n", content_type = "text/x-robots" }

[[routes]]
name = "empty"
path = "/empty"
respond = { status = 204 }
"#,
    );
    let mut client = gateway.connect();
    let fixed = client.get("/robots.txt").expect(203);
    assert_eq!(fixed.text(), "Disallow: /\n");
    assert_eq!(fixed.value("content-type"), Some("text/x-robots"));
    assert!(fixed.head.has("date"));
    let head = client.ask("HEAD /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n").expect(203);
    assert_eq!(head.value("content-length"), Some("12"));
    client.get("/empty").expect(204);
    let put = "PUT /robots.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    client.ask(put).expect(203);
    client.get("/robots.txt").expect(203);
    let chunked = "PUT /robots.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = client.ask(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n")).expect(203);
    if answer.value("connection") == Some("close") {
        client.expect_closed();
    } else {
        client.get("/robots.txt").expect(203);
    }
}

fn request_fields_are_edited(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(
        driver,
        &upstream,
        r#"path = "/*"
request_headers = { remove = ["cookie"], set = { "x-set" = "new" }, add = { "x-add" = ["one", "two"] }, }"#,
    );
    gateway.once(
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nX-Set: old\r\nX-Set: older\r\nX-Add: zero\r\nX-Keep: kept\r\n\r\n",
    ).expect(200);
    let seen = upstream.only_request().head;
    assert!(!seen.has("cookie"));
    assert_eq!(seen.values("x-set"), ["new"]);
    assert_eq!(seen.values("x-add"), ["zero", "one", "two"]);
    assert_eq!(seen.values("x-keep"), ["kept"]);
}

fn response_fields_are_edited(driver: Driver) {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nServer: app/1.2\r\nX-Set: old\r\nX-Add: zero\r\nX-Keep: kept\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = route(
        driver,
        &upstream,
        r#"path = "/*"
response_headers = { remove = ["server"], set = { "x-set" = "new" }, add = { "x-add" = "one" } }"#,
    );
    let seen = gateway.get("/").expect(200).head;
    assert!(!seen.has("server"));
    assert_eq!(seen.values("x-set"), ["new"]);
    assert_eq!(seen.values("x-add"), ["zero", "one"]);
    assert_eq!(seen.values("x-keep"), ["kept"]);
}

fn the_upstream_sees_the_clients_host(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream, "path = \"/*\"");
    gateway.once("GET / HTTP/1.1\r\nHost: Shop.example:8080\r\n\r\n").expect(200);
    assert_eq!(upstream.only_request().head.values("host"), ["shop.example:8080"]);
}

fn the_upstream_sees_its_own_address_as_host(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream, "path = \"/*\"\nhost_policy = \"target\"");
    gateway.once("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").expect(200);
    assert_eq!(upstream.only_request().head.values("host"), [upstream.address.as_str()]);
}

fn the_upstream_sees_a_literal_host(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream, "path = \"/*\"\nhost_policy = \"app.internal\"");
    gateway.once("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").expect(200);
    assert_eq!(upstream.only_request().head.values("host"), ["app.internal"]);
}

fn a_location_that_names_the_target_is_rewritten(driver: Driver) {
    let shown = location(driver, "path = \"/*\"", ASK, |own| format!("http://{own}/a/b?c=d"));
    assert_eq!(shown, "http://shop.example/a/b?c=d");
}

fn a_location_that_names_the_target_keeps_the_clients_port(driver: Driver) {
    let ask = "GET /api/x HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n";
    let shown = location(driver, "path = \"/*\"", ask, |own| format!("http://{own}/a"));
    assert_eq!(shown, "http://shop.example:8080/a");
}

fn a_location_elsewhere_stays(driver: Driver) {
    let shown =
        location(driver, "path = \"/*\"", ASK, |_| "https://login.example/?next=/a".to_owned());
    assert_eq!(shown, "https://login.example/?next=/a");
}

fn a_relative_location_stays(driver: Driver) {
    let shown = location(driver, "path = \"/*\"", ASK, |_| "/a/b".to_owned());
    assert_eq!(shown, "/a/b");
}

fn no_answer_of_the_gateway_names_an_internal_address(driver: Driver) {
    let dead = crate::harness::Refusing::new();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nobody.sock");
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.dead]\ntargets = [\"{}\"]\n[upstreams.gone]\ntargets = [\"unix:{}\"]\n\
         [[routes]]\nname = \"secret-route-name\"\npath = \"/dead\"\nupstream = \"dead\"\n\
         [[routes]]\nname = \"other-route-name\"\npath = \"/gone\"\nupstream = \"gone\"\n",
            dead.address,
            socket.display(),
        ),
    );
    for path in ["/dead", "/gone", "/nothing"] {
        for accept in ["application/json", "text/html"] {
            let response = gateway
                .once(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
            let all = format!("{}{}", String::from_utf8_lossy(&response.head.raw), response.text());
            for secret in ["127.0.0.1", "nobody.sock", "route-name", "src/", "::", "Os {", "errno"]
            {
                assert!(!all.contains(secret), "{secret} in:\n{all}");
            }
        }
    }
}
