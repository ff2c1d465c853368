//! A probe, its handlers, and the arithmetic of its timing.

use std::{fmt, sync::OnceLock};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::{Text, decode::nullable, exec::Reading, json::Verbatim};

/// Which of the three probes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Restarts the container when it fails.
    Liveness,
    /// Takes the pod out of its Services when it fails.
    Readiness,
    /// Holds the other two back until it has succeeded; restarts the container when it fails.
    Startup,
}

impl ProbeKind {
    /// In the order of documentation and reports.
    pub const ALL: [Self; 3] = [Self::Liveness, Self::Readiness, Self::Startup];

    /// The JSON field of the container.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Liveness => "livenessProbe",
            Self::Readiness => "readinessProbe",
            Self::Startup => "startupProbe",
        }
    }

    /// The word in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        }
    }
}

/// A number of a probe that may be filled in, or that says who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// Seconds between container start and the first run.
    InitialDelaySeconds,
    /// Seconds until a run counts as failed.
    TimeoutSeconds,
    /// Seconds between the starts of two runs.
    PeriodSeconds,
    /// Consecutive successes that count.
    SuccessThreshold,
    /// Consecutive failures that count.
    FailureThreshold,
    /// Seconds between signal and kill after this probe failed.
    TerminationGracePeriodSeconds,
}

impl Leaf {
    /// Every leaf.
    pub const ALL: [Self; 6] = [
        Self::InitialDelaySeconds,
        Self::TimeoutSeconds,
        Self::PeriodSeconds,
        Self::SuccessThreshold,
        Self::FailureThreshold,
        Self::TerminationGracePeriodSeconds,
    ];

    /// The JSON field of the probe.
    pub const fn field(self) -> &'static str {
        match self {
            Self::InitialDelaySeconds => "initialDelaySeconds",
            Self::TimeoutSeconds => "timeoutSeconds",
            Self::PeriodSeconds => "periodSeconds",
            Self::SuccessThreshold => "successThreshold",
            Self::FailureThreshold => "failureThreshold",
            Self::TerminationGracePeriodSeconds => "terminationGracePeriodSeconds",
        }
    }

    /// What the API server fills in (semantics 1); `None`: it stays absent.
    pub const fn api_default(self) -> Option<i64> {
        match self {
            Self::InitialDelaySeconds => Some(0),
            Self::TimeoutSeconds | Self::SuccessThreshold => Some(1),
            Self::PeriodSeconds => Some(10),
            Self::FailureThreshold => Some(3),
            Self::TerminationGracePeriodSeconds => None,
        }
    }
}

/// A probe as written: absent numbers stay absent until [`Timing`] fills in what the API server would.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe<'a> {
    /// Runs a command in the container.
    #[serde(borrow, default)]
    pub exec: Option<Exec<'a>>,
    /// Sends an HTTP GET from the node.
    #[serde(borrow, default)]
    pub http_get: Option<HttpGet<'a>>,
    /// Opens a connection from the node.
    #[serde(borrow, default)]
    pub tcp_socket: Option<TcpSocket<'a>>,
    /// Asks the gRPC health service.
    #[serde(borrow, default)]
    pub grpc: Option<Grpc<'a>>,
    #[serde(default)]
    pub(super) initial_delay_seconds: Option<i64>,
    #[serde(default)]
    pub(super) timeout_seconds: Option<i64>,
    #[serde(default)]
    pub(super) period_seconds: Option<i64>,
    #[serde(default)]
    pub(super) success_threshold: Option<i64>,
    #[serde(default)]
    pub(super) failure_threshold: Option<i64>,
    #[serde(default)]
    pub(super) termination_grace_period_seconds: Option<i64>,
    /// All of it.
    #[serde(skip)]
    pub(crate) text: Verbatim<'a>,
}

/// The one handler of a valid probe.
#[derive(Debug, Clone, Copy)]
pub enum Handler<'p, 'a> {
    /// A command.
    Exec(&'p Exec<'a>),
    /// An HTTP GET.
    HttpGet(&'p HttpGet<'a>),
    /// A TCP connect.
    TcpSocket(&'p TcpSocket<'a>),
    /// A gRPC health check.
    Grpc(&'p Grpc<'a>),
}

