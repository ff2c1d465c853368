//! The numbers that one container is filled in with.
//!
//! Every value is computed from what the author set and from the API server's defaults for the rest, never from what was filled in before: a second
//! pass therefore gives the same numbers. No computed value makes a probe stricter than the API default would, and nothing is filled in that would make
//! a rule fire: see [`Draft::measures`].

use crate::{
    model::{Author, Container, Handler, Leaf, Port, Probe, ProbeKind, Timing, Witnesses, Workload, resolve_port, same_check},
    policy::{Defaults, FillWith, ProbeDefaults, Startup},
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
/// Least start-up time that an added startup probe guarantees whatever number the policy gives; what `startup-budget-too-small` asks for.
const LEAST_GUARANTEE: i64 = 10;
/// Longest start-up that an added startup probe lets pass; what `startup-budget-too-large` asks for.
const MOST_BUDGET: i64 = 1800;
/// Period of an added startup probe, in seconds: that of liveness within these bounds. The lower one keeps the node's load down, the upper one is the API
/// default, and every second of it delays readiness.
const STARTUP_PERIODS: (i64, i64) = (5, 10);
/// A pod's grace period, in seconds, above which `auto` gives liveness one of its own, and that one: what `slow-termination` asks for, and the API default
/// of the pod's.
const LONG_GRACE: i64 = 120;
const LIVENESS_GRACE: i64 = 30;

/// The leaves that may be filled in, in the order of computation.
pub(super) const FILLABLE: [Leaf; 5] = [
    Leaf::PeriodSeconds,
    Leaf::TimeoutSeconds,
    Leaf::FailureThreshold,
    Leaf::InitialDelaySeconds,
    Leaf::TerminationGracePeriodSeconds,
];

/// One probe while it is being computed.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) timing: Timing,
    pub(super) grace: Option<i64>,
    exec: bool,
    /// Who set each leaf, in the order of [`Leaf::ALL`], for those that may be filled in; `None` for those that may not.
    open: [Option<Author>; 6],
}

impl Slot {
    pub(super) const fn author(&self, leaf: Leaf) -> Option<Author> {
        self.open[leaf as usize]
    }

    pub(super) const fn value(&self, leaf: Leaf) -> Option<i64> {
        match leaf {
            Leaf::InitialDelaySeconds => Some(self.timing.initial_delay),
            Leaf::TimeoutSeconds => Some(self.timing.timeout),
            Leaf::PeriodSeconds => Some(self.timing.period),
            Leaf::SuccessThreshold => Some(self.timing.success_threshold),
            Leaf::FailureThreshold => Some(self.timing.failure_threshold),
            Leaf::TerminationGracePeriodSeconds => self.grace,
        }
    }

    fn set(&mut self, leaf: Leaf, value: i64) {
        let place = match leaf {
            Leaf::InitialDelaySeconds => &mut self.timing.initial_delay,
            Leaf::TimeoutSeconds => &mut self.timing.timeout,
            Leaf::PeriodSeconds => &mut self.timing.period,
            Leaf::SuccessThreshold => &mut self.timing.success_threshold,
            Leaf::FailureThreshold => &mut self.timing.failure_threshold,
            Leaf::TerminationGracePeriodSeconds => {
                self.grace = Some(value);
                return;
            }
        };
        *place = value;
    }

    /// May be filled in, and has not been.
    fn is_vacant(&self, leaf: Leaf) -> bool {
        self.author(leaf).is_some() && self.value(leaf) == leaf.api_default()
    }
}

/// One step of the computation.
#[derive(Clone, Copy)]
enum Step {
    Number(ProbeKind, Leaf),
    AddStartup,
}

