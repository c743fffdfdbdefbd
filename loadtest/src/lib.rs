//! Measuring Tollgate beside its peers: see `loadtest/README.md` for the method.
//!
//! In reading order: what to measure, the proxies, the load, and what came of it.
#![warn(missing_docs)]

pub mod options;
pub mod scenario;

pub mod peer;
pub mod template;

pub mod backend;
pub mod engine;
pub mod probe;
pub mod response;

pub mod histogram;
pub mod report;

pub mod machine;
pub mod net;
