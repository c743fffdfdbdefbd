//! Reload: what changes, what stays, and that nobody notices.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::{Client, Driver, Gate, Gateway, Refusing, Upstream, eventually, ok};

/// A gateway that answers with this text.
fn saying(text: &str) -> String {
    format!("[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = {{ body = \"{text}\" }}\n")
}

/// One that forwards, and marks request and response with its version.
fn marked(version: usize, target: &str) -> String {
    // The target takes connections that are silent for long, as they are where a reload takes long, for broken.
    format!(
        "[upstreams.app]\ntargets = [\"{target}\"]\nidle_timeout = \"5s\"\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\n\
         request_headers = {{ set = {{ x-version = \"{version}\" }} }}\n\
         response_headers = {{ set = {{ x-version = \"{version}\" }} }}\n"
    )
}

/// Reloads while a load runs.
const RELOADS: usize = 100;

/// Requests on kept connections until told to stop; gives how many were answered. Each must be
/// answered, by one version, on the connection it began on.
fn load(
    gateway: &Gateway,
    clients: usize,
    stop: &Arc<AtomicBool>,
) -> Vec<thread::JoinHandle<usize>> {
    let address = gateway.web();
    (0..clients)
        .map(|_| {
            let stop = Arc::clone(stop);
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/").expect(200);
                    assert_eq!(
                        response.value("connection"),
                        None,
                        "the connection is to be closed"
                    );
                    let version = response.value("x-version").expect("a version").to_owned();
                    assert_eq!(response.text(), version, "one request saw two versions");
                    answered += 1;
                }
                answered
            })
        })
        .collect()
}

/// Answers with the version that the request was marked with.
fn telling_version() -> Upstream {
    Upstream::new(|peer| {
        while let Some(request) = peer.next_request() {
            peer.send(ok(request.value("x-version").unwrap_or("none")));
        }
    })
}

both_drivers!(
    on_sighup,
    on_post,
    on_a_changed_file,
    a_bad_file_changes_nothing_and_says_why,
    a_file_that_is_gone_changes_nothing,
    listeners_come_and_go,
    a_new_listener_is_announced,
    the_admin_listener_moves,
    the_admin_listener_stays_where_its_new_address_is_taken,
    the_admin_listener_goes,
    the_level_of_the_log_changes,
    an_address_in_use_changes_nothing,
    a_request_under_way_ends_as_it_began,
    kept_connections_to_targets_that_stay_are_kept,
    what_waits_for_a_restart_is_told_by_its_key,
    only_mistakes_are_reasons_of_a_refusal,
    under_load_nobody_notices,
    memory_stays_flat_over_many_reloads,
    a_listener_may_change_its_name,
    two_listeners_may_swap_their_addresses,
    ports_of_the_kernels_choice_stay,
);

fn on_sighup(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "one");
    let before = gateway.stats().generation();
    gateway.rewrite(saying("two"));
    assert_eq!(client.get("/").expect(200).text(), "one", "not before it is told");
    gateway.signal(libc::SIGHUP);
    gateway.wait_stats("a new generation", |s| s.generation() > before);
    assert_eq!(client.get("/").expect(200).text(), "two");
}

fn on_post(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "one");
    let before = gateway.stats().generation();
    gateway.reload(saying("two"));
    assert_eq!(gateway.stats().generation(), before + 1);
    assert_eq!(client.get("/").expect(200).text(), "two");
}

fn on_a_changed_file(driver: Driver) {
    let gateway = Gateway::start(driver, format!("[server]\nworkers = 1\n{}", saying("one")));
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "one");
    gateway.rewrite(format!("[server]\nworkers = 1\n{}", saying("two")));
    eventually("the file replaced", || client.get("/").expect(200).text() == "two");
    let text = std::fs::read_to_string(gateway.config()).expect("the file").replace("two", "three");
    std::fs::write(gateway.config(), text).expect("the file");
    eventually("the file written in place", || client.get("/").expect(200).text() == "three");
}

