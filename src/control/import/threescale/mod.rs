//! What 3scale exports: `3scale product export` and the operator's resources (a Product, or a List
//! with its Backends), a service of the admin portal's API, and a proxy configuration.

mod credentials;
mod plans;
mod resource;
mod service;

use super::Imported;
use super::findings::Findings;
use super::source::{At, read};
use crate::config::Remark;

/// Makes a product of an export of 3scale.
///
/// # Errors
/// Where the file, or a part that the product is made of, can't be read: all mistakes, with the
/// ways to them.
pub fn from_threescale(bytes: &[u8]) -> Result<Imported, Vec<Remark>> {
    let file = read(bytes)?;
    let mut findings = Findings::default();
    let imported = known(&At::top(&file), &mut findings);
    let remarks = findings.into_result()?;
    match imported {
        Some((name, product)) => Ok(Imported { name, product, remarks }),
        None => Err(remarks),
    }
}

type Named = (String, crate::config::file::Product);

fn known(top: &At<'_>, findings: &mut Findings) -> Option<Named> {
    match findings.text(top, "kind").as_deref() {
        Some("Product") => return resource::read(top, &[], findings),
        Some("List") => return list(top, findings),
        Some(kind) => {
            findings.error(top, format!("{kind:?} is no kind of resource with a product"), "");
            return None;
        }
        None => {}
    }
    let content = top.key("proxy_config").and_then(|config| config.key("content"));
    let of_api = content.or_else(|| top.key("service"));
    let plain = ["proxy", "backend_version"].iter().any(|key| top.key(key).is_some());
    match of_api.or_else(|| plain.then(|| top.clone())) {
        Some(service) => Some(service::read(&service, findings)),
        None => {
            let message = "this is no export of 3scale that is understood";
            let help = "export one product: `3scale product export REMOTE PRODUCT`";
            findings.error(top, message, help);
            None
        }
    }
}

/// One product with its backends.
fn list(top: &At<'_>, findings: &mut Findings) -> Option<Named> {
    let (mut products, mut backends) = (Vec::new(), Vec::new());
    for item in findings.items(top, "items") {
        match findings.text(&item, "kind").as_deref() {
            Some("Product") => products.push(item),
            Some("Backend") => backends.push(item),
            kind => {
                let kind = kind.unwrap_or("nothing");
                findings.warning(&item, format!("{kind:?} has no counterpart"), "");
            }
        }
    }
    match products.as_slice() {
        [product] => resource::read(product, &backends, findings),
        products => {
            let message = format!("one product is wanted, and there are {}", products.len());
            findings.error(top, message, "import one after the other");
            None
        }
    }
}

#[cfg(test)]
mod tests;
