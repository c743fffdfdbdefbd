//! Measuring Tollgate beside its peers: see `loadtest/README.md` for the method.
//!
//! In reading order: what to measure, the proxies, the load, and what came of it.
#![warn(missing_docs)]

pub mod options;
pub mod scenario;

pub mod keys;
pub mod peer;
pub mod template;

pub mod backend;
pub mod client;
pub mod engine;
pub mod probe;

pub mod frame;
pub mod hpack;
pub mod http2;
pub mod http2_backend;
pub mod response;
pub mod websocket;

pub mod tls;
pub mod wire;

pub mod histogram;
pub mod report;

pub mod machine;
pub mod net;
