//! What asking for a key costs, and counting what each application uses.

use super::{World, closing};
use crate::backend::Size;
use crate::client::Workload;
use crate::keys::{KEYS, key, signed_up};
use crate::peer::{Hello, Kind, Peer};
use crate::probe;
use crate::report::Bar;
use crate::template::Setup;

impl World<'_> {
    /// Beside NGINX and HAProxy that do the same, and beside Tollgate's own route without any of it.
    pub(super) fn keys(&mut self) -> Result<(), String> {
        let hello = closing("GET /open/1 HTTP/1.1\r\nHost: api.example.com\r\n");
        let mut peers = self.start_with(&Kind::HTTP, Setup::Keys, Hello::Request(&hello))?;
        let mut workloads = Vec::new();
        for peer in &peers {
            let keys = match peer.kind {
                Kind::Tollgate => signed_up(&mut self.engine, peer)?,
                _ => (0..KEYS).map(key).collect(),
            };
            self.check_keys(peer, &keys)?;
            workloads.push(with_keys("/orders/12345678", &keys));
        }
        let mut bars = vec![Bar::better_of_peers(1.0)];
        if let Some(open) = self.open_tollgate(&hello)? {
            let name = peers.iter().find(|peer| peer.kind == Kind::Tollgate);
            bars.extend(name.map(|peer| Bar::of(&peer.name, &open.name, 1.08)));
            peers.push(open);
            workloads.push(with_keys("/open/12345678", &(0..KEYS).map(key).collect::<Vec<_>>()));
        }
        let workloads: Vec<&Workload> = workloads.iter().collect();
        for &connections in &self.options.connections {
            let label = format!("GET 1 KiB with an API key and a limit, {connections} connections");
            let plan = self.plan("keys", label, workloads[0], connections, bars.clone());
            self.measure_each(&mut peers, plan, &workloads)?;
        }
        Ok(())
    }

    /// Another Tollgate that is asked for the route without a product.
    fn open_tollgate(&mut self, hello: &[u8]) -> Result<Option<Peer>, String> {
        let Some(spec) = self.specs.iter().find(|spec| spec.kind == Kind::Tollgate).cloned() else {
            return Ok(None);
        };
        let spec = crate::peer::Spec { name: format!("{}-open", spec.name), ..spec };
        let place = self.place();
        let started =
            Peer::start(&spec, Setup::Keys, place, &mut self.engine, Hello::Request(hello));
        Ok(started.ok())
    }

    /// All must really ask for a key, and know each of these.
    fn check_keys(&mut self, peer: &Peer, keys: &[String]) -> Result<(), String> {
        let none = "X-Api-Key: tg_nobody\r\n".to_owned();
        let known = [&keys[0], &keys[KEYS - 1]].map(|key| format!("X-API-Key: {key}\r\n"));
        let all = [(String::new(), "401"), (none, "401")];
        for (field, status) in all.into_iter().chain(known.map(|field| (field, "200"))) {
            let head = format!("GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\n{field}");
            let answer = probe::ask(&mut self.engine, peer.port, &closing(&head), 2_000_000_000);
            let answer = answer.map_err(|error| format!("{}: {error}", peer.name))?;
            let answer = String::from_utf8_lossy(&answer);
            if !answer.starts_with(&format!("HTTP/1.1 {status}")) {
                return Err(format!(
                    "{} does not answer {field:?} with {status}:\n{answer}",
                    peer.name
                ));
            }
        }
        Ok(())
    }
}

fn with_keys(path: &str, keys: &[String]) -> Workload {
    let request = |key: &String| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\n\
             Accept: */*\r\nAccept-Encoding: gzip, br\r\nX-API-Key: {key}\r\n\r\n"
        )
    };
    let requests = keys.iter().map(|key| request(key).into_bytes()).collect();
    Workload { requests, length: Size::Small.bytes(), ..Workload::default() }
}
