//! The pod template as a borrowed view over raw JSON, and what its probes mean.
//!
//! No I/O, no clock, no global state. Section numbers in comments ("semantics 2.6") name `docs/probe-semantics.md`.

mod check;
mod container;
mod decode;
mod edit;
mod exec;
mod host;
mod intent;
mod probe;
mod record;
mod self_request;
mod workload;

pub use check::{Port, resolve_port, same_check};
pub use container::{
    Container, ContainerPort, EnvVar, FieldRef, Lifecycle, LifecycleHandler, List, Sleep, ValueFrom, is_mesh_sidecar,
};
pub(crate) use decode::explain;
pub use decode::{Annotations, DecodeError, Labels, Metadata, Object, OwnerReference, Text};
pub use edit::{Change, Edit, Scalar};
pub use exec::cannot_fail;
pub use host::{Host, classify_host};
pub use intent::{Author, LiveWitnesses, WitnessTexts, Witnesses};
pub use probe::{Exec, Grpc, Handler, HttpGet, HttpHeader, Leaf, PortRef, Probe, ProbeKind, TcpSocket, Timing};
pub use record::Record;
pub use self_request::{SelfRequest, self_request};
pub use workload::{Kind, Owner, Workload};
