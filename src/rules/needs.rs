//! What a rule needs in an object to have anything to say. Of the rules that are on, an ordinary object concerns half; the others are not asked, which
//! spares an answer their code, cold in the processor's cache.

use std::ops::BitOr;

use super::Context;
use crate::model::{Container, PortRef, Probe, ProbeKind, Workload};

/// Parts that an object may have. It may be said to have one that it has not, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts(u16);

impl Parts {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A liveness probe.
    pub const LIVENESS: Self = Self(1);
    /// A readiness probe.
    pub const READINESS: Self = Self(1 << 1);
    /// A startup probe.
    pub const STARTUP: Self = Self(1 << 2);
    /// A probe that runs a command.
    pub const EXEC: Self = Self(1 << 3);
    /// A probe by `httpGet`.
    pub const HTTP_GET: Self = Self(1 << 4);
    /// A probe by `tcpSocket`.
    pub const TCP_SOCKET: Self = Self(1 << 5);
    /// A probe that names a host.
    pub const HOST: Self = Self(1 << 6);
    /// A probe that sends headers.
    pub const HEADERS: Self = Self(1 << 7);
    /// A probe that names a port instead of numbering it.
    pub const PORT_NAME: Self = Self(1 << 8);
    /// A `preStop` hook.
    pub const PRE_STOP: Self = Self(1 << 9);
    /// The annotation that allows findings.
    pub const ALLOW: Self = Self(1 << 10);
    /// Objects around it of which something is known.
    pub const AROUND: Self = Self(1 << 11);

    /// What an object has.
    pub fn of(cx: &Context<'_>) -> Self {
        let Workload { metadata, template_metadata, containers, .. } = cx.workload;
        let allow = [metadata, template_metadata]
            .into_iter()
            .any(|metadata| metadata.annotations.as_ref().is_some_and(|annotations| annotations.allow.is_some()));
        let around = Self::ALLOW.when(allow) | Self::AROUND.when(cx.around.is_some());
        containers.iter().map(Self::of_container).fold(around, Self::bitor)
    }

    fn of_container(container: &Container<'_>) -> Self {
        let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        ProbeKind::ALL.into_iter().fold(Self::PRE_STOP.when(hook), |parts, kind| {
            let Some(probe) = container.probe(kind) else { return parts };
            let part = match kind {
                ProbeKind::Liveness => Self::LIVENESS,
                ProbeKind::Readiness => Self::READINESS,
                ProbeKind::Startup => Self::STARTUP,
            };
            parts | part | Self::of_probe(probe)
        })
    }

    fn of_probe(probe: &Probe<'_>) -> Self {
        let by_name = |port: &Option<PortRef<'_>>| Self::PORT_NAME.when(matches!(port, Some(PortRef::Name(_))));
        let mut parts = Self::EXEC.when(probe.exec.is_some());
        if let Some(http) = &probe.http_get {
            parts = parts
                | Self::HTTP_GET
                | Self::HOST.when(http.host.is_some())
                | Self::HEADERS.when(!http.http_headers.is_empty())
                | by_name(&http.port);
        }
        if let Some(tcp) = &probe.tcp_socket {
            parts = parts | Self::TCP_SOCKET | Self::HOST.when(tcp.host.is_some()) | by_name(&tcp.port);
        }
        parts
    }

    const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }

    /// Both together, where a constant is wanted.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// What an object must have for a rule to have anything to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// All of these.
    pub all: Parts,
    /// One of these at least, if any are named.
    pub any: Parts,
}

impl Needs {
    /// Whether an object has it.
    pub const fn met(self, has: Parts) -> bool {
        has.0 & self.all.0 == self.all.0 && (self.any.0 == 0 || has.0 & self.any.0 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    /// That a rule which is not asked would have been silent is asserted wherever a policy's rules run in a debug build, and by the test of the fixtures.
    #[test]
    fn an_ordinary_object_is_spared_what_does_not_concern_it() {
        let object = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"selector":{},"template":{"spec":{"containers":[
            {"name":"web","image":"i","livenessProbe":{"httpGet":{"port":80}},"readinessProbe":{"httpGet":{"port":80}}}]}}}}"#;
        let workload = Workload::from_json(object).unwrap().unwrap();
        let has = Parts::of(&Context { workload: &workload, around: None, forbidden: &[] });
        assert_eq!(has, Parts::LIVENESS | Parts::READINESS | Parts::HTTP_GET);
        let asked = RULES.iter().filter(|rule| rule.needs.met(has)).count();
        assert!(asked < RULES.len() / 3 * 2, "{asked} of {} rules are asked", RULES.len());
    }

    #[test]
    fn needs_are_met_by_all_and_any() {
        let needs = Needs { all: Parts::READINESS, any: Parts::HOST.and(Parts::EXEC) };
        for (has, met) in [
            (Parts::NONE, false),
            (Parts::READINESS, false),
            (Parts::EXEC, false),
            (Parts::READINESS | Parts::EXEC, true),
            (Parts::READINESS | Parts::HOST | Parts::LIVENESS, true),
        ] {
            assert_eq!(needs.met(has), met, "{has:?}");
        }
        assert!(Needs { all: Parts::NONE, any: Parts::NONE }.met(Parts::NONE));
    }
}
