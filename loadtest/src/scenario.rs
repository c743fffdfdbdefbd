//! The scenarios: what is set up, what is sent, what is compared. Here those of plain HTTP/1.1.

mod idle;
mod keys;
mod protocols;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::Size;
use crate::client::Workload;
use crate::engine::{Engine, Group, Pace};
use crate::histogram::Histogram;
use crate::machine::{self, CoreTicks};
use crate::options::Options;
use crate::peer::{Hello, Kind, NotStarted, Peer, Place, Spec};
use crate::probe;
use crate::report::{Bar, Measured, Measurement, Report, Routes, Visit};
use crate::template::{Setup, route_names};
use crate::tls::Identity;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether somebody asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Asks everything to stop; fit for a signal handler.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Before anything is measured, each proxy is visited this long.
const WARM_UP_NS: u64 = 150_000_000;
/// After this long a buffered access log is written.
const LOG_FLUSH_NS: u64 = 1_300_000_000;
/// Different requests of the routes scenario.
const ROUTE_REQUESTS: usize = 16_384;
/// Clients come from this many addresses where limits are kept by address.
const SOURCES: u8 = 64;

/// Everything that all scenarios share.
#[derive(Debug)]
pub struct World<'a> {
    options: &'a Options,
    specs: Vec<Spec>,
    engine: Engine,
    random: Random,
    dir: &'a Path,
    log_dir: &'a Path,
    identity: &'a Identity,
    core: usize,
    load_core: usize,
    files: u64,
    report: Report,
    /// The scenario that runs.
    scenario: String,
}

/// One measurement to make.
struct Plan<'a> {
    scenario: &'static str,
    label: String,
    workload: &'a Workload,
    connections: usize,
    pace: Pace,
    slice_ms: u64,
    cycles: usize,
    sources: u8,
    bars: Vec<Bar>,
}

impl<'a> World<'a> {
    /// Sets up the load core; call on the thread that will run everything.
    pub fn new(
        options: &'a Options,
        specs: Vec<Spec>,
        dir: &'a Path,
        log_dir: &'a Path,
        identity: &'a Identity,
    ) -> Result<Self, String> {
        let cores = machine::allowed_cores();
        let core = options.gateway_core.or(cores.first().copied()).unwrap_or(0);
        let load_core = options.load_core.or(cores.get(1).copied()).unwrap_or(core);
        machine::pin_to(load_core).map_err(|error| format!("core {load_core}: {error}"))?;
        machine::raise_priority();
        let files = machine::raise_open_files().min(100_000);
        let mut engine = Engine::new().map_err(|error| error.to_string())?;
        engine.sleeps = options.sleeping_load;
        let seed = options.seed.unwrap_or_else(machine::now_ns);
        let report = Report::new(machine::describe(), seed, core, load_core);
        let random = Random(seed | 1);
        Ok(Self {
            options,
            specs,
            engine,
            random,
            dir,
            log_dir,
            identity,
            core,
            load_core,
            files,
            report,
            scenario: String::new(),
        })
    }

    /// Runs one scenario by name.
    pub fn run(&mut self, scenario: &str) -> Result<(), String> {
        self.scenario = scenario.into();
        match scenario {
            "get" => self.get(),
            "policy" => self.policy(),
            "keys" => self.keys(),
            "post" => self.post(),
            "big64k" => self.big("big64k", Size::Medium, "/files/64k", 64, 0.9),
            "big1m" => self.big("big1m", Size::Large, "/files/1m", 16, 1.0),
            "newconn" => self.newconn(),
            "routes" => self.routes(),
            "latency" => self.latency(),
            "idle" => self.idle(),
            _ => self.run_protocol(scenario),
        }
    }

    /// Notes what was left out.
    pub fn note(&mut self, what: String) {
        self.report.note(what);
    }

    /// Notes what went wrong.
    pub fn fail(&mut self, what: String) {
        self.report.fail(what);
    }

