//! The respond room.
