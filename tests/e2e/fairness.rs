//! Nobody is held up by somebody else: not by a flood, not by a log that nobody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Client, Driver, Gateway, Upstream};

both_drivers!(
    a_flood_of_pipelined_requests_starves_nobody,
    a_log_that_nobody_reads_holds_up_nobody
);

const FIXED: &str = "[server]\nworkers = 1\nwatch = false\n\
    [[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"ok\" }\n";

/// Sends requests as fast as they are taken, on one connection, and reads whatever comes.
fn flood(gateway: &Gateway, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let mut client = gateway.connect();
    let (mut sender, stop) = (client.twin(), Arc::clone(stop));
    thread::spawn(move || {
        let sending = thread::spawn(move || {
            let many = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
            while !stop.load(Ordering::Relaxed) && sender.try_send(&many).is_ok() {}
            sender.half_close();
        });
        // The end comes when the sender has had enough.
        let _ = client.drain();
        let _ = sending.join();
    })
}

fn a_flood_of_pipelined_requests_starves_nobody(driver: Driver) {
    let gateway = Gateway::start(driver, FIXED);
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2).map(|_| flood(&gateway, &stop)).collect();
    for _ in 0..20 {
        let mut client = Client::connect(gateway.web());
        client.patience(Duration::from_secs(5));
        client.get("/").expect(200);
    }
    // The worker still does its own work: it takes a new configuration.
    gateway.reload(FIXED.replace("ok", "new"));
    let mut client = Client::connect(gateway.web());
    client.patience(Duration::from_secs(5));
    assert_eq!(client.get("/").expect(200).text(), "new");
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().expect("a flood that ends");
    }
}

fn a_log_that_nobody_reads_holds_up_nobody(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while peer.next_request().is_some() {
            peer.send("garbage\r\n\r\n");
        }
    });
    let config = format!(
        "[server]\nworkers = 1\nwatch = false\n{}",
        crate::harness::forward_all(&upstream.address)
    );
    let gateway = Gateway::with(driver, config).unread_log().start();
    let mut client = gateway.connect();
    // Each is a line in the log; a pipe holds some hundreds.
    for _ in 0..2_000 {
        client.get("/").expect(502);
    }
}
