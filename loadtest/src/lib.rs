//! Measuring Tollgate beside its peers.
