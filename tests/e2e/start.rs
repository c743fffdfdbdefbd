//! The command line, and what happens between start and the first request.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::harness::{
    BINARY, Client, Driver, Gateway, PATIENCE, Upstream, complete, eventually, forward_all, ok,
    run, run_with_files,
};

/// The file of the first page of the documentation, as people will copy it.
const FIRST: &str = r#"[server]
workers = 1                     # default: one per allowed core

[admin]
listen = "127.0.0.1:9900"

[[listeners]]
name = "web"
listen = "127.0.0.1:8080"

[upstreams.app]
targets = ["127.0.0.1:9001", { address = "127.0.0.1:9002", weight = 2 }]
balance = "least_request"

[[routes]]
name = "orders"
host = "api.example.com"        # left out: any host
path = "/orders/{id}"           # exact, {parameter}, or /prefix/* ; path_regex = "…" for the rest
methods = ["GET", "POST"]
headers = { "x-tier" = "gold" }
upstream = "app"
limits = [{ rate = "100/s", burst = 200, key = "client_ip" }]

[[routes]]
name = "rest"
path = "/*"
upstream = "app"
"#;

const MISTAKES: &str = r#"[server]
workers = "many"

[[listeners]]
name = "web"
listen = "127.0.0.1:0"

[upstreams.app]
targets = ["127.0.0.1:9001"]

[[routes]]
name = "one"
path = "/one"
upstream = "ap"

[[routes]]
name = "two"
path = "/two"
upsteam = "app"
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    let shown = text(&help.stdout);
    for command in ["run", "check", "explain", "demo", "completions"] {
        assert!(shown.contains(command), "{command}:\n{shown}");
        let one = run(&[command, "--help"]);
        assert!(one.status.success(), "{command}");
        assert!(text(&one.stdout).lines().count() > 3, "{command}");
    }
    assert!(text(&run(&["--version"]).stdout).contains(env!("CARGO_PKG_VERSION")));
    assert!(!run(&["nonsense"]).status.success());
}

#[test]
fn completions_for_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.status.success(), "{shell}");
        assert!(text(&script.stdout).contains("explain"), "{shell}");
    }
}