/// In an order in which each depends only on those before it, as far as that is possible.
const STEPS: [Step; 14] = [
    Step::Number(ProbeKind::Liveness, Leaf::PeriodSeconds),
    Step::Number(ProbeKind::Readiness, Leaf::PeriodSeconds),
    Step::Number(ProbeKind::Startup, Leaf::PeriodSeconds),
    Step::Number(ProbeKind::Liveness, Leaf::TimeoutSeconds),
    Step::Number(ProbeKind::Readiness, Leaf::TimeoutSeconds),
    Step::Number(ProbeKind::Startup, Leaf::TimeoutSeconds),
    Step::Number(ProbeKind::Readiness, Leaf::FailureThreshold),
    Step::Number(ProbeKind::Startup, Leaf::InitialDelaySeconds),
    Step::Number(ProbeKind::Startup, Leaf::FailureThreshold),
    Step::Number(ProbeKind::Liveness, Leaf::FailureThreshold),
    Step::Number(ProbeKind::Liveness, Leaf::TerminationGracePeriodSeconds),
    Step::AddStartup,
    Step::Number(ProbeKind::Readiness, Leaf::InitialDelaySeconds),
    Step::Number(ProbeKind::Liveness, Leaf::InitialDelaySeconds),
];

/// How bad a container's numbers are, rule by rule; 0 is good.
type Measures = [i64; 18];

/// One container while its probes are being computed.
pub(super) struct Draft<'d> {
    /// What the policy wants for this container.
    defaults: &'d Defaults,
    allowances: Startup,
    workload: &'d Workload<'d>,
    container: &'d Container<'d>,
    pub(super) witnesses: &'d Witnesses<'d>,
    create: bool,
    /// In the order of [`ProbeKind::ALL`].
    pub(super) probes: [Option<Slot>; 3],
    /// The startup probe is one that we add.
    pub(super) added: bool,
}

impl<'d> Draft<'d> {
    /// What becomes of a container.
    pub(super) fn of(
        defaults: &'d Defaults,
        allowances: Startup,
        workload: &'d Workload<'d>,
        container: &'d Container<'d>,
        witnesses: &'d Witnesses<'d>,
        create: bool,
    ) -> Self {
        let mut draft = Self { defaults, allowances, workload, container, witnesses, create, probes: [None; 3], added: false };
        draft.compute();
        draft
    }

    /// Takes what is wanted, as far as no rule minds; what a rule minds is taken as near to what is wanted as the rule allows. What has been filled in stays,
    /// and what has not is tried again until nothing more can be: a second pass, to which our values are the author's, then finds nothing to do.
    fn compute(&mut self) {
        for (at, kind) in ProbeKind::ALL.into_iter().enumerate() {
            self.probes[at] = self.container.valid_probe(kind).map(|probe| self.open(kind, probe));
        }
        let limits = self.measures();
        // Each round fills in at least one more.
        for _ in 0..=STEPS.len() {
            let mut changed = self.take_together(&limits);
            for step in STEPS {
                changed |= self.take(step, Some(&limits));
            }
            if !changed {
                return;
            }
        }
    }

    /// Takes as many steps as together keep within the limits, each in full. A step that breaks them is left out as if its number could not be filled in at
    /// all, so that the others become what they will be when that number counts as the author's.
    fn take_together(&mut self, limits: &Measures) -> bool {
        let start = (self.probes, self.added);
        let mut left_out = [false; STEPS.len()];
        let take_all = |draft: &mut Self, left_out: &[bool]| {
            (draft.probes, draft.added) = start;
            STEPS
                .iter()
                .zip(left_out)
                .filter(|(_, left_out)| !**left_out)
                .fold(false, |changed, (step, _)| draft.take(*step, None) | changed)
        };
        loop {
            let changed = take_all(self, &left_out);
            if !changed || !exceeds(&self.measures(), limits) {
                return changed;
            }
            let taken = || (0..STEPS.len()).rev().filter(|at| !left_out[*at]);
            let guilty = taken().find(|at| {
                let mut without = left_out;
                without[*at] = true;
                take_all(self, &without);
                !exceeds(&self.measures(), limits)
            });
            let Some(guilty) = guilty.or_else(|| taken().next()) else { return false };
            left_out[guilty] = true;
        }
    }