    /// What came of it.
    pub fn into_report(self) -> Report {
        self.report
    }

    fn get(&mut self) -> Result<(), String> {
        let mut peers = self.start(&Kind::ALL_AND_ENVOY, Setup::Plain)?;
        let workload = simple(get("/orders/12345678"), Size::Small);
        for &connections in &self.options.connections {
            let bars = vec![Bar::better_of_peers(0.65), Bar::relay(1.25)];
            let label = format!("GET 1 KiB, {connections} connections");
            let plan = self.plan("get", label, &workload, connections, bars);
            self.measure(&mut peers, plan)?;
        }
        Ok(())
    }

    fn policy(&mut self) -> Result<(), String> {
        let request = policy_request();
        let mut peers = self.start(&Kind::HTTP, Setup::Policy)?;
        self.check_policy(&peers)?;
        let workload = simple(request, Size::Small);
        for &connections in &self.options.connections {
            let bars = vec![Bar::better_of_peers(0.75)];
            let label =
                format!("GET 1 KiB with policies and access log, {connections} connections");
            let mut plan = self.plan("policy", label, &workload, connections, bars);
            plan.sources = SOURCES;
            self.measure(&mut peers, plan)?;
        }
        Ok(())
    }

    /// All peers must really do what the comparison says they do.
    fn check_policy(&mut self, peers: &[Peer]) -> Result<(), String> {
        for peer in peers {
            let ask = |engine: &mut Engine, tier: &str, path: &str| {
                let request = format!(
                    "GET {path}?v=2 HTTP/1.1\r\nHost: api.example.com\r\nX-Tier: {tier}\r\n\
                     X-Debug: 1\r\nConnection: close\r\n\r\n"
                );
                probe::ask(engine, peer.port, request.as_bytes(), 2_000_000_000)
                    .map(|bytes| String::from_utf8_lossy(&bytes).to_ascii_lowercase())
                    .map_err(|error| format!("{}: {error}", peer.name))
            };
            let right = ask(&mut self.engine, "gold", "/orders/echo")?;
            let (answer, echoed) = right.split_once("\r\n\r\n").unwrap_or((&right, ""));
            let wanted = ["x-edge: edge-1", "x-forwarded-for: 127.", "x-request-id: "];
            let missing = wanted.iter().find(|field| !echoed.contains(**field));
            if let Some(field) = missing {
                return Err(format!("{} sends no {field} upstream:\n{echoed}", peer.name));
            }
            if echoed.contains("x-debug") {
                return Err(format!("{} does not remove x-debug:\n{echoed}", peer.name));
            }
            if !answer.contains("x-served-by: edge-1") || answer.contains("etag") {
                return Err(format!("{} does not edit the response:\n{answer}", peer.name));
            }
            for (tier, path) in [("tin", "/orders/1"), ("gold", "/orders/1/2"), ("gold", "/x")] {
                let wrong = ask(&mut self.engine, tier, path)?;
                if !wrong.starts_with("http/1.1 404") {
                    return Err(format!("{} lets {tier} {path} through:\n{wrong}", peer.name));
                }
            }
        }
        Ok(())
    }

    fn post(&mut self) -> Result<(), String> {
        let mut request = b"POST /orders HTTP/1.1\r\nHost: api.example.com\r\n\
            User-Agent: load/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\n\
            Content-Length: 16384\r\n\r\n"
            .to_vec();
        request.extend((0..16_384).map(crate::backend::body_byte));
        let mut peers = self.start(&Kind::ALL, Setup::Plain)?;
        let workload = simple(request, Size::Receipt);
        let bars = vec![Bar::better_of_peers(0.75)];
        let plan = self.plan("post", "POST 16 KiB, 64 connections".into(), &workload, 64, bars);
        self.measure(&mut peers, plan)
    }

