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
mod json;
mod kinds;
mod managed;
mod pre_stop;
mod probe;
mod raw;
mod read;
mod record;
mod story;
mod strings;
mod workload;

pub use check::{Port, resolve_port, same_check};
pub use container::{
    Container, ContainerPort, EnvVar, FieldRef, Lifecycle, LifecycleHandler, List, MESH_PORTS, MESH_SIDECARS, Sleep, ValueFrom,
};
pub use decode::{Annotations, DecodeError, Labels, Metadata, Object, OwnerReference, Text};
pub(crate) use decode::{bounded, explain};
pub use edit::{Change, Edit, Scalar};
pub use exec::{Call, DATA_STORES, HttpCall, Protocol, Reach, Reading, Target, data_store, unexpanded_variables};
pub use host::{Host, classify_host};
pub use intent::{Author, LiveWitnesses, Origin, WitnessTexts, Witnesses};
pub use json::Json;
pub(crate) use json::{Read, Reader};
pub use kinds::{Custom, CustomKind, Kinds, Known};
pub(crate) use managed::{Entry, entries};
pub use pre_stop::PreStop;
pub use probe::{Exec, Grpc, Handler, HttpGet, HttpHeader, Leaf, PortRef, Probe, ProbeKind, TcpSocket, Timing};
pub(crate) use raw::at_pointer;
#[cfg(test)]
pub(crate) use read::hidden_values;
pub(crate) use read::{members, object, once, optional, raw, reading, text};
pub use record::Record;
pub use story::{Chance, Course, Lane, Outcome, Part, Phase, Story, StoryKind, Stretch, Until, seconds};
pub(crate) use strings::quote;
pub use workload::{Kind, Owner, Workload};
