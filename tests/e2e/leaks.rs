//! What must not grow: descriptors after connections of every fate, memory over many requests.

use crate::harness::{Driver, Gateway, Upstream, eventually, forward_all, ok};

both_drivers!(no_descriptor_is_left_behind, memory_stays_flat_over_many_requests);

fn no_descriptor_is_left_behind(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let Some(head) = peer.next_head() else { return };
        if peer.try_body(&head).is_err() {
            return;
        }
        match head.start.split(' ').nth(1).unwrap_or_default() {
            "/reset" => peer.reset_at_end(),
            "/garbage" => peer.send("garbage\r\n\r\n"),
            "/cut" => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"),
            "/stall" => drop(peer.wait_closed()),
            _ => {
                peer.send(ok("ok"));
                peer.wait_closed();
            }
        }
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\nmax_idle = 0\ntargets = [\"{}\"]\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
             timeouts = {{ first_byte = \"5s\" }}\n",
            upstream.address
        ),
    );
    let round = || {
        gateway.get("/").expect(200);
        drop(gateway.connect());
        gateway.connect().reset();
        for path in ["/reset", "/garbage", "/cut", "/stall", "/fine"] {
            let mut client = gateway.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            match path {
                "/stall" => client.reset(),
                // Whatever comes of it.
                _ => drop(client.try_response()),
            }
        }
        let mut half = gateway.connect();
        half.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        half.half_close();
        drop(half.try_response());
    };
    round();
    gateway.wait_stats("the first round is over", |s| s.connections() == 0);
    let before = gateway.descriptors();
    for _ in 0..20 {
        round();
    }
    gateway.wait_stats("all are gone", |s| s.connections() == 0);
    eventually("descriptors as before", || gateway.descriptors() <= before);
}

fn memory_stays_flat_over_many_requests(driver: Driver) {
    let upstream = Upstream::saying(&"x".repeat(1000));
    // One worker: a second that gets its first connection in the second round warms up only then.
    let config =
        format!("[server]\nworkers = 1\nwatch = false\n{}", forward_all(&upstream.address));
    let gateway = Gateway::start(driver, config);
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(16);
    let requests = |rounds: usize| {
        let mut client = gateway.connect();
        for _ in 0..rounds {
            client.send(&ask);
            for _ in 0..16 {
                client.response().expect(200);
            }
        }
        gateway.resident()
    };
    let before = requests(300);
    let after = requests(600);
    assert!(after < before + (2 << 20), "{} KiB more", (after - before) / 1024);
}
