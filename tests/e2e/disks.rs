//! A disk that is full, fails, can't be written or is damaged: what is said of it, and that traffic goes on
//! meanwhile and nothing that was counted is lost.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::applications::{App, seed};
use crate::harness::{
    Client, Driver, Gateway, Response, Upstream, complete, eventually, may_mount, run,
};

const APPS: [App; 2] = [App::of("tg_plain", "plain"), App::of("tg_strict", "strict")];

const WORDS: &str = "[plans.plain]\nquotas = [{ period = \"year\", max = 1000 }]\n\
     [plans.strict]\nstrict = true\nquotas = [{ period = \"year\", max = 1000 }]\n";

/// A store, who may call, and what stands behind the gateway.
struct Shop {
    folder: tempfile::TempDir,
    upstream: Upstream,
    token: String,
}

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("disk")).expect("a folder");
        seed(&folder.path().join("disk"), WORDS, &APPS);
        let mut shop = Self { folder, upstream: Upstream::saying("ok"), token: String::new() };
        let config = shop.folder.path().join("tollgate.toml");
        fs::write(&config, complete(&shop.config())).expect("a file");
        let made = run(&["init", "-c", config.to_str().expect("a name")]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        shop.token = String::from_utf8(made.stdout).expect("a token").trim().to_owned();
        shop
    }

    /// The folder that the store is in.
    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn store(&self) -> PathBuf {
        self.disk().join("store.db")
    }

    fn config(&self) -> String {
        let (path, target) = (self.store(), &self.upstream.address);
        format!(
            "[store]\npath = {path:?}\ncommit_interval = \"200ms\"\n\
             [upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
        )
    }

    fn start(&self, driver: Driver) -> Gateway {
        Gateway::start(driver, self.config())
    }

    fn call(&self, gateway: &Gateway, line: &str, body: &str) -> Response {
        let (token, length) = (&self.token, body.len());
        Client::once(
            gateway.admin(),
            &format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    }

    /// Makes an account by the admin API.
    fn sign_up(&self, gateway: &Gateway, name: &str) -> Response {
        self.call(gateway, "POST /v1/accounts", &serde_json::json!({ "name": name }).to_string())
    }

    /// Answers with 200 that are usage, by application.
    fn used(&self, gateway: &Gateway) -> Vec<u64> {
        let ever = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
        let asked = format!("GET /v1/usage?{ever}&metric=hits&class=2&by=application");
        let told = json(&self.call(gateway, &asked, "").expect(200));
        let rows = told["items"].as_array().expect("rows").iter();
        rows.map(|row| row["count"].as_u64().expect("a count")).collect()
    }
}

