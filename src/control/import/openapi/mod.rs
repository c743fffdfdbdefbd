//! OpenAPI 3.0 and 3.1: one method for each operation, and mapping rules of which each request meets
//! one.

mod paths;
mod security;

use std::collections::HashSet;

use serde_json::Value;

use super::Imported;
use super::findings::{self, Findings, product_name, slug};
use super::source::{At, read};
use crate::config::Remark;
use crate::config::file::{MappingRule, Method, Product};
use crate::limits::{CONFIG_MAX_NAME, IMPORT_MAX_SERVERS};

/// The operations that a path may have, and what else may stand beside them.
const OPERATIONS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const BESIDE: [&str; 5] = ["$ref", "summary", "description", "servers", "parameters"];

/// Makes a product of an OpenAPI file.
///
/// # Errors
/// Where the file, or a part that the product is made of, can't be read: all mistakes, with the
/// ways to them.
pub fn from_openapi(bytes: &[u8]) -> Result<Imported, Vec<Remark>> {
    let file = read(bytes)?;
    let top = At::top(&file);
    let mut findings = Findings::default();
    version(&top, &mut findings);
    let mut product = about(&top, &mut findings);
    let operations = operations(&top, &file, &mut findings);
    life(&operations, &top, &mut findings);
    security::read(&top, &file, &operations, &mut product, &mut findings);
    count(operations, &mut product, &mut findings);
    let name = product_name(product.title.as_deref().unwrap_or_default());
    Ok(Imported { name, product, remarks: findings.into_result()? })
}

fn version(top: &At<'_>, findings: &mut Findings) {
    let help = "convert it to OpenAPI 3.0 or 3.1";
    match findings.text(top, "openapi") {
        Some(version) if ["3.0", "3.1"].iter().any(|known| version.starts_with(known)) => {}
        Some(version) => {
            let message = format!("OpenAPI {version} is not understood");
            findings.error(top, message, help);
        }
        None if top.key("swagger").is_some() => {
            findings.error(top, "Swagger 2.0 is not understood", help);
        }
        None => findings.error(top, "the key `openapi` is missing: is this an OpenAPI file?", ""),
    }
}

fn about(top: &At<'_>, findings: &mut Findings) -> Product {
    let Some(info) = findings.table(top, "info") else { return Product::default() };
    let short = |text: String| findings::title(&text);
    let description = findings.text(&info, "description").unwrap_or_default();
    Product {
        title: findings.text(&info, "title").map(short),
        description: findings::description(&description),
        version: findings.text(&info, "version").map(short),
        ..Product::default()
    }
}

/// One thing that a client can do.
struct Operation<'v> {
    at: At<'v>,
    /// HTTP method.
    method: String,
    /// Path as it is written.
    path: &'v str,
    /// Where the paths begin.
    bases: Vec<String>,
    deprecated: bool,
}

fn operations<'v>(top: &At<'v>, file: &'v Value, findings: &mut Findings) -> Vec<Operation<'v>> {
    let everywhere = bases(top, findings).unwrap_or_else(|| vec![String::new()]);
    let mut found = Vec::new();
    for (path, at) in findings.entries(top, "paths") {
        if path.starts_with("x-") {
            continue;
        }
        let Some(item) = findings.resolved(at, file) else { continue };
        let here = bases(&item, findings).unwrap_or_else(|| everywhere.clone());
        for (key, at) in item.entries() {
            if OPERATIONS.contains(&key) {
                let bases = bases(&at, findings).unwrap_or_else(|| here.clone());
                let (method, deprecated) =
                    (key.to_ascii_uppercase(), findings.flag(&at, "deprecated"));
                found.push(Operation { at, method, path, bases, deprecated });
            } else if !BESIDE.contains(&key) && !key.starts_with("x-") {
                findings.error(&at, format!("{key:?} is no operation that is understood"), "");
            }
        }
    }
    if found.is_empty() {
        let help = "without mapping rules each request counts one hit";
        findings.warning(top, "there are no operations", help);
    }
    found
}

