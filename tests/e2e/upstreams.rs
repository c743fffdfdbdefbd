//! Targets of every kind, how one is chosen, kept connections, retries and skipping.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc;

use crate::harness::{
    Client, Driver, Gate, Gateway, PATIENCE, Refusing, Upstream, eventually, forward_all,
    may_mount, ok, unix_address,
};

/// One worker, so that what a core keeps for itself is the whole gateway's.
const ONE_WORKER: &str = "[server]\nworkers = 1\nwatch = false\n";

/// Everything to an upstream with these keys; one worker.
fn upstream(driver: Driver, keys: &str) -> Gateway {
    Gateway::start(
        driver,
        format!(
            "{ONE_WORKER}[upstreams.app]\n{keys}\n[[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n"
        ),
    )
}

/// `"a", "b"` for a list of targets.
fn listed(upstreams: &[&Upstream]) -> String {
    upstreams.iter().map(|u| format!("\"{}\"", u.address)).collect::<Vec<_>>().join(", ")
}

fn named(n: usize) -> Vec<Upstream> {
    (0..n).map(|n| Upstream::saying(&format!("target {n}"))).collect()
}

both_drivers!(
    an_ipv6_target,
    a_unix_target,
    a_target_by_name,
    a_name_without_address_is_unavailable_not_fatal,
    a_name_that_moves_is_followed,
    an_ipv6_listener,
    round_robin_keeps_to_the_weights,
    random_reaches_all_targets,
    least_request_spares_the_busy_target,
    maglev_keeps_a_key_on_its_target,
    maglev_on_cookie_path_and_client_address,
    connections_are_kept_and_reused,
    a_pool_of_none_connects_anew,
    a_pool_keeps_no_more_than_its_bound,
    an_idle_connection_is_closed_after_its_time,
    a_connection_closed_while_idle_is_not_used,
    a_connection_that_speaks_while_idle_is_not_used,
    an_idempotent_request_is_retried_when_a_reused_connection_dies,
    a_post_is_not_retried_when_a_reused_connection_dies,
    nothing_is_retried_after_the_first_byte_of_a_response,
    nothing_is_retried_when_a_fresh_connection_dies,
    a_refused_connection_is_tried_elsewhere_whatever_the_method,
    a_request_is_tried_no_more_often_than_allowed,
    a_target_that_refuses_is_skipped_for_a_while,
    a_target_that_comes_back_is_used_again,
    no_target_left_is_a_failure_that_ends,
    upstreams_can_be_chosen_by_route,
    retries_are_a_share_of_requests,
);

fn an_ipv6_target(driver: Driver) {
    let target = Upstream::on("[::1]:0", |peer| peer.serve(ok("six").as_bytes()));
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    assert_eq!(gateway.get("/").expect(200).text(), "six");
}

fn a_unix_target(driver: Driver) {
    let folder = tempfile::tempdir().expect("a folder");
    let target =
        Upstream::on(&unix_address(folder.path()), |peer| peer.serve(ok("unix").as_bytes()));
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").expect(200).text(), "unix");
    }
    assert_eq!(target.connections(), 1);
}

fn a_target_by_name(driver: Driver) {
    let target = Upstream::saying("named");
    let gateway = upstream(driver, &format!("targets = [\"localhost:{}\"]", target.port()));
    for _ in 0..5 {
        assert_eq!(gateway.get("/").expect(200).text(), "named");
    }
}

fn a_name_that_moves_is_followed(driver: Driver) {
    if !may_mount() {
        return;
    }
    let gate = Gate::new();
    let held = gate.clone();
    let old = Upstream::on("127.0.0.2:0", move |peer| {
        while let Some(request) = peer.next_request() {
            if request.target() == "/slow" {
                held.wait();
            }
            peer.send(ok("old"));
        }
    });
    let port = old.port();
    let new = Upstream::on(&format!("127.0.0.3:{port}"), |peer| peer.serve(ok("new").as_bytes()));
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.2 app.test\n").expect("the names");
    let config = format!(
        "[upstreams.app]\nresolve_every = \"1s\"\ntargets = [\"app.test:{port}\"]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n"
    );
    let gateway = Gateway::with(driver, config).hosts(&hosts).start();
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "old");
    let mut waiting = gateway.connect();
    waiting.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    old.wait_for_request(2);
    std::fs::write(&hosts, "127.0.0.3 app.test\n").expect("the names");
    eventually("the name is followed", || client.get("/").expect(200).text() == "new");
    gate.open();
    assert_eq!(waiting.response().expect(200).text(), "old", "what was under way is not dropped");
    drop(new);
}

