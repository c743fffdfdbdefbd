//! The command line.

use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Compares Tollgate with NGINX, HAProxy, Envoy and a relay that parses nothing, all on one core at
once.

usage: compare [options]

  --scenario LIST      get, policy, keys, post, big64k, big1m, newconn, routes, latency,
                       idle, tls, tls_handshake, tls_resume, tls_1m, tls_idle, h2, h2_h2c,
                       grpc, websocket (comma-separated; default: all)
  --only LIST          only these: tollgate, relay, nginx, haproxy, envoy, or names given with
                       --also
  --tollgate PATH      Tollgate's binary (default target/release/tollgate)
  --also NAME=PATH     another Tollgate binary beside it (repeatable)
  --also-relay N=PATH  another program that is started as PATH LISTEN UPSTREAM (repeatable)
  --relay PATH         relay's binary (default: beside this program)
  --nginx PATH         default: nginx from PATH
  --haproxy PATH       default: haproxy from PATH
  --envoy PATH         default: envoy from PATH; it takes part in get, tls, tls_handshake,
                       tls_resume, tls_idle, h2, h2_h2c, grpc and websocket
  --connections LIST   keep-alive connections of get and policy (default 64,512)
  --slice MS           length of one visit (default 100)
  --cycles N           visits to each proxy (default: as many as fit --seconds)
  --seconds N          length of each measurement (default 12)
  --gateway-core N     core of all proxies (default: the first allowed)
  --load-core N        core of clients and backend (default: the second allowed)
  --sleeping-load      the load sleeps when it has nothing to do; proxies pay for waking it
  --idle N             connections of idle and tls_idle (default 5000)
  --routes N           routes of the routes scenario (default 100000)
  --seed N             order of visits (default: from the clock)
  --json FILE          raw data (default target/loadtest.json)
  --markdown FILE      the tables (default: standard output only)
  --keep               keep the directory with configurations and logs
  --smoke              a few seconds of everything short; fails on a failed request only
";

/// The names of all scenarios, in the order they run.
pub const SCENARIOS: [&str; 19] = [
    "get",
    "policy",
    "keys",
    "post",
    "big64k",
    "big1m",
    "newconn",
    "routes",
    "latency",
    "idle",
    "tls",
    "tls_handshake",
    "tls_resume",
    "tls_1m",
    "tls_idle",
    "h2",
    "h2_h2c",
    "grpc",
    "websocket",
];

/// Scenarios that take too long, or say nothing, in a few seconds.
const NOT_IN_SMOKE: [&str; 4] = ["big1m", "routes", "latency", "idle"];
/// Idle connections of a smoke run.
const SMOKE_IDLE: usize = 200;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Scenarios to run.
    pub scenarios: Vec<String>,
    /// Proxies to run; empty: all.
    pub only: Vec<String>,
    /// Tollgate's binary.
    pub tollgate: PathBuf,
    /// More Tollgate binaries.
    pub also: Vec<(String, PathBuf)>,
    /// More relays.
    pub also_relay: Vec<(String, PathBuf)>,
    /// The relay; `None`: beside this program.
    pub relay: Option<PathBuf>,
    /// NGINX.
    pub nginx: PathBuf,
    /// HAProxy.
    pub haproxy: PathBuf,
    /// Envoy.
    pub envoy: PathBuf,
    /// Connection counts of get and policy.
    pub connections: Vec<usize>,
    /// Visit length in milliseconds.
    pub slice_ms: u64,
    /// Visits to each proxy; `None`: from `seconds`.
    pub cycles: Option<usize>,
    /// Seconds each measurement takes.
    pub seconds: u64,
    /// Core of all proxies.
    pub gateway_core: Option<usize>,
    /// Core of the load.
    pub load_core: Option<usize>,
    /// Whether the load sleeps when it has nothing to do.
    pub sleeping_load: bool,
    /// Idle connections.
    pub idle: usize,
    /// Routes in the big table.
    pub routes: usize,
    /// Seed of the order of visits.
    pub seed: Option<u64>,
    /// Where raw data goes.
    pub json: PathBuf,
    /// Where the tables go, beside standard output.
    pub markdown: Option<PathBuf>,
    /// Keep the working directory.
    pub keep: bool,
    /// A few seconds only.
    pub smoke: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scenarios: SCENARIOS.map(String::from).to_vec(),
            only: Vec::new(),
            tollgate: "target/release/tollgate".into(),
            also: Vec::new(),
            also_relay: Vec::new(),
            relay: None,
            nginx: "nginx".into(),
            haproxy: "haproxy".into(),
            envoy: "envoy".into(),
            connections: vec![64, 512],
            slice_ms: 100,
            cycles: None,
            seconds: 12,
            gateway_core: None,
            load_core: None,
            sleeping_load: false,
            idle: 5000,
            routes: 100_000,
            seed: None,
            json: "target/loadtest.json".into(),
            markdown: None,
            keep: false,
            smoke: false,
        }
    }
}

