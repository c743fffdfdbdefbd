//! Rate limits, concurrency limits, and who a client is.

use std::net::IpAddr;

use crate::harness::{Client, Driver, Gate, Gateway, Response, Upstream, ok};

/// Routes that answer by themselves, so that nothing but the limits is in play.
fn limited(driver: Driver, top: &str, listener: &str, route: &str) -> Gateway {
    Gateway::start(
        driver,
        format!(
            "{top}\n[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n{listener}\n\
             [[routes]]\nname = \"orders\"\npath = \"/orders/{{id}}\"\nrespond = {{ body = \"ok\" }}\n{route}\n\
             [[routes]]\nname = \"rest\"\npath = \"/*\"\nrespond = {{ body = \"rest\" }}\n"
        ),
    )
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.ask(&format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n"))
}

/// The statuses of requests one after the other.
fn statuses(gateway: &Gateway, requests: &[(&str, &str)]) -> Vec<u16> {
    let mut client = gateway.connect();
    requests.iter().map(|(target, fields)| ask(&mut client, target, fields).status).collect()
}

both_drivers!(
    the_burst_is_admitted_and_then_no_more,
    a_refused_request_never_reaches_the_upstream,
    tokens_come_back_with_time,
    nobody_gets_more_than_the_burst_over_all_workers,
    clients_have_buckets_of_their_own,
    keyed_by_header,
    keyed_by_query_parameter,
    keyed_by_path_parameter,
    of_several_limits_all_must_have_a_token,
    a_listeners_limit_counts_all_its_routes,
    a_global_limit_counts_everything,
    older_fields_are_selectable,
    retry_after_comes_even_without_the_fields,
    limit_state_survives_a_reload,
    a_reload_may_change_the_rate,
    a_forwarding_field_of_anybody_is_not_believed,
    behind_a_trusted_proxy_x_forwarded_for_names_the_client,
    behind_a_trusted_proxy_forwarded_names_the_client,
    ipv6_clients_are_told_apart_by_their_network,
    so_many_requests_at_once_on_a_route,
    so_many_requests_at_once_of_a_client,
    a_place_is_given_back_when_the_client_leaves,
);

fn the_burst_is_admitted_and_then_no_more(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 3, key = \"client_ip\" }]");
    let mut client = gateway.connect();
    for left in [2, 1, 0] {
        let response = ask(&mut client, "/orders/1", "").expect(200);
        assert_eq!(response.value("ratelimit-policy"), Some("\"orders\";q=1;w=3600"));
        let standing = response.value("ratelimit").expect("RateLimit").to_owned();
        let t = standing.strip_prefix(&format!("\"orders\";r={left};t=")).expect("what is left");
        // Until all are back; where none is left, until one is, as Retry-After of the next says.
        let most = if left == 0 { 3600 } else { 3600 * (3 - left) };
        assert!((most - 100..=most).contains(&t.parse::<u64>().expect("seconds")), "{standing}");
    }
    let refused = ask(&mut client, "/orders/1", "").expect_failure(429);
    let wait: u64 = refused.value("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((3500..=3600).contains(&wait), "{wait}");
    let standing = refused.value("ratelimit").expect("RateLimit").to_owned();
    assert_eq!(standing, format!("\"orders\";r=0;t={wait}"));
    assert_eq!(refused.value("ratelimit-policy"), Some("\"orders\";q=1;w=3600"));
    ask(&mut client, "/other", "").expect(200);
    let stats = gateway.stats();
    assert_eq!(stats.route("orders", "/limits/allowed"), 3);
    assert_eq!(stats.route("orders", "/limits/limited"), 1);
}

fn a_refused_request_never_reaches_the_upstream(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\n\
         limits = [{{ rate = \"1/h\", burst = 1 }}]\n",
            upstream.address
        ),
    );
    let mut client = gateway.connect();
    let with_body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    client.ask(with_body).expect(200);
    client.ask(with_body).expect_failure(429);
    client.ask(with_body).expect_failure(429);
    assert_eq!(upstream.count(), 1);
}

fn tokens_come_back_with_time(driver: Driver) {
    let gateway = limited(driver, "", "", "limits = [{ rate = \"10/s\", burst = 1 }]");
    let mut client = gateway.connect();
    ask(&mut client, "/orders/1", "").expect(200);
    crate::harness::eventually("a token comes back", || {
        ask(&mut client, "/orders/1", "").status == 200
    });
}

fn nobody_gets_more_than_the_burst_over_all_workers(driver: Driver) {
    let gateway = limited(
        driver,
        "[server]\nworkers = 2\nwatch = false\n",
        "",
        "limits = [{ rate = \"1/h\", burst = 100, key = \"route\" }]",
    );
    let mut clients: Vec<Client> = (0..16).map(|_| gateway.connect()).collect();
    let mut admitted = 0;
    for _ in 0..20 {
        for client in &mut clients {
            client.send("GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            admitted += usize::from(client.response().status == 200);
        }
    }
    // Under-admission of one in a hundred is the contract under saturation.
    assert!((99..=100).contains(&admitted), "{admitted}");
}

fn clients_have_buckets_of_their_own(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 1, key = \"client_ip\" }]");
    let from = |ip: [u8; 4]| {
        let mut client = Client::connect_from(IpAddr::from(ip), gateway.web());
        ask(&mut client, "/orders/1", "").status
    };
    assert_eq!(from([127, 0, 0, 1]), 200);
    assert_eq!(from([127, 0, 0, 1]), 429);
    assert_eq!(from([127, 0, 0, 2]), 200);
    assert_eq!(from([127, 0, 0, 2]), 429);
}

fn keyed_by_header(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 1, key = \"header:x-key\" }]");
    assert_eq!(
        statuses(
            &gateway,
            &[
                ("/orders/1", "X-Key: a\r\n"),
                ("/orders/2", "X-Key: a\r\n"),
                ("/orders/1", "x-key: b\r\n"),
                ("/orders/1", ""),
                ("/orders/2", ""),
            ]
        ),
        [200, 429, 200, 200, 429]
    );
}

fn keyed_by_query_parameter(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 1, key = \"query:user\" }]");
    assert_eq!(
        statuses(
            &gateway,
            &[("/orders/1?user=a", ""), ("/orders/1?x=y&user=a", ""), ("/orders/1?user=b", "")]
        ),
        [200, 429, 200]
    );
}

