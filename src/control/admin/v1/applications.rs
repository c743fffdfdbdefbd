//! `/v1/applications`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::slice::from_ref;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::accounts;
use super::answer::Answer;
use super::caller::Caller;
use super::change::{Call, Change};
use super::checked;
use super::extract::{Path, Query, id};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::patch::patched;
use super::problem::{Problem, rules};
use super::secret;
use crate::config::file::{Lifecycle, Plan};
use crate::config::units::HumanDuration;
use crate::control::catalog::Touched;
use crate::limits::OWN_APP_ID;
use crate::store::catalog::{
    ApplicationFilter, ApplicationRow, Attributes, NewApplication, Page, ProductRow, Records,
    State as Standing, Whose,
};

/// An application: what an account uses a product with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApplicationView {
    pub(super) id: u64,
    account: u64,
    product: String,
    /// Its public id: what stands beside an app_key.
    pub(super) app_id: String,
    name: String,
    plan: String,
    description: String,
    pub(super) state: Standing,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial_ends_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
}

/// What can be changed of an application.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationBody {
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$")]
    name: String,
    /// Of the product.
    plan: String,
    /// What it is for, for people.
    #[serde(default)]
    description: String,
    /// Whether it may call.
    #[serde(default)]
    state: Standing,
    /// Fields that upstreams get with each request.
    #[serde(default)]
    attributes: Attributes,
    /// From when on it is billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial_ends_at: Option<Moment>,
    /// From when on it may no longer call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<Moment>,
}

/// An application to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApplication)]
pub(super) struct Wanted {
    /// Whose it is. Not needed where there is no choice: by an account's own token, and at a sign-up.
    #[schema(minimum = 1)]
    pub(super) account: Option<u64>,
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$")]
    name: String,
    /// Its public id, where it has one already; no colon. Operators only.
    #[schema(min_length = 4, max_length = 256, pattern = "^[!-9;-~]+$")]
    app_id: Option<String>,
    /// The product that it calls.
    product: String,
    /// By this plan of it. Where that wants approval, the application is `pending`.
    plan: String,
    /// What it is for, for people.
    #[serde(default)]
    description: String,
    /// Fields that upstreams get with each request.
    #[serde(default)]
    attributes: Attributes,
}

impl Wanted {
    fn check(&self, at: &str) -> Result<(), Problem> {
        checked::title(&format!("{at}/name"), &self.name)?;
        checked::text(&format!("{at}/description"), &self.description)
    }

    /// Whether it says what only operators say. An app_id that is taken tells that it is there.
    fn is_operators(&self) -> bool {
        !self.attributes.is_empty() || self.app_id.is_some()
    }

    /// The app_id that is said, or one that is drawn.
    fn app_id(&self, at: &str) -> Result<String, Problem> {
        let Some(app_id) = &self.app_id else { return secret::app_id() };
        let pointer = format!("{at}/app_id");
        checked::graphic(&pointer, app_id, OWN_APP_ID)?;
        match app_id.contains(':') {
            true => {
                Err(Problem::invalid(pointer, "an app_id has no colon: it may be a user's name"))
            }
            false => Ok(app_id.clone()),
        }
    }
}

impl ApplicationView {
    /// Of a row, whose product and plan have names.
    pub(super) fn of(row: &ApplicationRow, product: &ProductRow) -> Self {
        let body = ApplicationBody::of(row, product);
        Self {
            id: row.id,
            account: row.account,
            product: product.name.clone(),
            app_id: row.app_id.clone(),
            name: body.name,
            plan: body.plan,
            description: body.description,
            state: body.state,
            attributes: body.attributes,
            trial_ends_at: body.trial_ends_at,
            ends_at: body.ends_at,
            created_at: Moment(row.created_at),
            updated_at: Moment(row.updated_at),
        }
    }
}

