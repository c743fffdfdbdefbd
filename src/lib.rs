//! Tollgate: an API gateway and edge proxy. The modules in reading order.

// The road: a request's way, in order.
pub mod accept;
pub mod http;
pub mod policy;
pub mod respond;
pub mod route;
pub mod upstream;
// The plot.
pub mod session;
// The stage.
pub mod worker;
// Beside the road.
pub mod config;
pub mod control;
pub mod store;
// In front of it.
pub mod cli;
// The floor.
pub mod io;
pub mod limits;
pub mod multiplexed;
pub mod snapshot;
pub mod stats;
