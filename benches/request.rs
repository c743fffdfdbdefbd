//! A whole request through all pure stages: what the gateway itself adds to a request, without the
//! kernel, the ring and the waiting.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::config::{self, AccessLogFormat};
use tollgate::control::rehearsal::rehearse;
use tollgate::http::h1::{Scan, parse_request, parse_response};
use tollgate::http::{Known, RequestHead, ResponseHead, first};
use tollgate::policy::auth::Told;
use tollgate::policy::client::client_address;
use tollgate::policy::limit::{KeySource, Local, Rule, Shared, fields};
use tollgate::policy::transform::{
    AddressText, Hop, LocationContext, Parameters, RequestId, Scheme, Trust, Values, outside,
};
use tollgate::policy::{Permit, judge};
use tollgate::respond::access_log::{Clock, Record, write_json};
use tollgate::respond::head::{self, Content};
use tollgate::route::{self, Found, Params, Unread};
use tollgate::snapshot::{Action, Forward, Listener, Route, Snapshot};
use tollgate::upstream::balance::{Picker, Tried};
use tollgate::upstream::{Group, Target, emit};

const PLAIN: &str = r#"
[admin]
enabled = false

[forwarding]
via = false
x_forwarded = false
request_id = false

[[listeners]]
name = "web"
listen = "127.0.0.1:8080"

[upstreams.app]
targets = ["127.0.0.1:9001"]

[[routes]]
name = "all"
path = "/*"
upstream = "app"
"#;

const FULL: &str = r#"
[admin]
enabled = false

[access_log]
format = "json"

[forwarding]
via = true
x_forwarded = true
forwarded = true
request_id = true
traceparent = true

[[listeners]]
name = "web"
listen = "127.0.0.1:8080"

[upstreams.app]
targets = ["127.0.0.1:9001", "127.0.0.1:9002", { address = "127.0.0.1:9003", weight = 2 }]
balance = "least_request"

[[routes]]
name = "orders"
host = "api.example.com"
path = "/orders/{id}"
methods = ["GET", "POST"]
headers = { "x-tier" = "gold" }
query = { v = "2" }
upstream = "app"
strip_prefix = "/orders"
limits = [
    { name = "client", rate = "1000000/s", burst = 1000000, key = "client_ip" },
    { name = "orders", rate = "1000000/s", burst = 1000000, key = "route" },
]
max_concurrent = 1000
request_headers = { set = { "x-edge" = "edge-1" }, remove = ["x-debug"] }
response_headers = { set = { "x-served-by" = "edge-1" }, remove = ["etag"] }
"#;

const REQUEST: &[u8] = b"GET /orders/4711?v=2 HTTP/1.1\r\n\
Host: api.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0\r\n\
Accept: application/json\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
X-Tier: gold\r\n\
X-Debug: 1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx\r\n\
Date: Sun, 22 Nov 2026 13:00:00 GMT\r\n\
Content-Type: application/json\r\n\
Content-Length: 1024\r\n\
ETag: \"5f3c-1a2b3c4d\"\r\n\
Cache-Control: max-age=60\r\n\r\n";

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Nanoseconds between two requests of the bench's own clock: 250,000 a second.
const STEP_NS: u64 = 4_000;

/// The text as the gateway would have it in force, but for sockets.
fn snapshot(text: &str) -> Snapshot {
    let (settings, _) = config::load(text, "bench", &|_| None).expect("no mistakes");
    rehearse(&settings, &BTreeMap::new()).expect("a snapshot")
}

/// What a core and a connection keep from one request to the next.
struct Core {
    snapshot: Snapshot,
    shared: Shared,
    local: Local,
    picker: Picker,
    random: fastrand::Rng,
    clock: Clock,
    now_ns: u64,
    /// Bytes from the client, from the target; what goes to the target, to the client, to the log.
    input: Vec<u8>,
    answer: Vec<u8>,
    out: Vec<u8>,
    reply: Vec<u8>,
    journal: Vec<u8>,
    head: RequestHead,
    response: ResponseHead,
    params: Params,
    request_id: Vec<u8>,
    path: Vec<u8>,
}

struct PathParameters<'a>(&'a Params, &'a [u8]);

impl Parameters for PathParameters<'_> {
    fn value(&self, ix: usize) -> &[u8] {
        self.0.value(ix, self.1)
    }
}