fn a_name_without_address_is_unavailable_not_fatal(driver: Driver) {
    let target = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.gone]\ntargets = [\"nobody.invalid:80\"]\n[upstreams.app]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"gone\"\npath = \"/gone\"\nupstream = \"gone\"\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
            target.address
        ),
    );
    gateway.get("/gone").expect_failure(503);
    gateway.get("/").expect(200);
}

fn an_ipv6_listener(driver: Driver) {
    let target = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"[::1]:0\"\n{}",
            forward_all(&target.address)
        ),
    );
    gateway.get("/").expect(200);
    assert_eq!(target.only_request().value("x-forwarded-for"), Some("::1"));
}

fn round_robin_keeps_to_the_weights(driver: Driver) {
    let targets = named(2);
    let gateway = upstream(
        driver,
        &format!(
            "balance = \"round_robin\"\ntargets = [\"{}\", {{ address = \"{}\", weight = 2 }}]",
            targets[0].address, targets[1].address
        ),
    );
    let mut client = gateway.connect();
    for _ in 0..30 {
        client.get("/").expect(200);
    }
    assert_eq!((targets[0].count(), targets[1].count()), (10, 20));
}

fn random_reaches_all_targets(driver: Driver) {
    let targets = named(2);
    let gateway = upstream(
        driver,
        &format!("balance = \"random\"\ntargets = [{}]", listed(&[&targets[0], &targets[1]])),
    );
    let mut client = gateway.connect();
    for _ in 0..200 {
        client.get("/").expect(200);
    }
    // 200 fair coins give fewer than 50 heads once in 10^12 runs.
    assert!(
        targets.iter().all(|t| t.count() >= 50),
        "{} and {}",
        targets[0].count(),
        targets[1].count()
    );
}

fn least_request_spares_the_busy_target(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let busy = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("busy"));
        }
    });
    let free = Upstream::saying("free");
    let gateway = upstream(
        driver,
        &format!("balance = \"least_request\"\ntargets = [{}]", listed(&[&busy, &free])),
    );
    let mut waiting = Vec::new();
    for n in 1..=40 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the request arrives", || busy.count() + free.count() == n);
        if busy.count() > waiting.len() {
            waiting.push(client);
        } else {
            client.response().expect(200);
        }
    }
    assert!(free.count() >= 2 * busy.count(), "{} free, {} busy", free.count(), busy.count());
    gate.open();
    for mut client in waiting {
        client.response().expect(200);
    }
}

fn maglev_keeps_a_key_on_its_target(driver: Driver) {
    let targets = named(4);
    let list = listed(&targets.iter().collect::<Vec<_>>());
    let gateway = upstream(
        driver,
        &format!("balance = \"maglev\"\nhash_key = \"header:x-user\"\ntargets = [{list}]"),
    );
    let mut client = gateway.connect();
    let mut ask = |user: usize| {
        client
            .ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: user{user}\r\n\r\n"))
            .expect(200)
            .text()
    };
    let first: Vec<String> = (0..100).map(&mut ask).collect();
    let again: Vec<String> = (0..100).map(&mut ask).collect();
    assert_eq!(first, again);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4, "keys spread over the targets");

    // One target less: the keys of the others stay (nearly all of them).
    let list = listed(&targets[..3].iter().collect::<Vec<_>>());
    gateway.reload(format!(
        "{ONE_WORKER}[upstreams.app]\nbalance = \"maglev\"\nhash_key = \"header:x-user\"\ntargets = [{list}]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n"));
    let after: Vec<String> = (0..100).map(&mut ask).collect();
    let moved = first.iter().zip(&after).filter(|(a, b)| a != b && *a != "target 3").count();
    assert!(moved <= 15, "{moved} keys of remaining targets moved");
}

fn maglev_on_cookie_path_and_client_address(driver: Driver) {
    let targets = named(3);
    let list = listed(&targets.iter().collect::<Vec<_>>());
    for (key, request) in [
        (
            "cookie:session",
            "GET /NN HTTP/1.1\r\nHost: a\r\nCookie: x=NN; session=abc; y=NN\r\n\r\n",
        ),
        ("path", "GET /same?n=NN HTTP/1.1\r\nHost: a\r\nX-N: NN\r\n\r\n"),
        ("client_ip", "GET /NN HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let gateway = upstream(
            driver,
            &format!("balance = \"maglev\"\nhash_key = \"{key}\"\ntargets = [{list}]"),
        );
        let mut seen = BTreeSet::new();
        for n in 0..12 {
            seen.insert(gateway.once(&request.replace("NN", &n.to_string())).expect(200).text());
        }
        assert_eq!(seen.len(), 1, "{key}: {seen:?}");
    }
}