fn a_bad_file_changes_nothing_and_says_why(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    let mut client = gateway.connect();
    let before = gateway.stats().generation();
    gateway.rewrite(saying("two").replace("respond", "resond"));
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains("resond") && refused.contains(":4"), "{refused}");
    assert_eq!(client.get("/").expect(200).text(), "one");
    let stats = gateway.stats();
    assert_eq!(stats.generation(), before);
    assert_eq!(stats.number("/config/reloads/failed"), 1);
    gateway.signal(libc::SIGHUP);
    gateway.wait_stats("it was refused again", |s| s.number("/config/reloads/failed") == 2);
    gateway.wait_log("the reason", |line| line.contains("resond"));
    gateway.rewrite(saying("three"));
    gateway.admin_post("/reload").expect(200);
    assert_eq!(client.get("/").expect(200).text(), "three");
}

fn a_file_that_is_gone_changes_nothing(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    std::fs::remove_file(gateway.config()).expect("the file");
    gateway.admin_post("/reload").expect(422);
    assert_eq!(gateway.get("/").expect(200).text(), "one");
}

fn listeners_come_and_go(driver: Driver) {
    let ports = [Refusing::new(), Refusing::new()];
    let addresses = ports.each_ref().map(|p| p.address.clone());
    let [web, second] = addresses.each_ref().map(|a| a.parse().expect("a socket address"));
    let listener = |name: &str| {
        let address = &addresses[usize::from(name == "second")];
        format!("[[listeners]]\nname = \"{name}\"\nlisten = \"{address}\"\n")
    };
    let gateway = Gateway::start(driver, listener("web") + &saying("ok"));
    let mut kept = gateway.connect();
    kept.get("/").expect(200);
    gateway.reload(listener("web") + &listener("second") + &saying("ok"));
    Client::connect(second).get("/").expect(200);
    gateway.get("/").expect(200);
    kept.get("/").expect(200);
    gateway.reload(listener("second") + &saying("ok"));
    eventually("the first listener is closed", || Client::try_connect(web).is_err());
    Client::connect(second).get("/").expect(200);
    // A connection of the listener that is gone may finish what it began, and is told to go.
    if kept.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
        && let Ok(response) = kept.try_response()
    {
        assert_eq!(response.expect(200).value("connection"), Some("close"));
    }
    kept.expect_closed();
}

fn a_new_listener_is_announced(driver: Driver) {
    let listener = |name| format!("[[listeners]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n");
    let gateway = Gateway::start(driver, listener("web") + &saying("ok"));
    let both = listener("web") + &listener("other");
    gateway.reload(both.clone() + &saying("ok"));
    Client::connect(gateway.address("other")).get("/").expect(200);
    assert_ne!(gateway.address("other"), gateway.web(), "each has a port of its own");
    gateway.reload(both + &saying("ok"));
    let lines = gateway.output();
    assert_eq!(lines.lines().filter(|l| l.starts_with("listening other ")).count(), 1, "{lines}");
    assert_eq!(lines.lines().filter(|l| l.starts_with("listening web ")).count(), 1, "{lines}");
}

fn the_admin_listener_moves(driver: Driver) {
    let free = Refusing::new();
    let config = |admin: &str| {
        format!("[admin]\nlisten = \"{admin}\"\n[server]\nwatch = false\n{}", saying("ok"))
    };
    let gateway = Gateway::start(driver, config("127.0.0.1:0"));
    let before = gateway.admin();
    let address = free.address.clone();
    gateway.reload(config(&address));
    eventually("the new address", || gateway.admin().to_string() == address);
    gateway.admin_get("/healthz").expect(200);
    eventually("the old one is closed", || Client::try_connect(before).is_err());
}

fn the_admin_listener_stays_where_its_new_address_is_taken(driver: Driver) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let gateway = Gateway::start(driver, saying("one"));
    gateway.rewrite(format!("[admin]\nlisten = \"{address}\"\n{}", saying("two")));
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains(&address), "{refused}");
    assert_eq!(gateway.get("/").expect(200).text(), "one");
    assert_eq!(gateway.stats().number("/config/reloads/failed"), 1);
}

