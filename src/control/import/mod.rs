//! Products made of what other programs describe: OpenAPI files and exports of 3scale.
//!
//! Pure: bytes in, a product and remarks out. What has no counterpart here is told, never dropped in
//! silence. The product is in the words of the configuration and not checked yet: names may be too
//! long and rules too many, which whoever takes it finds out ([`crate::config::product_mistakes`]).

mod findings;
mod openapi;
mod source;
mod threescale;

use crate::config::Remark;
use crate::config::file::Product;

pub use openapi::from_openapi;
pub use threescale::from_threescale;

/// A product that was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// A name to begin with.
    pub name: String,
    /// What it is.
    pub product: Product,
    /// What has no counterpart, or wants a decision: warnings. Their ways lead into what was read.
    pub remarks: Vec<Remark>,
}
