//! A server that knows tokens (RFC 7662), or does not answer as it should.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::{Value, json};

use super::gate::Watched;
use super::upstream::{Received, ok};
use super::{Gate, Peer, Upstream};

/// What the server does when it is asked.
#[derive(Clone, Default)]
enum Mood {
    /// Says what it knows.
    #[default]
    Honest,
    /// Sends these bytes and closes the connection.
    Sends(Vec<u8>),
    /// Says nothing until the gate is opened.
    Hangs(Gate),
}

#[derive(Default)]
struct State {
    known: HashMap<String, Value>,
    mood: Mood,
}

/// A server that knows tokens.
pub struct TokenServer {
    server: Upstream,
    state: Arc<Watched<State>>,
}

impl TokenServer {
    /// One that knows none yet.
    pub fn new() -> Self {
        Self::start(Upstream::new)
    }

    /// The same behind TLS.
    pub fn tls(config: Arc<ServerConfig>) -> Self {
        Self::start(|script| Upstream::tls(config, script))
    }

    fn start(start: impl FnOnce(Box<dyn Fn(&mut Peer) + Send + Sync>) -> Upstream) -> Self {
        let state = Arc::new(Watched::<State>::default());
        let asked = Arc::clone(&state);
        let server = start(Box::new(move |peer| {
            while let Some(request) = peer.next_request() {
                match answer_when_willing(&asked, &request) {
                    // The gateway may have lost its patience.
                    Ok(answer) => drop(peer.try_send(answer)),
                    Err(bytes) => return drop(peer.try_send(bytes)),
                }
            }
        }));
        Self { server, state }
    }

    /// From now on it knows a token, of which it says this beside that it is active.
    pub fn know(&self, token: &str, says: Value) {
        let mut says = says;
        says["active"] = json!(true);
        self.state.change(|state| state.known.insert(token.to_owned(), says));
    }

    /// From now on the token is revoked.
    pub fn revoke(&self, token: &str) {
        self.state.change(|state| state.known.remove(token));
    }

    /// From now on it says what it knows.
    pub fn be_honest(&self) {
        self.state.change(|state| state.mood = Mood::Honest);
    }

    /// From now on it sends these bytes, whatever it is asked, and closes the connection.
    pub fn send(&self, bytes: impl Into<Vec<u8>>) {
        self.state.change(|state| state.mood = Mood::Sends(bytes.into()));
    }

    /// From now on it says nothing until the gate is open.
    pub fn hang(&self) -> Gate {
        let gate = Gate::new();
        self.state.change(|state| state.mood = Mood::Hangs(gate.clone()));
        gate
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}/introspect", self.server.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.count()
    }

    /// The n-th question, from 1.
    pub fn question(&self, n: usize) -> Received {
        self.server.wait_for_request(n)
    }
}

fn answer_when_willing(state: &Watched<State>, request: &Received) -> Result<String, Vec<u8>> {
    match state.look(|state| state.mood.clone()) {
        Mood::Honest => {}
        Mood::Sends(bytes) => return Err(bytes),
        Mood::Hangs(gate) => gate.wait(),
    }
    let body = String::from_utf8_lossy(&request.body);
    let token = body.split('&').find_map(|part| part.strip_prefix("token=")).unwrap_or_default();
    let says = state.look(|state| state.known.get(token).cloned());
    Ok(ok(&says.unwrap_or_else(|| json!({ "active": false })).to_string()))
}
