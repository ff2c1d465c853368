//! The kubelet's prober workers as a discrete-event simulation, written from `probe-semantics.md` 2 and from nothing in `src/`.
//!
//! Time is counted in [`SECOND`]s of a few steps each, so that every phase of a ticker can be tried and "just shorter" is one step. A healthy target
//! answers at once. A target that hangs answers what it was asked when the hang is over, as a process that was stopped does; one that loses requests
//! answers only those that come after.

use std::collections::BTreeSet;

use probekeeper::model::{ProbeKind, Timing};

/// Steps of the simulated clock per second.
pub(crate) const SECOND: i64 = 4;

/// What the target does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Answers at once.
    Serves,
    /// Fails at once: connection refused, or HTTP 500.
    Refuses,
    /// Keeps the request until its state changes.
    Hangs,
    /// Never answers this request, even when its state changes.
    Loses,
}

/// What a target does over time, counted from the start of its container: each state holds from its time on.
#[derive(Debug, Clone)]
pub(crate) struct Target(pub(crate) Vec<(i64, State)>);

impl Target {
    /// Ready to serve from `up` on, until then in another state.
    pub(crate) fn up_at(up: i64, before: State) -> Self {
        Self(vec![(0, before), (up, State::Serves)])
    }

    /// Serves but for one outage.
    pub(crate) fn outage(from: i64, length: i64, state: State) -> Self {
        Self(vec![(0, State::Serves), (from, state), (from.saturating_add(length), State::Serves)])
    }

    /// When a request of `start` is over, and whether it succeeded.
    fn answer(&self, start: i64, timeout: i64) -> (i64, bool) {
        let deadline = start + timeout;
        let now = self.0.iter().rposition(|(from, _)| *from <= start);
        let later = self.0[now.map_or(0, |now| now + 1)..].iter();
        match now.map(|now| self.0[now].1) {
            Some(State::Serves) => (start, true),
            None | Some(State::Refuses) => (start, false),
            Some(State::Loses) => (deadline, false),
            Some(State::Hangs) => later
                .take_while(|(from, _)| *from < deadline)
                .find_map(|(from, state)| match state {
                    State::Serves => Some((*from, true)),
                    State::Refuses => Some((*from, false)),
                    State::Hangs => None,
                    State::Loses => Some((deadline, false)),
                })
                .unwrap_or((deadline, false)),
        }
    }
}

/// What can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The startup probe has succeeded.
    Started,
    /// The readiness probe's result changed to success.
    Ready,
    /// The readiness probe's result changed to failure.
    Unready,
    /// Liveness or startup failed: the container is killed.
    Killed,
}

/// A container with its probes, and the phase of each probe's ticker: the first tick after container start, `0..P`.
#[derive(Debug, Clone)]
pub(crate) struct Kubelet {
    pub(crate) probes: Vec<(ProbeKind, Timing, i64)>,
    pub(crate) target: Target,
    /// Times at which the pod's status changes: a readiness probe that does not hold runs then too (2.3).
    pub(crate) status_changes: Vec<i64>,
    /// Between a kill and the start of the next container.
    pub(crate) restart_pause: i64,
}

impl Kubelet {
    pub(crate) fn new(probes: &[(ProbeKind, Timing, i64)], target: Target) -> Self {
        Self { probes: probes.to_vec(), target, status_changes: Vec::new(), restart_pause: 2 * SECOND }
    }