impl ApplicationBody {
    fn of(row: &ApplicationRow, product: &ProductRow) -> Self {
        let plan = product.plans.iter().find(|(_, id)| **id == row.plan);
        Self {
            name: row.name.clone(),
            plan: plan.map(|(name, _)| name.clone()).unwrap_or_default(),
            description: row.description.clone(),
            state: row.state,
            attributes: row.attributes.clone(),
            trial_ends_at: row.trial_ends_at.map(Moment),
            ends_at: row.ends_at.map(Moment),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        checked::title("/name", &self.name)?;
        checked::text("/description", &self.description)
    }

    /// Whether all that only operators may change is the same.
    fn differs_in_words_only(&self, other: &Self) -> bool {
        let rest = |body: &Self| {
            let Self { plan, state, attributes, trial_ends_at, ends_at, .. } = body.clone();
            (plan, state, attributes, trial_ends_at, ends_at)
        };
        rest(self) == rest(other)
    }
}

/// Which applications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this account.
    #[serde(default, deserialize_with = "id")]
    #[param(minimum = 0)]
    account: Option<u64>,
    /// Of this product.
    product: Option<String>,
    /// Of this plan of the product.
    plan: Option<String>,
    /// In this state.
    state: Option<Standing>,
    /// With this name.
    name: Option<String>,
    /// With this public id.
    app_id: Option<String>,
    /// With this text in their name.
    search: Option<String>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "applications";

/// Applications, a page at a time; an account's own token sees that account's.
#[utoipa::path(get, path = "/applications", operation_id = "list_applications",
    tag = "applications", params(Filter),
    responses((status = 200, body = List<ApplicationView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    if asked.plan.is_some() && asked.product.is_none() {
        let detail = "plan: plans have names of their own product's; product is needed too";
        return Err(Problem::new(rules::BAD_REQUEST, detail));
    }
    let list = api.read(move |records| found(records, &caller, asked, wish)).await?;
    Answer::shown(&list, None)
}

fn found(
    records: &dyn Records,
    caller: &Caller,
    asked: Filter,
    wish: Wish,
) -> Result<List<ApplicationView>, Problem> {
    let none = || Ok(List::new(LIST, Vec::new(), None));
    let Some(account) = within(caller, asked.account) else { return none() };
    let mut filter = ApplicationFilter {
        account,
        state: asked.state,
        name: asked.name,
        app_id: asked.app_id,
        search: asked.search,
        ..ApplicationFilter::default()
    };
    if let Some(name) = &asked.product {
        let Some(product) = records.product_named(name)? else { return none() };
        filter.product = Some(product.id);
        if let Some(plan) = &asked.plan {
            let Some(id) = product.plans.get(plan) else { return none() };
            filter.plan = Some(*id);
        }
    }
    let found = records.applications(&filter, Page { after: wish.after, limit: wish.limit })?;
    let last = found.rows.last().map(|row| row.id).filter(|_| found.more);
    let mut products = HashMap::new();
    let mut items = Vec::with_capacity(found.rows.len());
    for row in &found.rows {
        let product = match products.entry(row.product) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(product_of(records, row)?),
        };
        items.push(ApplicationView::of(row, product));
    }
    Ok(List::new(LIST, items, last))
}

/// The account that is asked for, of those that the caller sees: `None`: it is none of them.
fn within(caller: &Caller, asked: Option<u64>) -> Option<Option<u64>> {
    match (caller.account(), asked) {
        (Some(own), Some(asked)) if own != asked => None,
        (Some(own), _) => Some(Some(own)),
        (None, asked) => Some(asked),
    }
}

/// The product of an application.
pub(super) fn product_of(
    records: &dyn Records,
    row: &ApplicationRow,
) -> Result<ProductRow, Problem> {
    records.product(row.product)?.ok_or_else(|| Problem::not_found("product"))
}

/// Makes an application.
#[utoipa::path(post, path = "/applications", operation_id = "create_application",
    tag = "applications", request_body = Wanted,
    responses((status = 201, body = ApplicationView)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    let wanted: Wanted = call.json()?;
    let account = wanted.account.or(call.caller.account());
    let account = account.ok_or_else(|| Problem::invalid("/account", "an account is needed"))?;
    api.change(call, move |change| {
        if wanted.is_operators() {
            change.caller.operate()?;
        }
        let there = accounts::seen(change.records, change.caller, account);
        let there =
            there.map_err(|_| Problem::invalid("/account", "there is no account of this id"))?;
        if change.caller.account().is_some() && there.state != Standing::Live {
            return Err(Problem::invalid("/account", "the account is not live"));
        }
        let (row, product) = insert(change, account, wanted, "")?;
        let view = ApplicationView::of(&row, &product);
        Answer::made(&view, Some(row.version), format!("/v1/applications/{}", row.id))
    })
    .await
}

/// Makes an application; `at` is where it stands in the call's body.
pub(super) fn insert(
    change: &Change<'_>,
    account: u64,
    wanted: Wanted,
    at: &str,
) -> Result<(ApplicationRow, ProductRow), Problem> {
    wanted.check(at)?;
    let wrong = |member: &str, detail| Problem::invalid(format!("{at}/{member}"), detail);
    let product = change.records.product_named(&wanted.product)?;
    let product = product.ok_or_else(|| wrong("product", "there is no product of this name"))?;
    if product.definition.state == Lifecycle::Retired {
        return Err(wrong("product", "the product is retired"));
    }
    if product.definition.state == Lifecycle::Draft && change.caller.account().is_some() {
        return Err(wrong("product", "there is no product of this name"));
    }
    checked::attributes(at, &wanted.attributes, from_ref(&product))?;
    let plan = product.definition.plans.get(&wanted.plan).zip(product.plans.get(&wanted.plan));
    let (plan, id) = plan.ok_or_else(|| wrong("plan", "the product has no plan of this name"))?;
    let state = if plan.approval_required { Standing::Pending } else { Standing::Live };
    let (trial_ends_at, ends_at) = ends(plan, change.now);
    let new = NewApplication {
        account,
        product: product.id,
        plan: *id,
        app_id: wanted.app_id(at)?,
        name: wanted.name,
        description: wanted.description,
        state,
        attributes: wanted.attributes,
        trial_ends_at,
        ends_at,
    };
    let row = change.records.insert_application(&new, change.now)?;
    change.touch(Touched::Application(row.id));
    let view = ApplicationView::of(&row, &product);
    change.note("create", ("application", row.id), None, Some(&view))?;
    Ok((row, product))
}

/// When an application that began then is billed, and when it ends, by its plan.
fn ends(plan: &Plan, began: i64) -> (Option<i64>, Option<i64>) {
    let after = |length: Option<HumanDuration>| {
        let seconds = i64::try_from(length?.0.as_secs()).ok()?;
        began.checked_add(seconds)
    };
    (after(plan.trial), after(plan.expires_after))
}

/// One application.
#[utoipa::path(get, path = "/applications/{id}", operation_id = "show_application",
    tag = "applications", responses((status = 200, body = ApplicationView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<u64>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.read(move |records| {
        let row = seen(records, &caller, id)?;
        Ok((ApplicationView::of(&row, &product_of(records, &row)?), row.version))
    });
    let (view, version) = found.await?;
    Ok(Answer::shown(&view, Some(version))?.unless_known(&fields))
}

/// The application, where the caller may see it.
pub(super) fn seen(
    records: &dyn Records,
    caller: &Caller,
    id: u64,
) -> Result<ApplicationRow, Problem> {
    let row = records.application(id)?.filter(|row| caller.sees(row.account));
    row.ok_or_else(|| Problem::not_found("application"))
}

/// Changes a part of an application: a JSON merge patch (RFC 7396). Another plan brings its own
/// trial and end, counted from the application's beginning, where the call does not say them. An
/// account's own token changes name and description only.
#[utoipa::path(patch, path = "/applications/{id}", operation_id = "patch_application",
    tag = "applications", request_body = ApplicationBody,
    responses((status = 200, body = ApplicationView)))]
