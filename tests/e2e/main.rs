//! End-to-end tests: the real binary on real sockets, against upstreams that misbehave.
//!
//! One test binary with a module a subject, so that it links once. Each test runs on both drivers
//! (`both_drivers!`). No test waits for a fixed time.

// A test binary has no outside that its harness could be unreachable from.
#![allow(unreachable_pub)]

#[macro_use]
mod harness;

mod access_log;
mod acme;
mod actions;
mod admin;
mod admin_api;
mod applications;
mod bills;
mod bodies;
mod bounds;
mod causes;
mod certificates;
mod claims;
mod client_identity;
mod customers;
mod declared;
mod descriptors;
mod disks;
mod dpop;
mod drain;
mod early_data;
mod examples;
mod failures;
mod fairness;
mod forms;
mod forward_auth;
mod forwarding;
mod grpc;
mod grpc_tonic;
mod grpc_web;
mod grpcio;
mod http;
mod http2;
mod http2_attacks;
mod http2_hostile_targets;
mod http2_strict;
mod http2_violations;
mod http_strict;
mod identity;
mod in_force;
mod introspection;
mod jwt;
mod jwt_clients;
mod kills;
mod leaks;
mod limits;
mod pairs;
mod pebble;
mod proxy_protocol;
mod proxy_protocol_out;
mod reload;
mod resumption;
mod revocation;
mod routing;
mod several_products;
mod sni;
mod start;
mod tcp;
mod timeouts;
mod tls;
mod tools;
mod tunnel;
mod tunnel_pairs;
mod upgrade;
mod upstream_strict;
mod upstreams;
mod usage;
mod walk;
mod who_calls;
