//! The access log: what a record says, where it goes, and that it never holds up a request.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Driver, Gateway, Upstream, eventually, forward_all};

fn logging(driver: Driver, keys: &str, upstream: &Upstream) -> Gateway {
    Gateway::start(driver, format!("[access_log]\n{keys}\n{}", forward_all(&upstream.address)))
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const ASK: &str = "POST /orders/7?x=y HTTP/1.1\r\nHost: shop.example:80\r\nUser-Agent: test/1 \"q\"\r\nReferer: http://a/\r\nContent-Length: 5\r\n\r\nhello";

both_drivers!(
    json_on_standard_output,
    combined_into_a_file,
    every_request_is_one_line_whatever_it_holds,
    the_file_is_opened_again_on_sigusr1,
    a_log_that_nobody_takes_is_dropped_and_counted,
    a_reload_can_turn_it_on_and_off,
    records_are_written_before_the_process_ends,
);

fn json_on_standard_output(driver: Driver) {
    let upstream = Upstream::saying("0123456789");
    let gateway = logging(driver, "format = \"json\"", &upstream);
    let response = gateway.once(ASK).expect(200);
    drop(response);
    let line = gateway.wait_output("a record", |l| l.contains("/orders/7"));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    let id = upstream.only_request().value("x-request-id").expect("an id").to_owned();
    for (key, value) in [
        ("method", "POST"),
        ("path", "/orders/7"),
        ("query", "x=y"),
        ("host", "shop.example"),
        ("client", "127.0.0.1"),
        ("peer", "127.0.0.1"),
        ("listener", "web"),
        ("route", "all"),
        ("upstream", "app"),
        ("target", &upstream.address),
        ("user_agent", "test/1 \"q\""),
        ("referer", "http://a/"),
        ("request_id", &id),
    ] {
        assert_eq!(record[key], value, "{key} in {line}");
    }
    for (key, value) in [("status", 200), ("bytes_in", 5), ("bytes_out", 10), ("retries", 0)] {
        assert_eq!(record[key], value, "{key} in {line}");
    }
    assert!(record["duration_us"].as_u64() > record["upstream_us"].as_u64(), "{line}");
    assert_eq!(record["reused"], false);
    assert!(record["time"].as_str().is_some_and(|t| t.ends_with('Z') && t.len() == 24), "{line}");
}

fn combined_into_a_file(driver: Driver) {
    let upstream = Upstream::saying("0123456789");
    let gateway = logging(driver, "format = \"combined\"\npath = \"access.log\"", &upstream);
    gateway.once(ASK).expect(200);
    let path = gateway.folder().join("access.log");
    eventually("a record", || lines(&path).len() == 1);
    let line = lines(&path).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(
        line.contains("] \"POST /orders/7?x=y HTTP/1.1\" 200 10 \"http://a/\" \"test/1 "),
        "{line}"
    );
}

fn every_request_is_one_line_whatever_it_holds(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = logging(driver, "format = \"json\"\npath = \"access.log\"", &upstream);
    let mut client = gateway.connect();
    client.send(
        b"GET /%0aevil HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe\"\\\t{}\r\n\r\n".as_slice(),
    );
    client.response().expect(200);
    client.get("/second").expect(200);
    gateway.once("GET / HTTP/1.1\r\nHost : a\r\n\r\n").expect(400);
    let path = gateway.folder().join("access.log");
    eventually("the records", || lines(&path).len() >= 3);
    let records = lines(&path);
    assert_eq!(records.len(), 3, "{records:#?}");
    for record in &records {
        serde_json::from_str::<Value>(record).expect("JSON");
    }
    assert!(records.iter().any(|r| r.contains("\"status\":400")), "{records:#?}");
}

fn the_file_is_opened_again_on_sigusr1(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = logging(driver, "format = \"json\"\npath = \"access.log\"", &upstream);
    let path = gateway.folder().join("access.log");
    let turned = gateway.folder().join("access.log.1");
    gateway.get("/before").expect(200);
    eventually("the first record", || lines(&path).len() == 1);
    fs::rename(&path, &turned).expect("rotated");
    gateway.get("/between").expect(200);
    eventually("the second record, in the file that is open", || lines(&turned).len() == 2);
    gateway.signal(libc::SIGUSR1);
    eventually("a new file", || path.exists());
    gateway.get("/after").expect(200);
    eventually("the third record", || lines(&path).len() == 1);
    assert_eq!(lines(&turned).len(), 2);
}

fn a_log_that_nobody_takes_is_dropped_and_counted(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the name is a string that ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Open for reading, and never read: the pipe holds 64 KiB, then its writer waits.
    let _reader =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).expect("the pipe");
    let gateway = logging(
        driver,
        &format!("format = \"json\"\nqueue = \"64KiB\"\npath = \"{}\"", pipe.display()),
        &upstream,
    );
    let mut client = gateway.connect();
    let long = "x".repeat(4000);
    for _ in 0..200 {
        client.get(&format!("/{long}")).expect(200);
    }
    gateway.wait_stats("records are dropped", |s| s.number("/access_log/dropped_queue_full") > 0);
    client.get("/still").expect(200);
}

fn a_reload_can_turn_it_on_and_off(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let config = |format: &str| {
        format!(
            "[access_log]\nformat = \"{format}\"\npath = \"access.log\"\n{}",
            forward_all(&upstream.address)
        )
    };
    let gateway = Gateway::start(driver, config("off"));
    let path = gateway.folder().join("access.log");
    gateway.get("/one").expect(200);
    gateway.reload(config("json"));
    gateway.get("/two").expect(200);
    eventually("a record", || lines(&path).len() == 1);
    gateway.reload(config("combined"));
    gateway.get("/three").expect(200);
    eventually("a record", || lines(&path).len() == 2);
    gateway.reload(config("off"));
    gateway.get("/four").expect(200);
    let records = lines(&path);
    assert!(records[0].contains("/two") && records[1].contains("GET /three"), "{records:?}");
    assert_eq!(records.len(), 2);
}

fn records_are_written_before_the_process_ends(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let mut gateway = logging(driver, "format = \"json\"\npath = \"access.log\"", &upstream);
    let mut client = gateway.connect();
    for _ in 0..100 {
        client.get("/").expect(200);
    }
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait_exit().success());
    assert_eq!(lines(&gateway.folder().join("access.log")).len(), 100);
}
