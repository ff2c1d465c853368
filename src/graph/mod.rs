//! Several objects related to each other: which Service selects which pods, which budget covers them, whose probe asks whom.
//!
//! Facts go in ([`Fact`], small and owned), a [`Graph`] comes out; a rule sees it from where its workload stands ([`Around`]). No I/O: the linter
//! brings the objects of a run.

mod asks;
mod cascade;
pub mod draw;
mod facts;
mod relate;

pub use asks::Ask;
pub(crate) use asks::asks_readiness;
pub use cascade::{Fall, Fallen};
pub use facts::{Budget, Fact, Ingress, Member, MemberPort, Selector, Service, ServicePort, TargetPort, holds_facts};
pub use relate::{Around, Asked, Edge, Graph, Node};
