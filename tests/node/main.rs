//! probekeeper on a real node: kubelet, containerd, the chart and the image. Run by `make node-test`, as root: every test is marked `ignore` so that
//! `cargo test` works anywhere, and fails, never skips, once it is run.
//!
//! The tests share one node and one installation, and run one after the other: each first brings the installation into the state that it needs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod certificates;
mod clients;
#[path = "../controlplane/command.rs"]
mod command;
#[path = "../controlplane/http.rs"]
#[allow(dead_code)]
mod http;
mod image;
mod install;
mod installation;
mod memory;
mod newcomers;
mod node;
mod outage;
#[path = "../chart/promtool.rs"]
#[allow(dead_code)]
mod promtool;
mod rollouts;
mod stream;
mod workloads;
