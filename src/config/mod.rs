//! Text to checked [`Settings`]. Pure: the text and the environment are arguments.

pub mod settings;

pub use settings::*;