impl<'p> Handler<'p, '_> {
    /// The JSON field of the probe.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::HttpGet(_) => "httpGet",
            Self::TcpSocket(_) => "tcpSocket",
            Self::Grpc(_) => "grpc",
        }
    }

    /// The port that is asked, if one is; gRPC's is always a number.
    pub fn port(self) -> Option<PortRef<'p>> {
        match self {
            Self::HttpGet(http) => http.port.as_ref().map(PortRef::borrowed),
            Self::TcpSocket(tcp) => tcp.port.as_ref().map(PortRef::borrowed),
            Self::Grpc(grpc) => grpc.port.map(PortRef::Number),
            Self::Exec(_) => None,
        }
    }

    /// Field of the handler and the host that it names, if it names one.
    pub fn host(self) -> Option<(&'static str, &'p str)> {
        let (field, host) = match self {
            Self::HttpGet(http) => ("httpGet", http.host.as_deref()?),
            Self::TcpSocket(tcp) => ("tcpSocket", tcp.host.as_deref()?),
            Self::Exec(_) | Self::Grpc(_) => return None,
        };
        let host = host.trim();
        (!host.is_empty()).then_some((field, host))
    }
}

impl<'a> Probe<'a> {
    /// The handler, if there is exactly one.
    pub fn handler(&self) -> Option<Handler<'_, 'a>> {
        match (&self.exec, &self.http_get, &self.tcp_socket, &self.grpc) {
            (Some(exec), None, None, None) => Some(Handler::Exec(exec)),
            (None, Some(http), None, None) => Some(Handler::HttpGet(http)),
            (None, None, Some(tcp), None) => Some(Handler::TcpSocket(tcp)),
            (None, None, None, Some(grpc)) => Some(Handler::Grpc(grpc)),
            _ => None,
        }
    }

    /// A number as written.
    pub const fn leaf(&self, leaf: Leaf) -> Option<i64> {
        match leaf {
            Leaf::InitialDelaySeconds => self.initial_delay_seconds,
            Leaf::TimeoutSeconds => self.timeout_seconds,
            Leaf::PeriodSeconds => self.period_seconds,
            Leaf::SuccessThreshold => self.success_threshold,
            Leaf::FailureThreshold => self.failure_threshold,
            Leaf::TerminationGracePeriodSeconds => self.termination_grace_period_seconds,
        }
    }

    /// A number after API defaulting: absent and explicit zero alike become the default (semantics 1).
    pub fn defaulted(&self, leaf: Leaf) -> Option<i64> {
        match (self.leaf(leaf), leaf) {
            (None | Some(0), _) => leaf.api_default(),
            (Some(value), _) => Some(value),
        }
    }