impl Options {
    /// Reads the arguments; the error says what is wrong, and is empty where help is wanted.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--help" | "-h" => return Err(String::new()),
                "--keep" => options.keep = true,
                "--sleeping-load" => options.sleeping_load = true,
                "--smoke" => options.use_smoke(),
                _ => {
                    let value = arguments.next().ok_or(format!("{name}: unknown, or no value"))?;
                    options.set(&name, &value)?;
                }
            }
        }
        Ok(options)
    }

    fn use_smoke(&mut self) {
        self.smoke = true;
        let smoked = SCENARIOS.into_iter().filter(|name| !NOT_IN_SMOKE.contains(name));
        self.scenarios = smoked.map(String::from).collect();
        self.idle = SMOKE_IDLE;
        self.connections = vec![64];
        self.cycles = Some(3);
        self.slice_ms = 40;
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--scenario" => self.scenarios = scenarios(value)?,
            "--only" => self.only = list(value),
            "--tollgate" => self.tollgate = value.into(),
            "--also" => self.also.push(named(name, value)?),
            "--also-relay" => self.also_relay.push(named(name, value)?),
            "--relay" => self.relay = Some(value.into()),
            "--nginx" => self.nginx = value.into(),
            "--haproxy" => self.haproxy = value.into(),
            "--envoy" => self.envoy = value.into(),
            "--connections" => {
                self.connections =
                    list(value).iter().map(|n| number(name, n)).collect::<Result<_, _>>()?;
            }
            "--slice" => self.slice_ms = number(name, value)?,
            "--cycles" => self.cycles = Some(number(name, value)?),
            "--seconds" => self.seconds = number(name, value)?,
            "--gateway-core" => self.gateway_core = Some(number(name, value)?),
            "--load-core" => self.load_core = Some(number(name, value)?),
            "--idle" => self.idle = number(name, value)?,
            "--routes" => self.routes = number(name, value)?,
            "--seed" => self.seed = Some(number(name, value)?),
            "--json" => self.json = value.into(),
            "--markdown" => self.markdown = Some(value.into()),
            _ => return Err(format!("{name}: no such option")),
        }
        Ok(())
    }
}

fn scenarios(value: &str) -> Result<Vec<String>, String> {
    let names = list(value);
    if names == ["all"] {
        return Ok(SCENARIOS.map(String::from).to_vec());
    }
    match names.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
        Some(name) => Err(format!("--scenario: {name} is none of {}", SCENARIOS.join(", "))),
        None => Ok(names),
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
}

fn named(option: &str, value: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = value.split_once('=').ok_or(format!("{option}: want NAME=PATH"))?;
    Ok((name.into(), path.into()))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn flags_are_read() {
        let options =
            parse("--scenario get,idle --also old=/x --connections 8 --cycles 3").unwrap();
        assert_eq!(options.scenarios, ["get", "idle"]);
        assert_eq!(options.also, [("old".into(), PathBuf::from("/x"))]);
        assert_eq!((options.connections, options.cycles), (vec![8], Some(3)));
    }

    #[test]
    fn smoke_runs_what_is_short() {
        let options = parse("--smoke").unwrap();
        assert_eq!(options.scenarios.len(), SCENARIOS.len() - NOT_IN_SMOKE.len());
        assert!(options.scenarios.contains(&"grpc".into()));
        assert_eq!(parse("--smoke --scenario h2,tls_1m").unwrap().scenarios, ["h2", "tls_1m"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse("--scenario gett").unwrap_err().contains("gett"));
        assert!(parse("--slice x").unwrap_err().contains("no number"));
        assert!(parse("--nonsense 1").unwrap_err().contains("no such option"));
        assert_eq!(parse("--help"), Err(String::new()));
    }
}
