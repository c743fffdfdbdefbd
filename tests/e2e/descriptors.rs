//! Running out of descriptors pauses accepting and says so; it never spins or dies.

use std::time::Duration;

use crate::harness::{Client, Driver, Gateway, STOPPED, Upstream, eventually, forward_all};

const FILES: u64 = 192;

both_drivers!(
    too_many_connections_are_survived,
    a_cap_beyond_the_descriptors_is_survived,
    the_soft_limit_is_raised,
);

fn too_many_connections_are_survived(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(driver, forward_all(&upstream.address)).hard_nofile(FILES).start();
    crowd(&gateway);
}

fn a_cap_beyond_the_descriptors_is_survived(driver: Driver) {
    // The operator says 100,000; the kernel says 192. Real EMFILE is the result.
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(
        driver,
        format!(
            "[server]\nworkers = 2\nwatch = false\nmax_connections = 100000\n{}",
            forward_all(&upstream.address)
        ),
    )
    .hard_nofile(FILES)
    .start();
    crowd(&gateway);
    let log = gateway.log().to_lowercase();
    assert!(log.contains("descriptor") || log.contains("open files"), "{log}");
}

fn the_soft_limit_is_raised(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::before(driver, &upstream);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).expect("/proc");
    let line = limits.lines().find(|l| l.starts_with("Max open files")).expect("a limit");
    let numbers: Vec<&str> =
        line.split_whitespace().filter(|w| w.bytes().all(|b| b.is_ascii_digit())).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

/// Opens far more connections than there are descriptors, looks at what the gateway does about it,
/// and lets go.
#[track_caller]
fn crowd(gateway: &Gateway) {
    let mut first = gateway.connect();
    first.get("/").expect(200);
    let mut crowd: Vec<Client> = (0..FILES as usize + 60).map(|_| gateway.connect()).collect();
    // Who was there first is served though the last cannot be.
    first.get("/").expect(200);
    // What happens in a silent while: nothing that costs time.
    let before = gateway.cpu();
    first.expect_silence();
    let spent = gateway.cpu() - before;
    assert!(spent < STOPPED / 3, "spent {spent:?} in {STOPPED:?} of silence");
    first.get("/").expect(200);
    crowd.clear();
    eventually("it serves again", || {
        let Ok(mut client) = Client::try_connect(gateway.web()) else { return false };
        client.patience(Duration::from_millis(500));
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
            && client.try_response().is_ok_and(|r| r.status == 200)
    });
}
