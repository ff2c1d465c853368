//! Keeping certificates, as a table of situations and as a model: replicas against an API server with faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod model;
mod table;
