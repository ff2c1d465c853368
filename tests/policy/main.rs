//! Policies: what broken ones are told, what they mean when they are right, and that lookups agree with the plain reading of the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod broken;
mod choices;
mod exempt;
mod lookup;
mod page;
mod update;
