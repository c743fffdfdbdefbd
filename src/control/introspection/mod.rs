//! Servers that know tokens (RFC 7662): from what the configuration names to the introspectors in a
//! snapshot, and how they are asked.
//!
//! Invariants:
//! - One that the configuration names in the same words stays the same, with all that workers
//!   remember of it.
//! - A token goes to the server in the content of a question, and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use rustls::ClientConfig;

use crate::config::{Introspection as Rules, Remark, Settings, Severity, Step};
use crate::control::outside::{self, Bounds, Client};
use crate::control::tls::{Files, issuer};
use crate::limits::{INTROSPECTION_KEPT, INTROSPECTION_MAX};
use crate::policy::auth::Service;
use crate::policy::auth::introspection::{
    Asks, Introspector, Introspectors, Said, authorization, question,
};

/// How TLS is spoken to a server, with a number that is the same for the same files.
pub type Loaded = (Arc<ClientConfig>, u64);

/// Reads what `[introspection.NAME]` name, and says what is wrong with it.
pub fn load(settings: &Settings, files: &mut Files) -> (BTreeMap<String, Loaded>, Vec<Remark>) {
    let (mut loaded, mut remarks) = (BTreeMap::new(), Vec::new());
    for (name, rules) in &settings.introspection {
        match issuer(rules.roots.as_deref(), rules.url.starts_with("https:"), files) {
            Ok(one) => {
                loaded.insert(name.clone(), one);
            }
            Err(message) => {
                let key = if rules.roots.is_some() { "roots" } else { "url" };
                let at = vec![Step::Key("introspection"), Step::Name(name.clone()), Step::Key(key)];
                let help = "write the name of a PEM file in `roots`".to_owned();
                remarks.push(Remark { severity: Severity::Error, at, message, help });
            }
        }
    }
    (loaded, remarks)
}

/// The gateway's side.
pub struct Introspection {
    workers: usize,
    in_force: Made,
}

/// What settings are made into.
#[derive(Clone, Default)]
pub struct Made(BTreeMap<String, (u64, Arc<Introspector>)>);

impl Made {
    /// For a snapshot.
    pub fn introspectors(&self) -> Arc<Introspectors> {
        let all = self.0.values().map(|(_, introspector)| introspector.clone()).collect();
        Arc::new(Introspectors::new(all))
    }

    /// Whom they ask.
    pub fn services(&self) -> impl Iterator<Item = Arc<Service>> {
        self.0.values().map(|(_, introspector)| introspector.service.clone())
    }
}

impl Introspection {
    /// Nothing yet.
    pub fn new(workers: usize) -> Self {
        Self { workers, in_force: Made::default() }
    }

    /// What these settings are made into; of what is in force that which stays the same.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn make(
        &self,
        settings: &Settings,
        loaded: &BTreeMap<String, Loaded>,
    ) -> Result<Made, String> {
        let mut made = BTreeMap::new();
        for (name, rules) in &settings.introspection {
            let Some((tls, identity)) = loaded.get(name) else { continue };
            let before = self.in_force.0.get(name);
            let same = before.filter(|(of, one)| of == identity && *one.rules == *rules);
            let one = match same {
                Some((_, same)) => same.clone(),
                None => Arc::new(introspector(name, rules, tls, self.workers)?),
            };
            made.insert(name.clone(), (*identity, one));
        }
        Ok(Made(made))
    }

    /// They are in force.
    pub fn apply(&mut self, made: Made) {
        self.in_force = made;
    }

    /// Those in force.
    pub fn introspectors(&self) -> Arc<Introspectors> {
        self.in_force.introspectors()
    }
}

fn introspector(
    name: &str,
    rules: &Rules,
    tls: &Arc<ClientConfig>,
    workers: usize,
) -> Result<Introspector, String> {
    let rules = Arc::new(rules.clone());
    let service = outside::service(&format!("introspection:{name}"), rules.timeout, workers)?;
    let bounds = Bounds {
        timeout: rules.timeout,
        content: INTROSPECTION_MAX,
        kept: INTROSPECTION_KEPT,
        cut_refusals: false,
    };
    let asks = asks(Arc::new(Client::new(tls, bounds)), rules.clone());
    Ok(Introspector { name: name.into(), rules, service, asks })
}

fn asks(client: Arc<Client>, rules: Arc<Rules>) -> Asks {
    Box::new(move |token| {
        let (client, rules) = (client.clone(), rules.clone());
        Box::pin(async move {
            let answer = client.ask(request(&rules, &token)?).await?;
            match answer.status() {
                StatusCode::OK => Ok(Arc::new(Said::read(answer.body())?)),
                other => Err(format!("the server answered {other}")),
            }
        })
    })
}

/// RFC 7662 section 2.1.
fn request(rules: &Rules, token: &[u8]) -> Result<Request<Bytes>, String> {
    let mut request = Request::post(&rules.url)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some((id, secret)) = &rules.client {
        let mut value =
            HeaderValue::try_from(authorization(id, secret)).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(question(token).into()).map_err(|error| error.to_string())
}
