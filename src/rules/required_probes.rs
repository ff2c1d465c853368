use super::{Context, Findings, Rule};
use crate::model::{Leaf, Probe, ProbeKind};

declare_rule! {
    /// A container does not meet an organisation's own numbers.
    ///
    /// ## What it does
    ///
    /// Off in every profile, and without parameters it asks for nothing. Fires when a container of a long-running workload lacks a probe that `probes`
    /// names, when a probe's handler is not among `handlers`, and when a number of a probe is outside the range that is given for it. Numbers are taken as
    /// Kubernetes takes them: after its defaults.
    ///
    /// ## Why it is bad
    ///
    /// It is what the policy says: a platform may rest on numbers that nobody else needs, such as a period that its load balancers can follow.
    ///
    /// ```yaml,fires {"probes": ["readinessProbe"]}
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: 8080 }
    /// ```
    ///
    /// ```yaml,fires {"readinessProbe": {"periodSeconds": {"max": 10}}}
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 15
    /// ```
    ///
    /// ## Instead
    ///
    /// The numbers that the policy asks for.
    ///
    /// ```yaml,clean {"probes": ["readinessProbe"], "handlers": ["httpGet", "grpc"], "readinessProbe": {"periodSeconds": {"min": 5, "max": 10}}}
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 5
    /// ```
    pub struct RequiredProbes {
        /// Probes that every container of a long-running workload must have.
        probes: Vec<ProbeName> = Vec::new(),
        /// Handlers that a probe may have; empty: any.
        handlers: Vec<HandlerName> = Vec::new(),
        /// Ranges of the numbers of a liveness probe, where there is one.
        liveness_probe: Ranges = Ranges::default(),
        /// Ranges of the numbers of a readiness probe, where there is one.
        readiness_probe: Ranges = Ranges::default(),
        /// Ranges of the numbers of a startup probe, where there is one.
        startup_probe: Ranges = Ranges::default(),
    }
    id: "required-probes",
    why: "the policy of this cluster asks for it",
    actions: [Off, Off, Off],
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub(crate) enum ProbeName {
    #[serde(rename = "livenessProbe")]
    Liveness,
    #[serde(rename = "readinessProbe")]
    Readiness,
    #[serde(rename = "startupProbe")]
    Startup,
}

impl ProbeName {
    const fn kind(self) -> ProbeKind {
        match self {
            Self::Liveness => ProbeKind::Liveness,
            Self::Readiness => ProbeKind::Readiness,
            Self::Startup => ProbeKind::Startup,
        }
    }
}

/// A handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum HandlerName {
    HttpGet,
    TcpSocket,
    Grpc,
    Exec,
}

impl HandlerName {
    const fn field(self) -> &'static str {
        match self {
            Self::HttpGet => "httpGet",
            Self::TcpSocket => "tcpSocket",
            Self::Grpc => "grpc",
            Self::Exec => "exec",
        }
    }
}

/// Ranges of a probe's numbers; what is left out is free.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Ranges {
    initial_delay_seconds: Range,
    timeout_seconds: Range,
    period_seconds: Range,
    success_threshold: Range,
    failure_threshold: Range,
}

/// From `min` to `max`, both included.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
}

impl Ranges {
    const fn all(&self) -> [(Leaf, Range); 5] {
        [
            (Leaf::InitialDelaySeconds, self.initial_delay_seconds),
            (Leaf::TimeoutSeconds, self.timeout_seconds),
            (Leaf::PeriodSeconds, self.period_seconds),
            (Leaf::SuccessThreshold, self.success_threshold),
            (Leaf::FailureThreshold, self.failure_threshold),
        ]
    }
}

impl RequiredProbes {
    const fn ranges(&self, kind: ProbeKind) -> &Ranges {
        match kind {
            ProbeKind::Liveness => &self.liveness_probe,
            ProbeKind::Readiness => &self.readiness_probe,
            ProbeKind::Startup => &self.startup_probe,
        }
    }

