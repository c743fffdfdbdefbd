//! What asking for a key costs, and counting what each application uses; and what a token costs.

use super::{World, closing};
use crate::backend::Size;
use crate::client::Workload;
use crate::engine::Engine;
use crate::keys::{KEYS, key, signed_up, token};
use crate::peer::{Hello, Kind, NotStarted, Peer, Spec};
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
            workloads.push(with_field("/orders/12345678", "X-API-Key: ", &keys));
        }
        let mut bars = vec![Bar::better_of_peers(1.0)];
        let name = peers.iter().find(|peer| peer.kind == Kind::Tollgate);
        let name = name.map(|peer| peer.name.clone());
        if let Some(spec) = name.and_then(|name| self.spec(&name)) {
            let name = spec.name.clone();
            let keys: Vec<_> = (0..KEYS).map(key).collect();
            let tokens: Vec<_> = (0..KEYS).map(token).collect();
            let beside = [
                ("open", "/open/12345678", "X-API-Key: ", &keys),
                ("token-open", "/open/12345678", TOKEN, &tokens),
                ("token", "/token/12345678", TOKEN, &tokens),
                ("token-each", "/each/12345678", TOKEN, &tokens),
            ];
            for (which, path, field, values) in beside {
                let spec = Spec { name: format!("{name}-{which}"), ..spec.clone() };
                peers.push(self.another(&spec, &hello)?);
                workloads.push(with_field(path, field, values));
            }
            check_tokens(&mut self.engine, &peers[peers.len() - 2], &tokens[KEYS - 1])?;
            bars.push(Bar::of(&name, &format!("{name}-open"), 1.08));
            let (token, open) = (format!("{name}-token"), format!("{name}-token-open"));
            bars.push(Bar::of(&token, &open, 1.08));
        }
        let workloads: Vec<&Workload> = workloads.iter().collect();
        for &connections in &self.options.connections {
            let label = format!("GET 1 KiB with an API key and a limit, {connections} connections");
            let plan = self.plan("keys", label, workloads[0], connections, bars.clone());
            self.measure_each(&mut peers, plan, &workloads)?;
        }
        Ok(())
    }

    fn spec(&self, name: &str) -> Option<Spec> {
        self.specs.iter().find(|spec| spec.name == name).cloned()
    }

    /// Another Tollgate, for another of its routes.
    fn another(&mut self, spec: &Spec, hello: &[u8]) -> Result<Peer, String> {
        let place = self.place();
        let started =
            Peer::start(spec, Setup::Keys, place, &mut self.engine, Hello::Request(hello));
        started.map_err(|why| match why {
            NotStarted::NotOffered(why) | NotStarted::Failed(why) => {
                format!("{}: {why}", spec.name)
            }
        })
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

/// What comes before a token.
const TOKEN: &str = "Authorization: Bearer ";

/// It must take a good token, and no other.
fn check_tokens(engine: &mut Engine, peer: &Peer, token: &str) -> Result<(), String> {
    let (forged, _) = token.rsplit_once('.').unwrap_or_default();
    for (token, status) in [(token, "200"), (forged, "401")] {
        let head = format!("GET /token/1 HTTP/1.1\r\nHost: api.example.com\r\n{TOKEN}{token}\r\n");
        let answer = probe::ask(engine, peer.port, &closing(&head), 2_000_000_000)
            .map_err(|error| format!("{}: {error}", peer.name))?;
        if !answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()) {
            let answer = String::from_utf8_lossy(&answer);
            return Err(format!("{} does not answer a token with {status}:\n{answer}", peer.name));
        }
    }
    Ok(())
}

/// Requests that show these in a field.
fn with_field(path: &str, field: &str, values: &[String]) -> Workload {
    let request = |value: &String| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\n\
             Accept: */*\r\nAccept-Encoding: gzip, br\r\n{field}{value}\r\n\r\n"
        )
    };
    let requests = values.iter().map(|value| request(value).into_bytes()).collect();
    Workload { requests, length: Size::Small.bytes(), ..Workload::default() }
}