fn keyed_by_path_parameter(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 1, key = \"path:id\" }]");
    assert_eq!(
        statuses(&gateway, &[("/orders/1", ""), ("/orders/%31", ""), ("/orders/2", "")]),
        [200, 429, 200]
    );
}

fn of_several_limits_all_must_have_a_token(driver: Driver) {
    let gateway = limited(
        driver,
        "",
        "",
        "limits = [\
        { name = \"many\", rate = \"1/h\", burst = 10, key = \"route\" },\
        { name = \"each\", rate = \"1/h\", burst = 2, key = \"path:id\" }]",
    );
    let mut client = gateway.connect();
    let first = ask(&mut client, "/orders/1", "").expect(200);
    let policy = first.value("ratelimit-policy").expect("RateLimit-Policy").to_owned();
    assert!(policy.contains("\"many\"") && policy.contains("\"each\""), "{policy}");
    assert!(first.value("ratelimit").expect("RateLimit").starts_with("\"each\";r=1"));
    ask(&mut client, "/orders/1", "").expect(200);
    let refused = ask(&mut client, "/orders/1", "").expect(429);
    assert!(refused.value("ratelimit").expect("RateLimit").starts_with("\"each\";r=0"));
    // What the tighter limit refused did not cost the wider one: eight are left.
    for id in 2..10 {
        ask(&mut client, &format!("/orders/{id}"), "").expect(200);
    }
    ask(&mut client, "/orders/10", "").expect(429);
}

