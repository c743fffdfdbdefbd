//! `tollgate usage` and `bill`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::client::{Call, escaped};
use super::failure::Failure;
use super::job::{Job, Jobs, Shape};
use super::shown::Column;

/// `tollgate usage`.
#[derive(Args)]
pub struct Usage {
    /// From the hour on in which this is (RFC 3339: 2026-11-01T00:00:00Z).
    #[arg(long)]
    from: String,
    /// Until the end of the hour in which this is, or that ends then (RFC 3339).
    #[arg(long)]
    to: String,
    /// Only of this application (its id).
    #[arg(long)]
    app: Option<u64>,
    /// Only of this account's applications (its id).
    #[arg(long)]
    account: Option<u64>,
    /// Only of this product.
    #[arg(long)]
    product: Option<String>,
    /// Only of metrics and methods with this name. Without it methods and the metrics that they
    /// count into are added up: `--metric hits` counts requests.
    #[arg(long)]
    metric: Option<String>,
    /// Only of answers whose status has this first digit; 0: none was sent.
    #[arg(long)]
    class: Option<u8>,
    /// How time is divided: hour, day or month (UTC).
    #[arg(long)]
    grain: Option<String>,
    /// What is told apart, commas between: application, product, metric, class.
    #[arg(long)]
    by: Option<String>,
    /// What comes first: time, most or errors.
    #[arg(long)]
    order: Option<String>,
}

const USAGE: &[Column] = &[
    ("AT", "/at"),
    ("APP", "/application"),
    ("PRODUCT", "/product"),
    ("METRIC", "/metric"),
    ("CLASS", "/class"),
    ("COUNT", "/count"),
    ("4XX", "/client_errors"),
    ("5XX", "/server_errors"),
    ("BEFORE", "/before"),
];

impl Jobs for Usage {
    fn job(self) -> Result<Job, Failure> {
        let mut call = Call::new(Method::GET, "/v1/usage");
        let all = [
            ("from", Some(self.from)),
            ("to", Some(self.to)),
            ("application", self.app.map(|id| id.to_string())),
            ("account", self.account.map(|id| id.to_string())),
            ("product", self.product),
            ("metric", self.metric),
            ("class", self.class.map(|digit| digit.to_string())),
            ("grain", self.grain),
            ("by", self.by),
            ("order", self.order),
        ];
        call.query.extend(all.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Ok(Job { call, shape: Shape::List(USAGE) })
    }
}

/// `tollgate bill`.
#[derive(Args)]
pub struct Bill {
    #[command(subcommand)]
    verb: BillVerb,
}

#[derive(Subcommand)]
enum BillVerb {
    /// List exports.
    List,
    /// Make the export of a month, or show the one that is not confirmed.
    Make {
        /// As in 2026-11, by UTC.
        month: String,
    },
    /// Print an export's rows.
    Rows {
        /// As `make` told it.
        export: String,
        /// csv or jsonl.
        #[arg(long, default_value = "csv")]
        format: String,
    },
    /// Say that an export has arrived: the next one begins behind it.
    Confirm {
        /// As `make` told it.
        export: String,
    },
}

const EXPORTS: &[Column] = &[
    ("EXPORT", "/cursor"),
    ("MONTH", "/month"),
    ("ROWS", "/rows"),
    ("MADE", "/made_at"),
    ("CONFIRMED", "/confirmed_at"),
];

impl Jobs for Bill {
    fn job(self) -> Result<Job, Failure> {
        let at = |export: &str| format!("/v1/exports/{}", escaped(export));
        Ok(match self.verb {
            BillVerb::List => {
                let call = Call::new(Method::GET, "/v1/exports");
                Job { call, shape: Shape::List(EXPORTS) }
            }
            BillVerb::Make { month } => {
                let call = Call::new(Method::POST, "/v1/exports");
                Job::one(call.with(json!({ "month": month })))
            }
            BillVerb::Rows { export, format } => {
                let mut call = Call::new(Method::GET, format!("{}/rows", at(&export)));
                call.query.push(("format", format));
                Job { call, shape: Shape::Plain }
            }
            BillVerb::Confirm { export } => {
                Job::one(Call::new(Method::POST, format!("{}/confirm", at(&export))))
            }
        })
    }
}
