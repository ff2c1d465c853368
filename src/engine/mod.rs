//! One engine answers three questions about a pod template: what is wrong, what was left out, what to do about it. Every front calls it.

mod before;
pub mod defaults;
mod draft;
mod evaluate;
pub mod patch;
mod verdict;

pub use before::findings_before;
pub use evaluate::{Evaluation, Exempted, ExemptedBy, evaluate, evaluate_briefly, evaluate_in};
pub use verdict::{Demotion, Judged, Past, Verdict, decide};
