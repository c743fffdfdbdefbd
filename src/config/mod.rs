//! Text to checked [`Settings`]. Pure: the text and the environment are arguments.

mod deserialize;
pub mod diagnostic;
mod document;
mod environment;
pub mod file;
pub mod settings;
mod shape;
mod suggest;
pub mod units;

pub use settings::*;
