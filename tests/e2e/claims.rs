//! What tokens say, as limits, upstreams and routes use it.

use serde_json::{Value, json};

use crate::applications::{BRONZE, seed};
use crate::harness::issuer::{KeyServer, TokenKey, claims, jwks};
use crate::harness::{Ask, Caller, Driver, Gateway, Response, Upstream, Version};

both_drivers!(
    a_limit_is_kept_for_what_a_token_says,
    limits_by_claims_are_asked_after_authentication,
    upstreams_are_told_what_a_token_says,
    what_is_no_field_is_not_told,
    clients_say_nothing_in_a_claims_place,
    a_route_is_for_those_whose_token_says_so,
    without_a_token_the_next_route_is_taken,
    each_route_looks_at_the_token_that_it_asks_for,
    only_routes_whose_other_matchers_hold_look_at_tokens,
    a_route_waits_for_keys_to_know_a_claim,
    until_keys_came_nobody_knows_which_route,
    a_streams_token_chooses_its_route,
    a_failed_lookup_tells_no_tokens,
    no_log_has_a_products_tokens_whatever_route_was_taken,
    a_token_that_chose_another_route_stays_here,
    a_retired_product_is_gone_for_those_whom_its_claims_name,
);

/// Routes that take tokens of `[jwt.main]`.
fn started(driver: Driver, key: &TokenKey, routes: &[(&str, &Upstream, &str)]) -> Gateway {
    let text = text(routes, "[jwt.main]\njwks_file = \"keys.json\"\n");
    Gateway::with(driver, text).file("keys.json", jwks(&[key])).start()
}

fn text(routes: &[(&str, &Upstream, &str)], jwt: &str) -> String {
    let mut text = String::new();
    for (name, upstream, keys) in routes {
        text.push_str(&format!(
            "[upstreams.{name}]\ntargets = [\"{}\"]\n[[routes]]\nname = \"{name}\"\npath = \"/*\"\n\
             upstream = \"{name}\"\n{keys}\n",
            upstream.address
        ));
    }
    text + jwt
}

const MAIN: &str = "authentication = { any_of = [\"jwt:main\"] }";
const OPTIONAL: &str = "authentication = { any_of = [\"jwt:main\"], optional = true }";

fn with(more: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn show(gateway: &Gateway, token: &str, fields: &str) -> Response {
    gateway.once(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
    ))
}

fn a_limit_is_kept_for_what_a_token_says(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
    for (name, at) in [("sub", "claim:sub"), ("tenant", "claim:/realm/tenant")] {
        let limit =
            format!("{OPTIONAL}\nlimits = [{{ name = \"each\", rate = \"2/h\", key = \"{at}\" }}]");
        let gateway = started(driver, &key, &[("app", &upstream, &limit)]);
        let token = |value: &str| match name {
            "sub" => key.token(&with(&json!({ "sub": value }))),
            _ => key.token(&with(&json!({ "realm": { "tenant": value } }))),
        };
        for who in ["a", "b"] {
            show(&gateway, &token(who), "").expect(200);
            let answer = show(&gateway, &token(who), "").expect(200);
            assert_eq!(answer.value("ratelimit-policy"), Some("\"each\";q=2;w=3600"));
            let refused = show(&gateway, &token(who), "").expect_failure(429);
            assert!(refused.text().contains("\"limit\":\"each\""), "{}", refused.text());
        }
        // Those without the claim, and those without a token, share one bucket.
        show(&gateway, &key.token(&claims()), "").expect(200);
        gateway.get("/").expect(200);
        show(&gateway, &key.token(&claims()), "").expect_failure(429);
        gateway.get("/").expect_failure(429);
    }
}

fn limits_by_claims_are_asked_after_authentication(driver: Driver) {
    let (key, other, upstream) = (TokenKey::new("k"), TokenKey::new("k"), Upstream::saying("ok"));
    let limit = format!("{MAIN}\nlimits = [{{ rate = \"1/h\", key = \"claim:sub\" }}]");
    let gateway = started(driver, &key, &[("app", &upstream, &limit)]);
    let said = with(&json!({ "sub": "a" }));
    for _ in 0..5 {
        show(&gateway, &other.token(&said), "").expect_failure(401);
    }
    show(&gateway, &key.token(&said), "").expect(200);
    show(&gateway, &key.token(&said), "").expect_failure(429);
}