pub(super) async fn patch(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    let patch: Value = call.json()?;
    api.change(call, move |change| {
        let before = seen(change.records, change.caller, id)?;
        change.expected.check(before.version)?;
        let product = product_of(change.records, &before)?;
        let there = ApplicationBody::of(&before, &product);
        let says = |member| patch.get(member).is_some();
        let (says_trial, says_end) = (says("trial_ends_at"), says("ends_at"));
        let mut body: ApplicationBody = patched(&there, patch)?;
        body.check()?;
        // What they were checked against may have changed: that is no reason not to suspend it.
        if body.attributes != before.attributes {
            checked::attributes("", &body.attributes, from_ref(&product))?;
        }
        if !body.differs_in_words_only(&there) {
            change.caller.operate()?;
        }
        let no_plan = || Problem::invalid("/plan", "the product has no plan of this name");
        let plan = *product.plans.get(&body.plan).ok_or_else(no_plan)?;
        if plan != before.plan {
            let terms = product.definition.plans.get(&body.plan).ok_or_else(no_plan)?;
            let (trial, end) = ends(terms, before.created_at);
            body.trial_ends_at = if says_trial { body.trial_ends_at } else { trial.map(Moment) };
            body.ends_at = if says_end { body.ends_at } else { end.map(Moment) };
        }
        let row = ApplicationRow {
            plan,
            name: body.name,
            description: body.description,
            state: body.state,
            attributes: body.attributes,
            trial_ends_at: body.trial_ends_at.map(|moment| moment.0),
            ends_at: body.ends_at.map(|moment| moment.0),
            ..before.clone()
        };
        let row = change.records.update_application(&row, None, change.now)?;
        change.touch(Touched::Application(id));
        let after = ApplicationView::of(&row, &product);
        let before = ApplicationView::of(&before, &product);
        change.note("change", ("application", id), Some(&before), Some(&after))?;
        Answer::shown(&after, Some(row.version))
    })
    .await
}

/// Removes an application with its keys. What it used stays.
#[utoipa::path(delete, path = "/applications/{id}", operation_id = "delete_application",
    tag = "applications", responses((status = 204)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<u64>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let row = seen(change.records, change.caller, id)?;
        change.expected.check(row.version)?;
        let view = ApplicationView::of(&row, &product_of(change.records, &row)?);
        change.touch_gone(Whose::Application(id))?;
        change.records.delete_application(id, None)?;
        change.note("delete", ("application", id), Some(&view), None)?;
        Ok(Answer::gone())
    })
    .await
}
