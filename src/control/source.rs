//! The configuration's text: read, checked, and kept to be shown.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rustls::ClientConfig;

use super::forward_auth::Gatekeepers;
use super::rehearsal::rehearse;
use super::tls::{self, Files, Loaded, Targets};
use super::{forward_auth, introspection, jwks, machine};
use crate::config::{self, Diagnostic, Remark, Settings, Severity};
use crate::limits::CONFIG_FILE_MAX;

/// A configuration without mistakes.
pub struct Source {
    /// What it means.
    pub settings: Settings,
    /// What is doubtful about it.
    pub warnings: Vec<Diagnostic>,
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
    pub fn read(file: &Path, files: Option<&mut Files>) -> Result<Self, Vec<Diagnostic>> {
        let origin = file.display().to_string();
        let text = text(file)
            .map_err(|(message, help)| vec![Diagnostic::of_file(&origin, message, help)])?;
        let text = String::from_utf8(text).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            vec![Diagnostic::not_utf8(&origin, error.as_bytes(), good)]
        })?;
        Self::check(text, &origin, files)
    }

    /// Checks a text, and with `files` those it names; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn check(
        text: String,
        origin: &str,
        mut files: Option<&mut Files>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let (mut tls, mut target_tls, mut acme_tls) = (Vec::new(), Targets::default(), None);
        let (mut jwt, mut introspection) = (BTreeMap::new(), BTreeMap::new());
        let mut forward_auth = BTreeMap::new();
        let mut ask = |settings: &Settings, sound: bool| {
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
            remarks.extend(machine::remarks(settings));
            if sound && !remarks.iter().any(|remark| remark.severity == Severity::Error) {
                remarks.extend(rehearsed(settings, &forward_auth));
            }
            remarks
        };
        let env = |name: &str| std::env::var(name).ok();
        match config::load_with(&text, origin, &env, &mut ask) {
            Ok((settings, warnings)) => Ok(Self {
                settings,
                warnings,
                text,
                tls,
                target_tls,
                acme_tls,
                jwt,
                introspection,
                forward_auth,
            }),
            Err(told) => Err(told),
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

/// The bytes of the file, or why there are none, and what to do.
fn text(file: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file".to_owned(), "name another by -c FILE"),
        _ => (error.to_string(), "let this user read it"),
    };
    let found = fs::metadata(file).map_err(unreadable)?;
    if found.is_dir() {
        return Err(("this is a folder".to_owned(), "name the file in it by -c FILE"));
    }
    if found.len() > CONFIG_FILE_MAX {
        let message = format!("the file is larger than {CONFIG_FILE_MAX} bytes");
        return Err((message, "write regular expressions for many routes, or fewer of them"));
    }
    fs::read(file).map_err(unreadable)
}

/// What a start would refuse.
fn rehearsed(
    settings: &Settings,
    forward_auth: &BTreeMap<String, forward_auth::Loaded>,
) -> Option<Remark> {
    // Without random numbers nothing starts; that is not the file's mistake.
    let services = Gatekeepers::default().make(settings, forward_auth, 1).ok()?;
    rehearse(settings, services.by_name()).err().map(|refusal| *refusal)
}
