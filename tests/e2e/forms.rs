//! Mapping rules and the parameters of forms: looked for in their content as in the query, which goes
//! upstream as it came.

use crate::applications::{BRONZE, seed};
use crate::harness::{
    Ask, Caller, Driver, Ends, Gateway, Keys, Origin, Response, Upstream, Version, Versions,
};

const FORM: &str = "application/x-www-form-urlencoded";
const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

/// How much of `create` there is.
const MOST: u64 = 100_000;

const SHOP: &str = r#"
methods = [{ name = "create" }]
mapping_rules = [
    { method = "*", pattern = "/orders" },
    { method = "POST", pattern = "/orders?kind={any}", metric = "create", increment = 4 },
    { method = "POST", pattern = "/orders?kind=big", metric = "create", increment = 10 },
]
[plans.bronze]
quotas = [{ metric = "create", period = "year", max = 100000 }]
"#;

both_drivers!(
    parameters_of_forms_count,
    what_is_no_small_form_is_not_looked_into,
    what_follows_a_form_is_the_next_request,
    a_form_that_does_not_come_is_408,
);

/// Answers with the request's content and trailers.
fn echo(version: Version) -> Origin {
    Origin::new(version, |turn| {
        let (body, trailers) = turn.content().expect("the request's content");
        let ends = match trailers.is_empty() {
            true => Ends::After(body.len() as u64),
            false => Ends::Chunked,
        };
        turn.begin(200, &[], ends);
        let talk = turn.talk();
        talk.send(&body).and_then(|()| talk.end(&trailers)).expect("the gateway takes the answer");
    })
}

/// One that asks for the product, and what is left of `create` after each that counts as that.
struct Shop {
    gateway: Gateway,
    caller: Caller,
    left: u64,
    _origin: Origin,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn open(driver: Driver, versions: Versions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        seed(folder.path(), SHOP, &[BRONZE]);
        let origin = echo(versions.up);
        let store = format!("[store]\npath = {:?}\n", folder.path().join("store.db"));
        let keys = Keys { top: &store, route: "product = \"shop\"", ..Keys::default() };
        let gateway = Gateway::start(driver, versions.config(&[&origin.address], keys));
        let caller = Caller::connect(versions.down, gateway.web());
        Self { gateway, caller, left: MOST, _origin: origin, _folder: folder }
    }

    /// An answer to a request with this content, which counts so much.
    #[track_caller]
    fn counts(&mut self, answer: Response, body: &[u8], amount: u64) {
        let answer = answer.expect(200);
        assert_eq!(answer.body, body, "what the target got");
        self.left -= amount;
        let told = answer.value("ratelimit").and_then(|told| told.split(';').nth(1));
        let left = format!("r={}", self.left);
        assert_eq!(told, (amount > 0).then_some(left.as_str()));
    }
}

fn post(path: &str, content_type: &str, sends: Ends) -> Ask {
    Ask::post(path, sends).field("X-API-Key", "tg_bronze").field("Content-Type", content_type)
}

fn form(path: &str, body: &str) -> Ask {
    post(path, FORM, Ends::After(body.len() as u64))
}

fn parameters_of_forms_count(driver: Driver) {
    for versions in BOTH.into_iter().flat_map(|down| BOTH.map(|up| Versions { down, up })) {
        let mut shop = Shop::open(driver, versions);
        for (path, body, amount) in [
            ("/orders", "kind=small", 4),
            ("/orders", "a=1&k%69nd=big&b=2", 14),
            // Of both the form's counts, of several in it the last.
            ("/orders?kind=big", "kind=small", 4),
            ("/orders?kind=big", "a=1", 14),
            ("/orders", "kind=big&kind=small", 4),
            ("/orders", "a=1", 0),
            ("/orders", "", 0),
        ] {
            let answer = shop.caller.ask_at_once(&form(path, body), body.as_bytes());
            shop.counts(answer, body.as_bytes(), amount);
            let answer = shop.caller.ask_with(&form(path, body), body.as_bytes());
            shop.counts(answer, body.as_bytes(), amount);
        }
        let written =
            post("/orders", "Application/X-WWW-Form-URLencoded; charset=utf-8", Ends::After(6));
        let answer = shop.caller.ask_with(&written, b"kind=b");
        shop.counts(answer, b"kind=b", 4);
        // As large as may be, in many pieces.
        let large = format!("a={}&kind=big", "x".repeat((16 << 10) - 11));
        shop.caller.begin(&form("/orders", &large));
        for piece in large.as_bytes().chunks(5000) {
            shop.caller.talk().send(piece).expect("taken");
        }
        shop.caller.talk().end(&[]).expect("taken");
        let answer = shop.caller.response().expect("an answer");
        shop.counts(answer, large.as_bytes(), 14);
    }
}

