//! Quotas and usage: what is refused, what is counted, and what outlives a killed gateway.

use std::path::Path;

use serde_json::Value;
use tollgate::store::Store;
use tollgate::store::usage::{Group, UsageQuery, UsageRow};

use crate::applications::{BRONZE, seed};
use crate::harness::websocket::{opening, switching_then};
use crate::harness::{Driver, Gate, Gateway, Refusing, Response, Upstream, ok};

/// A gateway in front of the product `shop`, with its store in a folder that outlives it.
fn start(driver: Driver, upstream: &Upstream, folder: &Path, interval: &str) -> Gateway {
    start_with(driver, upstream, folder, interval, "")
}

/// One whose route says this, too.
fn start_with(
    driver: Driver,
    upstream: &Upstream,
    folder: &Path,
    interval: &str,
    keys: &str,
) -> Gateway {
    let (path, target) = (folder.join("store.db"), &upstream.address);
    Gateway::start(
        driver,
        format!(
            "[store]\npath = {path:?}\ncommit_interval = \"{interval}\"\n\
             [upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n{keys}\n"
        ),
    )
}

/// Is refused where a route has a `max_body`, but not before it is charged.
fn ask_too_much(gateway: &Gateway) {
    let fields = "Host: test.example\r\nX-API-Key: tg_bronze\r\nContent-Length: 5000";
    gateway.once(&format!("POST /a HTTP/1.1\r\n{fields}\r\n\r\n")).expect_failure(413);
}

fn folder(words: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    seed(folder.path(), words, &[BRONZE]);
    folder
}

fn ask(gateway: &Gateway) -> Response {
    gateway.once("GET /a HTTP/1.1\r\nHost: test.example\r\nX-API-Key: tg_bronze\r\n\r\n")
}

fn ask_often(gateway: &Gateway, times: usize) -> Vec<u16> {
    (0..times).map(|_| ask(gateway).status).collect()
}

fn kill(mut gateway: Gateway) {
    gateway.signal(libc::SIGKILL);
    gateway.wait_exit();
}

fn stop(mut gateway: Gateway) {
    gateway.signal(libc::SIGTERM);
    gateway.wait_exit();
}

fn usage(folder: &Path, by: Vec<Group>) -> Vec<UsageRow> {
    let store = Store::open(&folder.join("store.db")).expect("the store");
    let query = UsageQuery { to: u64::MAX >> 1, limit: 100, by, ..UsageQuery::default() };
    store.usage(&query).expect("an answer")
}

both_drivers!(
    a_quota_refuses_and_names_itself,
    a_soft_quota_tells_and_lets_pass,
    of_limits_and_quotas_the_tightest_is_told,
    what_an_answer_says_it_cost_counts,
    an_absurd_cost_does_not_stop_the_ledger,
    a_quota_of_what_answers_cost_refuses_when_nothing_is_left,
    a_limit_of_what_answers_cost_makes_the_next_wait,
    usage_is_committed_before_the_gateway_ends,
    what_a_stop_cuts_off_was_used,
    what_was_committed_counts_after_a_kill,
    a_strict_plan_forgets_nothing,
    a_store_that_is_held_refuses_strict_plans_only,
    what_no_upstream_saw_is_neither_charged_nor_billed,
    what_no_upstream_saw_is_not_charged_after_a_start_either,
    what_no_upstream_saw_passes_no_soft_quota,
);

