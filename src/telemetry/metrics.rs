//! Every metric, and the only file that knows their names.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::admission::{Outcome, Route};
use crate::clock;
use crate::policy::PolicyStore;
use crate::rules::RULES;

/// From what a small review takes to what an API server's shortest useful timeout forgives, in seconds.
const DURATIONS: [f64; 15] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// From a bare pod to the body limit, in bytes.
const SIZES: [f64; 8] = [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 8_388_608.0];

/// All metrics of a process. One request touches four of them; none takes a lock for longer than an increment.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    refused: Family<Reason, Counter>,
    durations: Family<Path, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    body_bytes: Histogram,
    findings: Family<Finding, Counter>,
    filled: Family<Field, Counter>,
    rule_errors: Family<RuleName, Counter>,
    policy: Family<Policy, Gauge>,
    policy_reloads: Family<Outcomes, Counter>,
    policy_stale: Gauge,
    policy_read: Gauge,
    handshakes: Family<Outcomes, Counter>,
    connections: Gauge,
    connections_closed: Family<Reason, Counter>,
    certificate_not_after: Family<Which, Gauge>,
    certificate_reloads: Family<Outcomes, Counter>,
    client_ca_reloads: Family<Outcomes, Counter>,
    file_refused: Family<File, Gauge>,
    in_force: InForce,
    certificate_actions: Family<Action, Counter>,
    ca_bundle_in_sync: Family<Configuration, Gauge>,
    configuration_present: Family<Configuration, Gauge>,
}

/// The store whose policy is in force, once it is known.
type InForce = Arc<OnceLock<Arc<PolicyStore>>>;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything, at zero.
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(Process { started: SystemTime::now() }));
        let in_force = InForce::default();
        root.register_collector(Box::new(Exemptions(Arc::clone(&in_force))));
        let registry = root.sub_registry_with_prefix("probekeeper");
        let durations: Family<Path, Histogram, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(DURATIONS));
        let mut metrics = Self {
            requests: Family::default(),
            refused: Family::default(),
            durations,
            in_flight: Gauge::default(),
            body_bytes: Histogram::new(SIZES),
            findings: Family::default(),
            filled: Family::default(),
            rule_errors: Family::default(),
            policy: Family::default(),
            policy_reloads: Family::default(),
            policy_stale: Gauge::default(),
            policy_read: Gauge::default(),
            handshakes: Family::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            certificate_not_after: Family::default(),
            certificate_reloads: Family::default(),
            client_ca_reloads: Family::default(),
            file_refused: Family::default(),
            in_force,
            certificate_actions: Family::default(),
            ca_bundle_in_sync: Family::default(),
            configuration_present: Family::default(),
            registry: Registry::default(),
        };
        registry.register("admission_requests", "Admission requests by verdict", metrics.requests.clone());
        registry.register("requests_refused", "Requests that were not judged, by reason", metrics.refused.clone());
        registry.register("admission_duration_seconds", "From request head to answer", metrics.durations.clone());
        registry.register("admission_in_flight", "Requests being read or judged", metrics.in_flight.clone());
        registry.register("admission_body_bytes", "Size of request bodies", metrics.body_bytes.clone());
        registry.register("findings", "Findings by rule and what was done about them", metrics.findings.clone());
        registry.register("filled", "Fields that were filled in", metrics.filled.clone());
        registry.register("rule_errors", "Rules that failed on an object", metrics.rule_errors.clone());
        registry.register("policy_info", "The policy in force; always 1", metrics.policy.clone());
        registry.register("policy_reload", "Attempts to load a policy", metrics.policy_reloads.clone());
        registry.register(
            "policy_stale",
            "1 while the newest policy is invalid or gone and an older one, or none, is in force",
            metrics.policy_stale.clone(),
        );
        registry.register(
            "policy_read_timestamp_seconds",
            "When the policy's source was last read, in seconds since 1970",
            metrics.policy_read.clone(),
        );
        registry.register("tls_handshakes", "TLS handshakes by result", metrics.handshakes.clone());
        registry.register("connections", "Open connections of the webhook port", metrics.connections.clone());
        registry.register("connections_closed", "Connections that ended, by reason", metrics.connections_closed.clone());
        registry.register(
            "certificate_not_after_seconds",
            "End of validity of a certificate, in seconds since 1970",
            metrics.certificate_not_after.clone(),
        );
        registry.register("certificate_reload", "Attempts to load a changed certificate", metrics.certificate_reloads.clone());
        registry.register("client_ca_reload", "Attempts to load a changed CA of the clients", metrics.client_ca_reloads.clone());
        registry.register(
            "file_refused",
            "1 while what a file holds cannot be used and the last good content is in force",
            metrics.file_refused.clone(),
        );
        registry.register(
            "certificate_actions",
            "Steps in keeping certificates, the CA Secret and the published CA, by result",
            metrics.certificate_actions.clone(),
        );
        registry.register(
            "ca_bundle_in_sync",
            "1 if the webhook configuration holds the CA that it must, or does not exist",
            metrics.ca_bundle_in_sync.clone(),
        );
        registry.register(
            "webhook_configuration_present",
            "1 if the webhook configuration exists: without it nothing is enforced",
            metrics.configuration_present.clone(),
        );
        metrics.registry = root;
        for route in [Route::Validate, Route::Mutate, Route::Policy] {
            // A histogram that is there from the start has a rate from the first request on.
            drop(metrics.durations.get_or_create(&Path { path: route.path() }));
        }
        for rule in RULES {
            // A counter that begins at 1 has not increased, as Prometheus sees it: nobody would be told of the first fault.
            drop(metrics.rule_errors.get_or_create(&RuleName { rule: rule.id }));
        }
        metrics
    }

    /// OpenMetrics text of everything.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A request was judged.
    pub fn answered(&self, route: Route, outcome: &Outcome, body_bytes: usize, took: Duration) {
        let path = route.path();
        let Outcome { operation, kind, verdict, findings, exempted, filled, rule_errors, .. } = outcome;
        self.requests.get_or_create(&Request { path, operation, kind: kind.clone(), verdict }).inc();
        self.durations.get_or_create(&Path { path }).observe(took.as_secs_f64());
        #[allow(clippy::cast_precision_loss)] // bodies end far below 2^52 bytes
        self.body_bytes.observe(body_bytes as f64);
        for (rule, action) in findings {
            self.findings.get_or_create(&Finding { rule, action }).inc();
        }
        for rule in exempted {
            self.findings.get_or_create(&Finding { rule, action: "exempted" }).inc();
        }
        for field in filled {
            self.filled.get_or_create(&Field { field }).inc();
        }
        for rule in rule_errors {
            self.rule_errors.get_or_create(&RuleName { rule }).inc();
        }
    }

    /// A request was not judged.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Requests in flight became more or fewer.
    pub fn in_flight(&self, change: i64) {
        self.in_flight.inc_by(change);
    }

    /// A policy is in force from now on.
    pub fn policy_in_force(&self, hash: &str, profile: &str) {
        self.policy.clear();
        self.policy.get_or_create(&Policy { hash: hash.to_owned(), profile: profile.to_owned() }).set(1);
    }

    /// Tells how many exemptions of this store's policy have ended, at every scrape.
    pub fn watch_exemptions(&self, store: &Arc<PolicyStore>) {
        // Set once per process; a second store would be a mistake, and the first stays.
        let _ = self.in_force.set(Arc::clone(store));
    }

    /// A policy was loaded (`ok`) or could not be: `invalid`, or `missing` where there was none.
    pub fn policy_reload(&self, result: &'static str) {
        self.policy_reloads.get_or_create(&Outcomes { result }).inc();
        self.policy_stale.set(i64::from(result != "ok"));
    }

    /// The policy's source could be read just now, whatever it holds.
    pub fn policy_read(&self) {
        self.policy_read.set(seconds_since_1970(SystemTime::now()));
    }

    /// A TLS handshake ended: `ok`, `client_refused` (no certificate, or not one that is let in), `failed` or `timeout`.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&Outcomes { result }).inc();
    }

    /// A step in keeping the certificates was taken (`ok`), came too late (`conflict`) or could not be taken (`failed`).
    pub fn certificate_action(&self, action: &'static str, result: &'static str) {
        self.certificate_actions.get_or_create(&Action { action, result }).inc();
    }

    /// What was seen of the webhook configuration `validating` or `mutating`.
    pub fn ca_bundle(&self, configuration: &'static str, present: bool, in_sync: bool) {
        let labels = Configuration { configuration };
        self.configuration_present.get_or_create(&labels).set(i64::from(present));
        self.ca_bundle_in_sync.get_or_create(&labels).set(i64::from(in_sync));
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection that was accepted is no more.
    pub fn connection_gone(&self) {
        self.connections.dec();
    }

    /// Why a connection ended or was not taken.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections_closed.get_or_create(&Reason { reason }).inc();
    }

    /// The certificate named `which` (`leaf`, `ca`) is valid until then.
    pub fn certificate_not_after(&self, which: &'static str, not_after: SystemTime) {
        self.certificate_not_after.get_or_create(&Which { which }).set(seconds_since_1970(not_after));
    }

    /// A changed certificate was taken (`ok`) or refused (`failed`).
    pub fn certificate_reload(&self, result: &'static str) {
        self.certificate_reloads.get_or_create(&Outcomes { result }).inc();
    }

    /// A changed CA of the clients was taken (`ok`) or refused (`failed`).
    pub fn client_ca_reload(&self, result: &'static str) {
        self.client_ca_reloads.get_or_create(&Outcomes { result }).inc();
    }

    /// Whether what `certificate` or `client_ca` holds now cannot be used.
    pub fn file_refused(&self, file: &'static str, refused: bool) {
        self.file_refused.get_or_create(&File { file }).set(i64::from(refused));
    }
}