impl Core {
    fn new(configuration: &str) -> Self {
        Self {
            snapshot: snapshot(configuration),
            shared: Shared::with_slots(1 << 12, 1 << 6),
            local: Local::new(2),
            picker: Picker::default(),
            random: fastrand::Rng::with_seed(7),
            clock: Clock::at(0),
            now_ns: 3_600_000_000_000,
            input: REQUEST.to_vec(),
            answer: RESPONSE.to_vec(),
            out: Vec::new(),
            reply: Vec::new(),
            journal: Vec::new(),
            head: RequestHead::default(),
            response: ResponseHead::default(),
            params: Params::default(),
            request_id: Vec::new(),
            path: Vec::new(),
        }
    }

    /// One request and its answer.
    fn serve(&mut self) {
        self.now_ns += STEP_NS;
        let Self { snapshot, shared, local, now_ns, head, response, params, random, .. } = self;
        let listener = &snapshot.listeners[0];
        // A head arrives, from a client.
        let scan = &mut Scan::default();
        assert_eq!(parse_request(&mut self.input, scan, &listener.http, head), Ok(true));
        let buf = &self.input[..];
        let from = listener.client_address_from;
        let client = client_address(PEER, &listener.trusted_proxies, from, &head.fields, buf);
        let id = RequestId::choose(&head.fields, buf, client.trusted, random.u128(..));
        self.request_id.clear();
        self.request_id.extend_from_slice(id.text(buf));
        // Its route.
        let asked = asked(head, buf);
        let Found::Route(index, _) = snapshot.table.find(&asked, params) else {
            panic!("no route")
        };
        let route = &snapshot.routes[index as usize];
        let Action::Forward(rules) = &route.action else { panic!("another action") };
        // Its rules.
        let scopes = [&listener.limits, route.limits(), &snapshot.limits];
        let (permit, limit_fields) =
            permit(snapshot, local, shared, route, scopes, &asked, client.addr, params, *now_ns);
        // A target, and what goes there.
        let client_text = AddressText::of(client.addr);
        let parameters = PathParameters(params, asked.path);
        let values = Values {
            client_ip: client_text.as_bytes(),
            host: asked.host,
            method: asked.method_text,
            path: asked.path,
            query: asked.query,
            request_id: &self.request_id,
            route: route.name.as_bytes(),
            scheme: b"http",
            identity: None,
            claims: None,
            parameters: &parameters,
        };
        let path = match &rules.rewrite {
            Some(rewrite) => rewrite.apply(asked.path, &values, &mut self.path).expect("a path"),
            None => asked.path,
        };
        let hop = Hop {
            peer: &client_text,
            client: &client_text,
            trust: Trust::of(client.trusted, from),
            scheme: Scheme::Http,
            identity: None,
            early: false,
            request_id: &self.request_id,
            random: (random.u128(..), random.u64(..)),
        };
        let group = &snapshot.groups[rules.group];
        let picks = group.picks.as_ref().expect("targets");
        let draw = random.u64(..);
        let chosen = self.picker.pick(picks, &Tried::default(), None, draw, |_| false, |_| 0);
        let target = &group.targets[chosen.expect("a target")];
        let way = Way { head, buf, path, asked, route, rules, group, values: &values, hop: &hop };
        way.encode(&mut self.out);
        // What comes back, and its record.
        let scan = &mut Scan::default();
        let parsed =
            parse_response(&mut self.answer, scan, group.max_response_head, head.method, response);
        assert_eq!(parsed, Ok(true));
        way.answer(response, &self.answer, &limit_fields, &mut self.reply);
        permit.leave(shared);
        if snapshot.access_log == AccessLogFormat::Json {
            self.clock.set(*now_ns / 1_000_000);
            way.record(listener, target, response.status, &self.clock, &mut self.journal);
        }
    }
}

fn asked<'a>(head: &'a RequestHead, buf: &'a [u8]) -> route::Request<'a> {
    route::Request {
        host: head.host.of(buf),
        path: head.path.of(buf),
        query: head.query.map(|q| q.of(buf)),
        method: head.method,
        method_text: head.method_span.of(buf),
        fields: &head.fields,
        buf,
        identity: None,
        claims: &Unread,
    }
}