fn connections_are_kept_and_reused(driver: Driver) {
    let target = Upstream::saying("ok");
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut one = gateway.connect();
    let mut two = gateway.connect();
    for _ in 0..10 {
        one.get("/").expect(200);
        two.get("/").expect(200);
    }
    assert_eq!(target.connections(), 1);
    let stats = gateway.stats();
    assert_eq!(stats.target("app", &target.address, "/pool/connects"), 1);
    assert_eq!(stats.target("app", &target.address, "/pool/reused"), 19);
}

fn a_pool_of_none_connects_anew(driver: Driver) {
    let target = Upstream::saying("ok");
    let gateway = upstream(driver, &format!("max_idle = 0\ntargets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.get("/").expect(200);
    }
    assert_eq!(target.connections(), 3);
    target.wait_for_ends(3);
}

fn a_pool_keeps_no_more_than_its_bound(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let target = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("ok"));
        }
    });
    let gateway = upstream(driver, &format!("max_idle = 2\ntargets = [\"{}\"]", target.address));
    let mut clients: Vec<Client> = (0..6).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    target.wait_for_request(6);
    gate.open();
    for client in &mut clients {
        client.response().expect(200);
    }
    target.wait_for_ends(4);
    assert_eq!(gateway.stats().target("app", &target.address, "/pool/idle"), 2);
}

fn an_idle_connection_is_closed_after_its_time(driver: Driver) {
    let target = Upstream::saying("ok");
    let gateway =
        upstream(driver, &format!("idle_timeout = \"200ms\"\ntargets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    client.get("/").expect(200);
    target.wait_for_ends(1);
    gateway.wait_stats("none is kept", |s| s.target("app", &target.address, "/pool/idle") == 0);
    client.get("/").expect(200);
    assert_eq!(target.connections(), 2);
}

fn a_connection_closed_while_idle_is_not_used(driver: Driver) {
    let target = Upstream::new(|peer| {
        peer.answer(ok("ok"));
    });
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    for n in 1..=3 {
        client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").expect(200);
        target.wait_for_finished(n);
    }
    assert_eq!(target.count(), 3, "each request arrived once");
}

fn a_connection_that_speaks_while_idle_is_not_used(driver: Driver) {
    let (spoke, wait) = mpsc::channel();
    let spoke = Mutex::new(spoke);
    let target = Upstream::new(move |peer| {
        peer.answer(ok("ok"));
        if peer.number == 0 {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            spoke.lock().expect("one sender").send(()).expect("a listener");
            peer.wait_closed();
        }
    });
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "ok");
    wait.recv_timeout(PATIENCE).expect("the target spoke");
    let second = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(second.expect(200).text(), "ok");
    assert_eq!(target.connections(), 2);
    target.wait_for_ends(1);
}

fn an_idempotent_request_is_retried_when_a_reused_connection_dies(driver: Driver) {
    let target = Upstream::new(|peer| match peer.number {
        0 => {
            peer.answer(ok("first"));
            peer.request();
        }
        _ => peer.serve(ok("again").as_bytes()),
    });
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    assert_eq!(client.get("/one").expect(200).text(), "first");
    assert_eq!(client.get("/two").expect(200).text(), "again");
    let targets: Vec<_> = target.requests().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, ["/one", "/two", "/two"]);
    gateway.wait_stats("the retry is counted", |s| s.route("all", "/retries") == 1);
}

fn a_post_is_not_retried_when_a_reused_connection_dies(driver: Driver) {
    let target = Upstream::new(|peer| match peer.number {
        0 => {
            peer.answer(ok("first"));
            peer.request();
        }
        _ => peer.serve(ok("again").as_bytes()),
    });
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    client.get("/one").expect(200);
    client.ask("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").expect_failure(502);
    assert_eq!(target.count(), 2);
}

fn nothing_is_retried_after_the_first_byte_of_a_response(driver: Driver) {
    let target = Upstream::new(|peer| match peer.number {
        0 => {
            peer.answer(ok("first"));
            peer.request();
            peer.send("HTTP/1.1 2");
        }
        _ => peer.serve(ok("again").as_bytes()),
    });
    let gateway = upstream(driver, &format!("targets = [\"{}\"]", target.address));
    let mut client = gateway.connect();
    client.get("/one").expect(200);
    client.get("/two").expect_failure(502);
    assert_eq!(target.count(), 2);
}

fn nothing_is_retried_when_a_fresh_connection_dies(driver: Driver) {
    let target = Upstream::new(|peer| {
        peer.request();
    });
    let other = Upstream::new(|peer| {
        peer.request();
    });
    let gateway = upstream(driver, &format!("targets = [{}]", listed(&[&target, &other])));
    gateway.get("/").expect_failure(502);
    assert_eq!(target.count() + other.count(), 1);
}