const TOLD: &str = "[routes.request_headers]\nset = { x-user = \"{claim:sub}\", \
                    x-tenant = \"id={claim:/realm/tenant}\", x-roles = \"{claim:roles}\" }";

fn upstreams_are_told_what_a_token_says(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
    let gateway = started(driver, &key, &[("app", &upstream, &format!("{MAIN}\n{TOLD}"))]);
    let said = json!({ "sub": "ann", "realm": { "tenant": 7 }, "roles": ["a", "b"] });
    show(&gateway, &key.token(&with(&said)), "X-User: root\r\nx-roles: admin\r\n").expect(200);
    let request = upstream.only_request();
    assert_eq!(request.head.values("x-user"), ["ann"]);
    assert_eq!(request.head.values("x-tenant"), ["id=7"]);
    assert_eq!(request.head.values("x-roles"), ["a,b"]);
}

fn what_is_no_field_is_not_told(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
    let gateway = started(driver, &key, &[("app", &upstream, &format!("{MAIN}\n{TOLD}"))]);
    let bad = [
        json!("a\r\nX-Admin: 1"),
        json!("a\nX-Admin: 1"),
        json!("a\u{0}b"),
        json!("a\u{7f}"),
        json!("é"),
        json!(" root"),
        json!({ "a": "b" }),
        json!(["a,root"]),
        Value::Null,
    ];
    for (nth, value) in bad.iter().enumerate() {
        let token = key.token(&with(&json!({ "sub": value, "roles": [value] })));
        show(&gateway, &token, "X-User: root\r\nX-Roles: root\r\n").expect(200);
        let request = upstream.wait_for_request(nth + 1);
        assert_eq!(request.head.values("x-user"), [""], "{value}");
        assert_eq!(request.head.values("x-tenant"), ["id="], "{value}");
        assert_eq!(request.head.values("x-roles"), [""], "{value}");
        assert_eq!(request.value("x-admin"), None, "{value}");
    }
}

fn clients_say_nothing_in_a_claims_place(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
    let gateway = started(driver, &key, &[("app", &upstream, &format!("{OPTIONAL}\n{TOLD}"))]);
    gateway.once("GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nx-user: admin\r\n\r\n").expect(200);
    assert_eq!(upstream.wait_for_request(1).head.values("x-user"), [""]);
    let trailers = "X-User: root\r\nX-Sum: 1\r\n";
    let token = key.token(&with(&json!({ "sub": "ann" })));
    gateway
        .once(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n{trailers}\r\n"
        ))
        .expect(200);
    let request = upstream.wait_for_request(2);
    assert_eq!(request.head.values("x-user"), ["ann"]);
    let names: Vec<_> =
        request.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["x-sum"]);
}

/// Routes of one path: for gold, for those who have a role, and for everybody.
fn tiers(
    driver: Driver,
    key: &TokenKey,
    [gold, staff, all]: [&Upstream; 3],
    last: &str,
) -> Gateway {
    let for_gold =
        format!("{MAIN}\nclaims = {{ tier = \"gold\", \"/realm/id\" = [\"1\", \"2\"] }}");
    let for_staff = format!("{MAIN}\nclaims = {{ roles = [\"admin\", \"support\"] }}");
    started(
        driver,
        key,
        &[("all", all, last), ("staff", staff, &for_staff), ("gold", gold, &for_gold)],
    )
}

fn a_route_is_for_those_whose_token_says_so(driver: Driver) {
    let key = TokenKey::new("k");
    let [gold, staff, all] = ["gold", "staff", "all"].map(Upstream::saying);
    let gateway = tiers(driver, &key, [&gold, &staff, &all], MAIN);
    for (said, taken) in [
        (json!({ "tier": "gold", "realm": { "id": 2 } }), "gold"),
        (json!({ "tier": "gold", "realm": { "id": 3 } }), "all"),
        (json!({ "tier": "silver", "realm": { "id": 2 } }), "all"),
        (json!({ "tier": "gold" }), "all"),
        (json!({ "roles": ["user", "support"] }), "staff"),
        (json!({ "tier": "gold", "realm": { "id": 1 }, "roles": "admin" }), "gold"),
        (json!({}), "all"),
    ] {
        let answer = show(&gateway, &key.token(&with(&said)), "").expect(200);
        assert_eq!(answer.text(), taken, "{said}");
    }
}

