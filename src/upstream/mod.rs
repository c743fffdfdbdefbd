//! The upstream room.

pub mod balance;
pub mod health;
pub mod key;
pub mod maglev;
pub mod retry;
