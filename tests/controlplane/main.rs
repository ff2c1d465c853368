//! The webhook against a real kube-apiserver and the real kubectl: verdicts, messages, warnings, stored objects, the hazards of patching, and what
//! happens when the webhook is away. Nothing is skipped: without the binaries (`make controlplane`) every test fails and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_server;
#[path = "../properties/apiserver.rs"]
#[allow(dead_code)] // it serves other tests too
mod apiserver;
mod certificates;
mod clients;
mod cluster;
mod command;
#[path = "../../fuzz/src/checks/contract.rs"]
#[allow(dead_code)] // it serves other tests too
mod contract;
mod custom_kinds;
mod defaulting;
mod examples;
mod failure;
mod fix;
#[path = "../properties/generate.rs"]
#[allow(dead_code)] // it serves other tests too
mod generate;
mod hazards;
mod http;
mod policy_diff;
mod policy_live;
mod policy_storm;
mod policy_watch;
#[path = "../server/sockets.rs"]
mod sockets;
mod updates;
mod vap;
mod verdicts;
mod verify;
mod webhook;
mod workloads;
