//! A report in the forms that people and programs read.

mod json;
mod text;

pub use json::json;
pub use text::text;