fn a_refused_connection_is_tried_elsewhere_whatever_the_method(driver: Driver) {
    let dead = Refusing::new();
    let alive = Upstream::saying("alive");
    let gateway =
        upstream(driver, &format!("targets = [\"{}\", \"{}\"]", dead.address, alive.address));
    for _ in 0..10 {
        let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(gateway.once(body).expect(200).text(), "alive");
    }
    assert_eq!(alive.count(), 10);
}

fn a_request_is_tried_no_more_often_than_allowed(driver: Driver) {
    let dead = Refusing::new();
    let alive = Upstream::saying("alive");
    let gateway = upstream(
        driver,
        &format!(
            "retries = 0\nbalance = \"round_robin\"\ntargets = [\"{}\", \"{}\"]",
            dead.address, alive.address
        ),
    );
    let statuses: Vec<u16> = (0..2).map(|_| gateway.get("/").status).collect();
    assert!(statuses.contains(&502), "{statuses:?}");
}

fn a_target_that_refuses_is_skipped_for_a_while(driver: Driver) {
    let dead = Refusing::new();
    let alive = Upstream::saying("alive");
    let address = dead.address.clone();
    let gateway = upstream(driver, &format!("targets = [\"{address}\", \"{}\"]", alive.address));
    for _ in 0..20 {
        gateway.get("/").expect(200);
    }
    assert_eq!(gateway.stats().target("app", &address, "/pool/connect_failures"), 1);
}

fn a_target_that_comes_back_is_used_again(driver: Driver) {
    let dead = Refusing::new();
    let alive = Upstream::saying("alive");
    let address = dead.address.clone();
    let gateway = upstream(
        driver,
        &format!(
            "skip_after_failure = \"100ms\"\ntargets = [\"{address}\", \"{}\"]",
            alive.address
        ),
    );
    for _ in 0..4 {
        gateway.get("/").expect(200);
    }
    let back = Upstream::on(&address, |peer| peer.serve(ok("back").as_bytes()));
    eventually("the target is used again", || gateway.get("/").expect(200).text() == "back");
    drop(back);
}

fn no_target_left_is_a_failure_that_ends(driver: Driver) {
    let dead = Refusing::new();
    let gateway = upstream(
        driver,
        &format!("skip_after_failure = \"100ms\"\ntargets = [\"{}\"]", dead.address),
    );
    gateway.get("/").expect_failure(502);
    for _ in 0..5 {
        let status = gateway.get("/").status;
        assert!([502, 503].contains(&status), "{status}");
    }
    let back = Upstream::on(&dead.address, |peer| peer.serve(ok("back").as_bytes()));
    eventually("the target is used again", || gateway.get("/").status == 200);
    drop(back);
}

fn upstreams_can_be_chosen_by_route(driver: Driver) {
    let targets = named(2);
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.a]\ntargets = [\"{}\"]\n[upstreams.b]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"a\"\npath = \"/a/*\"\nupstream = \"a\"\n\
         [[routes]]\nname = \"b\"\npath = \"/b/*\"\nupstream = \"b\"\n",
            targets[0].address, targets[1].address
        ),
    );
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/a/").expect(200).text(), "target 0");
        assert_eq!(client.get("/b/").expect(200).text(), "target 1");
    }
}

/// Every second request meets the target that refuses, and wants to be tried on the other.
fn retries_are_a_share_of_requests(driver: Driver) {
    const REQUESTS: u64 = 80;
    for (budget, enough) in [(0, false), (100, true)] {
        let (upstream, refusing) = (Upstream::saying("ok"), Refusing::new());
        let gateway = Gateway::start(
            driver,
            format!(
                "[server]\nworkers = 1\n[upstreams.app]\ntargets = [\"{}\", \"{}\"]\nretries = 1\n\
                 retry_budget = {budget}\nskip_after_failure = \"0s\"\n\
                 [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
                upstream.address, refusing.address
            ),
        );
        let mut client = gateway.connect();
        let refused = (0..REQUESTS).filter(|_| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.response().status == 502
        });
        let refused = refused.count() as u64;
        let stats = gateway.stats();
        let retries = stats.upstream("app", "/retries");
        // A second try takes a turn of its own, so it is about half of them.
        assert!(retries + refused >= REQUESTS / 3);
        assert_eq!(stats.upstream("app", "/retries_over_budget"), refused);
        // A few a second are always allowed.
        assert!(retries > 0);
        assert_eq!(refused == 0, enough, "{refused} refused with a budget of {budget} percent");
    }
}