#[test]
fn check_accepts_the_first_file() {
    let checked = run_with_files(&[("a.toml", FIRST)], &["check", "-c", "a.toml"]);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

#[test]
fn check_lists_all_mistakes_at_once_with_their_places() {
    let checked = run_with_files(&[("a.toml", MISTAKES)], &["check", "-c", "a.toml"]);
    assert!(!checked.status.success());
    let shown = text(&checked.stdout) + &text(&checked.stderr);
    for (place, what) in [("a.toml:2", "workers"), ("a.toml:14", "ap"), ("a.toml:19", "upsteam")] {
        let line = shown.lines().find(|l| l.contains(place));
        assert!(line.is_some(), "{place}:\n{shown}");
        assert!(shown.contains(what), "{what}:\n{shown}");
    }
    assert!(shown.contains("upstream"), "what to write instead:\n{shown}");
}

#[test]
fn check_of_a_missing_file_fails() {
    let checked = run(&["check", "-c", "/nonexistent/tollgate.toml"]);
    assert!(!checked.status.success());
    assert!(text(&checked.stderr).contains("/nonexistent/tollgate.toml"));
}

#[test]
fn explain_says_which_route_and_why_not_others() {
    let ask = |args: &[&str]| {
        let all = [&["explain", "-c", "a.toml"], args].concat();
        let explained = run_with_files(&[("a.toml", FIRST)], &all);
        (explained.status.success(), text(&explained.stdout))
    };
    let (found, shown) = ask(&["GET", "http://api.example.com/orders/7", "-H", "X-Tier: gold"]);
    assert!(found, "{shown}");
    for part in ["orders", "app", "127.0.0.1:9002", "least_request", "100", "client_ip"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(!shown.contains("Socket("), "names of our types:\n{shown}");
    let (found, shown) = ask(&["GET", "http://api.example.com/orders/7"]);
    assert!(found, "{shown}");
    assert!(shown.contains("rest"), "{shown}");
    assert!(shown.contains("orders") && shown.contains("x-tier"), "nearly: {shown}");
    let (found, shown) = ask(&["DELETE", "http://api.example.com/orders/7", "-H", "x-tier: gold"]);
    assert!(found, "{shown}");
    assert!(shown.contains("rest") && shown.contains("method"), "{shown}");
}

#[test]
fn explain_ends_with_3_where_no_route_matches() {
    let file = FIRST.replace("path = \"/*\"", "path = \"/rest\"\nmethods = [\"PUT\"]");
    for (url, answer) in [("http://a/nowhere", "404"), ("http://a/rest", "405, Allow: PUT")] {
        let asked = ["explain", "-c", "a.toml", "GET", url];
        let explained = run_with_files(&[("a.toml", &file)], &asked);
        assert_eq!(explained.status.code(), Some(3));
        let shown = text(&explained.stdout);
        assert!(shown.contains(&format!("the gateway answers {answer}\n")), "{shown}");
    }
}

#[test]
fn check_counts_warnings() {
    let unused = FIRST.to_owned() + "[upstreams.nobody]\ntargets = [\"127.0.0.1:1\"]\n";
    let checked = run_with_files(&[("a.toml", &unused)], &["check", "-c", "a.toml"]);
    assert!(checked.status.success());
    assert_eq!(text(&checked.stdout), "a.toml: no mistakes, 1 warning\n");
}

#[test]
fn check_and_run_look_at_this_machine() {
    let path = "path = \"/nonexistent/access.log\"";
    let lacking = FIRST
        .replace("workers = 1 ", "cores = [1023] ")
        .replace("[admin]", &format!("[access_log]\nformat = \"json\"\n{path}\n[admin]"));
    for command in ["check", "run"] {
        let ran = run_with_files(&[("a.toml", &lacking)], &[command, "-c", "a.toml"]);
        let shown = text(&ran.stderr);
        assert!(!ran.status.success(), "{shown}");
        assert!(
            shown.contains("a.toml:2:10: error: server.cores[0]: this machine has no core 1023"),
            "{shown}"
        );
        assert!(
            shown.contains("a.toml:6:8: error: access_log.path: there is no folder /nonexistent"),
            "{shown}"
        );
    }
}

#[test]
fn what_no_route_table_can_hold_is_refused_with_its_place() {
    let many = tollgate::limits::MAX_SHAPES_PER_HOST;
    let routes = (1..=many).map(|shape| {
        let segment = |bit: usize| match shape >> bit & 1 {
            0 => "/a".to_owned(),
            _ => format!("/{{p{bit}}}"),
        };
        let path: String = (0..10).map(segment).collect();
        format!("[[routes]]\nname = \"s{shape}\"\npath = \"{path}\"\nrespond = {{}}\n")
    });
    let file = FIRST.to_owned() + &routes.collect::<String>();
    let checked = run_with_files(&[("a.toml", &file)], &["check", "-c", "a.toml"]);
    let shown = text(&checked.stderr);
    let place = format!("error: routes[{}]: too many differently shaped patterns", many + 1);
    assert!(!checked.status.success() && shown.contains(&place), "{shown}");
}

#[test]
fn check_of_a_folder_says_so() {
    let checked = run(&["check", "-c", "/"]);
    assert!(!checked.status.success());
    let said = "/: error: this is a folder (name the file in it by -c FILE)\n";
    assert_eq!(text(&checked.stderr), said);
}

#[test]
fn explain_of_a_bad_file_or_url_fails() {
    let bad =
        run_with_files(&[("a.toml", MISTAKES)], &["explain", "-c", "a.toml", "GET", "http://a/"]);
    assert!(!bad.status.success());
    let bad =
        run_with_files(&[("a.toml", FIRST)], &["explain", "-c", "a.toml", "GET", "not a url"]);
    assert!(!bad.status.success());
}

#[test]
fn run_of_a_bad_file_binds_nothing_and_says_why() {
    let ran = run_with_files(&[("a.toml", MISTAKES)], &["run", "-c", "a.toml"]);
    assert!(!ran.status.success());
    assert!(text(&ran.stderr).contains("a.toml:14"), "{}", text(&ran.stderr));
    assert!(!text(&ran.stdout).contains("listening"));
}

#[test]
fn run_on_an_address_in_use_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let config = complete(&format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"{address}\"\n[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = {{ body = \"ok\" }}\n"
    ));
    let ran = run_with_files(&[("a.toml", &config)], &["run", "-c", "a.toml"]);
    assert!(!ran.status.success());
    assert!(text(&ran.stderr).contains(&address), "{}", text(&ran.stderr));
}

#[test]
fn a_driver_that_does_not_exist_is_refused() {
    let ran = run_with_files(
        &[("a.toml", &complete(""))],
        &["run", "-c", "a.toml", "--driver", "kqueue"],
    );
    assert!(!ran.status.success());
}

/// `http://…` and `-H '…'` of a printed curl line.
fn curl(line: &str) -> Option<(String, String, Vec<String>)> {
    let at = line.find("http://")?;
    let url: String = line[at..].chars().take_while(|c| !" '\"`;".contains(*c)).collect();
    let (host, path) =
        url["http://".len()..].split_once('/').map(|(h, p)| (h.to_owned(), format!("/{p}")))?;
    let mut fields = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("-H ") {
        rest = &rest[at + 3..];
        let quote = rest.chars().next()?;
        let field = rest[1..].split(quote).next()?;
        fields.push(field.to_owned());
    }
    Some((host, path, fields))
}

