//! What to fill in: only leaves that the author left out, only in probes that exist and have exactly one handler.
//!
//! Every value is computed from what the author set and from the API server's defaults for the rest, never from what was filled in before: a second
//! pass therefore gives the same numbers. No computed value makes a probe stricter than the API default would.

use crate::{
    model::{Author, Container, Leaf, Owner, Probe, ProbeKind, Record, Timing, Witnesses, Workload, same_check},
    policy::{FillWith, Policy, ProbeDefaults},
};

/// `auto` timeouts in seconds, at most the period: a tenth of the scanned probes chose a timeout above its period, and 5 is the value most often chosen
/// (docs/probe-semantics.md 6). Readiness reacts sooner, because it only takes the pod out of the traffic.
const LIVENESS_TIMEOUT: i64 = 5;
const READINESS_TIMEOUT: i64 = 3;
/// Shortest hang, in seconds, that liveness should survive; what `aggressive-liveness` asks for.
const LIVENESS_TOLERANCE: i64 = 20;
/// Range of a computed failure threshold of liveness.
const LIVENESS_THRESHOLDS: std::ops::RangeInclusive<i64> = 3..=30;
/// Threshold of liveness when it asks what readiness asks: the documented pattern "same endpoint, higher threshold".
const SAME_CHECK_THRESHOLD: i64 = 6;
/// Start-up time, in seconds, that a startup probe guarantees at least.
const STARTUP_GUARANTEE: i64 = 30;

/// One number to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Index in [`Workload::containers`].
    pub container: usize,
    /// Which probe.
    pub probe: ProbeKind,
    /// Which number.
    pub leaf: Leaf,
    /// What it becomes.
    pub value: i64,
    /// What stands there now, if anything.
    pub present: Option<i64>,
    /// Nothing tells whether the author set it: it equals the API default.
    pub unknown: bool,
}

impl Fill {
    /// Field path for metrics and people: `livenessProbe.timeoutSeconds`.
    pub const fn field(&self) -> &'static str {
        macro_rules! name {
            ($($probe:ident $prefix:literal),+) => {
                match (self.probe, self.leaf) {
                    $(
                        (ProbeKind::$probe, Leaf::InitialDelaySeconds) => concat!($prefix, ".initialDelaySeconds"),
                        (ProbeKind::$probe, Leaf::TimeoutSeconds) => concat!($prefix, ".timeoutSeconds"),
                        (ProbeKind::$probe, Leaf::PeriodSeconds) => concat!($prefix, ".periodSeconds"),
                        (ProbeKind::$probe, Leaf::SuccessThreshold) => concat!($prefix, ".successThreshold"),
                        (ProbeKind::$probe, Leaf::FailureThreshold) => concat!($prefix, ".failureThreshold"),
                        (ProbeKind::$probe, Leaf::TerminationGracePeriodSeconds) => concat!($prefix, ".terminationGracePeriodSeconds"),
                    )+
                }
            };
        }
        name!(Liveness "livenessProbe", Readiness "readinessProbe", Startup "startupProbe")
    }

    /// JSON pointer of the leaf.
    pub fn pointer(&self, workload: &Workload<'_>) -> String {
        let container = &workload.containers[self.container];
        format!("{}/{}", workload.probe_pointer(container, self.probe), self.leaf.field())
    }

    /// Whether the number changes what is there (after API defaulting).
    fn changes(&self) -> bool {
        self.present.filter(|present| *present != 0).or(self.leaf.api_default()) != Some(self.value)
    }
}

/// Everything that is ours in one object.
#[derive(Debug, Default)]
pub struct Plan {
    /// Numbers that change something, by container, probe and leaf.
    pub fills: Vec<Fill>,
    /// All numbers that are ours afterwards, also those that stand already, and what was ours before somebody edited it by hand.
    pub record: Record,
}

