//! `/v1/products`.

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
use super::problem::{Problem, rules};
use crate::config::file::{Lifecycle, Product};
use crate::config::product_mistakes;
use crate::control::catalog::Touched;
use crate::limits::OVERLAP_MAX;
use crate::store::catalog::{Origin, Page, ProductRow, Records};

/// A product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductView {
    name: String,
    id: u64,
    /// Where it is changed: in the configuration (`file`) or here.
    origin: Origin,
    definition: Product,
    created_at: Moment,
    updated_at: Moment,
}

/// A product that was made or given a new secret, with that.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductMade {
    #[serde(flatten)]
    product: ProductView,
    /// What tells upstreams who forwards (X-Tollgate-Secret). Shown this once.
    secret: String,
    /// It is sent from then on; until then the one before is.
    sent_from: Moment,
}

impl From<&ProductRow> for ProductView {
    fn from(row: &ProductRow) -> Self {
        Self {
            name: row.name.clone(),
            id: row.id,
            origin: row.origin,
            definition: row.definition.clone(),
            created_at: Moment(row.created_at),
            updated_at: Moment(row.updated_at),
        }
    }
}

/// A product to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProduct {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$")]
    name: String,
    #[serde(default)]
    definition: Product,
}

/// What can be changed of a product.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductBody {
    pub(super) definition: Product,
}

/// Which products.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProductFilter {
    /// In this state.
    state: Option<Lifecycle>,
    /// With this name.
    name: Option<String>,
    /// Of this origin.
    origin: Option<Origin>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "products";

/// Products, a page at a time.
#[utoipa::path(get, path = "/products", operation_id = "list_products", tag = "products",
    params(ProductFilter), responses((status = 200, body = List<ProductView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(filter): Query<ProductFilter>,
) -> Result<Answer, Problem> {
    caller.read_all()?;
    let wish = Wish::of(LIST, filter.cursor.as_deref(), filter.limit)?;
    let page = api.read(move |records| found(records, &filter, wish)).await?;
    Answer::shown(&page, None)
}

/// Products are few; those of a state are picked here.
fn found(
    records: &dyn Records,
    filter: &ProductFilter,
    wish: Wish,
) -> Result<List<ProductView>, Problem> {
    let asked = |row: &ProductRow| {
        filter.state.is_none_or(|state| state == row.definition.state)
            && filter.name.as_ref().is_none_or(|name| *name == row.name)
    };
    let mut page = Page { after: wish.after, ..Page::FIRST };
    let mut rows = Vec::new();
    loop {
        let part = records.products(filter.origin, page)?;
        page.after = part.rows.last().map(|row| row.id);
        rows.extend(part.rows.into_iter().filter(asked));
        if rows.len() > wish.limit || !part.more {
            break;
        }
    }
    let more = rows.len() > wish.limit;
    rows.truncate(wish.limit);
    let last = rows.last().map(|row| row.id).filter(|_| more);
    Ok(List::new(LIST, rows.iter().map(ProductView::from).collect(), last))
}

/// Makes a product. Its secret for upstreams is shown this once.
#[utoipa::path(post, path = "/products", operation_id = "create_product", tag = "products",
    request_body = NewProduct, responses((status = 201, body = ProductMade)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let new: NewProduct = call.json()?;
    api.change(call, move |change| {
        if change.records.product_named(&new.name)?.is_some() {
            let detail = format!("there is a product by the name of {}", new.name);
            return Err(Problem::new(rules::CONFLICT, detail));
        }
        let row = stored(change, &new.name, None, &new.definition)?;
        made(&row)
    })
    .await
}

fn made(row: &ProductRow) -> Result<Answer, Problem> {
    let view = with_secret(row, row.secret.clone(), row.created_at);
    Answer::made(&view, Some(row.version), format!("/v1/products/{}", row.name))
}

fn with_secret(row: &ProductRow, secret: String, from: i64) -> ProductMade {
    ProductMade { product: row.into(), secret, sent_from: Moment(from) }
}

/// One product.
#[utoipa::path(get, path = "/products/{name}", operation_id = "show_product", tag = "products",
    responses((status = 200, body = ProductView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    caller.read_all()?;
    let row = api.read(move |records| named(records, &name)).await?;
    let answer = Answer::shown(&ProductView::from(&row), Some(row.version))?;
    Ok(answer.unless_known(&fields))
}

/// The product of this name.
pub(super) fn named(records: &dyn Records, name: &str) -> Result<ProductRow, Problem> {
    records.product_named(name)?.ok_or_else(|| Problem::not_found("product"))
}

/// Puts a definition in the place of a product's, or makes the product.
#[utoipa::path(put, path = "/products/{name}", operation_id = "put_product", tag = "products",
    request_body = ProductBody,
    responses((status = 200, body = ProductView), (status = 201, body = ProductMade)))]
pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let body: ProductBody = call.json()?;
    api.change(call, move |change| {
        let before = change.records.product_named(&name)?;
        let row = stored(change, &name, before.as_ref(), &body.definition)?;
        match before {
            Some(_) => Answer::shown(&ProductView::from(&row), Some(row.version)),
            None => made(&row),
        }
    })
    .await
}

/// Changes a part of a product: a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/products/{name}", operation_id = "patch_product", tag = "products",
    request_body = ProductBody, responses((status = 200, body = ProductView)))]
pub(super) async fn patch(
    State(api): State<Api>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let patch: Value = call.json()?;
    api.change(call, move |change| {
        let before = named(change.records, &name)?;
        let there = ProductBody { definition: before.definition.clone() };
        let body = patched(&there, patch)?;
        let row = stored(change, &name, Some(&before), &body.definition)?;
        Answer::shown(&ProductView::from(&row), Some(row.version))
    })
    .await
}

/// Stores a definition that makes sense.
pub(super) fn stored(
    change: &Change<'_>,
    name: &str,
    before: Option<&ProductRow>,
    definition: &Product,
) -> Result<ProductRow, Problem> {
    match before {
        Some(before) => {
            change.expected.check(before.version)?;
            editable(before)?;
        }
        None => change.expected.none_there()?,
    }
    Problem::of_remarks("/definition", product_mistakes(name, definition))?;
    let row = change.records.put_product(name, Origin::Api, definition, None, change.now)?;
    change.touch(Touched::Product(row.id, row.name.clone()));
    let action = if before.is_some() { "change" } else { "create" };
    let before = before.map(ProductView::from);
    change.note(action, ("product", row.id), before.as_ref(), Some(&(&row).into()))?;
    Ok(row)
}

fn editable(row: &ProductRow) -> Result<(), Problem> {
    match row.origin {
        Origin::Api => Ok(()),
        Origin::File => {
            Err(Problem::new(rules::DECLARED, "change it in the configuration and reload that"))
        }
    }
}

/// Removes a product that no application uses.
#[utoipa::path(delete, path = "/products/{name}", operation_id = "delete_product",
    tag = "products", responses((status = 204)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    api.change(call, move |change| {
        let row = named(change.records, &name)?;
        change.expected.check(row.version)?;
        editable(&row)?;
        change.records.delete_product(row.id, Origin::Api, None)?;
        change.touch(Touched::Product(row.id, name));
        change.note("delete", ("product", row.id), Some(&ProductView::from(&row)), None)?;
        Ok(Answer::gone())
    })
    .await
}

/// How a secret is changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretChange {
    /// The one before is sent for so long still: `1h`.
    #[schema(pattern = "^[0-9]{1,3}[smh]$")]
    overlap: String,
}

/// Gives a product a new secret for upstreams, also one that is declared in the configuration. It is
/// shown this once.
#[utoipa::path(post, path = "/products/{name}/secret", operation_id = "rotate_product_secret",
    tag = "products", request_body = SecretChange,
    responses((status = 200, body = ProductMade)))]
pub(super) async fn secret(
    State(api): State<Api>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let wanted: SecretChange = call.json()?;
    let overlap = checked::seconds("/overlap", &wanted.overlap, OVERLAP_MAX)?;
    api.change(call, move |change| {
        let before = named(change.records, &name)?;
        change.expected.check(before.version)?;
        let at = change.now + overlap;
        let row = change.records.rotate_product_secret(before.id, at, change.now)?;
        change.touch(Touched::Product(row.id, name));
        change.note::<ProductView>("rotate_secret", ("product", row.id), None, None)?;
        let secret = row.secret_at(at).to_owned();
        Answer::shown(&with_secret(&row, secret, at), Some(row.version))
    })
    .await
}