fn ask(gateway: &Gateway, key: &str) -> Response {
    gateway.once(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"))
}

/// What holds while the store can't be written: requests go on, those of strict plans and changes are
/// refused, and it is told. Then, once it is mended: what was counted is there.
fn goes_on(
    (shop, gateway): (&Shop, &Gateway),
    said: &str,
    break_it: impl FnOnce(),
    mend: impl FnOnce(),
) {
    for App { key, .. } in &APPS {
        ask(gateway, key).expect(200);
    }
    let waits = |what: &str, is: bool| {
        gateway.wait_stats(what, |stats| (stats.number("/ledger/waiting") > 0) == is);
    };
    waits("it is committed", false);
    break_it();
    for _ in 0..5 {
        ask(gateway, "tg_plain").expect(200);
    }
    gateway.wait_log("it is told", |line| {
        line.contains("usage can't be committed, and is kept") && line.contains(said)
    });
    gateway.wait_stats("stats tell", |stats| {
        let error = stats.0["ledger"]["last_error"].as_str();
        error.is_some_and(|error| error.contains(said)) && stats.number("/ledger/failures") > 0
    });
    waits("it is kept", true);
    let refused = ask(gateway, "tg_strict").expect(503);
    assert_eq!(json(&refused)["type"], "urn:tollgate:ledger_unavailable");
    let refused = shop.sign_up(gateway, "one").expect(503);
    assert_eq!(json(&refused)["type"], "urn:tollgate:no_store");
    assert!(json(&refused)["detail"].as_str().is_some_and(|why| why.contains(said)));
    ask(gateway, "tg_plain").expect(200);
    mend();
    gateway.wait_log("the end is told", |line| line.contains("usage is committed again"));
    waits("it is committed", false);
    ask(gateway, "tg_strict").expect(200);
    shop.sign_up(gateway, "one").expect(201);
    let stats = gateway.stats();
    assert_eq!(stats.number("/ledger/lost"), 0);
    assert_eq!(stats.0["ledger"]["last_error"], Value::Null);
    eventually("all is there", || shop.used(gateway) == [7, 2]);
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("JSON")
}

/// What a gateway says that does not start.
fn refusal(mut gateway: Gateway) -> String {
    assert_eq!(gateway.wait_exit().code(), Some(1));
    gateway.wait_log("a last word", |line| line.starts_with("tollgate: "))
}

both_drivers!(
    a_full_disk_stops_nobody_and_loses_nothing,
    a_disk_that_fails_stops_nobody_and_loses_nothing,
    a_store_that_is_damaged_while_it_is_used_stops_nobody,
    what_can_never_be_committed_is_told_at_the_end,
    a_gateway_does_not_start_on_a_disk_that_it_can_not_write,
    a_gateway_does_not_start_on_a_damaged_store_and_says_what_helps,
);

fn a_full_disk_stops_nobody_and_loses_nothing(driver: Driver) {
    if !may_mount() {
        return;
    }
    let shop = Shop::new();
    let gateway = Gateway::with(driver, shop.config()).small_disk(&shop.disk(), 2 << 20).start();
    let filler = gateway.seen(&shop.disk().join("filler"));
    let fill = || {
        let mut filler = File::create(&filler).expect("a file");
        // By single bytes at the end, so that not one is left.
        for size in [4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    };
    goes_on((&shop, &gateway), "the disk is full", fill, || {
        fs::remove_file(&filler).expect("removed");
    });
}

fn a_disk_that_fails_stops_nobody_and_loses_nothing(driver: Driver) {
    let shop = Shop::new();
    let gateway = shop.start(driver);
    // Each write fails, with an error of which the store knows no more.
    goes_on(
        (&shop, &gateway),
        "the disk failed",
        || gateway.limit_file_size(0),
        || {
            gateway.limit_file_size(libc::RLIM_INFINITY);
        },
    );
}

fn a_store_that_is_damaged_while_it_is_used_stops_nobody(driver: Driver) {
    let shop = Shop::new();
    let gateway = shop.start(driver);
    let sound = fs::read(shop.store()).expect("the store");
    let file = OpenOptions::new().write(true).open(shop.store()).expect("the store");
    // Before anything of it is in a log beside it or in memory.
    file.write_all_at(&vec![0xff; sound.len() - 4096], 4096).expect("damaged");
    for _ in 0..3 {
        ask(&gateway, "tg_plain").expect(200);
    }
    gateway.wait_log("it is told", |line| line.contains("`tollgate restore`"));
    let refused = ask(&gateway, "tg_strict").expect(503);
    assert_eq!(json(&refused)["type"], "urn:tollgate:ledger_unavailable");
    let refused = shop.sign_up(&gateway, "one").expect(503);
    assert_eq!(json(&refused)["type"], "urn:tollgate:no_store");
    gateway.wait_stats("stats tell", |stats| {
        stats.0["ledger"]["last_error"].as_str().is_some_and(|error| error.contains("damaged"))
    });
    file.write_all_at(&sound, 0).expect("mended");
    gateway.wait_log("the end is told", |line| line.contains("usage is committed again"));
    ask(&gateway, "tg_strict").expect(200);
    shop.sign_up(&gateway, "one").expect(201);
    eventually("all is there", || shop.used(&gateway) == [3, 1]);
}

fn what_can_never_be_committed_is_told_at_the_end(driver: Driver) {
    let shop = Shop::new();
    let mut gateway = shop.start(driver);
    gateway.limit_file_size(0);
    for _ in 0..3 {
        ask(&gateway, "tg_plain").expect(200);
    }
    gateway.signal(libc::SIGTERM);
    let last = gateway.wait_log("it is told", |line| line.contains("usage is lost"));
    assert!(last.contains("used=3") && last.contains("the disk failed"), "{last}");
    gateway.wait_exit();
}

fn a_gateway_does_not_start_on_a_disk_that_it_can_not_write(driver: Driver) {
    if !may_mount() {
        return;
    }
    let shop = Shop::new();
    let name = shop.store();
    let begun = Gateway::with(driver, shop.config()).read_only(&shop.disk()).start_unready();
    let why = refusal(begun);
    assert!(why.contains("store.path: ") && why.contains("Read-only"), "{why}");
    assert!(why.contains(name.to_str().expect("a name")), "{why}");
    // There is room for what is there, and not for a log beside it.
    let size = fs::metadata(&name).expect("a file").len();
    let begun = Gateway::with(driver, shop.config()).small_disk(&shop.disk(), size).start_unready();
    let why = refusal(begun);
    assert!(why.contains("store.path: ") && why.contains("the disk is full"), "{why}");
}

fn a_gateway_does_not_start_on_a_damaged_store_and_says_what_helps(driver: Driver) {
    let shop = Shop::new();
    let config = shop.folder.path().join("tollgate.toml");
    let config = config.to_str().expect("a name");
    let copy = shop.folder.path().join("copy.db");
    let copy = copy.to_str().expect("a name");
    assert!(run(&["backup", "-c", config, copy]).status.success());
    let sound = fs::read(shop.store()).expect("the store");
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[4096..].fill(0xff),
        |bytes| bytes[..4096].fill(b'?'),
        |bytes| bytes.truncate(bytes.len() / 2),
    ];
    for damage in damages {
        let mut bytes = sound.clone();
        damage(&mut bytes);
        fs::write(shop.store(), &bytes).expect("damaged");
        let why = refusal(Gateway::with(driver, shop.config()).start_unready());
        assert!(why.contains("store.path: ") && why.contains("store.db"), "{why}");
        assert!(why.contains("`tollgate restore`"), "{why}");
        assert_eq!(fs::read(shop.store()).expect("the store"), bytes, "it is left as it was");
        let restored = run(&["restore", "-c", config, copy]);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        let mut gateway = shop.start(driver);
        ask(&gateway, "tg_strict").expect(200);
        // So that all of it is in the one file again.
        gateway.signal(libc::SIGTERM);
        gateway.wait_exit();
    }
}
