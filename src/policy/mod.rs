//! The policy room.

pub mod transform;
