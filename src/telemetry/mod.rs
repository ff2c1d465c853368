//! Logs and metrics.

mod judged;
pub mod log;
pub mod metrics;
