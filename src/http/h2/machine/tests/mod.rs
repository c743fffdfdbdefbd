//! Two machines that talk to each other, without sockets.

mod pair;
mod rules;