    /// A slot that starts from the API default wherever we may fill in.
    fn open(&self, kind: ProbeKind, probe: &Probe<'_>) -> Slot {
        let grace = probe.defaulted(Leaf::TerminationGracePeriodSeconds);
        let exec = matches!(probe.handler(), Some(Handler::Exec(_)));
        let mut slot = Slot { timing: probe.timing(), grace, exec, open: [None; 6] };
        for leaf in FILLABLE {
            if leaf == Leaf::TerminationGracePeriodSeconds && kind != ProbeKind::Liveness {
                continue;
            }
            let author = self.witnesses.author(self.container, kind, leaf);
            let fillable = match author {
                Author::Set => false,
                Author::Omitted | Author::Ours => true,
                Author::Unknown => self.create && self.defaults.fill_unknown,
            };
            if !fillable {
                continue;
            }
            slot.open[leaf as usize] = Some(author);
            match leaf.api_default() {
                Some(default) => slot.set(leaf, default),
                None => slot.grace = None,
            }
        }
        slot
    }

    /// Fills in one number or probe, unless that is done already. With limits: as much of it as keeps within them.
    fn take(&mut self, step: Step, limits: Option<&Measures>) -> bool {
        let (kind, leaf) = match step {
            Step::Number(kind, leaf) => (kind, leaf),
            Step::AddStartup => {
                let Some(slot) = self.startup_to_add() else { return false };
                (self.probes[2], self.added) = (Some(slot), true);
                if limits.is_some_and(|limits| exceeds(&self.measures(), limits)) {
                    (self.probes[2], self.added) = (None, false);
                }
                return self.added;
            }
        };
        let at = kind as usize;
        let Some(slot) = self.probes[at].filter(|slot| slot.is_vacant(leaf)) else { return false };
        let Some(wanted) = self.wanted(kind, leaf, &slot).filter(|wanted| Some(*wanted) != slot.value(leaf)) else {
            return false;
        };
        let fits = |draft: &mut Self, value: i64| {
            let mut filled = slot;
            filled.set(leaf, value);
            draft.probes[at] = Some(filled);
            limits.is_none_or(|limits| !exceeds(&draft.measures(), limits))
        };
        if fits(self, wanted) {
            return true;
        }
        // A computed threshold that is too small for its purpose is no better than the API default, and looks chosen.
        if leaf == Leaf::FailureThreshold && self.defaults_of(kind).failure_threshold == FillWith::Auto {
            self.probes[at] = Some(slot);
            return false;
        }
        // The number nearest to what is wanted; the API default itself fits.
        let (mut good, mut bad) = (slot.value(leaf).unwrap_or(i64::from(i32::MAX)), wanted);
        while good.abs_diff(bad) > 1 {
            let middle = good.midpoint(bad);
            if fits(self, middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        let filled = fits(self, good) && Some(good) != slot.value(leaf) && good != i64::from(i32::MAX);
        if !filled {
            self.probes[at] = Some(slot);
        }
        filled
    }

    /// What a leaf is to be filled with, if the rules allow it; `None` to leave it.
    fn wanted(&self, kind: ProbeKind, leaf: Leaf, slot: &Slot) -> Option<i64> {
        let defaults = self.defaults_of(kind);
        let timing = slot.timing;
        match leaf {
            // There is no computed period; one from the policy does not fall below a timeout that the author chose.
            Leaf::PeriodSeconds => {
                let chosen = if slot.author(Leaf::TimeoutSeconds).is_none() { timing.timeout } else { 1 };
                number(defaults.period, None).map(|period| period.max(chosen))
            }
            // At most the period, or `timeout-exceeds-period` would fire because of us.
            Leaf::TimeoutSeconds => {
                let auto = if kind == ProbeKind::Readiness { READINESS_TIMEOUT } else { LIVENESS_TIMEOUT };
                number(defaults.timeout, Some(auto)).map(|timeout| timeout.min(timing.period))
            }
            Leaf::FailureThreshold => number(
                defaults.failure_threshold,
                match kind {
                    ProbeKind::Liveness => self.liveness_threshold(timing),
                    // A readiness that fails early harms nothing.
                    ProbeKind::Readiness => None,
                    ProbeKind::Startup => Some(timing.threshold_for_start_up(self.allowance().max(STARTUP_GUARANTEE)).max(3)),
                },
            ),
            // With a startup probe the delay would only repeat what that one guarantees (semantics 2.2).
            Leaf::InitialDelaySeconds => match kind {
                ProbeKind::Startup => number(defaults.initial_delay, None),
                _ if self.has_startup() => None,
                ProbeKind::Readiness => number(defaults.initial_delay, None),
                ProbeKind::Liveness => {
                    let missing = self.allowance().saturating_sub(timing.guaranteed_start_up());
                    number(defaults.initial_delay, Some(missing.max(0)))
                }
            },
            Leaf::TerminationGracePeriodSeconds => {
                let hook = self.container.pre_stop();
                let auto =
                    self.workload.grace_period > LONG_GRACE && hook.at_most.is_some_and(|seconds| seconds < LIVENESS_GRACE);
                number(self.defaults.liveness_grace, auto.then_some(LIVENESS_GRACE))
            }
            Leaf::SuccessThreshold => None,
        }
    }

    fn liveness_threshold(&self, timing: Timing) -> Option<i64> {
        let mut threshold = timing.threshold_for_tolerance(LIVENESS_TOLERANCE).max(*LIVENESS_THRESHOLDS.start());
        if let Some(readiness) = self.probes[1].filter(|_| self.same_check_as_readiness()) {
            // One period beyond what readiness needs, so that it acts first.
            let acted = readiness.timing.acted().saturating_add(readiness.timing.period);
            threshold = threshold.max(timing.threshold_for_tolerance(acted.saturating_add(1))).max(SAME_CHECK_THRESHOLD);
        }
        // Beyond the range no number is right, and the rule speaks.
        Some(threshold).filter(|threshold| threshold <= LIVENESS_THRESHOLDS.end())
    }

    /// The startup probe that is added: the check of liveness, never stricter than liveness alone would be.
    fn startup_to_add(&self) -> Option<Slot> {
        let liveness = self.container.valid_probe(ProbeKind::Liveness)?;
        let slot = self.probes[0]?;
        if !self.defaults.add_startup_probe || self.has_startup() || !may_gate(self.container, liveness) {
            return None;
        }
        // Our own delay has done already what the startup probe is for.
        if slot.author(Leaf::InitialDelaySeconds).is_some() && slot.timing.initial_delay != 0 {
            return None;
        }
        let (l, wanted) = (slot.timing, self.defaults.startup);
        let (least, most) = STARTUP_PERIODS;
        let auto = if slot.exec { most } else { l.period.clamp(least, most) };
        let period = number(wanted.period, Some(auto)).unwrap_or(most).max(if slot.exec { most } else { least }).max(l.timeout);
        let timeout = number(wanted.timeout, Some(LIVENESS_TIMEOUT)).unwrap_or(1).max(l.timeout).min(period);
        let initial_delay = number(wanted.initial_delay, None).unwrap_or(0);
        let mut timing = Timing { initial_delay, period, timeout, failure_threshold: 3, success_threshold: 1 };
        let alone = l.guaranteed_start_up();
        timing.failure_threshold = match wanted.failure_threshold {
            FillWith::Value(threshold) => threshold.max(timing.threshold_for_start_up(alone.max(LEAST_GUARANTEE))),
            _ => timing.threshold_for_start_up(alone.max(self.allowance()).max(STARTUP_GUARANTEE)).max(3),
        };
        let in_range = [initial_delay, period, timing.failure_threshold].into_iter().all(|number| number <= i64::from(i32::MAX));
        in_range.then_some(Slot { timing, grace: slot.grace, exec: slot.exec, open: [None; 6] })
    }

    /// Seconds of the preStop sleep that is added. The process needs the rest of every grace period that may apply.
    pub(super) fn pre_stop_sleep(&self) -> Option<i64> {
        let wanted = self.defaults.pre_stop_sleep_seconds;
        let serves = self.workload.is_long_running() && self.container.serving_port().is_some();
        if wanted <= 0 || !serves || self.container.has_pre_stop() {
            return None;
        }
        let own = self.probes.iter().flatten().filter_map(|slot| slot.grace);
        let grace = own.fold(self.workload.grace_period, i64::min);
        Some(wanted.min(grace / 2)).filter(|seconds| *seconds > 0)
    }

    /// What rules say of the numbers, with the thresholds that they have unless a policy changes them. Filling in must not raise any of these.
    fn measures(&self) -> Measures {
        let [l, r, u] = self.probes.map(|slot| slot.map(|slot| slot.timing));
        let of = |timing: Option<Timing>, measure: &dyn Fn(Timing) -> i64| timing.map_or(0, |timing| measure(timing).max(0));
        let available = self.workload.time_to_available(u.or(l).map_or(0, |timing| timing.start_up_upper_bound()), r);
        let late =
            self.workload.progress_deadline.map_or(0, |deadline| available.saturating_sub(deadline).saturating_add(1).max(0));
        let hook = self.container.pre_stop().at_least;
        let [l_slot, r_slot, u_slot] = self.probes;
        let exec = |slot: Option<Slot>| of(slot.filter(|slot| slot.exec).map(|slot| slot.timing), &|timing| 10 - timing.period);
        let overlong = |timing| of(timing, &|timing: Timing| timing.timeout - timing.period);
        let grace = |slot: Option<Slot>| match slot.and_then(|slot| slot.grace) {
            Some(grace) if hook > 0 => (hook - grace + 1).max(0),
            _ => 0,
        };
        [
            late, // startup-exceeds-progress-deadline
            match (l, r) {
                // liveness-not-slower-than-readiness
                (Some(l), Some(r)) if self.same_check_as_readiness() => {
                    r.acted().saturating_sub(l.tolerance()).saturating_add(1).max(0)
                }
                _ => 0,
            },
            of(l, &|l| LIVENESS_TOLERANCE - l.tolerance()), // hair-trigger-liveness, aggressive-liveness
            if self.has_startup() { 0 } else { of(l, &|l| STARTUP_GUARANTEE - l.guaranteed_start_up()) }, // no-startup-allowance
            of(u, &|u| LEAST_GUARANTEE - u.guaranteed_start_up()), // startup-budget-too-small
            of(u, &|u| u.start_up_upper_bound() - MOST_BUDGET), // startup-budget-too-large
            of(l, &|l| i64::from(l.failure_threshold == 1)), // single-failure-liveness
            of(r, &|r| if r.failure_threshold == 1 { 3 - r.timeout } else { 0 }), // single-failure-readiness
            of(r, &|r| r.refusal_detection().1 - 60),       // slow-readiness
            of(r, &|r| r.recovery() - 60),                  // slow-recovery
            overlong(l),                                    // timeout-exceeds-period
            overlong(r),
            overlong(u),
            exec(l_slot), // frequent-exec
            exec(r_slot),
            exec(u_slot),
            grace(l_slot), // probe-grace-below-prestop
            grace(u_slot),
        ]
    }

    const fn defaults_of(&self, kind: ProbeKind) -> ProbeDefaults {
        match kind {
            ProbeKind::Liveness => self.defaults.liveness,
            ProbeKind::Readiness => self.defaults.readiness,
            ProbeKind::Startup => self.defaults.startup,
        }
    }

    /// Start-up allowance in seconds.
    const fn allowance(&self) -> i64 {
        self.allowances.allowance_seconds
    }

    fn has_startup(&self) -> bool {
        self.added || self.container.probe(ProbeKind::Startup).is_some()
    }

    fn same_check_as_readiness(&self) -> bool {
        let valid = |kind| self.container.valid_probe(kind);
        match (valid(ProbeKind::Liveness), valid(ProbeKind::Readiness)) {
            (Some(liveness), Some(readiness)) => same_check(self.container, liveness, readiness),
            _ => false,
        }
    }
}

fn exceeds(measures: &Measures, limits: &Measures) -> bool {
    measures.iter().zip(limits).any(|(measure, limit)| measure > limit)
}

fn number(wanted: FillWith, auto: Option<i64>) -> Option<i64> {
    match wanted {
        FillWith::Auto => auto,
        FillWith::Value(value) => Some(value),
        FillWith::Leave => None,
    }
}

/// Whether a check may hold the other probes back. A liveness probe on an unknown port never acts; a startup probe on it never lets the container start
/// (semantics 2.6). One that asks elsewhere would make the start depend on it.
fn may_gate(container: &Container<'_>, liveness: &Probe<'_>) -> bool {
    liveness.handler().is_some_and(|handler| {
        handler.host().is_none() && handler.port().is_none_or(|port| resolve_port(container, &port) != Port::Unknown)
    })
}
