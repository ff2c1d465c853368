//! probekeeper: a Kubernetes admission webhook, linter and audit for liveness, readiness and startup probes.
//!
//! The pure core ([`model`], [`graph`], [`rules`], [`policy`], [`engine`]) decides; [`admission`], [`server`], [`lint`] and [`cli`] carry bytes to it and
//! answers away from it. See `ARCHITECTURE.md`.

pub mod admission;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod engine;
pub mod export;
pub mod graph;
pub mod lifecycle;
pub mod lint;
pub mod model;
pub mod pki;
pub mod policy;
pub mod quantity;
pub mod rules;
pub mod server;
pub mod telemetry;
pub mod yaml;
