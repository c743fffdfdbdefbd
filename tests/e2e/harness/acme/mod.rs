//! An ACME server on loopback (RFC 8555, RFC 9773): it checks every signature, nonce and URL, really
//! looks for proofs, and fails as it is told to.

mod jws;
mod proving;
mod signing;

pub use jws::{Clients, thumbprint};
pub use proving::asking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::gate::Watched;
use super::upstream::Received;
use super::{PATIENCE, Signer, Upstream};
use jws::{Refusal, Signed};

/// What goes wrong with orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The server fails, with a text that no program reads.
    Fails,
    /// It has had enough, for so many seconds.
    RateLimited(u64),
    /// It knows none of the accounts it made.
    Forgets,
    /// It looks for the proof that another account's key would make.
    OtherKey,
    /// It signs what is over already.
    Expired,
}

/// When a server suggests to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    Now,
    Later,
}

/// How a server behaves, and what it did.
#[derive(Default)]
struct State {
    clients: Clients,
    given: usize,
    orders: Vec<Order>,
    trouble: Option<Trouble>,
    /// Nonces to refuse although they are good.
    spoil: usize,
    /// Where proofs are looked for, of either kind.
    proofs_at: Option<SocketAddr>,
    /// When it suggests to renew; `None`: it says nothing.
    renewal: Option<Renewal>,
    /// Key that accounts must be bound with.
    binding: Option<Vec<u8>>,
    contacts: Vec<Value>,
}

#[derive(Clone, Default)]
struct Order {
    name: String,
    account: Option<String>,
    /// Thumbprint of the account's key.
    thumb: String,
    /// What came of the name's proof; `None`: it is waited for.
    proof: Option<Result<(), String>>,
    certificate: Option<String>,
    replaces: Value,
    /// The challenge that was begun.
    challenge: Option<String>,
}

struct Shared {
    state: Watched<State>,
    authority: Signer,
}

/// A running server.
pub struct AcmeServer {
    shared: Arc<Shared>,
    server: Upstream,
    root: String,
}

