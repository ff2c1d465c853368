//! A report in the forms that people and programs read.

mod compare;
mod explain;
mod github;
mod html;
mod index;
mod json;
mod junit;
mod sarif;
mod text;
mod timeline;

pub use compare::{Compared, comparison_json, comparison_text};
pub use explain::{WhatIf, explain};
pub use github::github;
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use sarif::sarif;
pub use text::text;