/// Computes what to fill in. `create`: on UPDATE nothing is filled in of which it is unknown who set it.
///
/// Nothing is filled in where the author declined, and nothing in what a controller made: patching it sets the two fighting (H9).
pub fn plan(policy: &Policy, workload: &Workload<'_>, witnesses: &Witnesses<'_>, create: bool) -> Plan {
    let mut plan = Plan::default();
    if workload.owner() != Owner::None || workload.declines_defaults() {
        return plan;
    }
    for (index, container) in workload.containers.iter().enumerate() {
        let mut draft = Draft { policy, workload, container, witnesses, create, probes: [None; 3] };
        draft.compute();
        for (kind, slot) in ProbeKind::ALL.into_iter().zip(draft.probes) {
            let (Some(slot), Some(probe)) = (slot, container.probe(kind)) else { continue };
            for leaf in FILLABLE {
                let (value, Some(author)) = (slot.value(leaf), slot.author(leaf)) else {
                    if let Some(recorded) = witnesses.edited_by_hand(container, kind, leaf) {
                        plan.record.insert(&container.name, kind, leaf, recorded);
                    }
                    continue;
                };
                if Some(value) == leaf.api_default() && author != Author::Ours {
                    continue;
                }
                let fill = Fill {
                    container: index,
                    probe: kind,
                    leaf,
                    value,
                    present: probe.leaf(leaf),
                    unknown: author == Author::Unknown,
                };
                if Some(value) != leaf.api_default() {
                    plan.record.insert(&container.name, kind, leaf, value);
                }
                if fill.changes() {
                    plan.fills.push(fill);
                }
            }
        }
    }
    plan
}

/// Sets the planned numbers in the model, as the API server will when it applies the patch.
pub fn apply(workload: &mut Workload<'_>, fills: &[Fill]) {
    for fill in fills {
        if let Some(probe) = workload.containers.get_mut(fill.container).and_then(|container| container.probe_mut(fill.probe)) {
            probe.set_leaf(fill.leaf, fill.value);
        }
    }
}

/// The leaves that may be filled in, in the order of computation: each depends only on those before it.
const FILLABLE: [Leaf; 4] = [Leaf::PeriodSeconds, Leaf::TimeoutSeconds, Leaf::FailureThreshold, Leaf::InitialDelaySeconds];

/// One probe while it is being computed.
#[derive(Clone, Copy)]
struct Slot {
    timing: Timing,
    /// Who set each leaf of [`FILLABLE`], for those that may be filled in; `None` for those that may not.
    open: [Option<Author>; 4],
}

impl Slot {
    fn author(&self, leaf: Leaf) -> Option<Author> {
        FILLABLE.iter().position(|candidate| *candidate == leaf).and_then(|at| self.open[at])
    }

    const fn value(&self, leaf: Leaf) -> i64 {
        match leaf {
            Leaf::InitialDelaySeconds => self.timing.initial_delay,
            Leaf::TimeoutSeconds => self.timing.timeout,
            Leaf::PeriodSeconds => self.timing.period,
            Leaf::SuccessThreshold => self.timing.success_threshold,
            Leaf::FailureThreshold | Leaf::TerminationGracePeriodSeconds => self.timing.failure_threshold,
        }
    }

    fn set(&mut self, leaf: Leaf, value: i64) {
        let place = match leaf {
            Leaf::InitialDelaySeconds => &mut self.timing.initial_delay,
            Leaf::TimeoutSeconds => &mut self.timing.timeout,
            Leaf::PeriodSeconds => &mut self.timing.period,
            Leaf::SuccessThreshold => &mut self.timing.success_threshold,
            Leaf::FailureThreshold | Leaf::TerminationGracePeriodSeconds => &mut self.timing.failure_threshold,
        };
        *place = value;
    }
}

/// One container while its probes are being computed.
struct Draft<'d> {
    policy: &'d Policy,
    workload: &'d Workload<'d>,
    container: &'d Container<'d>,
    witnesses: &'d Witnesses<'d>,
    create: bool,
    /// In the order of [`ProbeKind::ALL`].
    probes: [Option<Slot>; 3],
}