fn a_listeners_limit_counts_all_its_routes(driver: Driver) {
    let gateway = limited(driver, "", "limits = [{ rate = \"1/h\", burst = 2 }]\n", "");
    assert_eq!(
        statuses(&gateway, &[("/orders/1", ""), ("/rest", ""), ("/orders/1", "")]),
        [200, 200, 429]
    );
    assert_eq!(gateway.stats().listener("web", "/limits/limited"), 1);
}

fn a_global_limit_counts_everything(driver: Driver) {
    let gateway = limited(driver, "limits = [{ rate = \"1/h\", burst = 2 }]\n", "", "");
    assert_eq!(
        statuses(&gateway, &[("/orders/1", ""), ("/rest", ""), ("/orders/1", "")]),
        [200, 200, 429]
    );
}

fn older_fields_are_selectable(driver: Driver) {
    let route = "limits = [{ rate = \"10/m\", burst = 20 }]";
    for (selected, draft, older) in [
        ("draft", true, false),
        ("x_ratelimit", false, true),
        ("both", true, true),
        ("off", false, false),
    ] {
        let gateway = limited(driver, &format!("rate_limit_fields = \"{selected}\"\n"), "", route);
        let response = ask(&mut gateway.connect(), "/orders/1", "").expect(200);
        assert_eq!(response.head.has("ratelimit"), draft, "{selected}");
        assert_eq!(response.head.has("ratelimit-policy"), draft, "{selected}");
        assert_eq!(response.head.has("x-ratelimit-limit"), older, "{selected}");
        if older {
            assert_eq!(response.value("x-ratelimit-limit"), Some("10"));
            assert_eq!(response.value("x-ratelimit-remaining"), Some("19"));
        }
    }
}

fn retry_after_comes_even_without_the_fields(driver: Driver) {
    let gateway = limited(
        driver,
        "rate_limit_fields = \"off\"\n",
        "",
        "limits = [{ rate = \"1/m\", burst = 1 }]",
    );
    let mut client = gateway.connect();
    ask(&mut client, "/orders/1", "").expect(200);
    assert!(ask(&mut client, "/orders/1", "").expect(429).head.has("retry-after"));
}

fn limit_state_survives_a_reload(driver: Driver) {
    let config = |body: &str| {
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n[[routes]]\nname = \"it\"\npath = \"/*\"\n\
         respond = {{ body = \"{body}\" }}\nlimits = [{{ rate = \"1/h\", burst = 3 }}]\n"
        )
    };
    let gateway = Gateway::start(driver, config("one"));
    let mut client = gateway.connect();
    client.get("/").expect(200);
    client.get("/").expect(200);
    gateway.reload(config("two"));
    assert_eq!(client.get("/").expect(200).text(), "two");
    client.get("/").expect(429);
    gateway.get("/").expect(429);
}

fn a_reload_may_change_the_rate(driver: Driver) {
    let config = |burst: u32| {
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n[[routes]]\nname = \"it\"\npath = \"/*\"\n\
         respond = {{ body = \"ok\" }}\nlimits = [{{ rate = \"10/s\", burst = {burst} }}]\n"
        )
    };
    let gateway = Gateway::start(driver, config(1));
    let mut client = gateway.connect();
    client.get("/").expect(200);
    gateway.reload(config(50));
    crate::harness::eventually("the larger burst", || {
        (0..10).all(|_| client.get("/").status == 200)
    });
}

fn a_forwarding_field_of_anybody_is_not_believed(driver: Driver) {
    let gateway =
        limited(driver, "", "", "limits = [{ rate = \"1/h\", burst = 1, key = \"client_ip\" }]");
    assert_eq!(
        statuses(
            &gateway,
            &[
                ("/orders/1", "X-Forwarded-For: 203.0.113.1\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.2\r\n"),
                ("/orders/1", "Forwarded: for=203.0.113.3\r\n"),
            ]
        ),
        [200, 429, 429]
    );
}

