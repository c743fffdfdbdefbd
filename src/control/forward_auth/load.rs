//! How TLS is spoken to services.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::config::{Remark, Settings, Severity, Step};
use crate::control::tls::{Files, issuer};

/// What one of `[forward_auth.NAME]` names.
pub struct Loaded {
    /// How TLS is spoken to it.
    pub tls: Arc<ClientConfig>,
    /// The same for the same files.
    pub identity: u64,
}

/// Reads what `[forward_auth.NAME]` names, and says what is wrong with it.
pub fn load(settings: &Settings, files: &mut Files) -> (BTreeMap<String, Loaded>, Vec<Remark>) {
    let (mut loaded, mut remarks) = (BTreeMap::new(), Vec::new());
    for (name, rules) in &settings.forward_auth {
        match issuer(rules.roots.as_deref(), rules.url.starts_with("https:"), files) {
            Ok((tls, identity)) => {
                loaded.insert(name.clone(), Loaded { tls, identity });
            }
            Err(message) => remarks.push(Remark {
                severity: Severity::Error,
                at: vec![Step::Key("forward_auth"), Step::Name(name.clone()), Step::Key("roots")],
                message,
                help: "write the name of a PEM file".to_owned(),
            }),
        }
    }
    (loaded, remarks)
}