impl Draft<'_> {
    fn compute(&mut self) {
        for (at, kind) in ProbeKind::ALL.into_iter().enumerate() {
            self.probes[at] = self.container.valid_probe(kind).map(|probe| self.open(kind, probe));
        }
        for (at, kind) in ProbeKind::ALL.into_iter().enumerate() {
            let wanted = self.wanted(kind);
            let Some(slot) = &mut self.probes[at] else { continue };
            fill_period(slot, wanted);
            fill_timeout(slot, wanted, if kind == ProbeKind::Readiness { READINESS_TIMEOUT } else { LIVENESS_TIMEOUT });
        }
        self.fill_readiness();
        self.fill_startup();
        self.fill_liveness();
    }

    /// A slot that starts from the API default wherever we may fill in.
    fn open(&self, kind: ProbeKind, probe: &Probe<'_>) -> Slot {
        let mut slot = Slot { timing: probe.timing(), open: [None; 4] };
        for (at, leaf) in FILLABLE.into_iter().enumerate() {
            let author = self.witnesses.author(self.container, kind, leaf);
            let fillable = match author {
                Author::Set => false,
                Author::Omitted | Author::Ours => true,
                Author::Unknown => self.create && self.policy.defaults.fill_unknown,
            };
            if let (true, Some(default)) = (fillable, leaf.api_default()) {
                slot.open[at] = Some(author);
                slot.set(leaf, default);
            }
        }
        slot
    }

    const fn wanted(&self, kind: ProbeKind) -> ProbeDefaults {
        match kind {
            ProbeKind::Liveness => self.policy.defaults.liveness,
            ProbeKind::Readiness => self.policy.defaults.readiness,
            ProbeKind::Startup => self.policy.defaults.startup,
        }
    }

    fn slot(&self, kind: ProbeKind) -> Option<Slot> {
        match kind {
            ProbeKind::Liveness => self.probes[0],
            ProbeKind::Readiness => self.probes[1],
            ProbeKind::Startup => self.probes[2],
        }
    }

    fn fill_readiness(&mut self) {
        let (wanted, gated) = (self.wanted(ProbeKind::Readiness), self.has_startup());
        let chosen = self.slot(ProbeKind::Liveness).filter(|slot| slot.author(Leaf::FailureThreshold).is_none());
        let chosen = chosen.map(|slot| slot.timing).filter(|_| self.same_check_as_readiness());
        let Some(slot) = &mut self.probes[1] else { return };
        // `auto` leaves both: a readiness that fails early harms nothing.
        fill_number(slot, Leaf::FailureThreshold, wanted.failure_threshold);
        // A liveness that the author made just slower than readiness stays slower.
        if let (Some(liveness), Some(_), FillWith::Auto) = (chosen, slot.author(Leaf::TimeoutSeconds), wanted.timeout) {
            let acted = slot.timing.failure_threshold.saturating_mul(slot.timing.period);
            let room = liveness.tolerance().saturating_sub(acted).saturating_sub(1);
            if room >= 1 {
                slot.set(Leaf::TimeoutSeconds, slot.timing.timeout.min(room));
            }
        }
        if !gated {
            fill_number(slot, Leaf::InitialDelaySeconds, wanted.initial_delay);
        }
    }

    fn fill_startup(&mut self) {
        let (wanted, allowance) = (self.wanted(ProbeKind::Startup), self.allowance());
        let deadline = self.workload.progress_deadline;
        let Some(slot) = &mut self.probes[2] else { return };
        fill_number(slot, Leaf::InitialDelaySeconds, wanted.initial_delay);
        if slot.author(Leaf::FailureThreshold).is_some() && wanted.failure_threshold == FillWith::Auto {
            let threshold = slot.timing.threshold_for_start_up(allowance.max(STARTUP_GUARANTEE)).max(3);
            let budget = Timing { failure_threshold: threshold, ..slot.timing }.start_up_upper_bound();
            // A Deployment that may start for longer than its progress deadline counts as failed: then the author has to decide.
            if deadline.is_none_or(|deadline| budget < deadline) {
                slot.set(Leaf::FailureThreshold, threshold);
            }
        } else {
            fill_number(slot, Leaf::FailureThreshold, wanted.failure_threshold);
        }
    }

    fn fill_liveness(&mut self) {
        let (wanted, allowance, gated) = (self.wanted(ProbeKind::Liveness), self.allowance(), self.has_startup());
        let acted = self.slot(ProbeKind::Readiness).map(|slot| slot.timing).filter(|_| self.same_check_as_readiness());
        let deadline = self.workload.progress_deadline;
        let Some(slot) = &mut self.probes[0] else { return };

        if slot.author(Leaf::FailureThreshold).is_some() && wanted.failure_threshold == FillWith::Auto {
            let mut threshold = slot.timing.threshold_for_tolerance(LIVENESS_TOLERANCE).max(*LIVENESS_THRESHOLDS.start());
            if let Some(readiness) = acted {
                // One period beyond what readiness needs, so that it acts first.
                let acted = readiness.failure_threshold.saturating_mul(readiness.period);
                let acted = acted.saturating_add(readiness.timeout).saturating_add(readiness.period);
                threshold = threshold.max(slot.timing.threshold_for_tolerance(acted.saturating_add(1))).max(SAME_CHECK_THRESHOLD);
            }
            // Beyond the range no number is right, and the rule speaks.
            if threshold <= *LIVENESS_THRESHOLDS.end() {
                slot.set(Leaf::FailureThreshold, threshold);
            }
        } else {
            fill_number(slot, Leaf::FailureThreshold, wanted.failure_threshold);
        }

        // With a startup probe the delay would only repeat what that one guarantees (semantics 2.2).
        if gated || slot.author(Leaf::InitialDelaySeconds).is_none() {
            return;
        }
        match wanted.initial_delay {
            FillWith::Auto => {
                let missing = allowance.saturating_sub(slot.timing.guaranteed_start_up()).max(0);
                let delayed = Timing { initial_delay: missing, ..slot.timing };
                if deadline.is_none_or(|deadline| delayed.start_up_upper_bound() < deadline) {
                    slot.set(Leaf::InitialDelaySeconds, missing);
                }
            }
            other => fill_number(slot, Leaf::InitialDelaySeconds, other),
        }
    }

    /// Start-up allowance in seconds.
    const fn allowance(&self) -> i64 {
        self.policy.startup.allowance_seconds
    }

    fn has_startup(&self) -> bool {
        self.container.probe(ProbeKind::Startup).is_some()
    }

    fn same_check_as_readiness(&self) -> bool {
        let valid = |kind| self.container.valid_probe(kind);
        match (valid(ProbeKind::Liveness), valid(ProbeKind::Readiness)) {
            (Some(liveness), Some(readiness)) => same_check(self.container, liveness, readiness),
            _ => false,
        }
    }
}

fn fill_number(slot: &mut Slot, leaf: Leaf, wanted: FillWith) {
    if let (FillWith::Value(value), Some(_)) = (wanted, slot.author(leaf)) {
        slot.set(leaf, value);
    }
}

/// There is no computed period; a number from the policy is kept from falling below a timeout that the author chose.
fn fill_period(slot: &mut Slot, wanted: ProbeDefaults) {
    if let (FillWith::Value(period), Some(_)) = (wanted.period, slot.author(Leaf::PeriodSeconds)) {
        let chosen = if slot.author(Leaf::TimeoutSeconds).is_none() { slot.timing.timeout } else { 1 };
        slot.set(Leaf::PeriodSeconds, period.max(chosen));
    }
}

/// At most the period, or `timeout-exceeds-period` would fire because of us.
fn fill_timeout(slot: &mut Slot, wanted: ProbeDefaults, auto: i64) {
    if slot.author(Leaf::TimeoutSeconds).is_none() {
        return;
    }
    let timeout = match wanted.timeout {
        FillWith::Auto => auto,
        FillWith::Value(value) => value,
        FillWith::Leave => return,
    };
    slot.set(Leaf::TimeoutSeconds, timeout.min(slot.timing.period));
}