/// What the rules say, and the fields that tell the client.
#[allow(clippy::too_many_arguments)]
fn permit(
    snapshot: &Snapshot,
    local: &mut Local,
    shared: &Shared,
    route: &Route,
    scopes: [&[Rule]; 3],
    asked: &route::Request<'_>,
    client: IpAddr,
    params: &Params,
    now_ns: u64,
) -> (Permit, Vec<u8>) {
    let keys = KeySource {
        client,
        ipv6_prefix: snapshot.ipv6_prefix,
        fields: asked.fields,
        buf: asked.buf,
        query: asked.query,
        identity: None,
        application: None,
        claims: None,
        path_parameter: &|ix| params.value(ix, asked.path),
    };
    let concurrency = route.concurrency();
    let (permit, judgement) = judge(local, shared, &scopes, &keys, &concurrency, now_ns);
    let mut lines = Vec::new();
    if let Some(judgement) = judgement {
        let rules = scopes.iter().flat_map(|rules| rules.iter());
        let policies = rules.map(fields::Policy::from);
        fields::append(&mut lines, snapshot.rate_limit_fields, policies, &judgement.into());
    }
    (permit.expect("limits far above the rate"), lines)
}

/// What holds for a request on its way to its target and back.
struct Way<'a, 'v> {
    head: &'a RequestHead,
    buf: &'a [u8],
    path: &'a [u8],
    asked: route::Request<'a>,
    route: &'a Route,
    rules: &'a Forward,
    group: &'a Group,
    values: &'a Values<'v>,
    hop: &'a Hop<'a>,
}

impl Way<'_, '_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        emit::Outgoing {
            head: self.head,
            buf: self.buf,
            path: self.path,
            http2: false,
            upgrade: None,
            grpc: None,
            timeout_ns: None,
            host: self.head.authority.of(self.buf),
            edits: self.rules.request_edits.as_ref(),
            values: self.values,
            told: Told::default(),
            forward: &self.rules.forward,
            hop: self.hop,
        }
        .encode(out);
        black_box(out);
    }

    fn answer(&self, response: &ResponseHead, buf: &[u8], fields: &[u8], reply: &mut Vec<u8>) {
        let (scheme, authority) = outside(self.head, self.buf, self.hop.trust, self.hop.scheme);
        let location = LocationContext {
            targets: &self.group.authorities,
            upstream_host: &[],
            scheme,
            authority,
            stripped: self.rules.rewrite.as_ref().map_or(&[], |r| r.stripped()),
        };
        reply.clear();
        head::Outgoing {
            head: response,
            buf,
            content: Content::of(response, self.head.version),
            version: self.head.version,
            upgrade: None,
            grpc_web: None,
            close: false,
            edits: self.route.response_edits(),
            values: self.values,
            location: &location,
            date: None,
            hidden: None,
            forward: &self.rules.forward,
            fields,
        }
        .encode(reply);
        black_box(reply);
    }

    fn record(
        &self,
        listener: &Listener,
        target: &Target,
        status: u16,
        clock: &Clock,
        out: &mut Vec<u8>,
    ) {
        let field =
            |known| first(self.asked.fields, known).map_or(&[][..], |f| f.value.of(self.buf));
        let record = Record {
            client: self.values.client_ip,
            peer: self.values.client_ip,
            listener: listener.name.as_bytes(),
            identity: None,
            method: self.asked.method_text,
            host: self.asked.host,
            path: self.asked.path,
            query: self.asked.query,
            version: tollgate::http::Version::Http11,
            status,
            bytes_out: 1024,
            duration_us: 1234,
            upstream_us: Some(987),
            route: self.route.name.as_bytes(),
            upstream: self.group.name.as_bytes(),
            target: target.name.as_bytes(),
            request_id: self.values.request_id,
            user_agent: field(Known::UserAgent),
            referer: field(Known::Referer),
            reused: true,
            upstream_reused: true,
            ..Record::default()
        };
        out.clear();
        write_json(&record, clock, out);
        black_box(out);
    }
}

fn whole(criterion: &mut Criterion) {
    for (name, text) in [("plain", PLAIN), ("full", FULL)] {
        let mut core = Core::new(text);
        core.serve();
        assert_eq!(core.journal.is_empty(), name == "plain");
        criterion.bench_function(&format!("whole request, {name}"), |bencher| {
            bencher.iter(|| core.serve());
        });
    }
}

criterion_group!(benches, whole);
criterion_main!(benches);
