//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.