fn without_a_token_the_next_route_is_taken(driver: Driver) {
    let (key, other) = (TokenKey::new("k"), TokenKey::new("k"));
    let [gold, staff, all] = ["gold", "staff", "all"].map(Upstream::saying);
    let said = with(&json!({ "tier": "gold", "realm": { "id": 1 } }));
    let gateway = tiers(driver, &key, [&gold, &staff, &all], "");
    assert_eq!(gateway.get("/").expect(200).text(), "all");
    assert_eq!(show(&gateway, &other.token(&said), "").expect(200).text(), "all");
    assert_eq!(show(&gateway, "nonsense", "").expect(200).text(), "all");
    assert_eq!(show(&gateway, &key.token(&said), "").expect(200).text(), "gold");
    // Where the next one asks for the same token, it says what is wrong with it.
    let gateway = tiers(driver, &key, [&gold, &staff, &all], MAIN);
    gateway.get("/").expect_failure(401);
    show(&gateway, &other.token(&said), "").expect_failure(401);
}

fn each_route_looks_at_the_token_that_it_asks_for(driver: Driver) {
    let (one, two) = (TokenKey::new("one"), TokenKey::new("two"));
    let [first, second, all] = ["first", "second", "all"].map(Upstream::saying);
    let route = |jwt: &str| {
        format!("authentication = {{ any_of = [\"jwt:{jwt}\"] }}\nclaims = {{ tier = \"gold\" }}")
    };
    let text = text(
        &[("first", &first, &route("one")), ("second", &second, &route("two")), ("all", &all, "")],
        "[jwt.one]\njwks_file = \"one.json\"\n[jwt.two]\njwks_file = \"two.json\"\ncache = \"0B\"\n",
    );
    let gateway = Gateway::with(driver, text)
        .file("one.json", jwks(&[&one]))
        .file("two.json", jwks(&[&two]))
        .start();
    let said = with(&json!({ "tier": "gold" }));
    for (key, taken) in [(&one, "first"), (&two, "second"), (&TokenKey::new("three"), "all")] {
        assert_eq!(show(&gateway, &key.token(&said), "").expect(200).text(), taken);
    }
}

fn only_routes_whose_other_matchers_hold_look_at_tokens(driver: Driver) {
    let key = TokenKey::new("k");
    let server = KeyServer::new(&[&key]);
    let _gate = server.hang();
    let (gold, all) = (Upstream::saying("gold"), Upstream::saying("all"));
    let for_gold = format!(
        "{MAIN}\nclaims = {{ tier = \"gold\" }}\nmethods = [\"GET\"]\nheaders = {{ x-a = \"1\" }}"
    );
    let jwt = format!("[jwt.main]\njwks_url = \"{}\"\ntimeout = \"300ms\"\n", server.url());
    let gateway =
        Gateway::start(driver, text(&[("gold", &gold, &for_gold), ("all", &all, "")], &jwt));
    let token = key.token(&claims());
    // Whoever looked at it would have no keys.
    assert_eq!(show(&gateway, &token, "").expect(200).text(), "all");
    assert_eq!(show(&gateway, &token, "X-A: 2\r\n").expect(200).text(), "all");
    let post = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(gateway.once(&post).expect(200).text(), "all");
    show(&gateway, &token, "X-A: 1\r\n").expect_failure(503);
}