/// The beginnings of paths that `servers` gives, each once; `None`: it is not there.
fn bases(of: &At<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let mut bases = Vec::new();
    for server in findings.items(of, "servers") {
        let mut url = findings.text(&server, "url").unwrap_or_default();
        for (name, variable) in findings.entries(&server, "variables") {
            let value = findings.text(&variable, "default").unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), &value);
        }
        match paths::base(&url) {
            Some(base) if !bases.contains(&base) => bases.push(base),
            Some(_) => {}
            None => findings.error(&server, format!("{url:?} is no URL of a server"), ""),
        }
    }
    if bases.len() > IMPORT_MAX_SERVERS {
        findings.error(of, format!("{} paths of servers are too many", bases.len()), "");
        bases.truncate(IMPORT_MAX_SERVERS);
    }
    (!bases.is_empty()).then_some(bases)
}

/// Products are deprecated as a whole, and say since when.
fn life(operations: &[Operation<'_>], top: &At<'_>, findings: &mut Findings) {
    if !operations.is_empty() && operations.iter().all(|operation| operation.deprecated) {
        let help = "write state = \"deprecated\", and `deprecated_at`";
        findings.warning(top, "all operations are deprecated, and nothing says since when", help);
        return;
    }
    for operation in operations.iter().filter(|operation| operation.deprecated) {
        let help = "only products are deprecated: leave its method out of new plans";
        findings.warning(&operation.at, "this operation is deprecated", help);
    }
}

/// Methods, and the rules by which requests count as them.
fn count(operations: Vec<Operation<'_>>, product: &mut Product, findings: &mut Findings) {
    let mut names = HashSet::from(["hits".to_owned()]);
    let mut asked = HashSet::new();
    for operation in operations {
        let pattern = match paths::pattern(operation.path) {
            Ok(pattern) => pattern,
            Err(why) => {
                findings.error(&operation.at, format!("{:?}: {why}", operation.path), "");
                continue;
            }
        };
        let name = name(&operation, &mut names, findings);
        let summary = findings.text(&operation.at, "summary").unwrap_or_default();
        let title = findings::title(&summary);
        product.methods.push(Method { name: name.clone(), title, metric: None });
        for base in &operation.bases {
            let (method, pattern) = (operation.method.clone(), format!("{base}{pattern}$"));
            if !asked.insert((method.clone(), paths::shape(&pattern))) {
                let message = format!("another operation is {method} {pattern}, but for names");
                findings.warning(&operation.at, message, "it is counted as the first of them");
                continue;
            }
            let metric = name.clone();
            let rule = MappingRule { method, pattern, metric, last: true, ..Default::default() };
            product.mapping_rules.push(rule);
        }
    }
    product.mapping_rules.sort_by_cached_key(|rule| paths::specificity(&rule.pattern));
}

/// A name of its own for an operation: its id where it has one.
fn name(operation: &Operation<'_>, names: &mut HashSet<String>, findings: &mut Findings) -> String {
    let id = findings.text(&operation.at, "operationId").filter(|id| !id.is_empty());
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    // Room for what tells it from others.
    let slug = |text: &str| slug(text, fits, CONFIG_MAX_NAME - 8);
    let plain = |path: &str| path.replace(['{', '}'], "").replace('/', "-");
    let first = match &id {
        Some(id) => slug(id),
        None => slug(&format!("{}{}", operation.method.to_lowercase(), plain(operation.path))),
    };
    let first = if first.is_empty() { "operation".to_owned() } else { first };
    let mut name = first.clone();
    let mut count = 1;
    while !names.insert(name.clone()) {
        count += 1;
        name = format!("{first}-{count}");
    }
    if let Some(id) = id.filter(|id| *id != name) {
        findings.warning(&operation.at, format!("the operation {id:?} is called {name:?}"), "");
    }
    name
}

#[cfg(test)]
mod tests;