fn a_quota_refuses_and_names_itself(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nquotas = [{ period = \"year\", max = 2 }]");
    let gateway = start(driver, &upstream, folder.path(), "1s");
    let first = ask(&gateway).expect(200);
    assert!(first.value("ratelimit").expect("a field").starts_with("\"hits-year\";r=1;t="));
    assert!(
        first.value("ratelimit-policy").expect("a field").starts_with("\"hits-year\";q=2;w=31")
    );
    ask(&gateway).expect(200);
    let refused = ask(&gateway).expect(429);
    let problem: Value = serde_json::from_slice(&refused.body).expect("problem details");
    assert_eq!(problem["type"], "urn:tollgate:quota_exceeded");
    assert_eq!(problem["limit"], "hits-year");
    let resets_in = problem["resets_in"].as_u64().expect("seconds");
    let retry_after: u64 = refused.value("retry-after").expect("a field").parse().expect("seconds");
    assert!(resets_in <= 366 * 86_400 && retry_after.abs_diff(resets_in) <= 1);
    assert_eq!(upstream.count(), 2);
}

fn of_limits_and_quotas_the_tightest_is_told(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder(
        "[plans.bronze]\nlimits = [{ rate = \"3/h\" }]\nquotas = [{ period = \"year\", max = 9 }]",
    );
    let (path, target) = (folder.path().join("store.db"), &upstream.address);
    let config = format!(
        "rate_limit_fields = \"both\"\n[store]\npath = {path:?}\n\
         [upstreams.app]\ntargets = [\"{target}\"]\n\
         [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n\
         limits = [{{ rate = \"1000/h\", key = \"client_ip\" }}]\n"
    );
    let told = |gateway: &Gateway, status| {
        let answer = ask(gateway).expect(status);
        let of = |name| match answer.head.values(name)[..] {
            [one] => one.to_owned(),
            ref several => panic!("{name}: {several:?}"),
        };
        let all: Vec<_> = of("ratelimit-policy")
            .split(", ")
            .map(|p| p[..p.find(';').unwrap()].to_owned())
            .collect();
        assert_eq!(all, ["\"orders\"", "\"hits-per-hour\"", "\"hits-year\""]);
        let member = of("ratelimit").rsplit_once(";t=").expect("a time").0.to_owned();
        (member, of("x-ratelimit-limit"), of("x-ratelimit-remaining"))
    };
    let is = |member: &str, limit: &str, left: &str| (member.into(), limit.into(), left.into());
    let gateway = Gateway::start(driver, &config);
    // 2 of 3, then 1 of 3; then none, which says when there is more.
    assert_eq!(told(&gateway, 200), is("\"hits-per-hour\";r=2", "3", "2"));
    assert_eq!(told(&gateway, 200), is("\"hits-per-hour\";r=1", "3", "1"));
    assert_eq!(told(&gateway, 200), is("\"hits-per-hour\";r=0", "3", "0"));
    assert_eq!(told(&gateway, 429), is("\"hits-per-hour\";r=0", "3", "0"));
    // Buckets are full after a start, and of the year's 9 there are 6.
    stop(gateway);
    let gateway = Gateway::start(driver, &config);
    assert_eq!(told(&gateway, 200), is("\"hits-year\";r=5", "9", "5"));
}

fn a_soft_quota_tells_and_lets_pass(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nquotas = [{ period = \"year\", max = 1, soft = true }]");
    let gateway = start(driver, &upstream, folder.path(), "1s");
    assert_eq!(ask_often(&gateway, 3), [200; 3]);
    let beyond = ask(&gateway).expect(200);
    assert!(beyond.value("ratelimit").expect("a field").starts_with("\"hits-year\";r=0;t="));
    // The log once, and each request by number.
    let told = gateway.wait_log("it is told", |line| line.contains("a soft quota was passed"));
    for what in ["application=\"app-bronze\"", "quota=\"hits-year\"", "max=1", "plan=\"bronze\""] {
        assert!(told.contains(what), "{told}");
    }
    gateway.wait_stats("it is counted", |stats| {
        (stats.number("/soft_quotas/passed"), stats.number("/soft_quotas/requests_beyond"))
            == (1, 3)
    });
    let metrics = gateway.admin_get("/metrics").expect(200);
    assert!(metrics.text().contains("tollgate_soft_quotas_passed_total 1\n"));
    assert!(metrics.text().contains("tollgate_beyond_soft_quota_total 3\n"));
    assert_eq!(gateway.log().matches("a soft quota was passed").count(), 1);
    // Not once more after a start, since the count goes on.
    stop(gateway);
    let gateway = start(driver, &upstream, folder.path(), "1s");
    ask(&gateway).expect(200);
    gateway.wait_stats("it goes on", |stats| stats.number("/soft_quotas/requests_beyond") == 1);
    assert_eq!(gateway.stats().number("/soft_quotas/passed"), 0);
}

fn what_no_upstream_saw_is_not_charged_after_a_start_either(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nstrict = true\nquotas = [{ period = \"year\", max = 3 }]");
    let start = || start_with(driver, &upstream, folder.path(), "200ms", "max_body = \"1KiB\"");
    let store = rusqlite::Connection::open(folder.path().join("store.db")).expect("the store");
    let stored = || store.query_row("SELECT count FROM quotas", [], |row| row.get::<_, i64>(0));
    let mut gateway = start();
    ask(&gateway).expect(200);
    for end in [kill, stop] {
        ask_too_much(&gateway);
        ask_too_much(&gateway);
        crate::harness::eventually("what it was charged is given back", || stored() == Ok(1));
        end(gateway);
        gateway = start();
    }
    assert_eq!(ask_often(&gateway, 3), [200, 200, 429]);
    assert_eq!(stored(), Ok(3));
}

fn what_no_upstream_saw_passes_no_soft_quota(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nquotas = [{ period = \"year\", max = 1, soft = true }]");
    let gateway = start_with(driver, &upstream, folder.path(), "200ms", "max_body = \"1KiB\"");
    let told = |gateway: &Gateway| {
        let stats = gateway.stats();
        ["/soft_quotas/passed", "/soft_quotas/requests_beyond"].map(|what| stats.number(what))
    };
    ask(&gateway).expect(200);
    for _ in 0..3 {
        ask_too_much(&gateway);
    }
    assert_eq!(told(&gateway), [0, 0]);
    ask(&gateway).expect(200);
    crate::harness::eventually("it is told", || told(&gateway) == [1, 1]);
    ask_too_much(&gateway);
    ask(&gateway).expect(200);
    crate::harness::eventually("it goes on", || told(&gateway) == [1, 2]);
    assert_eq!(gateway.log().matches("a soft quota was passed").count(), 1);
}

fn what_an_answer_says_it_cost_counts(driver: Driver) {
    let answer = "HTTP/1.1 200 OK\r\nX-Tokens: 42\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering(answer);
    let folder = folder(
        "metrics = [{ name = \"tokens\", response_header = \"X-Tokens\" }]\n\
         mapping_rules = [{ method = \"*\", pattern = \"/\" },\n\
         { method = \"*\", pattern = \"/\", metric = \"tokens\" }]\n\
         [plans.bronze]\nquotas = [{ metric = \"tokens\", period = \"year\", max = 80 }]",
    );
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    // One each for the request, and 42 for the answer, counted when that is over.
    let used = |metric: &str| {
        let rows = usage(folder.path(), vec![Group::Metric]);
        rows.iter().find(|row| row.metric.as_deref() == Some(metric)).map_or(0, |row| row.count)
    };
    for tokens in [43, 86] {
        ask(&gateway).expect(200);
        crate::harness::eventually("it is counted", || used("tokens") == tokens);
    }
    ask(&gateway).expect(429);
    assert_eq!(used("hits"), 2);
}

/// A shop whose every answer costs 42 tokens, of which no mapping rule knows.
fn costly(plan: &str) -> (Upstream, tempfile::TempDir) {
    let answer = "HTTP/1.1 200 OK\r\nX-Tokens: 42\r\nContent-Length: 0\r\n\r\n";
    let folder = folder(&format!(
        "metrics = [{{ name = \"tokens\", response_header = \"X-Tokens\" }}]\n[plans.bronze]\n{plan}"
    ));
    (Upstream::answering(answer), folder)
}

/// What an answer cost is counted when it is over, and that may be after the next request.
fn eventually_refused(gateway: &Gateway) -> Value {
    let mut refused = None;
    crate::harness::eventually("it is refused", || {
        let answer = ask(gateway);
        refused = (answer.status == 429).then_some(answer.body);
        refused.is_some()
    });
    serde_json::from_slice(&refused.expect("an answer")).expect("problem details")
}

fn a_quota_of_what_answers_cost_refuses_when_nothing_is_left(driver: Driver) {
    let (upstream, folder) =
        costly("quotas = [{ metric = \"tokens\", period = \"year\", max = 42 }]");
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    let first = ask(&gateway).expect(200);
    // Nothing is taken before the answer says how much.
    assert!(first.value("ratelimit").expect("a field").starts_with("\"tokens-year\";r=42;t="));
    assert_eq!(eventually_refused(&gateway)["limit"], "tokens-year");
    stop(gateway);
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    ask(&gateway).expect(429);
    let rows = usage(folder.path(), vec![Group::Metric]);
    let of = |name: &str| rows.iter().find(|row| row.metric.as_deref() == Some(name));
    let count = |name| of(name).map_or(0, |row| row.count);
    assert_eq!(count("tokens"), 42 * count("hits"));
}

fn a_limit_of_what_answers_cost_makes_the_next_wait(driver: Driver) {
    let (upstream, folder) = costly("limits = [{ metric = \"tokens\", rate = \"20/h\" }]");
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    let first = ask(&gateway).expect(200);
    assert!(first.value("ratelimit").expect("a field").starts_with("\"tokens-per-hour\";r=20;"));
    let refused = eventually_refused(&gateway);
    assert_eq!(refused["limit"], "tokens-per-hour");
    // 22 are owed, of which no more than a window's; and the next needs one.
    let resets_in = refused["resets_in"].as_u64().expect("seconds");
    assert!((3600..=3600 + 180).contains(&resets_in), "{resets_in}");
}

fn an_absurd_cost_does_not_stop_the_ledger(driver: Driver) {
    let most = u64::MAX;
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 200 OK\r\nX-Tokens: {most}\r\nX-Tokens: {most}\r\nContent-Length: 0\r\n\r\n"
    ));
    let folder = folder(
        "metrics = [{ name = \"tokens\", response_header = \"X-Tokens\" }]\n\
         mapping_rules = [{ method = \"*\", pattern = \"/\" }]\n\
         [plans.bronze]",
    );
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    for hits in 1..4 {
        ask(&gateway).expect(200);
        crate::harness::eventually("it is counted", || {
            let rows = usage(folder.path(), vec![Group::Metric]);
            let of = |name: &str| rows.iter().find(|row| row.metric.as_deref() == Some(name));
            of("hits").is_some_and(|row| row.count == hits)
                && of("tokens").is_some_and(|row| row.count == 2_000_000_000_000 * hits)
        });
    }
}

fn usage_is_committed_before_the_gateway_ends(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]");
    let gateway = start(driver, &upstream, folder.path(), "1m");
    assert_eq!(ask_often(&gateway, 7), [200; 7]);
    stop(gateway);
    let rows = usage(folder.path(), vec![Group::Application, Group::Class]);
    assert_eq!(rows.iter().map(|row| (row.class, row.count)).collect::<Vec<_>>(), [(Some(2), 7)]);
}

fn what_a_stop_cuts_off_was_used(driver: Driver) {
    let silent = Upstream::new(|peer| drop(peer.next_request().map(|_| peer.wait_closed())));
    let talking = switching_then(|peer| drop(peer.wait_closed()));
    let get = "GET /a HTTP/1.1\r\nHost: test.example\r\nX-API-Key: tg_bronze\r\n\r\n";
    let tunnel = opening("/a", "X-API-Key: tg_bronze\r\n");
    for (upstream, request, class) in [(silent, get.to_owned(), 5), (talking, tunnel, 1)] {
        let folder = folder("[plans.bronze]");
        let soon = "[server]\nworkers = 2\nwatch = false\ndrain_timeout = \"200ms\"";
        let gateway = start_with(driver, &upstream, folder.path(), "1m", soon);
        let mut client = gateway.connect();
        client.send(request);
        match class {
            1 => drop(client.switched()),
            _ => drop(upstream.wait_for_request(1)),
        }
        stop(gateway);
        let rows = usage(folder.path(), vec![Group::Class]);
        let rows: Vec<_> = rows.iter().map(|row| (row.class, row.count)).collect();
        assert_eq!(rows, [(Some(class), 1)]);
    }
}

fn what_was_committed_counts_after_a_kill(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nquotas = [{ period = \"year\", max = 10 }]");
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    assert_eq!(ask_often(&gateway, 6), [200; 6]);
    let committed = || usage(folder.path(), vec![]).first().map_or(0, |row| row.count);
    crate::harness::eventually("usage is committed", || committed() == 6);
    kill(gateway);
    let gateway = start(driver, &upstream, folder.path(), "200ms");
    assert_eq!(ask_often(&gateway, 5), [200, 200, 200, 200, 429]);
}

fn a_strict_plan_forgets_nothing(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = folder("[plans.bronze]\nstrict = true\nquotas = [{ period = \"year\", max = 5 }]");
    for _ in 0..5 {
        // The commit that all others wait for is a minute away.
        let gateway = start(driver, &upstream, folder.path(), "1m");
        ask(&gateway).expect(200);
        kill(gateway);
    }
    let gateway = start(driver, &upstream, folder.path(), "1m");
    ask(&gateway).expect(429);
    assert_eq!(upstream.count(), 5);
}

fn a_store_that_is_held_refuses_strict_plans_only(driver: Driver) {
    for (strict, status) in [(true, 503), (false, 200)] {
        let upstream = Upstream::saying("ok");
        let words = "quotas = [{ period = \"year\", max = 5 }]";
        let folder = folder(&format!("[plans.bronze]\nstrict = {strict}\n{words}"));
        let gateway = start(driver, &upstream, folder.path(), "200ms");
        ask(&gateway).expect(200);
        let other = rusqlite::Connection::open(folder.path().join("store.db")).expect("the store");
        other.execute_batch("BEGIN IMMEDIATE").expect("held");
        ask(&gateway).expect(status);
        gateway.wait_log("the failure is told", |log| log.contains("usage can't be committed"));
        other.execute_batch("ROLLBACK").expect("let go");
        gateway.wait_log("its end too", |log| log.contains("usage is committed again"));
        ask(&gateway).expect(200);
    }
}

fn what_no_upstream_saw_is_neither_charged_nor_billed(driver: Driver) {
    let (gate, refusing) = (Gate::new(), Refusing::new());
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("ok"));
        }
    });
    let folder = folder("[plans.bronze]\nquotas = [{ period = \"year\", max = 3 }]");
    let (store, target, nobody) =
        (folder.path().join("store.db"), &upstream.address, &refusing.address);
    let gateway = Gateway::start(
        driver,
        format!(
            "[store]\npath = {store:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
             [upstreams.gone]\ntargets = [\"{nobody}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n\
             max_concurrent = 1\nmax_body = \"1KiB\"\n\
             [[routes]]\nname = \"gone\"\npath = \"/gone\"\nproduct = \"shop\"\nupstream = \"gone\"\n"
        ),
    );
    let fields = "HTTP/1.1\r\nHost: test.example\r\nX-API-Key: tg_bronze\r\n";
    let mut first = gateway.connect();
    first.send(format!("GET /a {fields}\r\n"));
    upstream.wait_for_request(1);
    for _ in 0..3 {
        // Its place is taken, its content too long, its target not there.
        ask(&gateway).expect(503);
        gateway.once(&format!("POST /a {fields}Content-Length: 5000\r\n\r\n")).expect_failure(503);
        gateway.once(&format!("GET /gone {fields}\r\n")).expect(502);
    }
    gate.open();
    first.response().expect(200);
    // Its answer may be here before its place is free.
    crate::harness::eventually("its place is free", || {
        let too_long = format!("POST /a {fields}Content-Length: 5000\r\n\r\n");
        gateway.once(&too_long).status == 413
    });
    for _ in 0..3 {
        ask_too_much(&gateway);
    }
    assert_eq!(ask_often(&gateway, 3), [200, 200, 429]);
    stop(gateway);
    let rows = usage(folder.path(), vec![Group::Class]);
    assert_eq!(rows.iter().map(|row| (row.class, row.count)).collect::<Vec<_>>(), [(Some(2), 3)]);
}
