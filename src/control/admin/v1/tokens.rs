//! `/v1/tokens`: who may use this API.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::{Caller, is_good};
use super::change::Call;
use super::checked;
use super::extract::{Path, Query, id};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::problem::{Problem, rules};
use super::secret;
use crate::policy::auth::Digest;
use crate::store::Store;
use crate::store::catalog::{NewAudit, NewToken, Page, Records, TokenRow, TokenScope};

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TokenScope)]
pub(super) enum Scope {
    /// Read all.
    Read,
    /// Read and change all.
    Operate,
    /// See one account, make and revoke its applications' keys.
    Account,
}

/// A token. It is not kept itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    id: u64,
    /// The first characters, by which its owner knows it.
    hint: String,
    label: String,
    scope: Scope,
    /// Of the scope `account`: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<u64>,
    created_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Moment>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenMade {
    #[serde(flatten)]
    view: TokenView,
    /// Shown this once.
    token: String,
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    /// For people.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$")]
    label: String,
    scope: Scope,
    /// Of the scope `account`: which.
    #[schema(minimum = 1)]
    account: Option<u64>,
    /// From when on it is refused.
    ends_at: Option<Moment>,
}

impl From<&TokenRow> for TokenView {
    fn from(row: &TokenRow) -> Self {
        let (scope, account) = match row.scope {
            TokenScope::Read => (Scope::Read, None),
            TokenScope::Operate => (Scope::Operate, None),
            TokenScope::Account(account) => (Scope::Account, Some(account)),
        };
        Self {
            id: row.id,
            hint: row.hint.clone(),
            label: row.label.clone(),
            scope,
            account,
            created_at: Moment(row.created_at),
            ends_at: row.ends_at.map(Moment),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}

impl NewBody {
    fn scope(&self) -> Result<TokenScope, Problem> {
        checked::title("/label", &self.label)?;
        match (self.scope, self.account) {
            (Scope::Read, None) => Ok(TokenScope::Read),
            (Scope::Operate, None) => Ok(TokenScope::Operate),
            (Scope::Account, Some(account)) => Ok(TokenScope::Account(account)),
            (Scope::Account, None) => Err(Problem::invalid("/account", "an account is needed")),
            (_, Some(_)) => Err(Problem::invalid("/account", "this belongs to the scope account")),
        }
    }
}

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this account.
    #[serde(default, deserialize_with = "id")]
    #[param(minimum = 0)]
    account: Option<u64>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "tokens";

/// Tokens, a page at a time.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens",
    params(Filter), responses((status = 200, body = List<TokenView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    let page = Page { after: wish.after, limit: wish.limit };
    let found = api.read(move |records| Ok(records.tokens(asked.account, page)?)).await?;
    let last = found.rows.last().map(|row| row.id).filter(|_| found.more);
    let items = found.rows.iter().map(TokenView::from).collect();
    Answer::shown(&List::new(LIST, items, last), None)
}

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "tokens",
    request_body = NewBody, responses((status = 201, body = TokenMade)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let body: NewBody = call.json()?;
    let scope = body.scope()?;
    api.change(call, move |change| {
        if body.ends_at.is_some_and(|end| end.0 <= change.now) {
            return Err(Problem::invalid("/ends_at", "this is over already"));
        }
        if let TokenScope::Account(account) = scope
            && change.records.account(account)?.is_none()
        {
            return Err(Problem::invalid("/account", "there is no account of this id"));
        }
        let token = secret::token()?;
        let ends_at = body.ends_at.map(|end| end.0);
        let new = NewToken { scope, ends_at, ..new(change.secret, &token, &body.label) };
        let row = change.records.insert_token(&new, change.now)?;
        change.note("create", ("token", row.id), None, Some(&TokenView::from(&row)))?;
        let made = TokenMade { view: (&row).into(), token };
        Answer::made(&made, None, format!("/v1/tokens/{}", row.id))
    })
    .await
}

/// One token.
#[utoipa::path(get, path = "/tokens/{id}", operation_id = "show_token", tag = "tokens",
    responses((status = 200, body = TokenView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<u64>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let row = api.read(move |records| of(records, id)).await?;
    Answer::shown(&TokenView::from(&row), None)
}

fn of(records: &dyn Records, id: u64) -> Result<TokenRow, Problem> {
    records.token(id)?.ok_or_else(|| Problem::not_found("token"))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    responses((status = 204)))]
pub(super) async fn revoke(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let before = of(change.records, id)?;
        let after = change.records.revoke_token(id, change.now)?;
        let (before, after) = (TokenView::from(&before), TokenView::from(&after));
        change.note("revoke", ("token", id), Some(&before), Some(&after))?;
        Ok(Answer::gone())
    })
    .await
}

/// The first token of a store, which may do all. Where one that may is there already, only with
/// `again`.
pub fn first(store: &Store, label: &str, again: bool) -> Result<String, Problem> {
    checked::title("/label", label)?;
    let now = Moment::now().0;
    store.write(|records| {
        if !again && can_operate(records, now)? {
            let detail = "there is a token already; ask for another one with --again";
            return Err(Problem::new(rules::CONFLICT, detail));
        }
        let token = secret::token()?;
        let row = records.insert_token(&new(store.secret(), &token, label), now)?;
        records.insert_audit(&NewAudit {
            at: now,
            actor: "cli".into(),
            action: "create".into(),
            kind: "token".into(),
            object: row.id,
            before: None,
            after: serde_json::to_value(TokenView::from(&row)).ok(),
        })?;
        Ok(token)
    })
}

fn new(secret: &Digest, token: &str, label: &str) -> NewToken {
    NewToken {
        digest: secret::token_digest(secret, token),
        hint: secret::hint(token),
        label: label.to_owned(),
        scope: TokenScope::Operate,
        ends_at: None,
    }
}

/// Whether a token may be used to change things.
fn can_operate(records: &dyn Records, now: i64) -> Result<bool, Problem> {
    let mut page = Page::FIRST;
    loop {
        let found = records.tokens(None, page)?;
        page.after = found.rows.last().map(|row| row.id);
        let good = |row: &TokenRow| is_good(row, now) && row.scope == TokenScope::Operate;
        if found.rows.iter().any(good) || !found.more {
            return Ok(found.rows.iter().any(good));
        }
    }
}