#[test]
fn the_demo_prints_what_works() {
    let mut command = Command::new(BINARY);
    let any = "127.0.0.1:0";
    command.args(["demo", "--listen", any, "--listen-tls", any, "--admin", any]);
    let demo = Gateway::spawn(command);
    demo.wait_ready();
    let asks = || -> Vec<_> {
        demo.output().lines().filter(|l| l.contains("curl ")).filter_map(curl).collect()
    };
    eventually("a routed request, a 429 and the stats are shown", || asks().len() >= 3);
    let (asks, printed) = (asks(), demo.output());
    let mut limited = false;
    for (host, path, fields) in &asks {
        let address = host.parse().unwrap_or_else(|_| panic!("an address: {host}"));
        let own_host = fields.iter().any(|f| f.to_ascii_lowercase().starts_with("host:"));
        let host = if own_host { String::new() } else { format!("Host: {host}\r\n") };
        let fields: String = fields.iter().map(|f| format!("{f}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\n{host}{fields}\r\n");
        let first = Client::once(address, &request);
        assert!(first.status < 400 || first.status == 429, "{path}: {}", first.status);
        // Asked often enough, a limited one says so.
        let last = (0..30).map(|_| Client::once(address, &request)).find(|r| r.status == 429);
        if let Some(refused) = last {
            limited = true;
            assert!(
                refused.head.has("retry-after") && refused.head.has("ratelimit"),
                "{:?}",
                refused.head
            );
        }
    }
    assert!(printed.contains("curl -i -k https://127.0.0.1:"), "{printed}");
    assert!(limited, "no 429 among:\n{printed}");
    assert!(asks.iter().any(|(_, path, _)| path.contains("stats") || path == "/"), "{printed}");
}

#[test]
fn where_io_uring_is_forbidden_epoll_does_the_work() {
    let upstream = Upstream::saying("ok");
    let config = forward_all(&upstream.address);
    let gateway = Gateway::with(Driver::Epoll, config).any_driver().without_io_uring().start();
    gateway.get("/").expect(200);
    let line = gateway.wait_output("the driver", |l| l.starts_with("driver "));
    assert!(line.starts_with("driver epoll: "), "{line}");
    assert_eq!(gateway.stats().0["driver"], "epoll");
}

#[test]
fn where_io_uring_is_forbidden_asking_for_it_fails() {
    let config = forward_all("127.0.0.1:1");
    let mut gateway = Gateway::with(Driver::IoUring, config).without_io_uring().start_unready();
    assert!(!gateway.wait_exit().success());
    gateway.wait_log("the reason", |l| l.contains("io_uring"));
}

both_drivers!(
    the_first_file_works,
    the_driver_is_told_with_its_reason,
    workers_are_as_many_as_asked,
    one_worker_a_core_that_is_allowed,
    systemd_is_notified,
    environment_references_are_filled_in,
);

fn the_first_file_works(driver: Driver) {
    let one = Upstream::saying("one");
    let two = Upstream::saying("two");
    let file = FIRST
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9001", &one.address)
        .replace("127.0.0.1:9002", &two.address);
    let gateway = Gateway::start(driver, file);
    let response = gateway
        .once("GET /orders/7 HTTP/1.1\r\nHost: api.example.com\r\nX-Tier: gold\r\n\r\n")
        .expect(200);
    assert_eq!(response.value("ratelimit-policy"), Some("\"orders\";q=100;w=1"));
    assert!(gateway.get("/anything").expect(200).value("ratelimit").is_none());
    assert_eq!(one.count() + two.count(), 2);
}

fn the_driver_is_told_with_its_reason(driver: Driver) {
    let gateway = Gateway::before(driver, &Upstream::saying("ok"));
    let line = gateway.wait_output("the driver", |l| l.starts_with("driver "));
    let reason = line.strip_prefix(&format!("driver {}: ", driver.name()));
    assert!(reason.is_some_and(|r| !r.is_empty()), "{line}");
}

fn workers_are_as_many_as_asked(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        "[server]\nworkers = 3\nwatch = false\n[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"ok\" }\n",
    );
    gateway.get("/").expect(200);
    assert_eq!(gateway.stats().0["workers"].as_array().map(Vec::len), Some(3));
}

fn one_worker_a_core_that_is_allowed(driver: Driver) {
    let config = "[server]\nwatch = false\n[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"ok\" }\n";
    let gateway = Gateway::with(driver, config).on_core(0).start();
    gateway.get("/").expect(200);
    let stats = gateway.stats();
    assert_eq!(stats.0["workers"].as_array().map(Vec::len), Some(1));
    assert_eq!(stats.number("/workers/0/core"), 0);
}

fn systemd_is_notified(driver: Driver) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let gateway = Gateway::with(
        driver,
        "[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"ok\" }\n",
    )
    .environment("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
    .start();
    let told = |what: &str| {
        let mut message = [0; 4096];
        eventually(what, || {
            let received = socket.recv(&mut message);
            received.is_ok_and(|n| text(&message[..n]).contains(what))
        });
    };
    told("READY=1");
    gateway.signal(libc::SIGHUP);
    told("RELOADING=1");
    told("READY=1");
    gateway.signal(libc::SIGTERM);
    told("STOPPING=1");
}

fn environment_references_are_filled_in(driver: Driver) {
    let upstream = Upstream::on("127.0.0.1:0", |peer| peer.serve(ok("ok").as_bytes()));
    let config = "[upstreams.app]\ntargets = [\"${TOLLGATE_TEST_TARGET}\"]\n[[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\n";
    let gateway = Gateway::with(driver, config)
        .environment("TOLLGATE_TEST_TARGET", &upstream.address)
        .start();
    gateway.get("/").expect(200);
}
