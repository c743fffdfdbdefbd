//! `/v1/applications/{id}/keys`: what an application proves itself with.
//!
//! A key is shown in the answer that makes it, and nowhere else ever.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::applications::seen;
use super::caller::Caller;
use super::change::{Call, Change};
use super::checked;
use super::credential::{Drawn, NewKey};
use super::extract::{Path, Query};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::problem::{Problem, rules};
use crate::config::file::CredentialKind;
use crate::control::catalog::Touched;
use crate::limits::{LIVE_KEYS_MAX, OVERLAP_MAX};
use crate::policy::auth::digest;
use crate::store::catalog::{
    ApplicationRow, CredentialFilter, CredentialRow, NewCredential, Page, Paged, Records,
};
use crate::store::{ErrorKind, StoreError};

/// A credential. The key itself is not kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    id: u64,
    application: u64,
    kind: CredentialKind,
    /// The first characters, by which its owner knows it.
    hint: String,
    label: String,
    created_at: Moment,
    /// From when on it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Moment>,
}

/// A credential that was made, with what is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyMade {
    #[serde(flatten)]
    view: KeyView,
    /// Of `app_key`: what stands beside the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    /// Of `basic`: the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The key, or `basic`'s password. Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl From<&CredentialRow> for KeyView {
    fn from(row: &CredentialRow) -> Self {
        Self {
            id: row.id,
            application: row.application,
            kind: row.kind,
            hint: row.hint.clone(),
            label: row.label.clone(),
            created_at: Moment(row.created_at),
            ends_at: row.ends_at.map(Moment),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}

/// A new credential as the store takes it, and as it is shown.
fn wanted(
    change: &Change<'_>,
    application: &ApplicationRow,
    new: NewKey,
    at: &str,
) -> Result<(NewCredential, Drawn), Problem> {
    if new.ends_at.is_some_and(|end| end.0 <= change.now) {
        return Err(Problem::invalid(format!("{at}/ends_at"), "this is over already"));
    }
    let drawn = new.drawn(change, &application.app_id, at)?;
    let parts: Vec<&[u8]> = drawn.parts.iter().map(String::as_bytes).collect();
    let row = NewCredential {
        application: application.id,
        kind: new.kind,
        digest: digest(change.secret, (application.product, new.kind), &parts),
        hint: drawn.hint.clone(),
        password: drawn.password.clone(),
        label: new.label,
        ends_at: new.ends_at.map(|end| end.0),
    };
    Ok((row, drawn))
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this kind.
    kind: Option<CredentialKind>,
    /// Only those that are neither revoked nor over.
    live: Option<bool>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "keys";

/// Credentials of an application, a page at a time.
#[utoipa::path(get, path = "/applications/{id}/keys", operation_id = "list_keys", tag = "keys",
    params(Filter), responses((status = 200, body = List<KeyView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<u64>,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    let live_at = asked.live.unwrap_or(false).then(|| Moment::now().0);
    let filter = CredentialFilter {
        application: Some(id),
        kind: asked.kind,
        live_at,
        ..CredentialFilter::default()
    };
    let page = Page { after: wish.after, limit: wish.limit };
    let found = api.read(move |records| {
        seen(records, &caller, id)?;
        Ok(records.credentials(&filter, page)?)
    });
    shown(found.await?)
}

/// Which of all keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FilterOfAll {
    /// Neither made nor used since then.
    unused_since: Option<Moment>,
    /// Of this kind.
    kind: Option<CredentialKind>,
    /// Only those that are neither revoked nor over.
    live: Option<bool>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Credentials of all applications, a page at a time: those that nobody uses, say.
#[utoipa::path(get, path = "/keys", operation_id = "list_all_keys", tag = "keys",
    params(FilterOfAll), responses((status = 200, body = List<KeyView>)))]
pub(super) async fn all(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<FilterOfAll>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    let filter = CredentialFilter {
        kind: asked.kind,
        live_at: asked.live.unwrap_or(false).then(|| Moment::now().0),
        unused_since: asked.unused_since.map(|at| at.0),
        ..CredentialFilter::default()
    };
    let page = Page { after: wish.after, limit: wish.limit };
    let found = api.read(move |records| Ok(records.credentials(&filter, page)?)).await?;
    shown(found)
}

fn shown(found: Paged<CredentialRow>) -> Result<Answer, Problem> {
    let last = found.rows.last().map(|row| row.id).filter(|_| found.more);
    let items = found.rows.iter().map(KeyView::from).collect();
    Answer::shown(&List::new(LIST, items, last), None)
}

/// Makes a credential. A key or password is shown this once.
#[utoipa::path(post, path = "/applications/{id}/keys", operation_id = "create_key", tag = "keys",
    request_body = NewKey, responses((status = 201, body = KeyMade)))]
pub(super) async fn create(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    let new: NewKey = call.json()?;
    api.change(call, move |change| {
        let application = seen(change.records, change.caller, id)?;
        let made = insert(change, &application, new, "")?;
        Answer::made(&made, None, place(&made.view))
    })
    .await
}

fn place(view: &KeyView) -> String {
    format!("/v1/applications/{}/keys/{}", view.application, view.id)
}

