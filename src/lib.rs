//! probekeeper: a Kubernetes admission webhook, linter and audit for liveness, readiness and startup probes.
//!
//! The pure core ([`model`], [`rules`], [`policy`], [`engine`]) decides; [`admission`], [`server`], [`lint`] and [`cli`] carry bytes to it and
//! answers away from it. See `ARCHITECTURE.md`.

pub mod admission;
pub mod engine;
pub mod model;
pub mod policy;
pub mod rules;
pub mod telemetry;
pub mod yaml;
