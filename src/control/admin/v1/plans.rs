//! `/v1/products/{name}/plans`. A plan is a part of its product, and has its version.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::change::{Call, Change};
use super::extract::{Path, escaped};
use super::paging::List;
use super::patch::patched;
use super::problem::{Problem, rules};
use super::products::{named, stored};
use crate::config::file::Plan;
use crate::store::catalog::ProductRow;

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlanView {
    product: String,
    name: String,
    id: u32,
    definition: Plan,
}

/// A plan to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlan {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    name: String,
    #[serde(default)]
    definition: Plan,
}

/// What can be changed of a plan.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanBody {
    definition: Plan,
}

impl PlanView {
    fn of(row: &ProductRow, name: &str) -> Result<Self, Problem> {
        let definition = row.definition.plans.get(name);
        let (definition, id) =
            definition.zip(row.plans.get(name)).ok_or_else(|| Problem::not_found("plan"))?;
        let (product, definition) = (row.name.clone(), definition.clone());
        Ok(Self { product, name: name.to_owned(), id: *id, definition })
    }
}

/// Plans of a product; there are few, and they come all at once.
#[utoipa::path(get, path = "/products/{name}/plans", operation_id = "list_plans", tag = "plans",
    responses((status = 200, body = List<PlanView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(product): Path<String>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let row = api.read(move |records| named(records, &product)).await?;
    let each = row.definition.plans.keys().map(|name| PlanView::of(&row, name));
    let items = each.collect::<Result<_, _>>()?;
    Answer::shown(&List::new("plans", items, None), Some(row.version))
}

/// Makes a plan.
#[utoipa::path(post, path = "/products/{name}/plans", operation_id = "create_plan", tag = "plans",
    request_body = NewPlan, responses((status = 201, body = PlanView)))]
pub(super) async fn create(
    State(api): State<Api>,
    Path(product): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let new: NewPlan = call.json()?;
    api.change(call, move |change| {
        let before = named(change.records, &product)?;
        if before.definition.plans.contains_key(&new.name) {
            let detail = format!("there is a plan by the name of {}", new.name);
            return Err(Problem::new(rules::CONFLICT, detail));
        }
        let row = with(change, &before, &new.name, Some(new.definition))?;
        made(&row, &new.name)
    })
    .await
}

fn made(row: &ProductRow, name: &str) -> Result<Answer, Problem> {
    let location = format!("/v1/products/{}/plans/{name}", row.name);
    Answer::made(&PlanView::of(row, name)?, Some(row.version), location)
}

/// The product with another plan of this name, or without it.
fn with(
    change: &Change<'_>,
    before: &ProductRow,
    name: &str,
    plan: Option<Plan>,
) -> Result<ProductRow, Problem> {
    let mut definition = before.definition.clone();
    match plan {
        Some(plan) => drop(definition.plans.insert(name.to_owned(), plan)),
        None => drop(definition.plans.remove(name)),
    }
    let at = format!("/definition/plans/{}", escaped(name));
    let stored = stored(change, &before.name, Some(before), &definition);
    stored.map_err(|problem| problem.moved(&at, "/definition"))
}

/// One plan.
#[utoipa::path(get, path = "/products/{name}/plans/{plan}", operation_id = "show_plan",
    tag = "plans", responses((status = 200, body = PlanView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path((product, plan)): Path<(String, String)>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    caller.read_all()?;
    let row = api.read(move |records| named(records, &product)).await?;
    let answer = Answer::shown(&PlanView::of(&row, &plan)?, Some(row.version))?;
    Ok(answer.unless_known(&fields))
}

/// Puts a definition in the place of a plan's, or makes the plan.
#[utoipa::path(put, path = "/products/{name}/plans/{plan}", operation_id = "put_plan",
    tag = "plans", request_body = PlanBody,
    responses((status = 200, body = PlanView), (status = 201, body = PlanView)))]
pub(super) async fn put(
    State(api): State<Api>,
    Path((product, plan)): Path<(String, String)>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let body: PlanBody = call.json()?;
    api.change(call, move |change| {
        let before = named(change.records, &product)?;
        let was_there = before.definition.plans.contains_key(&plan);
        let row = with(change, &before, &plan, Some(body.definition))?;
        match was_there {
            true => Answer::shown(&PlanView::of(&row, &plan)?, Some(row.version)),
            false => made(&row, &plan),
        }
    })
    .await
}

/// Changes a part of a plan: a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/products/{name}/plans/{plan}", operation_id = "patch_plan",
    tag = "plans", request_body = PlanBody, responses((status = 200, body = PlanView)))]
pub(super) async fn patch(
    State(api): State<Api>,
    Path((product, plan)): Path<(String, String)>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let patch: Value = call.json()?;
    api.change(call, move |change| {
        let before = named(change.records, &product)?;
        let there = PlanBody { definition: PlanView::of(&before, &plan)?.definition };
        let body = patched(&there, patch)?;
        let row = with(change, &before, &plan, Some(body.definition))?;
        Answer::shown(&PlanView::of(&row, &plan)?, Some(row.version))
    })
    .await
}

/// Removes a plan that no application uses.
#[utoipa::path(delete, path = "/products/{name}/plans/{plan}", operation_id = "delete_plan",
    tag = "plans", responses((status = 204)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path((product, plan)): Path<(String, String)>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let before = named(change.records, &product)?;
        PlanView::of(&before, &plan)?;
        with(change, &before, &plan, None)?;
        Ok(Answer::gone())
    })
    .await
}