/// Makes a credential; `at` is where it stands in the call's body. What says who calls by itself
/// (a user, a certificate, a claim) only operators choose, and keys too: who may try many would learn
/// by what is taken which there are.
pub(super) fn insert(
    change: &Change<'_>,
    application: &ApplicationRow,
    new: NewKey,
    at: &str,
) -> Result<KeyMade, Problem> {
    if !new.is_drawn() {
        change.caller.operate()?;
    }
    room(change, application.id, new.kind)?;
    let (new, drawn) = wanted(change, application, new, at)?;
    let row = change.records.insert_credential(&new, change.now).map_err(taken)?;
    change.touch(Touched::Application(application.id));
    change.note("create", ("key", row.id), None, Some(&KeyView::from(&row)))?;
    Ok(made(&row, application, drawn))
}

/// Keys are told apart in the whole store, those with an app_id in its application.
fn taken(error: StoreError) -> Problem {
    match error.kind() {
        ErrorKind::Duplicate => {
            Problem::new(rules::CONFLICT, "a live credential is known by this already")
        }
        _ => error.into(),
    }
}

fn made(row: &CredentialRow, application: &ApplicationRow, drawn: Drawn) -> KeyMade {
    let app_id = (row.kind == CredentialKind::AppKey).then(|| application.app_id.clone());
    KeyMade { view: row.into(), app_id, user: drawn.user, key: drawn.key }
}

/// Refuses one more where there are as many as there may be.
fn room(change: &Change<'_>, application: u64, kind: CredentialKind) -> Result<(), Problem> {
    let filter = CredentialFilter {
        application: Some(application),
        kind: Some(kind),
        live_at: Some(change.now),
        ..CredentialFilter::default()
    };
    let page = Page { after: None, limit: LIVE_KEYS_MAX };
    match change.records.credentials(&filter, page)?.rows.len() < LIVE_KEYS_MAX {
        true => Ok(()),
        false => {
            let detail = format!("{LIVE_KEYS_MAX} of this kind are live; revoke one first");
            Err(Problem::new(rules::TOO_MANY, detail))
        }
    }
}

/// One credential.
#[utoipa::path(get, path = "/applications/{id}/keys/{key}", operation_id = "show_key",
    tag = "keys", responses((status = 200, body = KeyView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key)): Path<(u64, u64)>,
) -> Result<Answer, Problem> {
    let row = api.read(move |records| {
        seen(records, &caller, id)?;
        of(records, id, key)
    });
    Answer::shown(&KeyView::from(&row.await?), None)
}

fn of(records: &dyn Records, application: u64, key: u64) -> Result<CredentialRow, Problem> {
    let row = records.credential(key)?.filter(|row| row.application == application);
    row.ok_or_else(|| Problem::not_found("key"))
}

/// How a key is changed for another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Both are good for so long: `1h`; `0s`: the old one ends at once.
    #[schema(pattern = "^[0-9]{1,3}[smh]$")]
    overlap: String,
}

/// Makes a key in another one's place, which ends after the overlap. The new one is shown this once.
#[utoipa::path(post, path = "/applications/{id}/keys/{key}/rotate", operation_id = "rotate_key",
    tag = "keys", request_body = Rotation, responses((status = 201, body = KeyMade)))]
pub(super) async fn rotate(
    State(api): State<Api>,
    Path((id, key)): Path<(u64, u64)>,
    call: Call,
) -> Result<Answer, Problem> {
    let rotation: Rotation = call.json()?;
    let overlap = checked::seconds("/overlap", &rotation.overlap, OVERLAP_MAX)?;
    api.change(call, move |change| {
        let application = seen(change.records, change.caller, id)?;
        let old = of(change.records, id, key)?;
        if !old.kind.is_drawn() {
            let detail = "only keys are drawn anew: make another credential, and revoke this one";
            return Err(Problem::new(rules::CONFLICT, detail));
        }
        if old.revoked_at.is_some() || old.ends_at.is_some_and(|end| end <= change.now) {
            return Err(Problem::new(rules::CONFLICT, "the key is revoked or over"));
        }
        if overlap > 0 {
            room(change, id, old.kind)?;
        }
        let made = rotated(change, &application, &old, overlap)?;
        Answer::made(&made, None, place(&made.view))
    })
    .await
}

fn rotated(
    change: &Change<'_>,
    application: &ApplicationRow,
    old: &CredentialRow,
    overlap: i64,
) -> Result<KeyMade, Problem> {
    let new = NewKey::of(old.kind, old.label.clone());
    let (new, drawn) = wanted(change, application, new, "")?;
    let until = change.now + overlap;
    let (ended, row) = change.records.rotate_credential(old.id, &new, until, change.now)?;
    change.touch(Touched::Application(application.id));
    let (before, after) = (KeyView::from(old), KeyView::from(&ended));
    change.note("rotate", ("key", old.id), Some(&before), Some(&after))?;
    change.note("create", ("key", row.id), None, Some(&KeyView::from(&row)))?;
    Ok(made(&row, application, drawn))
}

/// Revokes a credential: once this is answered, no worker takes it.
#[utoipa::path(delete, path = "/applications/{id}/keys/{key}", operation_id = "revoke_key",
    tag = "keys", responses((status = 204)))]
pub(super) async fn revoke(
    State(api): State<Api>,
    Path((id, key)): Path<(u64, u64)>,
    call: Call,
) -> Result<Answer, Problem> {
    api.change(call, move |change| {
        seen(change.records, change.caller, id)?;
        let before = of(change.records, id, key)?;
        let after = change.records.revoke_credential(key, change.now)?;
        change.touch(Touched::Application(id));
        let (before, after) = (KeyView::from(&before), KeyView::from(&after));
        change.note("revoke", ("key", key), Some(&before), Some(&after))?;
        Ok(Answer::gone())
    })
    .await
}
