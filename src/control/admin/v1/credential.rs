//! What a credential is known by: as the call says, or drawn.

use CredentialKind::{AppKey, Basic, Certificate, Jwt, UserKey};
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use serde::Deserialize;
use utoipa::ToSchema;

use super::change::Change;
use super::checked;
use super::moment::Moment;
use super::problem::{Problem, rules};
use super::secret;
use crate::config::file::CredentialKind;
use crate::limits::OWN_KEY;

/// A credential to be made. Keys of which nothing is said, and passwords, are drawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    pub(super) kind: CredentialKind,
    /// For people.
    #[serde(default)]
    pub(super) label: String,
    /// From when on it is refused.
    pub(super) ends_at: Option<Moment>,
    /// Of `user_key` and `app_key`: the key, where the client has one already. Operators only.
    #[schema(min_length = 8, max_length = 256, pattern = "^[!-~]+$")]
    key: Option<String>,
    /// Of `basic`: the user's name; where it is not said, the application's app_id.
    user: Option<String>,
    /// Of `certificate`: its SHA-256 fingerprint. This or `subject` is needed.
    fingerprint: Option<String>,
    /// Of `certificate`: its subject (RFC 4514).
    subject: Option<String>,
    /// Of `jwt`: the verifier's name in the configuration, which must be there; of a server that knows
    /// tokens, `introspection:NAME`.
    verifier: Option<String>,
    /// Of `jwt`: the value of the claim that says which application calls.
    claim: Option<String>,
}

/// What a credential is known by, and what is shown of it once.
pub(super) struct Drawn {
    pub(super) parts: Vec<String>,
    pub(super) hint: String,
    pub(super) password: Option<String>,
    pub(super) user: Option<String>,
    pub(super) key: Option<String>,
}

impl NewKey {
    /// One of which nothing else is said.
    pub(super) fn of(kind: CredentialKind, label: String) -> Self {
        Self {
            kind,
            label,
            ends_at: None,
            key: None,
            user: None,
            fingerprint: None,
            subject: None,
            verifier: None,
            claim: None,
        }
    }

    /// Whether nobody chooses what it is known by.
    pub(super) fn is_drawn(&self) -> bool {
        self.kind.is_drawn() && self.key.is_none()
    }

    /// What it is known by, of an application with this app_id; `at` is where it stands in the call's
    /// body.
    pub(super) fn drawn(
        &self,
        change: &Change<'_>,
        app_id: &str,
        at: &str,
    ) -> Result<Drawn, Problem> {
        checked::label(&format!("{at}/label"), &self.label)?;
        self.refuse_others(at)?;
        match self.kind {
            UserKey => self.key(None, at),
            AppKey => self.key(Some(app_id), at),
            Basic => basic(self.user.as_deref().unwrap_or(app_id), at),
            Certificate => self.certificate(at),
            Jwt => self.claim(&change.control.takers(), at),
        }
    }

    /// The key that is said, or one that is drawn.
    fn key(&self, app_id: Option<&str>, at: &str) -> Result<Drawn, Problem> {
        let (key, hint) = match &self.key {
            Some(key) => {
                checked::graphic(&format!("{at}/key"), key, OWN_KEY)?;
                (key.clone(), secret::hint_of_chosen(key))
            }
            None => secret::key().map(|key| (key.clone(), secret::hint(&key)))?,
        };
        let parts = app_id.map(str::to_owned).into_iter().chain([key.clone()]).collect();
        Ok(Drawn { parts, hint, password: None, user: None, key: Some(key) })
    }

    /// `takers`: who takes tokens.
    fn claim(&self, takers: &[String], at: &str) -> Result<Drawn, Problem> {
        let verifier = needed(at, "verifier", self.verifier.as_deref())?;
        if !takers.contains(&verifier) {
            let there = match takers {
                [] => "there is no [jwt.NAME] and no [introspection.NAME]".to_owned(),
                all => format!("there is {}", all.join(", ")),
            };
            let detail = format!("the configuration has no verifier {verifier}: {there}");
            return Err(Problem::invalid(format!("{at}/verifier"), detail));
        }
        let claim = needed(at, "claim", self.claim.as_deref())?;
        Ok(known_by(vec![verifier, claim.clone()], &claim))
    }

    fn certificate(&self, at: &str) -> Result<Drawn, Problem> {
        match (&self.fingerprint, &self.subject) {
            (Some(text), None) => {
                let hex = text.replace(':', "").to_ascii_lowercase();
                match hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    true => Ok(known_by(vec![hex.clone()], &hex)),
                    false => Err(Problem::invalid(
                        format!("{at}/fingerprint"),
                        "64 hexadecimal digits are needed (SHA-256 of the certificate)",
                    )),
                }
            }
            (None, Some(subject)) => {
                let subject = needed(at, "subject", Some(subject))?;
                Ok(known_by(vec![subject.clone()], &subject))
            }
            (None, None) => Err(Problem::invalid(at, "one of fingerprint and subject is needed")),
            (Some(_), Some(_)) => {
                Err(Problem::invalid(format!("{at}/subject"), "fingerprint or subject, not both"))
            }
        }
    }

    /// What belongs to another kind is a mistake, not passed over.
    fn refuse_others(&self, at: &str) -> Result<(), Problem> {
        let all = [
            ("key", self.key.is_some(), &[UserKey, AppKey][..]),
            ("user", self.user.is_some(), &[Basic]),
            ("fingerprint", self.fingerprint.is_some(), &[Certificate]),
            ("subject", self.subject.is_some(), &[Certificate]),
            ("verifier", self.verifier.is_some(), &[Jwt]),
            ("claim", self.claim.is_some(), &[Jwt]),
        ];
        match all.into_iter().find(|(_, said, kinds)| *said && !kinds.contains(&self.kind)) {
            Some((name, ..)) => {
                Err(Problem::invalid(format!("{at}/{name}"), "this belongs to another kind"))
            }
            None => Ok(()),
        }
    }
}

fn needed(at: &str, name: &str, value: Option<&str>) -> Result<String, Problem> {
    let pointer = format!("{at}/{name}");
    let value = value.ok_or_else(|| Problem::invalid(&pointer, format!("{name} is needed")))?;
    checked::title(&pointer, value)?;
    Ok(value.to_owned())
}

fn known_by(parts: Vec<String>, shown: &str) -> Drawn {
    Drawn { parts, hint: secret::hint(shown), password: None, user: None, key: None }
}

fn basic(user: &str, at: &str) -> Result<Drawn, Problem> {
    let pointer = format!("{at}/user");
    checked::title(&pointer, user)?;
    if user.contains(':') {
        return Err(Problem::invalid(pointer, "a user's name has no colon (RFC 7617)"));
    }
    let password = secret::key()?;
    let salt: [u8; 16] = secret::random()?;
    let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    let hashed = hashed.map_err(|why| Problem::new(rules::INTERNAL, why.to_string()))?;
    let mut drawn = known_by(vec![user.to_owned()], user);
    drawn.password = Some(hashed.to_string());
    (drawn.user, drawn.key) = (Some(user.to_owned()), Some(password));
    Ok(drawn)
}
