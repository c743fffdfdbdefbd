//! The configuration's text: read, checked, and kept to be shown.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;

use super::tls::{self, Files, Loaded, Targets};
use super::{forward_auth, introspection, jwks};
use crate::config::{self, Diagnostic, Settings};
use crate::limits::CONFIG_FILE_MAX;

/// A configuration without mistakes.
pub struct Source {
    /// What it means.
    pub settings: Settings,
    /// What is doubtful about it.
    pub warnings: Vec<String>,
    /// As written: references to the environment, where secrets are, stand as references.
    pub text: String,
    /// What the listeners' TLS is made of, in their order; empty where its files were not read.
    pub tls: Vec<Option<Arc<Loaded>>>,
    /// How TLS is spoken to targets.
    pub target_tls: Targets,
    /// How TLS is spoken to the server that certificates are asked of.
    pub acme_tls: Option<Arc<ClientConfig>>,
    /// What `[jwt.NAME]` name; empty where files were not read.
    pub jwt: BTreeMap<String, jwks::Loaded>,
    /// How TLS is spoken to `[introspection.NAME]`.
    pub introspection: BTreeMap<String, introspection::Loaded>,
    /// What `[forward_auth.NAME]` name; empty where files were not read.
    pub forward_auth: BTreeMap<String, forward_auth::Loaded>,
}

impl Source {
    /// Reads and checks a file, and with `files` those it names.
    ///
    /// # Errors
    /// Every mistake, each with its place and what to write instead.
    pub fn read(file: &Path, files: Option<&mut Files>) -> Result<Self, Vec<String>> {
        let origin = file.display().to_string();
        let unreadable = |e| vec![format!("{origin}: {e}")];
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > CONFIG_FILE_MAX {
            return Err(vec![format!("{origin}: the file is larger than {CONFIG_FILE_MAX} bytes")]);
        }
        Self::check(std::fs::read_to_string(file).map_err(unreadable)?, &origin, files)
    }

    /// Checks a text, and with `files` those it names; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn check(
        text: String,
        origin: &str,
        mut files: Option<&mut Files>,
    ) -> Result<Self, Vec<String>> {
        let (mut tls, mut target_tls, mut acme_tls) = (Vec::new(), Targets::default(), None);
        let (mut jwt, mut introspection) = (BTreeMap::new(), BTreeMap::new());
        let mut forward_auth = BTreeMap::new();
        let mut ask = |settings: &Settings| {
            let Some(files) = &mut files else { return Vec::new() };
            let (mut remarks, mut more);
            (tls, remarks) = tls::load(settings, files, now());
            (target_tls, more) = tls::targets(settings, files);
            remarks.extend(more);
            (acme_tls, more) = tls::acme_server(settings, files);
            remarks.extend(more);
            (jwt, more) = jwks::load(settings, files);
            remarks.extend(more);
            (introspection, more) = introspection::load(settings, files);
            remarks.extend(more);
            (forward_auth, more) = forward_auth::load(settings, files);
            remarks.extend(more);
            remarks
        };
        let env = |name: &str| std::env::var(name).ok();
        match config::load_with(&text, origin, &env, &mut ask) {
            Ok((settings, warnings)) => {
                let warnings = lines(&warnings);
                Ok(Self {
                    settings,
                    warnings,
                    text,
                    tls,
                    target_tls,
                    acme_tls,
                    jwt,
                    introspection,
                    forward_auth,
                })
            }
            Err(mistakes) => Err(lines(&mistakes)),
        }
    }

    /// A short number that changes with the text.
    pub fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}