fn what_is_no_small_form_is_not_looked_into(driver: Driver) {
    for versions in BOTH.into_iter().flat_map(|down| BOTH.map(|up| Versions { down, up })) {
        let mut shop = Shop::open(driver, versions);
        let body = "kind=big";
        let json = post("/orders", "application/json", Ends::After(8));
        let answer = shop.caller.ask_at_once(&json, body.as_bytes());
        shop.counts(answer, body.as_bytes(), 0);
        let large = format!("kind=big&a={}", "x".repeat(16 << 10));
        let answer = shop.caller.ask_with(&form("/orders?kind=small", &large), large.as_bytes());
        shop.counts(answer, large.as_bytes(), 4);
        // Nobody knows beforehand how long chunks will be; a stream tells by its end.
        let is_stream = versions.down == Version::Http2;
        for (body, amount) in [(body, if is_stream { 14 } else { 0 }), (large.as_str(), 0)] {
            shop.caller.begin(&post("/orders", FORM, Ends::Chunked));
            shop.caller.talk().send(body.as_bytes()).expect("taken");
            shop.caller.talk().end(&[("x-sum".into(), "7".into())]).expect("taken");
            let answer = shop.caller.response().expect("an answer");
            assert_eq!(answer.trailers, [("x-sum".into(), "7".into())]);
            shop.counts(answer, body.as_bytes(), amount);
        }
    }
}

fn what_follows_a_form_is_the_next_request(driver: Driver) {
    let shop = Shop::open(driver, Versions { down: Version::Http1, up: Version::Http1 });
    let mut client = shop.gateway.connect();
    let fields = "Host: test.example\r\nX-API-Key: tg_bronze\r\n";
    let head =
        format!("POST /orders HTTP/1.1\r\n{fields}Content-Type: {FORM}\r\nContent-Length: 8\r\n");
    client.send(format!("{head}\r\nkind="));
    client.send(format!("bigGET /orders HTTP/1.1\r\n{fields}\r\n{head}\r\nkind=xyz"));
    let left = |answer: Response| answer.value("ratelimit").map(|told| told.contains(";r=99986;"));
    let first = client.response().expect(200);
    assert_eq!((first.text(), left(first)), ("kind=big".into(), Some(true)));
    assert_eq!(left(client.response().expect(200)), None);
    assert_eq!(client.response().expect(200).text(), "kind=xyz");
    // Who asks whether to send it is not kept waiting for the answer.
    client.send(format!("{head}Expect: 100-continue\r\n\r\n"));
    client.send("kind=big");
    let answer = client.response().expect(200);
    assert_eq!((answer.text(), left(answer)), ("kind=big".into(), None));
}

fn a_form_that_does_not_come_is_408(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = tempfile::tempdir().expect("a folder");
    seed(folder.path(), SHOP, &[BRONZE]);
    let (path, target) = (folder.path().join("store.db"), &upstream.address);
    let gateway = Gateway::start(
        driver,
        format!(
            "[store]\npath = {path:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n\
             timeouts = {{ idle = \"200ms\" }}\n"
        ),
    );
    let fields = format!("Host: test.example\r\nX-API-Key: tg_bronze\r\nContent-Type: {FORM}\r\n");
    let mut client = gateway.connect();
    client.send(format!("POST /orders HTTP/1.1\r\n{fields}Content-Length: 20\r\n\r\nkind="));
    client.response().expect_failure(408);
    assert_eq!(upstream.count(), 0);
    // One whose client is gone is nobody's.
    let mut client = gateway.connect();
    client.send(format!("POST /orders HTTP/1.1\r\n{fields}Content-Length: 20\r\n\r\nkind="));
    client.half_close();
    client.expect_closed();
    gateway.wait_stats("it is over", |stats| stats.in_flight() == 0);
    assert_eq!(upstream.count(), 0);
}
