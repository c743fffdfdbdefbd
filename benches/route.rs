//! Route lookups with 10, 1,000 and 100,000 routes (hosts × paths).
//!
//! Each lookup is for another host and path, at random, so that the large table pays for its
//! cache misses. The requests' own text lies in a row, as if it had just been received.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::config::{
    Action, HeaderEdits, HostMatch, HostPolicy, PathMatch, Rewrite, Route, Timeouts,
};
use tollgate::http::Method;
use tollgate::route::{Found, Params, Request, Table};

/// Hosts and paths of each table.
const SIZES: [(usize, usize); 5] = [(1, 10), (10, 100), (1000, 100), (100, 1000), (100_000, 1)];

fn route(host: String, path: String) -> Route {
    Route {
        name: format!("{host}{path}"),
        host: HostMatch::Exact(host),
        path: PathMatch::Pattern(path),
        methods: vec!["GET".into(), "POST".into()],
        headers: vec![],
        query: vec![],
        client_certificate: vec![],
        action: Action::Upstream("app".into()),
        authentication: None,
        forward_auth: None,
        product: None,
        allow: Vec::new(),
        deny: Vec::new(),
        rewrite: Rewrite::None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        host_policy: HostPolicy::Preserve,
        timeouts: Timeouts {
            connect: None,
            first_byte: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            total: None,
            tunnel: Duration::from_secs(1),
            tunnel_total: None,
        },
        max_body: None,
        upgrades: vec![],
        grpc_web: false,
        limits: vec![],
        max_concurrent: None,
        max_concurrent_per_client: None,
    }
}

fn host(n: usize) -> String {
    format!("api{n}.example.com")
}

/// A third each of plain paths, parameters and catch-alls.
fn pattern(n: usize) -> String {
    match n % 3 {
        0 => format!("/v1/resource{n}/items"),
        1 => format!("/v1/resource{n}/{{id}}/items/{{item}}"),
        _ => format!("/v1/resource{n}/files/*"),
    }
}

fn routes((hosts, paths): (usize, usize)) -> Vec<Route> {
    let all = (0..hosts * paths).map(|n| (n / paths, n % paths));
    // One path a host: kinds alternate over the hosts instead.
    all.map(|(h, p)| route(host(h), pattern(if paths == 1 { h % 3 } else { p }))).collect()
}

/// Texts of requests one after another; where each host and each path ends.
#[derive(Default)]
struct Requests {
    text: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Requests {
    fn add(&mut self, host: &str, path: &str) {
        self.text.extend_from_slice(host.as_bytes());
        let host_end = self.text.len();
        self.text.extend_from_slice(path.as_bytes());
        self.ends.push((host_end, self.text.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|ends| ends.1));
        let cut = |(start, &(host, path))| (&self.text[start..host], &self.text[host..path]);
        starts.zip(&self.ends).map(cut)
    }
}

/// Requests of one kind for random routes of a table.
fn requests(kind: &str, (hosts, paths): (usize, usize)) -> Requests {
    let mut random = fastrand::Rng::with_seed(7);
    let mut all = Requests::default();
    let mut one = || {
        let wanted = ["exact", "parameters", "catch-all"].iter().position(|k| *k == kind);
        let (h, p) = loop {
            let h = random.usize(..hosts);
            let p = if paths == 1 { h % 3 } else { random.usize(..paths) };
            if wanted.is_none_or(|w| w == p % 3) {
                break (h, p);
            }
        };
        let path = match kind {
            "exact" => format!("/v1/resource{p}/items"),
            "parameters" => format!("/v1/resource{p}/4711/items/42"),
            "catch-all" => format!("/v1/resource{p}/files/2024/report.pdf"),
            _ => format!("/v1/resource{p}/4711/nothing/here"),
        };
        all.add(&host(h), &path);
    };
    (0..1 << 16).for_each(|_| one());
    all
}

fn find(table: &Table, (host, path): (&[u8], &[u8]), params: &mut Params) -> Found {
    let request = Request {
        host,
        path,
        query: None,
        method: Method::Get,
        method_text: b"GET",
        fields: &[],
        buf: &[],
        identity: None,
    };
    table.find(&request, params)
}

fn lookups(c: &mut Criterion) {
    for size in SIZES {
        let routes = routes(size);
        let table = Table::build(&routes).expect("valid routes");
        println!("{size:?}: {} bytes a route", table.memory() / routes.len());
        let mut group = c.benchmark_group("route");
        for kind in ["exact", "parameters", "catch-all", "miss"] {
            let requests = requests(kind, size);
            let mut params = Params::default();
            let found =
                requests.iter().filter(|r| find(&table, *r, &mut params) != Found::NotFound);
            assert_eq!(found.count(), if kind == "miss" { 0 } else { requests.ends.len() });
            let mut next = requests.iter().cycle();
            let name = format!("{}x{}", size.0, size.1);
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter(|| next.next().map(|r| black_box(find(&table, r, &mut params))))
            });
        }
    }
}

fn build(c: &mut Criterion) {
    let routes = routes((1000, 100));
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    group.bench_function("1000x100", |b| b.iter(|| Table::build(black_box(&routes)).is_ok()));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .without_plots();
    targets = lookups, build
}
criterion_main!(benches);
