//! The server on real sockets with real TLS: what it answers, what it refuses, what it outlives.
// Helpers unwrap too: a panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod abuse;
mod answers;
mod canaries;
mod certificates;
mod client;
mod clients;
mod draining;
mod egress;
mod ending;
mod fixture;
mod flood;
mod limits;
mod operations;
mod overload;
mod policy;
mod process;
mod renegotiation;
mod sockets;
