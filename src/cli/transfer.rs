//! `tollgate import` and `export`.

use std::collections::BTreeMap;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::definition;
use super::failure::Failure;
use super::job::{Job, Jobs, Shape};
use crate::config::file::{Lifecycle, Product};
use crate::config::{Remark, pointer};
use crate::control::import::{from_openapi, from_threescale};

/// `tollgate import`. The product is a draft until somebody publishes it.
#[derive(Args)]
pub struct Import {
    /// What the file is.
    #[arg(value_enum)]
    kind: Kind,
    /// The file; `-`: standard input.
    file: PathBuf,
    /// The product's name, instead of the file's.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// An OpenAPI document, JSON or YAML.
    Openapi,
    /// A product as 3scale exports it, JSON or YAML.
    #[value(name = "3scale")]
    Threescale,
}

impl Jobs for Import {
    fn job(self) -> Result<Job, Failure> {
        let text = definition::text(&self.file)?;
        let read = match self.kind {
            Kind::Openapi => from_openapi(text.as_bytes()),
            Kind::Threescale => from_threescale(text.as_bytes()),
        };
        let imported = read.map_err(|mistakes| {
            let told: Vec<_> = mistakes.iter().map(told).collect();
            Failure::Local(format!(
                "{} can't be imported\n{}",
                self.file.display(),
                told.join("\n")
            ))
        })?;
        // What has no counterpart is told beside the answer, so that scripts can read that.
        imported.remarks.iter().for_each(|remark| eprintln!("{}", told(remark)));
        let definition = Product { state: Lifecycle::Draft, ..imported.product };
        let name = self.name.unwrap_or(imported.name);
        let body = json!({ "name": name, "definition": definition });
        Ok(Job::one(Call::new(Method::POST, "/v1/products").with(body)))
    }
}

fn told(remark: &Remark) -> String {
    let join = if remark.help.is_empty() { "" } else { ": " };
    format!("  at {}: {}{join}{}", pointer(&remark.at), remark.message, remark.help)
}

/// `tollgate export`.
#[derive(Args)]
pub struct Export {}

impl Jobs for Export {
    fn job(self) -> Result<Job, Failure> {
        let call = Call::new(Method::GET, "/v1/products");
        Ok(Job { call, shape: Shape::Written(declared) })
    }
}

/// Products in the words of the configuration.
fn declared(products: Vec<Value>) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Declared {
        products: BTreeMap<String, Product>,
    }
    let broken = |why: &dyn std::fmt::Display| {
        Failure::Local(format!("what the gateway says of a product can't be read: {why}"))
    };
    let mut all = BTreeMap::new();
    for mut product in products {
        let name = product["name"].as_str().unwrap_or_default().to_owned();
        let definition = serde_json::from_value(product["definition"].take());
        all.insert(name, definition.map_err(|why| broken(&why))?);
    }
    toml::to_string(&Declared { products: all }).map_err(|why| broken(&why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_exported_can_be_declared() {
        let product = json!({ "name": "orders", "definition": {
            "state": "draft",
            "methods": [{ "name": "list" }],
            "plans": { "gold": { "limits": [{ "rate": "100/m" }] } },
        }});
        let text = declared(vec![product]).unwrap();
        let read: toml::Table = text.parse().unwrap();
        let orders = &read["products"]["orders"];
        assert_eq!(orders["state"].as_str(), Some("draft"));
        let gold: crate::config::file::Plan = orders["plans"]["gold"].clone().try_into().unwrap();
        assert_eq!(gold.limits.len(), 1);
    }
}