fn a_route_waits_for_keys_to_know_a_claim(driver: Driver) {
    let (old, new) = (TokenKey::new("a"), TokenKey::new("b"));
    let server = KeyServer::new(&[&old]);
    let (gold, all) = (Upstream::saying("gold"), Upstream::saying("all"));
    let for_gold = format!("{MAIN}\nclaims = {{ tier = \"gold\" }}");
    let jwt = format!("[jwt.main]\njwks_url = \"{}\"\nrefetch = \"1ms\"\n", server.url());
    let gateway =
        Gateway::start(driver, text(&[("gold", &gold, &for_gold), ("all", &all, "")], &jwt));
    let said = with(&json!({ "tier": "gold" }));
    assert_eq!(show(&gateway, &old.token(&said), "").expect(200).text(), "gold");
    server.show(&[&old, &new], "");
    assert_eq!(show(&gateway, &new.token(&said), "").expect(200).text(), "gold");
    assert_eq!(show(&gateway, &old.token(&said), "").expect(200).text(), "gold");
    assert_eq!(server.asked(), 2);
}

fn until_keys_came_nobody_knows_which_route(driver: Driver) {
    let key = TokenKey::new("a");
    let server = KeyServer::new(&[&key]);
    let _gate = server.hang();
    let (banned, all) = (Upstream::saying("banned"), Upstream::saying("all"));
    let for_banned = format!("{MAIN}\nclaims = {{ banned = \"true\" }}");
    let jwt = format!("[jwt.main]\njwks_url = \"{}\"\ntimeout = \"200ms\"\n", server.url());
    let gateway =
        Gateway::start(driver, text(&[("banned", &banned, &for_banned), ("all", &all, "")], &jwt));
    show(&gateway, &key.token(&claims()), "").expect_failure(503);
    gateway.get("/").expect(200);
    banned.expect_untouched();
}

fn a_streams_token_chooses_its_route(driver: Driver) {
    let key = TokenKey::new("k");
    let (gold, all) = (Upstream::saying("gold"), Upstream::saying("all"));
    let for_gold = format!("{MAIN}\nclaims = {{ tier = \"gold\" }}");
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n{}",
        text(
            &[("gold", &gold, &for_gold), ("all", &all, MAIN)],
            "[jwt.main]\njwks_file = \"keys.json\"\n"
        )
    );
    let gateway = Gateway::with(driver, text).file("keys.json", jwks(&[&key])).start();
    let mut caller = Caller::connect(Version::Http2, gateway.web());
    for (tier, count) in [("gold", 1), ("silver", 1)] {
        let authorization = format!("Bearer {}", key.token(&with(&json!({ "tier": tier }))));
        let answer = caller.ask(&Ask::get("/").field("authorization", &authorization));
        assert_eq!(answer.status, 200);
        assert_eq!(gold.count(), count, "{tier}");
    }
    assert_eq!(all.count(), 1);
}

fn a_failed_lookup_tells_no_tokens(driver: Driver) {
    let key = TokenKey::new("k");
    let server = KeyServer::new(&[&key]);
    let _gate = server.hang();
    let upstream = Upstream::saying("no");
    let folder = tempfile::tempdir().expect("a folder");
    let words = "authentication.any_of = [\"jwt:main\"]\ncredentials.token = [\"query:token\"]\nplans.bronze = {}";
    seed(folder.path(), words, &[BRONZE]);
    let text = format!(
        "[store]\npath = {:?}\n[access_log]\nformat = \"json\"\n{}",
        folder.path().join("store.db"),
        text(
            &[("app", &upstream, "product = \"shop\"\nclaims = { tier = \"gold\" }")],
            &format!("[jwt.main]\njwks_url = \"{}\"\ntimeout = \"200ms\"\n", server.url())
        )
    );
    let gateway = Gateway::start(driver, text);
    let token = key.token(&claims());
    for (query, status) in [(format!("a=1&token={token}"), 503), ("a=1&token=nonsense".into(), 404)]
    {
        gateway.once(&format!("GET /x?{query} HTTP/1.1\r\nHost: a\r\n\r\n")).expect_failure(status);
        let status = format!("\"status\":{status}");
        let line = gateway.wait_output("a record", |line| line.contains(&status));
        assert!(!line.contains("token="), "{line}");
    }
    upstream.expect_untouched();
}

