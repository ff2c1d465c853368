//! The chart in `charts/probekeeper`: what Helm 3 and Helm 4 render, what they refuse, and what a real API server makes of it, through installation, upgrade,
//! rollback and removal. Nothing is skipped: without the binaries (`make controlplane`) every test fails and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

#[allow(dead_code, reason = "shared with the tests of the control plane, which use all of it")]
#[path = "../controlplane/cluster.rs"]
mod cluster;
#[path = "../controlplane/command.rs"]
mod command;
#[allow(dead_code, reason = "as above")]
#[path = "../controlplane/http.rs"]
mod http;

mod accepted;
mod alerts;
mod helm;
mod life;
mod metadata;
mod monitoring;
mod promtool;
mod refused;
mod rendered;
mod rights;
