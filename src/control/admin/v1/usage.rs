//! `/v1/usage`: what was used, by whom, when, and how it went.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::extract::{Query, id};
use super::moment::Moment;
use super::paging::{List, Wish};
use super::problem::{Problem, rules};
use crate::store::usage::{Grain, Group, Order, UsageQuery, UsageRow};

/// How much was used. What was not told apart is not there.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageView {
    /// When the hour, day or month began.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<u64>,
    /// Its name; not there where it is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    /// First digit of the status; 0: none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<u8>,
    count: u64,
    /// How much of it ended with a 4xx status.
    client_errors: u64,
    /// With a 5xx status, or none.
    server_errors: u64,
    /// How much in the time before that is as long; 0 where time is divided.
    before: u64,
}

impl From<UsageRow> for UsageView {
    fn from(row: UsageRow) -> Self {
        let UsageRow { application, product, metric, class, count, .. } = row;
        Self {
            at: row.at.map(moment),
            application,
            product,
            metric,
            class,
            count,
            client_errors: row.client_errors,
            server_errors: row.server_errors,
            before: row.before,
        }
    }
}

pub(super) fn moment(seconds: u64) -> Moment {
    Moment(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// How time is divided.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Division {
    Hour,
    Day,
    Month,
}

/// What comes first.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum First {
    /// The earliest.
    Time,
    /// The most used.
    Most,
    /// The largest part of errors.
    Errors,
}

/// Of what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// From the hour on in which this is: usage is kept by the hour. Of days that are kept as days
    /// only (`store.keep_hours`) those count that begin in this time.
    from: Moment,
    /// Until the end of the hour in which this is, or that ends then.
    to: Moment,
    /// Of this application.
    #[serde(default, deserialize_with = "id")]
    #[param(minimum = 0)]
    application: Option<u64>,
    /// Of this account's applications.
    #[serde(default, deserialize_with = "id")]
    #[param(minimum = 0)]
    account: Option<u64>,
    /// Of this product.
    product: Option<String>,
    /// Of metrics and methods with this name. Methods count into their metric: without a name and
    /// without `by=metric` units are counted more than once.
    metric: Option<String>,
    /// Of this first digit of the status; 0: none was sent.
    #[param(minimum = 0, maximum = 5)]
    class: Option<u8>,
    /// How time is divided, by UTC; not at all, where it is not said.
    #[param(inline)]
    grain: Option<Division>,
    /// What is told apart, with commas between: application, product, metric, class.
    #[param(pattern = "^(application|product|metric|class)$")]
    by: Option<String>,
    /// What comes first.
    #[param(inline)]
    order: Option<First>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most so many on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

const LIST: &str = "usage";

/// Seconds of what usage is kept by.
const HOUR: u64 = 3600;

/// What was used; an account's own token sees that account's.
#[utoipa::path(get, path = "/usage", operation_id = "show_usage", tag = "usage", params(Filter),
    responses((status = 200, body = List<UsageView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<Answer, Problem> {
    let wish = Wish::of(LIST, asked.cursor.as_deref(), asked.limit)?;
    if caller.account().is_some() && asked.account.is_some_and(|account| !caller.sees(account)) {
        return Err(Problem::not_found("account"));
    }
    let mut query = asked.query(&caller, wish)?;
    let product = asked.product;
    let found = api.with_store(move |store| {
        if let Some(name) = product {
            query.product = Some(store.read(|records| super::products::named(records, &name))?.id);
        }
        Ok::<_, Problem>(store.usage(&query)?)
    });
    let mut rows = found.await?;
    // Rows of an answer have no ids: a cursor says how many were seen.
    let seen = wish.after.unwrap_or(0).saturating_add(wish.limit as u64);
    let more = (rows.len() > wish.limit).then_some(seen);
    rows.truncate(wish.limit);
    Answer::shown(&List::new(LIST, rows.into_iter().map(UsageView::from).collect(), more), None)
}

impl Filter {
    fn query(&self, caller: &Caller, wish: Wish) -> Result<UsageQuery, Problem> {
        let seconds = |moment: Moment| u64::try_from(moment.0).unwrap_or(0);
        let grain = self.grain.map(|grain| match grain {
            Division::Hour => Grain::Hour,
            Division::Day => Grain::Day,
            Division::Month => Grain::Month,
        });
        let order = match self.order {
            Some(First::Most) => Order::Most,
            Some(First::Errors) => Order::Errors,
            Some(First::Time) | None => Order::Time,
        };
        Ok(UsageQuery {
            from: seconds(self.from) / HOUR * HOUR,
            to: seconds(self.to).next_multiple_of(HOUR),
            application: self.application,
            account: caller.account().or(self.account),
            product: None,
            metric: self.metric.clone(),
            class: self.class,
            grain,
            by: self.groups()?,
            order,
            skip: usize::try_from(wish.after.unwrap_or(0)).unwrap_or(usize::MAX),
            limit: wish.limit + 1,
        })
    }

    fn groups(&self) -> Result<Vec<Group>, Problem> {
        let mut groups = Vec::new();
        for name in self.by.iter().flat_map(|by| by.split(',')) {
            let group = match name.trim() {
                "application" => Group::Application,
                "product" => Group::Product,
                "metric" => Group::Metric,
                "class" => Group::Class,
                other => {
                    let detail = format!("by: application, product, metric or class, not {other}");
                    return Err(Problem::new(rules::BAD_REQUEST, detail));
                }
            };
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}
