//! Changes: one transaction each, with what the audit log says of it, in force when it is answered.
//!
//! A call with an Idempotency-Key is done once: the answer is kept in the transaction that does it,
//! sealed ([`super::seal`]), and given again to the same call. What was refused changed nothing and
//! is not kept.

use std::cell::RefCell;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::answer::{Answer, Expected};
use super::caller::Caller;
use super::extract;
use super::moment::Moment;
use super::problem::{Problem, rules};
use super::seal;
use crate::control::admin::Control;
use crate::control::catalog::Touched;
use crate::limits::{IDEMPOTENCY_KEPT, IDEMPOTENCY_KEY_MAX};
use crate::policy::auth::Digest;
use crate::store::catalog::{IdempotencyRow, NewAudit, Records, Whose};

/// A call that changes something.
pub(super) struct Call {
    /// Whose.
    pub(super) caller: Caller,
    /// Which version they expect.
    pub(super) expected: Expected,
    body: Vec<u8>,
    repeat: Option<Repeat>,
}

/// A call that may come again.
struct Repeat {
    key: String,
    /// Digest of the call: method, path, body.
    request: Digest,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, &()).await?;
        caller.change()?;
        let fields = &parts.headers;
        let body = extract::bytes(fields, body).await?;
        if !body.is_empty() {
            extract::must_be_json(fields)?;
        }
        let key = idempotency_key(fields)?;
        let repeat = key.map(|key| {
            let mut hasher = blake3::Hasher::new();
            for part in [parts.method.as_str(), &parts.uri.to_string()] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
            }
            Repeat { key, request: *hasher.update(&body).finalize().as_bytes() }
        });
        Ok(Self { caller, expected: Expected::of(fields), body, repeat })
    }
}

impl Call {
    /// What the body says.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        extract::json(&self.body)
    }
}

fn idempotency_key(fields: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(field) = fields.get("idempotency-key") else { return Ok(None) };
    let key = field.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()));
    let wrong = || {
        let detail = format!("Idempotency-Key: 1 to {IDEMPOTENCY_KEY_MAX} characters are needed");
        Problem::new(rules::BAD_REQUEST, detail)
    };
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

/// A change under way.
pub(super) struct Change<'r> {
    /// The store, in this change's transaction.
    pub(super) records: &'r dyn Records,
    /// Whose change it is.
    pub(super) caller: &'r Caller,
    /// Which version they expect.
    pub(super) expected: &'r Expected,
    /// When.
    pub(super) now: i64,
    /// What digests are keyed with.
    pub(super) secret: &'r Digest,
    /// The gateway, which knows what is configured.
    pub(super) control: &'r dyn Control,
    touched: RefCell<Vec<Touched>>,
}

impl Change<'_> {
    /// Says what part of the directory is to be made anew.
    pub(super) fn touch(&self, touched: Touched) {
        self.touched.borrow_mut().push(touched);
    }

    /// Says that these applications, which are still there, and their credentials will be gone.
    pub(super) fn touch_gone(&self, whose: Whose) -> Result<(), Problem> {
        let mut digests = Vec::new();
        self.records.live(whose, self.now, &mut |_, credentials| {
            digests.extend(credentials.into_iter().map(|credential| credential.digest));
            Ok(())
        })?;
        self.touch(Touched::Gone(digests));
        Ok(())
    }

    /// Writes down what was done. Views hold no secret.
    pub(super) fn note<V: Serialize>(
        &self,
        action: &str,
        (kind, object): (&str, u64),
        before: Option<&V>,
        after: Option<&V>,
    ) -> Result<(), Problem> {
        let told = |view: Option<&V>| view.and_then(|view| serde_json::to_value(view).ok());
        self.records.insert_audit(&NewAudit {
            at: self.now,
            actor: self.caller.name(),
            action: action.into(),
            kind: kind.into(),
            object,
            before: told(before),
            after: told(after),
        })?;
        Ok(())
    }
}

impl Api {
    /// Does a change, or gives the answer again that it got before.
    pub(super) async fn change(
        &self,
        call: Call,
        work: impl FnOnce(&Change<'_>) -> Result<Answer, Problem> + Send + 'static,
    ) -> Result<Answer, Problem> {
        let (secret, control) = (self.secret()?, self.control.clone());
        let in_transaction = move |records: &dyn Records| {
            if let Some(answer) = call.answered(records)? {
                return Ok((answer, Vec::new()));
            }
            let change = Change {
                records,
                caller: &call.caller,
                expected: &call.expected,
                now: Moment::now().0,
                secret: &secret,
                control: &*control,
                touched: RefCell::default(),
            };
            let answer = work(&change)?;
            call.keep(&change, &answer)?;
            Ok((answer, change.touched.into_inner()))
        };
        self.control.catalog().change(in_transaction).await
    }
}

impl Call {
    /// The answer that this call got before.
    fn answered(&self, records: &dyn Records) -> Result<Option<Answer>, Problem> {
        let Some(repeat) = &self.repeat else { return Ok(None) };
        let Some(row) = records.idempotency(self.caller.id, &repeat.key)? else { return Ok(None) };
        if row.request != repeat.request {
            let detail = "the key came with another method, path or body before";
            return Err(Problem::new(rules::KEY_REUSED, detail));
        }
        let text = seal::open(self.caller.token(), &repeat.place(self.caller.id), &row.answer)?;
        let broken = |why: serde_json::Error| Problem::new(rules::INTERNAL, why.to_string());
        serde_json::from_str(&text).map(Some).map_err(broken)
    }

    fn keep(&self, change: &Change<'_>, answer: &Answer) -> Result<(), Problem> {
        let Some(repeat) = &self.repeat else { return Ok(()) };
        let broken = |why: serde_json::Error| Problem::new(rules::INTERNAL, why.to_string());
        let text = serde_json::to_string(answer).map_err(broken)?;
        let token = self.caller.id;
        change.records.forget_idempotency(change.now - IDEMPOTENCY_KEPT)?;
        change.records.insert_idempotency(&IdempotencyRow {
            token,
            key: repeat.key.clone(),
            request: repeat.request,
            status: answer.status(),
            answer: seal::seal(self.caller.token(), &repeat.place(token), &text)?,
            at: change.now,
        })?;
        Ok(())
    }
}

impl Repeat {
    /// Where its answer is kept.
    fn place(&self, token: u64) -> String {
        format!("{token} {}", self.key)
    }
}
