//! Keys in files and secrets, and how TLS is spoken to issuers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::config::{Jwt, JwtKeys, JwtUrl, Remark, Settings, Severity, Step};
use crate::control::tls::{Files, issuer, of_file};
use crate::limits::JWKS_MAX;
use crate::policy::auth::jwt::{Key, KeySet};

/// What one of `[jwt.NAME]` names, with a number that is the same for the same content.
pub enum Loaded {
    /// Keys.
    Keys(Arc<KeySet>, u64),
    /// How TLS is spoken to who has them.
    Issuer(Arc<ClientConfig>, u64),
}

impl Loaded {
    pub(super) fn identity(&self) -> u64 {
        match self {
            Self::Keys(_, identity) | Self::Issuer(_, identity) => *identity,
        }
    }
}

/// The key that is to blame, and why.
type Refused = (&'static str, String);

/// Reads what `[jwt.NAME]` names, and says what is wrong with it.
pub fn load(settings: &Settings, files: &mut Files) -> (BTreeMap<String, Loaded>, Vec<Remark>) {
    let (mut loaded, mut remarks) = (BTreeMap::new(), Vec::new());
    for (name, rules) in &settings.jwt {
        let mut remark = |severity, key, message, help: &str| {
            let at = vec![Step::Key("jwt"), Step::Name(name.clone()), Step::Key(key)];
            remarks.push(Remark { severity, at, message, help: help.to_owned() });
        };
        match one(rules, files) {
            Ok(Some(one)) => {
                if let Loaded::Keys(keys, _) = &one {
                    for (id, unfit) in keys.left_out() {
                        let message = format!("the key {id:?} is left out: it is {}", unfit.text());
                        remark(Severity::Warning, "jwks_file", message, "take it out of the file");
                    }
                }
                loaded.insert(name.clone(), one);
            }
            // What is wrong was told already.
            Ok(None) => {}
            Err((key, why)) => remark(Severity::Error, key, why, help(key)),
        }
    }
    (loaded, remarks)
}

fn help(key: &str) -> &'static str {
    match key {
        "jwks_file" => "write the name of a JSON file like {\"keys\": […]}",
        _ => "write the name of a PEM file",
    }
}

fn one(rules: &Jwt, files: &mut Files) -> Result<Option<Loaded>, Refused> {
    match &rules.keys {
        JwtKeys::Secret(secret) => {
            let key = Key::secret(secret, &rules.algorithms);
            Ok(key.map(|key| Loaded::Keys(Arc::new(KeySet::of_secret(key)), 0)))
        }
        JwtKeys::File(path) if is_refused(path) => Ok(None),
        JwtKeys::File(path) => {
            let refused = |why: &str| ("jwks_file", of_file(path, why));
            let text = files.read(path, JWKS_MAX as u64).map_err(|why| refused(&why))?;
            let keys = KeySet::read(&text, &rules.algorithms).map_err(|why| refused(why.text()))?;
            Ok(Some(Loaded::Keys(Arc::new(keys), identity(&text))))
        }
        JwtKeys::Url(url) => issuer_of(url, files).map(Some),
    }
}

fn issuer_of(url: &JwtUrl, files: &mut Files) -> Result<Loaded, Refused> {
    let (tls, identity) = issuer(url.roots.as_deref(), url.url.starts_with("https:"), files)
        .map_err(|why| ("jwks_roots", why))?;
    Ok(Loaded::Issuer(tls, identity))
}

fn identity(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn is_refused(path: &Path) -> bool {
    path.as_os_str().is_empty()
}