fn the_admin_listener_goes(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    let before = gateway.admin();
    gateway.reload(format!("[admin]\nenabled = false\n{}", saying("two")));
    assert_eq!(gateway.get("/").expect(200).text(), "two");
    eventually("it is closed", || Client::try_connect(before).is_err());
}

fn the_level_of_the_log_changes(driver: Driver) {
    let config = |level| format!("[log]\nlevel = \"{level}\"\n{}", saying("ok"));
    let gateway = Gateway::start(driver, config("error"));
    gateway.reload(config("error"));
    gateway.reload(config("info"));
    gateway.wait_log("the second reload", |line| line.contains("reloaded"));
    let log = gateway.log();
    assert_eq!(log.matches("reloaded").count(), 1, "{log}");
    assert!(!log.contains('\x1b'), "colours where there is no terminal: {log}");
}

fn an_address_in_use_changes_nothing(driver: Driver) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let gateway = Gateway::start(driver, saying("one"));
    gateway.rewrite(format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n[[listeners]]\nname = \"taken\"\nlisten = \"{address}\"\n{}",
        saying("two")));
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains(&address), "{refused}");
    assert_eq!(gateway.get("/").expect(200).text(), "one");
}

fn a_request_under_way_ends_as_it_began(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let old = Upstream::new(move |peer| {
        while let Some(request) = peer.next_request() {
            held.wait();
            peer.send(ok(request.value("x-version").unwrap_or("none")));
        }
    });
    let new = telling_version();
    let gateway = Gateway::start(driver, marked(1, &old.address));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    old.wait_for_request(1);
    gateway.reload(marked(2, &new.address));
    let other = gateway.get("/").expect(200);
    assert_eq!((other.text().as_str(), other.value("x-version")), ("2", Some("2")));
    gate.open();
    let first = client.response().expect(200);
    assert_eq!((first.text().as_str(), first.value("x-version")), ("1", Some("1")));
    assert_eq!(
        client.get("/").expect(200).text(),
        "2",
        "its connection goes on, with the new version"
    );
    old.wait_for_ends(1);
}

fn kept_connections_to_targets_that_stay_are_kept(driver: Driver) {
    let target = telling_version();
    let config = |version| {
        format!("[server]\nworkers = 1\nwatch = false\n{}", marked(version, &target.address))
    };
    let gateway = Gateway::start(driver, config(1));
    let mut client = gateway.connect();
    for version in 2..6 {
        client.get("/").expect(200);
        gateway.reload(config(version));
    }
    client.get("/").expect(200);
    assert_eq!(target.connections(), 1);
}

fn what_waits_for_a_restart_is_told_by_its_key(driver: Driver) {
    let config = |server: &str, log: &str, text: &str| {
        format!("[server]\nworkers = {server}\nwatch = false\n[log]\n{log}\n{}", saying(text))
    };
    let gateway = Gateway::start(driver, config("1", "", "one"));
    gateway.reload(config("2\ncores = []", "json = true", "two"));
    assert_eq!(gateway.get("/").expect(200).text(), "two");
    gateway.wait_log("the last word about it", |line| line.contains("log.json changes"));
    let log = gateway.log();
    assert!(log.contains("server.workers changes with a restart only"), "{log}");
    assert!(!log.contains("server.cores") && !log.contains("server.driver"), "{log}");
}

fn only_mistakes_are_reasons_of_a_refusal(driver: Driver) {
    let gateway = Gateway::start(driver, saying("one"));
    let unused = "[upstreams.nobody]\ntargets = [\"127.0.0.1:1\"]\n";
    gateway.rewrite(saying("two").replace("{ body", "{ status = 700, body") + unused);
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains("error:") && !refused.contains("warning:"), "{refused}");
    gateway.wait_log("the reason", |line| line.contains("reload refused"));
    let log = gateway.log();
    assert!(log.contains("no route uses this upstream"), "{log}");
    let mut reasons = log.lines().filter(|line| line.contains("reload refused"));
    assert!(reasons.all(|line| !line.contains("warning:")), "{log}");
}