    /// The JSON fields of the handlers that are there: one, in a valid probe.
    pub fn handler_fields(&self) -> impl Iterator<Item = &'static str> {
        let there = [
            (self.exec.is_some(), "exec"),
            (self.http_get.is_some(), "httpGet"),
            (self.tcp_socket.is_some(), "tcpSocket"),
            (self.grpc.is_some(), "grpc"),
        ];
        there.into_iter().filter_map(|(there, field)| there.then_some(field))
    }

    /// Whether both have the same handlers, word for word.
    pub fn has_handlers_of(&self, other: &Self) -> bool {
        self.exec == other.exec
            && self.http_get == other.http_get
            && self.tcp_socket == other.tcp_socket
            && self.grpc == other.grpc
    }

    /// A probe with the same handler and no numbers.
    #[must_use]
    pub fn with_handler_only(&self) -> Self {
        Self {
            exec: self.exec.clone(),
            http_get: self.http_get.clone(),
            tcp_socket: self.tcp_socket.clone(),
            grpc: self.grpc.clone(),
            ..Self::default()
        }
    }

    /// Takes a field of a handler (`httpGet/scheme`) or a handler (`httpGet`) away.
    pub(crate) fn take_away(&mut self, place: &str) {
        match (place, &mut self.http_get, &mut self.tcp_socket, &mut self.grpc) {
            ("exec", ..) => self.exec = None,
            ("httpGet", ..) => self.http_get = None,
            ("tcpSocket", ..) => self.tcp_socket = None,
            ("grpc", ..) => self.grpc = None,
            ("httpGet/path", Some(http), ..) => http.path = None,
            ("httpGet/scheme", Some(http), ..) => http.scheme = None,
            ("httpGet/host", Some(http), ..) => http.host = None,
            ("httpGet/httpHeaders", Some(http), ..) => http.http_headers.clear(),
            ("tcpSocket/host", _, Some(tcp), _) => tcp.host = None,
            ("grpc/service", _, _, Some(grpc)) => grpc.service = None,
            _ => {}
        }
    }

    /// Takes a number away.
    pub(crate) const fn clear_leaf(&mut self, leaf: Leaf) {
        *self.place(leaf) = None;
    }

    /// Sets a number, as a patch would.
    pub const fn set_leaf(&mut self, leaf: Leaf, value: i64) {
        *self.place(leaf) = Some(value);
    }

    const fn place(&mut self, leaf: Leaf) -> &mut Option<i64> {
        match leaf {
            Leaf::InitialDelaySeconds => &mut self.initial_delay_seconds,
            Leaf::TimeoutSeconds => &mut self.timeout_seconds,
            Leaf::PeriodSeconds => &mut self.period_seconds,
            Leaf::SuccessThreshold => &mut self.success_threshold,
            Leaf::FailureThreshold => &mut self.failure_threshold,
            Leaf::TerminationGracePeriodSeconds => &mut self.termination_grace_period_seconds,
        }
    }

    /// Whether the API server would accept the probe's numbers and handler (semantics 1). The mutating webhook runs before that check and must leave
    /// such a probe alone.
    pub fn is_valid(&self, kind: ProbeKind) -> bool {
        // Spelt out: every rule asks this of every probe.
        let fits = |value: Option<i64>| value.is_none_or(|value| (0..=i64::from(i32::MAX)).contains(&value));
        let in_range = fits(self.initial_delay_seconds)
            && fits(self.timeout_seconds)
            && fits(self.period_seconds)
            && fits(self.success_threshold)
            && fits(self.failure_threshold)
            // The only one of 64 bits.
            && self.termination_grace_period_seconds.is_none_or(|seconds| seconds >= 0);
        let by_kind = match kind {
            ProbeKind::Readiness => self.termination_grace_period_seconds.is_none(),
            ProbeKind::Liveness | ProbeKind::Startup => {
                self.defaulted(Leaf::SuccessThreshold) == Some(1) && self.termination_grace_period_seconds != Some(0)
            }
        };
        self.handler().is_some() && in_range && by_kind
    }

    /// The timing after API defaulting.
    pub fn timing(&self) -> Timing {
        let value = |leaf| self.defaulted(leaf).unwrap_or(0);
        Timing {
            initial_delay: value(Leaf::InitialDelaySeconds),
            period: value(Leaf::PeriodSeconds),
            timeout: value(Leaf::TimeoutSeconds),
            failure_threshold: value(Leaf::FailureThreshold),
            success_threshold: value(Leaf::SuccessThreshold),
        }
    }
}

/// A command, run without a shell.
#[derive(Debug, Default, Deserialize)]
pub struct Exec<'a> {
    /// Program and arguments.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub command: Vec<Text<'a>>,
    /// What is read in it, once for all rules. Not part of the JSON.
    #[serde(skip)]
    pub(super) reading: OnceLock<Box<Reading>>,
}

/// The reading depends on where the command stands: a copy is read anew.
impl Clone for Exec<'_> {
    fn clone(&self) -> Self {
        Self { command: self.command.clone(), reading: OnceLock::new() }
    }
}

impl PartialEq for Exec<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.command == other.command
    }
}

impl Eq for Exec<'_> {}

/// An HTTP GET from the node to the pod.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGet<'a> {
    /// `/` when absent. Not checked by the API server.
    #[serde(borrow, default)]
    pub path: Option<Text<'a>>,
    /// Required.
    #[serde(borrow, default)]
    pub port: Option<PortRef<'a>>,
    /// The pod's IP when absent.
    #[serde(borrow, default)]
    pub host: Option<Text<'a>>,
    /// `HTTP` when absent; certificates are never verified.
    #[serde(borrow, default)]
    pub scheme: Option<Text<'a>>,
    /// `HTTP1` or `HTTP2`; new in 1.37.
    #[serde(borrow, default)]
    pub protocol: Option<Text<'a>>,
    /// Extra headers; values are never printed.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub http_headers: Vec<HttpHeader<'a>>,
}

/// A request header. Its value is never logged or printed.
#[derive(Default, Clone, PartialEq, Eq, Deserialize)]
pub struct HttpHeader<'a> {
    /// Case-insensitive.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// May be a secret.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub value: Text<'a>,
}

impl fmt::Debug for HttpHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A TCP connect from the node to the pod.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
pub struct TcpSocket<'a> {
    /// Required.
    #[serde(borrow, default)]
    pub port: Option<PortRef<'a>>,
    /// The pod's IP when absent.
    #[serde(borrow, default)]
    pub host: Option<Text<'a>>,
}

