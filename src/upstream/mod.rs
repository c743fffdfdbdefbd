//! The upstream room.

pub mod balance;
pub mod health;
pub mod maglev;
pub mod retry;