fn under_load_nobody_notices(driver: Driver) {
    let targets = [telling_version(), telling_version()];
    let gateway = Gateway::start(driver, marked(0, &targets[0].address));
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&gateway, 8, &stop);
    let fresh = Arc::new(AtomicUsize::new(0));
    for version in 1..=RELOADS {
        gateway.reload(marked(version, &targets[version % 2].address));
        // New connections are served as well.
        let response = gateway.get("/").expect(200);
        assert_eq!(response.value("x-version"), Some(version.to_string().as_str()));
        fresh.fetch_add(1, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    let answered: Vec<usize> =
        load.into_iter().map(|t| t.join().expect("no failed request")).collect();
    assert!(answered.iter().all(|&n| n > 0), "{answered:?}");
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/connections/accepted"), 8 + RELOADS as u64);
    assert_eq!(stats.number("/config/reloads/ok"), RELOADS as u64);
}

fn memory_stays_flat_over_many_reloads(driver: Driver) {
    let target = telling_version();
    let gateway = Gateway::start(driver, marked(0, &target.address));
    let mut client = gateway.connect();
    let mut go = |from: usize, to: usize| {
        for version in from..to {
            gateway.reload(marked(version, &target.address));
            client.get("/").expect(200);
        }
        gateway.resident()
    };
    let before = go(1, 30);
    let after = go(30, 60);
    assert!(after < before + (4 << 20), "{} KiB more", (after - before) / 1024);
}

fn a_listener_may_change_its_name(driver: Driver) {
    let reserved = Refusing::new();
    let address = reserved.address.parse().expect("a socket address");
    let listener = |name: &str| {
        format!("[[listeners]]\nname = \"{name}\"\nlisten = \"{address}\"\n{}", saying(name))
    };
    let gateway = Gateway::start(driver, listener("one"));
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").expect(200).text(), "one");
    for name in ["two", "three"] {
        gateway.reload(listener(name));
        assert_eq!(Client::connect(address).get("/").expect(200).text(), name);
        gateway.wait_stats("it is counted by its new name", |s| s.listener(name, "/requests") >= 1);
    }
}

fn two_listeners_may_swap_their_addresses(driver: Driver) {
    let reserved = [Refusing::new(), Refusing::new()];
    let [one, two] = reserved.each_ref().map(|r| r.address.parse().expect("a socket address"));
    let config = |a: SocketAddr, b: SocketAddr| {
        format!(
            "[[listeners]]\nname = \"a\"\nlisten = \"{a}\"\nmax_requests = 1\n\
             [[listeners]]\nname = \"b\"\nlisten = \"{b}\"\n{}",
            saying("ok")
        )
    };
    let gateway = Gateway::start(driver, config(one, two));
    let closes = |address: SocketAddr| {
        Client::connect(address).get("/").expect(200).value("connection") == Some("close")
    };
    assert!(closes(one) && !closes(two));
    for _ in 0..3 {
        gateway.reload(config(two, one));
        eventually("swapped", || closes(two) && !closes(one));
        gateway.reload(config(one, two));
        eventually("swapped back", || closes(one) && !closes(two));
    }
}

fn ports_of_the_kernels_choice_stay(driver: Driver) {
    let config = |text: &str| {
        let listener =
            |name: &str| format!("[[listeners]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n");
        listener("one") + &listener("two") + &saying(text)
    };
    let gateway = Gateway::start(driver, config("before"));
    let [one, two] = ["one", "two"].map(|name| gateway.address(name));
    let mut kept = [one, two].map(Client::connect);
    for client in &mut kept {
        client.get("/").expect(200);
    }
    gateway.reload(config("after"));
    for (address, client) in [one, two].into_iter().zip(&mut kept) {
        assert_eq!(client.get("/").expect(200).text(), "after");
        assert_eq!(Client::connect(address).get("/").expect(200).text(), "after");
    }
}