/// A gateway before a product of these words, whose tokens are in the query, and more routes.
fn selling(
    driver: Driver,
    key: &TokenKey,
    words: &str,
    routes: &[(&str, &Upstream, &str)],
) -> (tempfile::TempDir, Gateway) {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = "authentication.any_of = [\"jwt:main\"]\ncredentials.token = [\"query:token\"]";
    seed(folder.path(), &format!("{words}\n{tokens}\nplans.bronze = {{}}"), &[BRONZE]);
    let text = format!(
        "[store]\npath = {:?}\n[access_log]\nformat = \"json\"\n{}",
        folder.path().join("store.db"),
        text(routes, "[jwt.main]\njwks_file = \"keys.json\"\n")
    );
    (folder, Gateway::with(driver, text).file("keys.json", jwks(&[key])).start())
}

const GOLD: &str = "product = \"shop\"\nclaims = { tier = \"gold\" }";

fn no_log_has_a_products_tokens_whatever_route_was_taken(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
    let posts = "host = \"posts.example\"\nmethods = [\"POST\"]";
    let (_folder, gateway) = selling(
        driver,
        &key,
        "",
        &[
            ("gold", &upstream, GOLD),
            ("posts", &upstream, posts),
            ("all", &upstream, "host = \"a\""),
        ],
    );
    let silver = key.token(&with(&json!({ "tier": "silver" })));
    for (nth, (host, name, token, status)) in [
        ("a", "token", &*silver, 200),
        ("a", "%74oken", "nonsense", 200),
        ("posts.example", "token", "nonsense", 405),
        ("b", "token", &silver, 404),
    ]
    .into_iter()
    .enumerate()
    {
        gateway
            .once(&format!("GET /x?n={nth}&{name}={token} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .expect(status);
        let query = format!("\"query\":\"n={nth}\",\"status\":{status}");
        gateway.wait_output("a record without the token", |line| line.contains(&query));
    }
    assert!(!gateway.output().contains(&silver) && !gateway.output().contains("nonsense"));
}

fn a_retired_product_is_gone_for_those_whom_its_claims_name(driver: Driver) {
    let key = TokenKey::new("k");
    let (upstream, all) = (Upstream::saying("no"), Upstream::saying("all"));
    let retired = "state = \"retired\"";
    let (_folder, alone) = selling(driver, &key, retired, &[("gold", &upstream, GOLD)]);
    let (_other, with_next) =
        selling(driver, &key, retired, &[("gold", &upstream, GOLD), ("all", &all, "")]);
    let ask = |gateway: &Gateway, tier: &str| {
        let token = key.token(&with(&json!({ "tier": tier })));
        gateway.once(&format!("GET /x?token={token} HTTP/1.1\r\nHost: a\r\n\r\n")).status
    };
    assert_eq!((ask(&alone, "gold"), ask(&alone, "silver")), (410, 404));
    assert_eq!((ask(&with_next, "gold"), ask(&with_next, "silver")), (410, 200));
    upstream.expect_untouched();
}

fn a_token_that_chose_another_route_stays_here(driver: Driver) {
    let key = TokenKey::new("k");
    let (gold, all) = (Upstream::saying("gold"), Upstream::saying("all"));
    let routes = [("gold", &gold, GOLD), ("all", &all, "")];
    let (_folder, gateway) = selling(driver, &key, "", &routes);
    let silver = key.token(&with(&json!({ "tier": "silver" })));
    let referer = format!("http://shop.example/p?b=2&%74oken={silver}&c");
    for (query, sent) in [
        (format!("n=1&token={silver}"), "/x?n=1"),
        ("%74oken=nonsense&n=2".into(), "/x?n=2"),
        ("token=nonsense".into(), "/x"),
        ("n=3".into(), "/x?n=3"),
    ] {
        let fields = format!("Host: a\r\nReferer: {referer}");
        gateway.once(&format!("GET /x?{query} HTTP/1.1\r\n{fields}\r\n\r\n")).expect(200);
        let got = all.requests().pop().expect("a request");
        assert_eq!(got.target(), sent);
        // What a log may not have a target may.
        assert_eq!(got.value("referer"), Some(&*referer));
    }
    gold.expect_untouched();
    let told = "\"referer\":\"http://shop.example/p?b=2&c\"";
    gateway.wait_output("a record without the token", |line| line.contains(told));
    assert!(!gateway.output().contains(&silver) && !gateway.output().contains("nonsense"));
}
