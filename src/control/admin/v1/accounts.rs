//! `/v1/accounts`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::change::{Call, Change};
use super::checked;
use super::extract::{Path, Query};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::patch::patched;
use super::problem::Problem;
use crate::control::catalog::{Touched, each_product};
use crate::store::catalog::{
    AccountFilter, AccountRow, Attributes, NewAccount, Page, Records, State as Standing, Whose,
};

/// An account: somebody who has applications.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountView {
    pub(super) id: u64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    state: Standing,
    attributes: Attributes,
    created_at: Moment,
    updated_at: Moment,
}

/// What is said of an account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountBody {
    /// Unique.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$")]
    name: String,
    /// Where people reach them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Email)]
    email: Option<String>,
    /// Whether its applications may call.
    #[serde(default)]
    state: Standing,
    /// Fields that upstreams get with each request.
    #[serde(default)]
    attributes: Attributes,
}

impl From<&AccountRow> for AccountView {
    fn from(row: &AccountRow) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            email: row.email.clone(),
            state: row.state,
            attributes: row.attributes.clone(),
            created_at: Moment(row.created_at),
            updated_at: Moment(row.updated_at),
        }
    }
}

impl From<&AccountRow> for AccountBody {
    fn from(row: &AccountRow) -> Self {
        Self {
            name: row.name.clone(),
            email: row.email.clone(),
            state: row.state,
            attributes: row.attributes.clone(),
        }
    }
}

impl AccountBody {
    /// Refuses what can't be; `at` is where it stands in the call's body.
    fn check(&self, at: &str) -> Result<(), Problem> {
        checked::title(&format!("{at}/name"), &self.name)?;
        checked::email(&format!("{at}/email"), self.email.as_deref())
    }

    /// Which products the account's applications will be of is not known: attributes must suit all.
    fn check_attributes(&self, records: &dyn Records, at: &str) -> Result<(), Problem> {
        match self.attributes.is_empty() {
            true => Ok(()),
            false => checked::attributes(at, &self.attributes, &each_product(records, None)?),
        }
    }
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// With this name.
    name: Option<String>,
    /// With this mail address.
    email: Option<String>,
    /// In this state.
    state: Option<Standing>,
    /// With this text in name or email.
    search: Option<String>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "accounts";

/// Accounts, a page at a time; an account's own token sees that one.
#[utoipa::path(get, path = "/accounts", operation_id = "list_accounts", tag = "accounts",
    params(Filter), responses((status = 200, body = List<AccountView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    let Filter { name, email, state, search, .. } = asked;
    let filter = AccountFilter { id: caller.account(), name, email, state, search };
    let page = Page { after: wish.after, limit: wish.limit };
    let found = api.read(move |records| Ok(records.accounts(&filter, page)?)).await?;
    let last = found.rows.last().map(|row| row.id).filter(|_| found.more);
    let items = found.rows.iter().map(AccountView::from).collect();
    Answer::shown(&List::new(LIST, items, last), None)
}

/// Makes an account.
#[utoipa::path(post, path = "/accounts", operation_id = "create_account", tag = "accounts",
    request_body = AccountBody, responses((status = 201, body = AccountView)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let body: AccountBody = call.json()?;
    api.change(call, move |change| {
        let row = insert(change, body, "")?;
        let location = format!("/v1/accounts/{}", row.id);
        Answer::made(&AccountView::from(&row), Some(row.version), location)
    })
    .await
}

/// Makes an account; `at` is where it stands in the call's body.
pub(super) fn insert(
    change: &Change<'_>,
    body: AccountBody,
    at: &str,
) -> Result<AccountRow, Problem> {
    body.check(at)?;
    body.check_attributes(change.records, at)?;
    let AccountBody { name, email, state, attributes } = body;
    let new = NewAccount { name, email, state, attributes };
    let row = change.records.insert_account(&new, change.now)?;
    change.note("create", ("account", row.id), None, Some(&AccountView::from(&row)))?;
    Ok(row)
}

/// One account.
#[utoipa::path(get, path = "/accounts/{id}", operation_id = "show_account", tag = "accounts",
    responses((status = 200, body = AccountView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<u64>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    let row = api.read(move |records| seen(records, &caller, id)).await?;
    let answer = Answer::shown(&AccountView::from(&row), Some(row.version))?;
    Ok(answer.unless_known(&fields))
}

/// The account, where the caller may see it.
pub(super) fn seen(records: &dyn Records, caller: &Caller, id: u64) -> Result<AccountRow, Problem> {
    let row = records.account(id)?.filter(|row| caller.sees(row.id));
    row.ok_or_else(|| Problem::not_found("account"))
}

/// Changes a part of an account: a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/accounts/{id}", operation_id = "patch_account", tag = "accounts",
    request_body = AccountBody, responses((status = 200, body = AccountView)))]
pub(super) async fn patch(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let patch: Value = call.json()?;
    api.change(call, move |change| {
        let before = seen(change.records, change.caller, id)?;
        change.expected.check(before.version)?;
        let body: AccountBody = patched(&AccountBody::from(&before), patch)?;
        body.check("")?;
        if body.attributes != before.attributes {
            body.check_attributes(change.records, "")?;
        }
        let AccountBody { name, email, state, attributes } = body;
        let row = AccountRow { name, email, state, attributes, ..before.clone() };
        let row = change.records.update_account(&row, None, change.now)?;
        change.touch(Touched::Account(id));
        let (before, after) = (AccountView::from(&before), AccountView::from(&row));
        change.note("change", ("account", id), Some(&before), Some(&after))?;
        Answer::shown(&after, Some(row.version))
    })
    .await
}

/// Removes an account with its applications, their keys, and its tokens.
#[utoipa::path(delete, path = "/accounts/{id}", operation_id = "delete_account", tag = "accounts",
    responses((status = 204)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let row = seen(change.records, change.caller, id)?;
        change.expected.check(row.version)?;
        change.touch_gone(Whose::Account(id))?;
        change.records.delete_account(id, None)?;
        change.note("delete", ("account", id), Some(&AccountView::from(&row)), None)?;
        Ok(Answer::gone())
    })
    .await
}