    fn big(
        &mut self,
        scenario: &'static str,
        size: Size,
        path: &str,
        connections: usize,
        bar: f64,
    ) -> Result<(), String> {
        let mut peers = self.start(&Kind::ALL, Setup::Big)?;
        let workload = simple(get(path), size);
        let bars = vec![Bar::better_of_peers(bar)];
        let label = format!("GET {} KiB, {connections} connections", size.bytes() / 1024);
        let mut plan = self.plan(scenario, label, &workload, connections, bars);
        if size == Size::Large && !self.options.smoke {
            // Sixteen answers in flight at the end of a visit must be few beside the rest.
            plan.slice_ms *= 2;
            plan.cycles = plan.cycles.div_ceil(2);
        }
        self.measure(&mut peers, plan)
    }

    fn newconn(&mut self) -> Result<(), String> {
        let mut peers = self.start(&Kind::HTTP, Setup::Plain)?;
        let request = b"GET /orders/12345678 HTTP/1.1\r\nHost: api.example.com\r\n\
            User-Agent: load/1.0\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        let mut workload = simple(request.to_vec(), Size::Small);
        workload.fresh = true;
        let bars = vec![Bar::better_of_peers(0.9)];
        let label = "GET 1 KiB, a new connection for each request, 64 at a time".into();
        let mut plan = self.plan("newconn", label, &workload, 64, bars);
        plan.sources = SOURCES;
        self.measure(&mut peers, plan)
    }