fn seconds_since_1970(time: SystemTime) -> i64 {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    operation: &'static str,
    kind: Cow<'static, str>,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finding {
    rule: &'static str,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Field {
    field: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleName {
    rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Policy {
    hash: String,
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcomes {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    action: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Configuration {
    configuration: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    which: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct File {
    file: &'static str,
}

/// How many exemptions of the policy in force have ended. It changes with the date, so it is counted when asked for.
#[derive(Debug)]
struct Exemptions(InForce);

impl Collector for Exemptions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(store) = self.0.get() else { return Ok(()) };
        let Some(policy) = store.load() else { return Ok(()) };
        let ended = policy.ended_exemptions(clock::today()).count();
        let gauge = ConstGauge::new(u64::try_from(ended).unwrap_or(u64::MAX));
        let (name, help) = ("probekeeper_exemptions_expired", "Exemptions of the policy in force that have ended");
        gauge.encode(encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?)
    }
}

/// The `process_*` metrics that every Prometheus client offers, read from `/proc` when asked for. Elsewhere than on Linux there are none.
#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?)
        };
        gauge("process_start_time_seconds", "Start of the process, in seconds since 1970", started)?;
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Resident memory", bytes)?;
        }
        if let Some(count) = open_files() {
            gauge("process_open_fds", "Open file descriptors", count)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let kind = prometheus_client::metrics::MetricType::Counter;
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time, user and system", None, kind)?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn open_files() -> Option<f64> {
    // Counting opens one itself.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in brackets and may hold anything; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    // Linux reports in units of 1/100 s on every architecture (USER_HZ).
    Some((user + system) / 100.0)
}