type Answer = (u16, Value, Vec<(&'static str, String)>);

impl AcmeServer {
    pub fn start() -> Self {
        let signer = Signer::new();
        let tls = signer.server(&signer.certify(&["localhost"]));
        let shared = Arc::new(Shared { state: Watched::default(), authority: Signer::new() });
        let answering = shared.clone();
        let server = Upstream::tls(tls, move |peer| {
            while let Some(request) = peer.next_request() {
                let base = format!("https://{}", request.value("host").unwrap_or_default());
                peer.send(answering.answer(&base, &request));
            }
        });
        Self { shared, server, root: signer.pem() }
    }

    /// The section of a configuration, with `acme-ca.pem` and a store.
    pub fn section(&self, challenge: &str, store: &str) -> String {
        let port = self.server.port();
        format!(
            "[store]\npath = \"{store}\"\n\
             [acme]\ndirectory = \"https://localhost:{port}/directory\"\nagree_to_terms = true\n\
             roots = \"acme-ca.pem\"\nchallenge = \"{challenge}\"\n"
        )
    }

    /// By whom the server is known, PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Who signs certificates.
    pub fn authority(&self) -> &Signer {
        &self.shared.authority
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        self.shared.state.change(change);
    }

    /// Where it looks for proofs; until then it waits.
    pub fn looks_at(&self, address: SocketAddr) {
        self.set(|state| state.proofs_at = Some(address));
    }

    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.set(|state| state.trouble = trouble);
    }

    /// Refuses so many good nonces.
    pub fn spoil_nonces(&self, count: usize) {
        self.set(|state| state.spoil = count);
    }

    /// Suggests when to renew.
    pub fn suggest(&self, renewal: Renewal) {
        self.set(|state| state.renewal = Some(renewal));
    }

    /// Makes accounts only for who has this key.
    pub fn bind_accounts(&self, key: &[u8]) {
        self.set(|state| state.binding = Some(key.to_vec()));
    }

    /// Waits until it is told that the first order's proof is there.
    pub fn wait_for_proof(&self) {
        let told = self.shared.state.wait_for(PATIENCE, |state| {
            state.orders.first().and_then(|order| order.challenge.clone())
        });
        assert!(told.is_some(), "no proof was promised");
    }

    /// Names of the orders made, in their order.
    pub fn orders(&self) -> Vec<String> {
        self.shared.state.look(|state| state.orders.iter().map(|o| o.name.clone()).collect())
    }

    /// What the last order replaces.
    pub fn replaced(&self) -> Value {
        self.shared.state.look(|state| state.orders.last().expect("an order").replaces.clone())
    }

    /// What accounts said of themselves.
    pub fn contacts(&self) -> Vec<Value> {
        self.shared.state.look(|state| state.contacts.clone())
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        self.shared.state.look(|state| state.clients.keys.len())
    }
}

impl Shared {
    /// A whole HTTP answer.
    fn answer(self: &Arc<Self>, base: &str, request: &Received) -> String {
        let answer = self.handle(base, request).unwrap_or_else(|(kind, detail)| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            (400, json!({ "type": kind, "detail": detail }), Vec::new())
        });
        let (status, body, fields) = answer;
        let (kind, body) = match body {
            Value::String(text) => ("text/plain", text),
            body if status >= 400 => ("application/problem+json", body.to_string()),
            body => ("application/json", body.to_string()),
        };
        let nonce = self.nonce();
        let mut text =
            format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nReplay-Nonce: {nonce}\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let content = if request.method() == "HEAD" { "" } else { &body };
        text + &format!("Content-Length: {}\r\n\r\n{content}", body.len())
    }

    fn nonce(&self) -> String {
        self.state.change(|state| {
            state.given += 1;
            let nonce = format!("nonce-{}", state.given);
            state.clients.nonces.insert(nonce.clone());
            nonce
        })
    }

    fn handle(self: &Arc<Self>, base: &str, request: &Received) -> Result<Answer, Refusal> {
        let target = request.target().to_owned();
        let path: Vec<&str> = target.trim_start_matches('/').split('/').collect();
        match (request.method(), &path[..]) {
            ("GET", ["directory"]) => return Ok((200, directory(base), Vec::new())),
            ("HEAD", ["nonce"]) => return Ok((200, json!(""), Vec::new())),
            ("GET", ["renewal", id]) => return self.renewal(id),
            _ => {}
        }
        if request.value("content-type") != Some("application/jose+json") {
            return Err(("malformed", "not application/jose+json".into()));
        }
        let url = format!("{base}{target}");
        let signed = self.state.change(|state| {
            let checked = state.clients.check(&request.body, &url, path == ["account"])?;
            if state.spoil > 0 {
                state.spoil -= 1;
                return Err(("badNonce", "spoiled".to_owned()));
            }
            Ok(checked)
        })?;
        let index = |text: &str| self.owned(text, &signed);
        match &path[..] {
            ["account"] => self.account(base, &signed),
            ["account", _] => Ok((200, json!({ "status": "valid" }), Vec::new())),
            ["order"] => self.order(base, &signed),
            ["order", at] => Ok((200, self.shown(base, index(at)?), Vec::new())),
            ["authorization", at] => Ok((200, self.authorization(base, index(at)?), Vec::new())),
            ["challenge", kind, at] => self.challenge(base, kind, index(at)?),
            ["finalize", at] => self.finalize(base, index(at)?, &signed),
            ["certificate", at] => self.certificate(index(at)?),
            _ => Err(("malformed", format!("nothing is at {target}"))),
        }
    }

    fn account(&self, base: &str, signed: &Signed) -> Result<Answer, Refusal> {
        let payload = signed.payload.clone().unwrap_or_default();
        if payload["termsOfServiceAgreed"] != true {
            return Err(("userActionRequired", "agree to the terms".into()));
        }
        if let Some(mac) = self.state.look(|state| state.binding.clone()) {
            let url = format!("{base}/account");
            jws::check_binding(&payload["externalAccountBinding"], &signed.key, &url, &mac)?;
        }
        let location = self.state.change(|state| {
            state.contacts.push(payload["contact"].clone());
            let location = format!("{base}/account/{}", state.contacts.len());
            state.clients.keys.insert(location.clone(), signed.key.clone());
            location
        });
        Ok((201, json!({ "status": "valid" }), vec![("Location", location)]))
    }

    fn order(&self, base: &str, signed: &Signed) -> Result<Answer, Refusal> {
        let payload = signed.payload.clone().unwrap_or_default();
        match self.state.look(|state| state.trouble) {
            Some(Trouble::Fails) => return Ok((500, json!("it hurts"), Vec::new())),
            Some(Trouble::RateLimited(seconds)) => {
                let kind = "urn:ietf:params:acme:error:rateLimited";
                let body = json!({ "type": kind, "detail": "too many" });
                return Ok((429, body, vec![("Retry-After", seconds.to_string())]));
            }
            Some(Trouble::Forgets) => {
                self.state.change(|state| state.clients.keys.clear());
                return Err(("accountDoesNotExist", "never seen".into()));
            }
            _ => {}
        }
        let [identifier] = payload["identifiers"].as_array().map(Vec::as_slice).unwrap_or_default()
        else {
            return Err(("malformed", "one name an order".into()));
        };
        let order = Order {
            name: identifier["value"].as_str().unwrap_or_default().to_owned(),
            account: signed.account.clone(),
            thumb: thumbprint(&signed.key),
            replaces: payload["replaces"].clone(),
            ..Order::default()
        };
        let at = self.state.change(|state| {
            state.orders.push(order);
            state.orders.len() - 1
        });
        Ok((201, self.shown(base, at), vec![("Location", format!("{base}/order/{at}"))]))
    }

    /// The number of an order, where it belongs to who asks.
    fn owned(&self, text: &str, signed: &Signed) -> Result<usize, Refusal> {
        let at = text.parse::<usize>().map_err(|e| ("malformed", e.to_string()))?;
        let owner = self.state.look(|state| state.orders.get(at).map(|o| o.account.clone()));
        match owner.ok_or(("malformed", format!("there is no order {at}")))? == signed.account {
            true => Ok(at),
            false => Err(("unauthorized", format!("order {at} is another account's"))),
        }
    }

    fn look<R>(&self, at: usize, with: impl FnOnce(&Order) -> R) -> R {
        self.state.look(|state| with(&state.orders[at]))
    }

    fn shown(&self, base: &str, at: usize) -> Value {
        self.look(at, |order| {
            let status = match (&order.proof, &order.certificate) {
                (_, Some(_)) => "valid",
                (None, None) => "pending",
                (Some(Ok(())), None) => "ready",
                (Some(Err(_)), None) => "invalid",
            };
            json!({
                "status": status,
                "identifiers": [{ "type": "dns", "value": order.name }],
                "authorizations": [format!("{base}/authorization/{at}")],
                "finalize": format!("{base}/finalize/{at}"),
                "certificate": order.certificate.as_ref().map(|_| format!("{base}/certificate/{at}")),
                "replaces": order.replaces,
            })
        })
    }

    fn authorization(&self, base: &str, at: usize) -> Value {
        let challenges =
            ["http-01", "tls-alpn-01"].map(|kind| self.shown_challenge(base, kind, at));
        self.look(at, |order| {
            let status = match &order.proof {
                None => "pending",
                Some(Ok(())) => "valid",
                Some(Err(_)) => "invalid",
            };
            json!({
                "status": status,
                "identifier": { "type": "dns", "value": order.name },
                "challenges": challenges,
            })
        })
    }

    fn shown_challenge(&self, base: &str, kind: &str, at: usize) -> Value {
        self.look(at, |order| {
            let begun = order.challenge.as_deref() == Some(kind);
            let (status, error) = match &order.proof {
                Some(Ok(())) if begun => ("valid", Value::Null),
                Some(Err(why)) if begun => {
                    let kind = "urn:ietf:params:acme:error:unauthorized";
                    ("invalid", json!({ "type": kind, "detail": why, "status": 403 }))
                }
                _ if begun => ("processing", Value::Null),
                _ => ("pending", Value::Null),
            };
            json!({
                "type": kind,
                "url": format!("{base}/challenge/{kind}/{at}"),
                "token": token(at),
                "status": status,
                "error": error,
            })
        })
    }

    fn challenge(self: &Arc<Self>, base: &str, kind: &str, at: usize) -> Result<Answer, Refusal> {
        let first = self.state.change(|state| state.orders[at].challenge.replace(kind.to_owned()));
        if first.is_none() {
            let (looking, kind) = (self.clone(), kind.to_owned());
            thread::spawn(move || looking.look_for_proof(&kind, at));
        }
        Ok((200, self.shown_challenge(base, kind, at), Vec::new()))
    }

    /// Waits until it is told where to look, then looks.
    fn look_for_proof(&self, kind: &str, at: usize) {
        let address = self.state.wait_for(PATIENCE, |state| state.proofs_at);
        let trouble = self.state.look(|state| state.trouble);
        let (name, thumb) = self.look(at, |order| (order.name.clone(), order.thumb.clone()));
        let thumb = if trouble == Some(Trouble::OtherKey) { "other".to_owned() } else { thumb };
        let authorization = format!("{}.{thumb}", token(at));
        let found = match (kind, address) {
            (_, None) => Err("nobody said where to look".to_owned()),
            ("http-01", Some(address)) => {
                proving::http_01(address, &name, &token(at), &authorization)
            }
            (_, Some(address)) => proving::tls_alpn_01(address, &name, &authorization),
        };
        self.state.change(|state| state.orders[at].proof = Some(found));
    }

    fn finalize(&self, base: &str, at: usize, signed: &Signed) -> Result<Answer, Refusal> {
        let order = self.look(at, Order::clone);
        if order.proof != Some(Ok(())) || order.certificate.is_some() {
            return Err(("orderNotReady", "prove the name first, and once".into()));
        }
        let request = signed.payload.clone().unwrap_or_default();
        let request = URL_SAFE_NO_PAD
            .decode(request["csr"].as_str().unwrap_or_default())
            .map_err(|e| ("badCSR", e.to_string()))?;
        let expired = self.state.look(|state| state.trouble) == Some(Trouble::Expired);
        let validity = if expired { signing::OVER } else { signing::GOOD };
        let chain = signing::sign(&self.authority, &request, &order.name, validity)
            .map_err(|why| ("badCSR", why))?;
        self.state.change(|state| state.orders[at].certificate = Some(chain));
        Ok((200, self.shown(base, at), Vec::new()))
    }

    fn certificate(&self, at: usize) -> Result<Answer, Refusal> {
        let chain = self.look(at, |order| order.certificate.clone());
        let chain = chain.ok_or(("orderNotReady", "there is none yet".to_owned()))?;
        Ok((200, json!(chain), Vec::new()))
    }

    fn renewal(&self, id: &str) -> Result<Answer, Refusal> {
        let Some(renewal) = self.state.look(|state| state.renewal) else {
            return Ok((404, json!({ "type": "about:blank" }), Vec::new()));
        };
        if id.split('.').count() != 2 {
            return Err(("malformed", format!("{id} is no certificate")));
        }
        let year = if renewal == Renewal::Now { 2020 } else { 2100 };
        let at = |day| format!("{year}-01-0{day}T00:00:00Z");
        let window = json!({ "start": at(1), "end": at(2) });
        let fields = vec![("Retry-After", "21600".to_owned())];
        Ok((200, json!({ "suggestedWindow": window }), fields))
    }
}

fn directory(base: &str) -> Value {
    json!({
        "newNonce": format!("{base}/nonce"),
        "newAccount": format!("{base}/account"),
        "newOrder": format!("{base}/order"),
        "renewalInfo": format!("{base}/renewal"),
    })
}

fn token(at: usize) -> String {
    format!("token-of-{at}-with-enough-characters")
}