    fn check_numbers(
        &self,
        cx: Context<'_>,
        container: &crate::model::Container<'_>,
        kind: ProbeKind,
        probe: &Probe<'_>,
        out: &mut Findings,
    ) {
        for (leaf, Range { min, max }) in self.ranges(kind).all() {
            let (Some(value), field) = (probe.defaulted(leaf), leaf.field()) else { continue };
            let (wanted, distance, bound) = match (min.map(i64::from), max.map(i64::from)) {
                (Some(min), _) if value < min => (min, min - value, format!("at least {min}")),
                (_, Some(max)) if value > max => (max, value - max, format!("at most {max}")),
                _ => continue,
            };
            let message = format!("{field} is {value}; the policy asks for {bound}");
            out.probe(&cx, container, kind, field, message, format!("{}:\n  {field}: {wanted}", kind.field())).badness(distance);
        }
    }
}

impl Rule for RequiredProbes {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            if cx.workload.is_long_running() {
                for kind in self.probes.iter().map(|name| name.kind()).filter(|kind| container.probe(*kind).is_none()) {
                    let message = format!("has no {} probe; the policy asks for one", kind.word());
                    // The probe is what is missing: two missing ones are two findings.
                    out.probe(cx, container, kind, "", message, format!("{}:", kind.field()));
                }
            }
            for (kind, probe) in container.valid_probes() {
                let Some(handler) = probe.handler().map(crate::model::Handler::field) else { continue };
                if !self.handlers.is_empty() && !self.handlers.iter().any(|allowed| allowed.field() == handler) {
                    let allowed: Vec<&str> = self.handlers.iter().map(|handler| handler.field()).collect();
                    let message = format!("the handler is {handler}; the policy asks for {}", allowed.join(", "));
                    out.probe(cx, container, kind, handler, message, format!("{}:\n  {}:", kind.field(), allowed.join(" # or ")));
                }
                self.check_numbers(*cx, container, kind, probe, out);
            }
        }
    }

    fn refuse(&self) -> Option<String> {
        for kind in ProbeKind::ALL {
            for (leaf, Range { min, max }) in self.ranges(kind).all() {
                let place = format!("{}.{}", kind.field(), leaf.field());
                // What the API accepts: a number that no object can have would refuse every object.
                let least = u32::from(leaf != Leaf::InitialDelaySeconds);
                if let (Some(min), Some(max)) = (min, max)
                    && min > max
                {
                    return Some(format!("{place}: min {min} is greater than max {max}"));
                }
                if max.is_some_and(|max| max < least) {
                    return Some(format!("{place}: Kubernetes accepts no less than {least}"));
                }
                if leaf == Leaf::SuccessThreshold && kind != ProbeKind::Readiness && min.is_some_and(|min| min > 1) {
                    return Some(format!("{place}: Kubernetes accepts only 1"));
                }
                if min.is_some_and(|min| i64::from(min) > i64::from(i32::MAX)) {
                    return Some(format!("{place}: Kubernetes accepts no more than {}", i32::MAX));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::DEF;

    #[test]
    fn what_kubernetes_forbids_is_refused() {
        let cases = [
            (
                r#"{"livenessProbe": {"successThreshold": {"min": 2}}}"#,
                "livenessProbe.successThreshold: Kubernetes accepts only 1",
            ),
            (
                r#"{"readinessProbe": {"periodSeconds": {"max": 0}}}"#,
                "readinessProbe.periodSeconds: Kubernetes accepts no less than 1",
            ),
            (
                r#"{"startupProbe": {"timeoutSeconds": {"min": 9, "max": 3}}}"#,
                "startupProbe.timeoutSeconds: min 9 is greater than max 3",
            ),
            (
                r#"{"startupProbe": {"timeoutSeconds": {"min": 4294967295}}}"#,
                "startupProbe.timeoutSeconds: Kubernetes accepts no more than 2147483647",
            ),
        ];
        for (params, expected) in cases {
            let error = (DEF.build)(serde_json::from_str(params).unwrap()).err();
            assert_eq!(error.as_deref(), Some(expected));
        }
        assert!((DEF.build)(serde_json::json!({ "readinessProbe": { "successThreshold": { "min": 2 } } })).is_ok());
    }
}
