//! Questions about usage. One query answers them all: the busiest hours are hours in the order of
//! their counts, the top applications are applications in that order, a trend is a count beside that
//! of the time before, and an error share is a part of a count.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::store::{Store, StoreError};

/// How finely time is divided, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Hours that are kept as such.
    Hour,
    /// Days.
    Day,
    /// Months.
    Month,
}

/// What is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Applications.
    Application,
    /// Products.
    Product,
    /// Metrics and methods.
    Metric,
    /// First digits of statuses.
    Class,
}

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The earliest, then by what is told apart.
    #[default]
    Time,
    /// The most used.
    Most,
    /// The largest part of server's and client's errors.
    Errors,
}

/// A question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// From this second on. Days that were rolled up count where their first second does.
    pub from: u64,
    /// Until before this one.
    pub to: u64,
    /// Of this application only.
    pub application: Option<u64>,
    /// Of this account's.
    pub account: Option<u64>,
    /// Of this product.
    pub product: Option<u64>,
    /// Of metrics and methods with this name. Methods count into their metric: without a name and
    /// without telling metrics apart, units are counted more than once.
    pub metric: Option<String>,
    /// Of this first digit of the status.
    pub class: Option<u8>,
    /// How time is divided; `None`: not at all.
    pub grain: Option<Grain>,
    /// What is told apart.
    pub by: Vec<Group>,
    /// What comes first.
    pub order: Order,
    /// Rows that are left out.
    pub skip: usize,
    /// Rows at most.
    pub limit: usize,
}

/// A row of an answer. What was not told apart is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// When the hour, day or month began.
    pub at: Option<u64>,
    /// Id of the application.
    pub application: Option<u64>,
    /// Name of the product; also `None` where it is no longer there.
    pub product: Option<String>,
    /// Name of the metric or method; also `None` where it is no longer there.
    pub metric: Option<String>,
    /// First digit of the status; 0: none was sent.
    pub class: Option<u8>,
    /// How much.
    pub count: u64,
    /// How much of it ended with a 4xx status.
    pub client_errors: u64,
    /// With a 5xx status, or none.
    pub server_errors: u64,
    /// How much in the time before that is as long; 0 where time is divided.
    pub before: u64,
}

impl Store {
    /// Answers a question.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let (text, values) = statement(query);
        let connection = self.reports();
        let mut statement = connection.prepare(&text)?;
        let rows = statement.query_map(params_from_iter(values), row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn statement(query: &UsageQuery) -> (String, Vec<Value>) {
    let number = |value: u64| Value::Integer(value as i64);
    let length = query.to.saturating_sub(query.from);
    let divided = query.grain.is_some();
    // The time before is looked at where there is one row for all of it.
    let since = if divided { query.from } else { query.from.saturating_sub(length) };
    let mut values = vec![number(since), number(query.to), number(query.from)];
    let mut conditions = String::new();
    let mut only = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            conditions.push_str(&format!(" AND {condition} = ?{}", values.len()));
        }
    };
    only("u.application", query.application.map(number));
    only("a.account", query.account.map(number));
    only("m.product", query.product.map(number));
    only("m.name", query.metric.clone().map(Value::Text));
    only("u.class", query.class.map(|class| number(class.into())));
    let told = |group, column: &'static str| {
        if query.by.contains(&group) { column } else { "NULL" }
    };
    let at = match query.grain {
        None => "NULL",
        Some(Grain::Hour) => "u.at",
        Some(Grain::Day) => "u.at / 86400 * 86400",
        Some(Grain::Month) => {
            "CAST(strftime('%s', u.at, 'unixepoch', 'start of month') AS INTEGER)"
        }
    };
    let days = if query.grain == Some(Grain::Hour) { "" } else { DAYS };
    let order = match query.order {
        Order::Time => "1, 2, 3, 4, 5",
        Order::Most => "6 DESC, 1, 2, 3, 4, 5",
        Order::Errors => {
            "(client_errors + server_errors) * 1.0 / max(total, 1) DESC, 6 DESC, 1, 2, 3, 4, 5"
        }
    };
    let text = format!(
        "SELECT {at}, {}, {}, {}, {},
             coalesce(sum(u.count) FILTER (WHERE u.at >= ?3), 0) AS total,
             coalesce(sum(u.count) FILTER (WHERE u.at >= ?3 AND u.class = 4), 0) AS client_errors,
             coalesce(sum(u.count) FILTER (WHERE u.at >= ?3 AND u.class IN (0, 5)), 0) AS server_errors,
             coalesce(sum(u.count) FILTER (WHERE u.at < ?3), 0)
         FROM (SELECT application, metric, class, hour AS at, count FROM usage_hours
               WHERE hour >= ?1 AND hour < ?2 {days}) AS u
         LEFT JOIN metrics m ON m.id = u.metric
         LEFT JOIN products p ON p.id = m.product
         LEFT JOIN applications a ON a.id = u.application
         WHERE true{conditions}
         GROUP BY 1, 2, 3, 4, 5 ORDER BY {order} LIMIT {} OFFSET {}",
        told(Group::Application, "u.application"),
        told(Group::Product, "p.name"),
        told(Group::Metric, "m.name"),
        told(Group::Class, "u.class"),
        query.limit,
        query.skip,
    );
    (text, values)
}

const DAYS: &str = "UNION ALL SELECT application, metric, class, day, count FROM usage_days
                    WHERE day >= ?1 AND day < ?2";

fn row(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    let id = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(|id| id as u64));
    let count = |at| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)? as u64);
    Ok(UsageRow {
        at: id(0)?,
        application: id(1)?,
        product: row.get(2)?,
        metric: row.get(3)?,
        class: row.get(4)?,
        count: count(5)?,
        client_errors: count(6)?,
        server_errors: count(7)?,
        before: count(8)?,
    })
}