    /// Everything that happens until `end`, in order of time.
    pub(crate) fn run(&self, end: i64) -> Vec<(i64, Event)> {
        let mut events = Vec::new();
        let has_startup = self.probes.iter().any(|(kind, ..)| *kind == ProbeKind::Startup);
        let mut workers: Vec<Worker> =
            self.probes.iter().map(|(kind, timing, phase)| Worker::new(*kind, timing, *phase)).collect();
        let mut container = Container { started_at: 0, started: !has_startup, generation: 0 };
        let mut changes: BTreeSet<i64> = self.status_changes.iter().copied().collect();

        loop {
            let wake = workers.iter().map(Worker::next).min().unwrap_or(i64::MAX);
            let now = changes.first().map_or(wake, |change| wake.min(*change));
            if now > end {
                return events;
            }
            if changes.remove(&now) {
                for worker in &mut workers {
                    if worker.kind == ProbeKind::Readiness && !worker.holds && worker.running.is_none() {
                        worker.run(now, &container, &self.target, Trigger::StatusChange);
                    }
                }
            }
            // A run that ends now makes room for one that starts now.
            for worker in &mut workers {
                let Some(event) = worker.end_of_run(now, &container) else { continue };
                events.push((now, event));
                match event {
                    Event::Started => container.started = true,
                    // The new container starts from the initial results (2.4).
                    Event::Killed => {
                        container.started_at = now + self.restart_pause;
                        container.started = !has_startup;
                        container.generation += 1;
                    }
                    Event::Ready | Event::Unready => {}
                }
            }
            for worker in &mut workers {
                if worker.running.is_none() && worker.next_tick <= now {
                    worker.run(now, &container, &self.target, Trigger::Tick);
                }
            }
        }
    }
}

struct Container {
    started_at: i64,
    /// Startup has succeeded, or there is none (2.2).
    started: bool,
    generation: usize,
}

#[derive(Clone, Copy)]
enum Trigger {
    Tick,
    StatusChange,
}

struct Worker {
    kind: ProbeKind,
    delay: i64,
    period: i64,
    timeout: i64,
    failures_to_flip: i64,
    successes_to_flip: i64,
    phase: i64,
    /// When the next run starts at the earliest. A tick that comes during a run waits for its end, further ones are dropped: so a target that hangs
    /// is asked every `max(P, T)` (2.5).
    next_tick: i64,
    running: Option<Run>,
    /// The result (2.4): what counts, not what the last run said.
    holds: bool,
    last: Option<bool>,
    in_a_row: i64,
    generation: usize,
}

struct Run {
    ends: i64,
    success: bool,
    generation: usize,
}

impl Worker {
    fn new(kind: ProbeKind, timing: &Timing, phase: i64) -> Self {
        Self {
            kind,
            delay: timing.initial_delay * SECOND,
            period: timing.period * SECOND,
            timeout: timing.timeout * SECOND,
            failures_to_flip: timing.failure_threshold,
            successes_to_flip: timing.success_threshold,
            phase,
            next_tick: phase,
            running: None,
            holds: kind == ProbeKind::Liveness,
            last: None,
            in_a_row: 0,
            generation: 0,
        }
    }

    fn next(&self) -> i64 {
        self.running.as_ref().map_or(self.next_tick, |run| run.ends)
    }

    /// One turn of the worker's loop: a run, or nothing when its time has not come.
    fn run(&mut self, now: i64, container: &Container, target: &Target, trigger: Trigger) {
        if matches!(trigger, Trigger::Tick) {
            self.next_tick = now + self.period - (now - self.phase).rem_euclid(self.period);
        }
        if self.generation != container.generation {
            (self.generation, self.holds, self.last, self.in_a_row) =
                (container.generation, self.kind == ProbeKind::Liveness, None, 0);
        }
        let age = now - container.started_at;
        let gated = if self.kind == ProbeKind::Startup { self.holds } else { !container.started };
        if age < 0 || age < self.delay || gated {
            return;
        }
        let (ends, success) = target.answer(age, self.timeout);
        self.running = Some(Run { ends: container.started_at + ends, success, generation: container.generation });
    }

    /// Books a run that ends now; an event when the result flips.
    fn end_of_run(&mut self, now: i64, container: &Container) -> Option<Event> {
        let run = self.running.take_if(|run| run.ends <= now)?;
        if run.generation != container.generation {
            return None;
        }
        self.in_a_row = if self.last == Some(run.success) { self.in_a_row + 1 } else { 1 };
        self.last = Some(run.success);
        let needed = if run.success { self.successes_to_flip } else { self.failures_to_flip };
        if self.in_a_row < needed {
            return None;
        }
        let held = std::mem::replace(&mut self.holds, run.success);
        match (self.kind, held, run.success) {
            (ProbeKind::Readiness, false, true) => Some(Event::Ready),
            (ProbeKind::Readiness, true, false) => Some(Event::Unready),
            (ProbeKind::Startup, _, true) => Some(Event::Started),
            (ProbeKind::Liveness | ProbeKind::Startup, _, false) => Some(Event::Killed),
            _ => None,
        }
    }
}