/// A gRPC health check, in plain text, on the pod's IP.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
pub struct Grpc<'a> {
    /// Required; only a number.
    #[serde(default)]
    pub port: Option<i64>,
    /// Empty when absent.
    #[serde(borrow, default)]
    pub service: Option<Text<'a>>,
}

/// A port by number or by the name that the container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef<'a> {
    /// 1..=65535.
    Number(i64),
    /// An IANA service name; nothing in Kubernetes checks that the container declares it.
    Name(Text<'a>),
}

impl PortRef<'_> {
    fn borrowed(&self) -> PortRef<'_> {
        match self {
            Self::Number(number) => PortRef::Number(*number),
            Self::Name(name) => PortRef::Name(Text::from(&**name)),
        }
    }
}

impl std::fmt::Display for PortRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PortRef<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortVisitor;

        impl<'de> Visitor<'de> for PortVisitor {
            type Value = PortRef<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number or name")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(PortRef::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(PortRef::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(PortRef::Name(Text::from(name)))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(PortRef::Name(Text(name.to_owned().into())))
            }
        }

        deserializer.deserialize_any(PortVisitor)
    }
}

/// The numbers of a probe after API defaulting, all in seconds or counts. Arithmetic saturates: the API accepts 2147483647 everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// `D`, counted from container start.
    pub initial_delay: i64,
    /// `P`.
    pub period: i64,
    /// `T`.
    pub timeout: i64,
    /// `F`.
    pub failure_threshold: i64,
    /// `S`.
    pub success_threshold: i64,
}

impl Timing {
    /// `M = max(P, T)`: runs never overlap, so a target that hangs is probed this often (semantics 2.5).
    pub fn hanging_period(&self) -> i64 {
        self.period.max(self.timeout)
    }

    /// The shortest hang that trips the probe: `(F-1)*M + T` (semantics 3).
    pub fn tolerance(&self) -> i64 {
        self.failure_threshold.saturating_sub(1).saturating_mul(self.hanging_period()).saturating_add(self.timeout)
    }

    /// The longest time until a hang trips the probe: `P + (F-1)*M + T`.
    pub fn worst_hang_detection(&self) -> i64 {
        self.period.saturating_add(self.tolerance())
    }

    /// Shortest and longest time until a refusal trips the probe: `(F-1)*P ..= F*P`.
    pub fn refusal_detection(&self) -> (i64, i64) {
        (self.failure_threshold.saturating_sub(1).saturating_mul(self.period), self.failure_threshold.saturating_mul(self.period))
    }

    /// Start-up time that this probe alone guarantees: `D + (F-1)*P`.
    pub fn guaranteed_start_up(&self) -> i64 {
        self.initial_delay.saturating_add(self.failure_threshold.saturating_sub(1).saturating_mul(self.period))
    }

    /// The longest start-up that this probe alone can let pass: `D + F*P`.
    pub fn start_up_upper_bound(&self) -> i64 {
        self.initial_delay.saturating_add(self.failure_threshold.saturating_mul(self.period))
    }

    /// The longest time until a target that answers again counts as healthy: `S*P`.
    pub fn recovery(&self) -> i64 {
        self.success_threshold.saturating_mul(self.period)
    }

    /// The time in which a readiness probe has surely acted on a hang: `F*P + T`.
    pub fn acted(&self) -> i64 {
        self.failure_threshold.saturating_mul(self.period).saturating_add(self.timeout)
    }

    /// The smallest failure threshold, at least 1, whose [`tolerance`](Self::tolerance) reaches `seconds`; the other numbers stay.
    pub fn threshold_for_tolerance(&self, seconds: i64) -> i64 {
        threshold(seconds.saturating_sub(self.timeout), self.hanging_period())
    }

    /// The smallest failure threshold, at least 1, that [guarantees](Self::guaranteed_start_up) `seconds` to start; the other numbers stay.
    pub fn threshold_for_start_up(&self, seconds: i64) -> i64 {
        threshold(seconds.saturating_sub(self.initial_delay), self.period)
    }
}

/// The smallest `F >= 1` with `(F-1) * step >= seconds`. A step is at least 1 in every valid probe.
fn threshold(seconds: i64, step: i64) -> i64 {
    let step = step.max(1);
    (seconds.max(0) / step).saturating_add(i64::from(seconds.max(0) % step != 0)).saturating_add(1)
}