fn behind_a_trusted_proxy_x_forwarded_for_names_the_client(driver: Driver) {
    let gateway = limited(
        driver,
        "",
        "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n",
        "limits = [{ rate = \"1/h\", burst = 1, key = \"client_ip\" }]",
    );
    assert_eq!(
        statuses(
            &gateway,
            &[
                ("/orders/1", "X-Forwarded-For: 203.0.113.1\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.1\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.2\r\n"),
                // What stands left of the first untrusted address is the client's own invention.
                ("/orders/1", "X-Forwarded-For: 203.0.113.9, 203.0.113.2\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.2, 10.1.1.1\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.2\r\n"),
            ]
        ),
        [200, 429, 200, 429, 429, 429]
    );
}

fn behind_a_trusted_proxy_forwarded_names_the_client(driver: Driver) {
    let gateway = limited(
        driver,
        "",
        "trusted_proxies = [\"127.0.0.1\"]\nclient_address_from = \"forwarded\"\n",
        "limits = [{ rate = \"1/h\", burst = 1, key = \"client_ip\" }]",
    );
    assert_eq!(
        statuses(
            &gateway,
            &[
                ("/orders/1", "Forwarded: for=203.0.113.1;proto=https\r\n"),
                ("/orders/1", "Forwarded: for=203.0.113.9, for=203.0.113.1\r\n"),
                ("/orders/1", "Forwarded: for=\"[2001:db8::1]:4711\"\r\n"),
                ("/orders/1", "X-Forwarded-For: 203.0.113.1\r\n"),
            ]
        ),
        [200, 429, 200, 200]
    );
}

fn ipv6_clients_are_told_apart_by_their_network(driver: Driver) {
    let gateway = limited(
        driver,
        "",
        "trusted_proxies = [\"127.0.0.1\"]\n",
        "limits = [{ rate = \"1/h\", burst = 1, key = \"client_ip\" }]",
    );
    assert_eq!(
        statuses(
            &gateway,
            &[
                ("/orders/1", "X-Forwarded-For: 2001:db8:0:1::1\r\n"),
                ("/orders/1", "X-Forwarded-For: 2001:db8:0:1:ffff::2\r\n"),
                ("/orders/1", "X-Forwarded-For: 2001:db8:0:2::1\r\n"),
            ]
        ),
        [200, 429, 200]
    );
}

fn so_many_requests_at_once_on_a_route(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("ok"));
        }
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\nmax_concurrent = 2\n",
            upstream.address
        ),
    );
    let mut one = gateway.connect();
    let mut two = gateway.connect();
    one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    two.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(2);
    gateway.get("/").expect_failure(503);
    gate.open();
    one.response().expect(200);
    two.response().expect(200);
    crate::harness::eventually("room again", || gateway.get("/").status == 200);
    assert!(gateway.stats().route("it", "/limits/concurrency") >= 1);
}

fn so_many_requests_at_once_of_a_client(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("ok"));
        }
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\nmax_concurrent_per_client = 1\n",
            upstream.address
        ),
    );
    let mut one = gateway.connect();
    one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    gateway.get("/").expect_failure(429);
    let mut other = Client::connect_from(IpAddr::from([127, 0, 0, 2]), gateway.web());
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(2);
    gate.open();
    one.response().expect(200);
    other.response().expect(200);
}

fn a_place_is_given_back_when_the_client_leaves(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        if peer.number > 0 {
            return peer.serve(ok("ok").as_bytes());
        }
        peer.request();
        peer.wait_closed();
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\nmax_concurrent = 1\n",
            upstream.address
        ),
    );
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    client.reset();
    upstream.wait_for_ends(1);
    crate::harness::eventually("room again", || gateway.get("/").status == 200);
}
