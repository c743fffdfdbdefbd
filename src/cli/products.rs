//! `tollgate products` and `tollgate plans`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::client::{Call, escaped};
use super::definition::File;
use super::failure::Failure;
use super::job::{Job, Jobs, Shape};
use super::shown::Column;

/// `tollgate products`.
#[derive(Args)]
pub struct Products {
    #[command(subcommand)]
    verb: ProductVerb,
}

#[derive(Subcommand)]
enum ProductVerb {
    /// List them.
    List {
        /// Only those in this state: draft, published, deprecated or retired.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one.
    Show {
        /// Its name.
        name: String,
    },
    /// Make one of a definition.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        file: File,
    },
    /// Change what a file says of it (a JSON merge patch), and leave the rest.
    Update {
        /// Its name.
        name: String,
        #[command(flatten)]
        file: File,
    },
    /// Put it into another state, as to publish it.
    State {
        /// Its name.
        name: String,
        /// draft, published, deprecated or retired.
        state: String,
    },
    /// Give it a new secret, which tells upstreams who forwards.
    Secret {
        /// Its name.
        name: String,
        /// The one before is sent for so long still; upstreams take both meanwhile.
        #[arg(long, default_value = "1h")]
        overlap: String,
    },
    /// Remove one that no application uses.
    Delete {
        /// Its name.
        name: String,
    },
}

const PRODUCTS: &[Column] = &[
    ("NAME", "/name"),
    ("STATE", "/definition/state"),
    ("VERSION", "/definition/version"),
    ("TITLE", "/definition/title"),
    ("ORIGIN", "/origin"),
    ("UPDATED", "/updated_at"),
];

impl Jobs for Products {
    fn job(self) -> Result<Job, Failure> {
        let at = |name: &str| format!("/v1/products/{}", escaped(name));
        let patch = |name: &str, definition| {
            let body = json!({ "definition": definition });
            Job::one(Call::new(Method::PATCH, at(name)).with(body))
        };
        Ok(match self.verb {
            ProductVerb::List { state } => {
                let mut call = Call::new(Method::GET, "/v1/products");
                call.query.extend(state.map(|state| ("state", state)));
                Job { call, shape: Shape::List(PRODUCTS) }
            }
            ProductVerb::Show { name } => Job::one(Call::new(Method::GET, at(&name))),
            ProductVerb::Create { name, file } => {
                let body = json!({ "name": name, "definition": file.value()? });
                Job::one(Call::new(Method::POST, "/v1/products").with(body))
            }
            ProductVerb::Update { name, file } => patch(&name, file.value()?),
            ProductVerb::State { name, state } => patch(&name, json!({ "state": state })),
            ProductVerb::Secret { name, overlap } => {
                let call = Call::new(Method::POST, format!("{}/secret", at(&name)));
                Job::one(call.with(json!({ "overlap": overlap })))
            }
            ProductVerb::Delete { name } => {
                Job::done(Call::new(Method::DELETE, at(&name)), format!("{name} is removed"))
            }
        })
    }
}

/// `tollgate plans`.
#[derive(Args)]
pub struct Plans {
    #[command(subcommand)]
    verb: PlanVerb,
}

#[derive(Subcommand)]
enum PlanVerb {
    /// List those of a product.
    List {
        /// The product's name.
        product: String,
    },
    /// Show one.
    Show {
        /// The product's name.
        product: String,
        /// The plan's name.
        name: String,
    },
    /// Make one of a definition.
    Create {
        /// The product's name.
        product: String,
        /// The plan's name.
        name: String,
        #[command(flatten)]
        file: File,
    },
    /// Change what a file says of it (a JSON merge patch), and leave the rest.
    Update {
        /// The product's name.
        product: String,
        /// The plan's name.
        name: String,
        #[command(flatten)]
        file: File,
    },
    /// Remove one that no application uses.
    Delete {
        /// The product's name.
        product: String,
        /// The plan's name.
        name: String,
    },
}

const PLANS: &[Column] = &[
    ("NAME", "/name"),
    ("TITLE", "/definition/title"),
    ("LIMITS", "/definition/limits"),
    ("QUOTAS", "/definition/quotas"),
    ("APPROVAL", "/definition/approval_required"),
];

impl Jobs for Plans {
    fn job(self) -> Result<Job, Failure> {
        let all = |product: &str| format!("/v1/products/{}/plans", escaped(product));
        let at = |product: &str, name: &str| format!("{}/{}", all(product), escaped(name));
        Ok(match self.verb {
            PlanVerb::List { product } => {
                let call = Call::new(Method::GET, all(&product));
                Job { call, shape: Shape::List(PLANS) }
            }
            PlanVerb::Show { product, name } => {
                Job::one(Call::new(Method::GET, at(&product, &name)))
            }
            PlanVerb::Create { product, name, file } => {
                let body = json!({ "name": name, "definition": file.value()? });
                Job::one(Call::new(Method::POST, all(&product)).with(body))
            }
            PlanVerb::Update { product, name, file } => {
                let body = json!({ "definition": file.value()? });
                Job::one(Call::new(Method::PATCH, at(&product, &name)).with(body))
            }
            PlanVerb::Delete { product, name } => {
                let call = Call::new(Method::DELETE, at(&product, &name));
                Job::done(call, format!("{name} is removed"))
            }
        })
    }
}
