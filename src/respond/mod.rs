//! Stage 6: the client gets its answer. Owns what failures mean ([`failure`]), the gateway's own
//! answers ([`own`]), the head of a forwarded one ([`head`]) and the access record
//! ([`access_log`]). Pure; writing is the session's.

pub mod access_log;
pub mod date;
pub mod failure;
pub mod head;
mod meaning;
pub mod own;