    fn routes(&mut self) -> Result<(), String> {
        let Some(spec) = self.specs.iter().find(|spec| spec.kind == Kind::Tollgate).cloned() else {
            self.report.note("routes: skipped, there is no Tollgate".into());
            return Ok(());
        };
        let many = self.options.routes;
        let mut peers = Vec::new();
        let mut workloads = Vec::new();
        for count in [10, many] {
            let spec = Spec { name: format!("{}-{count}-routes", spec.name), ..spec.clone() };
            let place = self.place();
            let (host, path) = route_names(count).last().unwrap_or_default();
            let hello = closing(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"));
            let setup = Setup::Routes(count);
            let hello = Hello::Request(&hello);
            match Peer::start(&spec, setup, place, &mut self.engine, hello) {
                Ok(peer) => peers.push(peer),
                Err(NotStarted::NotOffered(why) | NotStarted::Failed(why)) => return Err(why),
            }
            workloads.push(self.route_requests(count));
        }
        let resident: Vec<u64> = peers.iter().map(Peer::resident).collect();
        let facts = Routes {
            routes: many,
            ready_ms: peers[1].ready_after.as_secs_f64() * 1e3,
            ready_few_ms: peers[0].ready_after.as_secs_f64() * 1e3,
            bytes_per_route: resident[1].saturating_sub(resident[0]) as f64 / (many - 10) as f64,
        };
        let label = format!("GET 1 KiB, 10 and {many} routes, 64 connections");
        let mut plan = self.plan("routes", label, &workloads[0], 64, Vec::new());
        plan.bars = vec![Bar::of(&peers[1].name, &peers[0].name, 1.05)];
        self.measure_each(&mut peers, plan, &[&workloads[0], &workloads[1]])?;
        self.report.routes = Some(facts);
        Ok(())
    }

    fn route_requests(&mut self, count: usize) -> Workload {
        let names: Vec<(String, String)> = route_names(count).collect();
        let requests = (0..ROUTE_REQUESTS)
            .map(|_| {
                let (host, path) = &names[self.random.below(count)];
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n").into_bytes()
            })
            .collect();
        Workload { requests, length: Size::Small.bytes(), ..Workload::default() }
    }

    fn latency(&mut self) -> Result<(), String> {
        let mut peers = self.start(&Kind::ALL, Setup::Plain)?;
        let Some(nginx) = peers.iter().position(|peer| peer.kind == Kind::Nginx) else {
            self.report.note("latency: skipped, half of NGINX's rate needs NGINX".into());
            return Ok(());
        };
        let workload = simple(get("/orders/12345678"), Size::Small);
        let mut plan = self.plan("latency", "saturation".into(), &workload, 64, Vec::new());
        plan.cycles = 20;
        let alone = peers.remove(nginx);
        let mut alone = [alone];
        let saturation = self.series(&mut alone, &plan, &[&workload])?;
        let rate = saturation.peers[0].median(Visit::per_second) / 2.0;
        peers.extend(alone);
        let label = format!("GET 1 KiB at {rate:.0} requests/s, open loop, 64 connections");
        let mut plan = self.plan("latency", label, &workload, 64, Vec::new());
        plan.pace = Pace::Open((1e9 / rate) as u64);
        plan.slice_ms = self.options.slice_ms * 5;
        plan.cycles = plan.cycles.div_ceil(5).max(3) * 2;
        plan.bars = vec![Bar::latency("p99"), Bar::latency("p99.9")];
        self.measure(&mut peers, plan)
    }

    fn plan<'w>(
        &self,
        scenario: &'static str,
        label: String,
        workload: &'w Workload,
        connections: usize,
        bars: Vec<Bar>,
    ) -> Plan<'w> {
        let peers = self.specs.len().max(1) as u64;
        let fit = (self.options.seconds * 1000 / (peers * self.options.slice_ms)).max(5) as usize;
        Plan {
            scenario,
            label,
            workload,
            connections,
            pace: Pace::Closed,
            slice_ms: self.options.slice_ms,
            cycles: self.options.cycles.unwrap_or(fit),
            sources: 1,
            bars,
        }
    }

    fn place(&self) -> Place<'a> {
        Place {
            dir: self.dir,
            log_dir: self.log_dir,
            core: self.core,
            files: self.files,
            identity: self.identity,
        }
    }

    /// Starts all proxies of the given kinds.
    fn start(&mut self, kinds: &[Kind], setup: Setup) -> Result<Vec<Peer>, String> {
        let target = if setup == Setup::Policy { "/orders/1?v=2" } else { "/orders/1" };
        let hello =
            closing(&format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\nX-Tier: gold\r\n"));
        self.start_with(kinds, setup, Hello::Request(&hello))
    }

    /// The same with another greeting. A proxy that does not start is told and left out; only where
    /// it does not know what is asked for, that is no failure.
    fn start_with(
        &mut self,
        kinds: &[Kind],
        setup: Setup,
        hello: Hello,
    ) -> Result<Vec<Peer>, String> {
        let mut peers = Vec::new();
        for spec in self.specs.clone().iter().filter(|spec| kinds.contains(&spec.kind)) {
            match Peer::start(spec, setup, self.place(), &mut self.engine, hello) {
                Ok(peer) => {
                    eprintln!("{}: port {}, process {:?}", peer.name, peer.port, peer.pids());
                    peers.push(peer);
                }
                Err(NotStarted::NotOffered(words)) => {
                    let (scenario, name) = (&self.scenario, &spec.name);
                    self.report.note(format!("{scenario}: not offered by {name}: {words}"));
                }
                Err(NotStarted::Failed(why)) => {
                    self.report.fail(format!("{} did not start: {why}", spec.name));
                }
            }
            stop_if_interrupted()?;
        }
        Ok(peers)
    }

    fn measure(&mut self, peers: &mut [Peer], plan: Plan) -> Result<(), String> {
        let workloads = vec![plan.workload; peers.len()];
        self.measure_each(peers, plan, &workloads)
    }

    fn measure_each(
        &mut self,
        peers: &mut [Peer],
        plan: Plan,
        workloads: &[&Workload],
    ) -> Result<(), String> {
        if peers.is_empty() {
            self.report.note(format!("{}: skipped, no proxy to measure", plan.label));
            return Ok(());
        }
        let measurement = self.series(peers, &plan, workloads)?;
        self.report.add(measurement);
        Ok(())
    }

    /// The interleaved run itself.
    fn series(
        &mut self,
        peers: &mut [Peer],
        plan: &Plan,
        workloads: &[&Workload],
    ) -> Result<Measurement, String> {
        let mut groups: Vec<Group> = peers
            .iter()
            .map(|peer| self.engine.group(peer.port, plan.connections, plan.sources))
            .collect();
        let mut measured: Vec<Measured> =
            peers.iter().map(|peer| Measured::new(&peer.name, peer.kind)).collect();
        let mut latencies = Histogram::default();
        for (n, peer) in peers.iter().enumerate() {
            let (group, load) = (&mut groups[n], workloads[n]);
            self.engine.visit(group, load, plan.pace, WARM_UP_NS, &peer.clocks, &mut latencies);
        }
        // Buffered log lines of the warm-up are on their way.
        if peers.iter().any(|peer| peer.log.is_some()) {
            self.engine.rest(LOG_FLUSH_NS);
        }
        let accepted: Vec<u64> = peers.iter().map(|p| self.engine.accepted[p.backend]).collect();
        let ticks: Vec<(u64, u64)> = peers.iter().map(Peer::user_system_ticks).collect();
        let lines: Vec<u64> = peers.iter_mut().map(Peer::log_lines).collect();
        let (gateway, load) = (CoreTicks::read(self.core), CoreTicks::read(self.load_core));
        let mut used: Vec<u64> = peers.iter().map(Peer::used_ns).collect();
        let mut order: Vec<usize> = (0..peers.len()).collect();
        for _ in 0..plan.cycles {
            self.random.shuffle(&mut order);
            for &n in &order {
                let peer = &mut peers[n];
                let before = peer.used_ns();
                let slice = self.engine.visit(
                    &mut groups[n],
                    workloads[n],
                    plan.pace,
                    plan.slice_ms * 1_000_000,
                    &peer.clocks,
                    &mut latencies,
                );
                let outside = before - used[n];
                used[n] = peer.used_ns();
                measured[n].add(Visit::new(slice, outside, &latencies), &latencies);
                peer.log_lines();
            }
            stop_if_interrupted()?;
        }
        let stolen = [
            CoreTicks::read(self.core).stolen_since(&gateway),
            CoreTicks::read(self.load_core).stolen_since(&load),
        ];
        if peers.iter().any(|peer| peer.log.is_some()) {
            self.engine.rest(LOG_FLUSH_NS);
        }
        for (n, peer) in peers.iter_mut().enumerate() {
            let (user, system) = peer.user_system_ticks();
            measured[n].split(user - ticks[n].0, system - ticks[n].1);
            measured[n].upstream_connects = self.engine.accepted[peer.backend] - accepted[n];
            measured[n].log_lines = peer.log.is_some().then(|| peer.log_lines() - lines[n]);
        }
        groups.into_iter().for_each(|group| self.engine.disband(group));
        self.engine.rest(50_000_000);
        Ok(Measurement {
            scenario: plan.scenario,
            label: plan.label.clone(),
            body_bytes: plan.workload.length,
            slice_ms: plan.slice_ms,
            peers: measured,
            stolen,
            bars: plan.bars.clone(),
            failures: self.engine.take_told(),
        })
    }
}

fn stop_if_interrupted() -> Result<(), String> {
    if interrupted() { Err("interrupted".into()) } else { Ok(()) }
}

fn get(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\n\
         Accept: */*\r\nAccept-Encoding: gzip, br\r\n\r\n"
    )
    .into_bytes()
}

fn policy_request() -> Vec<u8> {
    b"GET /orders/12345678?v=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\n\
      Accept: */*\r\nAccept-Encoding: gzip, br\r\nX-Tier: gold\r\nX-Debug: 1\r\n\r\n"
        .to_vec()
}

fn closing(head: &str) -> Vec<u8> {
    format!("{head}Connection: close\r\n\r\n").into_bytes()
}

fn simple(request: Vec<u8>, size: Size) -> Workload {
    Workload { requests: vec![request], length: size.bytes(), ..Workload::default() }
}

/// xorshift: the order of visits needs no better.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn shuffle(&mut self, items: &mut [usize]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n + 1));
        }
    }
}
