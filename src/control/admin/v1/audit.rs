//! `/v1/audit`: who changed what.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::extract::{Query, id};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::problem::Problem;
use crate::store::catalog::{AuditFilter, AuditRow, Page};

/// A change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    id: u64,
    at: Moment,
    /// A token, `file` (the configuration) or `cli`.
    actor: String,
    action: String,
    kind: String,
    /// Id of what was changed; not there: it has none, as exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<u64>,
    /// What that is called, an export by its cursor; not there: it has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// How it was; not there: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    before: Option<Value>,
    /// How it is; not there: it is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    after: Option<Value>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        let AuditRow { id, at, actor, action, kind, object, before, after } = row;
        let name = after.as_ref().or(before.as_ref()).and_then(called);
        let object = (object != 0).then_some(object);
        Self { id, at: Moment(at), actor, action, kind, object, name, before, after }
    }
}

/// What a view says it is called.
fn called(view: &Value) -> Option<String> {
    let named = ["name", "cursor", "label"].into_iter().find_map(|member| view[member].as_str());
    named.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of such things: `product`, `account`, `application`, `key`, `token`.
    kind: Option<String>,
    /// Of the thing with this id.
    #[serde(default, deserialize_with = "id")]
    #[param(minimum = 0)]
    object: Option<u64>,
    /// By this one.
    actor: Option<String>,
    /// What was done: `create`, `change`, `delete`, `revoke`, `rotate`, …
    action: Option<String>,
    /// Not before.
    since: Option<Moment>,
    /// Before.
    until: Option<Moment>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "audit";

/// Changes, the newest first, a page at a time.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "audit", params(Filter),
    responses((status = 200, body = List<AuditView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    let Filter { kind, object, actor, action, since, until, .. } = asked;
    let (since, until) = (since.map(|at| at.0), until.map(|at| at.0));
    let filter = AuditFilter { kind, object, actor, action, since, until };
    let page = Page { after: wish.after, limit: wish.limit };
    let found = api.read(move |records| Ok(records.audit(&filter, page)?)).await?;
    let last = found.rows.last().map(|row| row.id).filter(|_| found.more);
    let items = found.rows.into_iter().map(AuditView::from).collect();
    Answer::shown(&List::new(LIST, items, last), None)
}
