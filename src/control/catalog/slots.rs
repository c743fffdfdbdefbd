//! Where products stand in the directory: a number for each name, the same as long as the process
//! lives, so that routes need not be compiled again when a product comes or goes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Numbers of products.
#[derive(Default)]
pub struct Slots(Mutex<HashMap<String, u32>>);

impl Slots {
    /// The number of a product; a new name gets the next.
    pub fn of(&self, name: &str) -> u32 {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = slots.len() as u32;
        *slots.entry(name.to_owned()).or_insert(next)
    }
}
