//! What happens to a container over time: while it starts, when it hangs, when it refuses, and until a rollout counts it.
//!
//! Arithmetic of semantics 3 only; `tests/timing` compares it with a simulation of the kubelet.

use std::time::Duration;

use super::{Container, Handler, Leaf, List, Port, PortRef, ProbeKind, Timing, Workload, resolve_port};

/// Whether something happens. What depends on the phase of a probe's ticker, nobody can choose or know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chance {
    /// At no phase.
    Never,
    /// At some phases.
    Possibly,
    /// At every phase.
    Surely,
}

/// Whether a probe trips, and when: `earliest..=latest` after the outage or the container began. Without meaning where the chance is `Never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it trips.
    pub chance: Chance,
    /// Not before this.
    pub earliest: Duration,
    /// Not after this.
    pub latest: Duration,
}

impl Outcome {
    const NEVER: Self = Self { chance: Chance::Never, earliest: Duration::ZERO, latest: Duration::ZERO };

    /// Trips from `earliest` seconds on if that is still within the event (or, where `open`, before its end), and by `latest` at every phase.
    fn within(length: Duration, (earliest, latest): (i64, i64), open: bool) -> Self {
        let (earliest, latest) = (seconds(earliest), seconds(latest));
        if length < earliest || (open && length == earliest) {
            return Self::NEVER;
        }
        let chance = if length >= latest { Chance::Surely } else { Chance::Possibly };
        Self { chance, earliest, latest: latest.min(length) }
    }
}

/// What a container does while it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Refuses connections, or answers at once that it is not ready.
    Refuses,
    /// Accepts connections and does not answer.
    Hangs,
}

impl Timing {
    /// Whether a hang of this length trips the probe, and how long after its beginning.
    pub fn hang(&self, length: Duration) -> Outcome {
        Outcome::within(length, (self.tolerance(), self.worst_hang_detection()), false)
    }

    /// Whether a start that takes this long trips the probe, which no other probe holds back, and how long after the container started.
    pub fn start(&self, takes: Duration, until: Until) -> Outcome {
        match until {
            Until::Refuses => Outcome::within(takes, (self.guaranteed_start_up(), self.start_up_upper_bound()), true),
            Until::Hangs => {
                let after_delay = |time: i64| self.initial_delay.saturating_add(time);
                let window = (after_delay(self.tolerance()), after_delay(self.worst_hang_detection()));
                Outcome::within(takes, window, false)
            }
        }
    }
}

/// Whole seconds; below zero is zero.
pub fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// One probe of a container, ready to be told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which probe.
    pub kind: ProbeKind,
    /// Its numbers.
    pub timing: Timing,
    /// What it asks: `GET :8080/healthz`.
    pub asks: String,
    /// A port name that the container does not declare: every run is an error and is thrown away (semantics 2.6).
    pub unknown_port: Option<String>,
    /// Seconds between signal and kill after it failed: its own grace, else the pod's, at least 2 (semantics 2.12).
    pub grace: i64,
}

impl Part {
    /// Whether it ever has a result.
    pub fn works(&self) -> bool {
        self.unknown_port.is_none()
    }

    /// The longest time from a hang's beginning until a new container starts.
    pub fn forced_restart(&self) -> i64 {
        self.timing.worst_hang_detection().saturating_add(self.grace)
    }
}

/// The probes of one container together, and what of its workload bears on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Name of the container.
    pub container: String,
    /// An init container that runs on.
    pub sidecar: bool,
    /// In the order liveness, readiness, startup.
    pub parts: Vec<Part>,
    /// Whether a killed container is started again (semantics 2.13).
    pub restarts: bool,
    /// Seconds that a ready pod must stay ready before a rollout counts it.
    pub min_ready: i64,
    /// Seconds without progress after which a Deployment reports that its rollout failed.
    pub progress_deadline: Option<i64>,
}

impl Course {
    /// The course of a container of a workload as it stands.
    pub fn of(workload: &Workload<'_>, container: &Container<'_>) -> Self {
        let part = |(kind, probe): (ProbeKind, &super::Probe<'_>)| {
            let handler = probe.handler()?;
            let own = probe.leaf(Leaf::TerminationGracePeriodSeconds);
            Some(Part {
                kind,
                timing: probe.timing(),
                asks: asks(handler),
                unknown_port: unknown_port(container, handler),
                grace: own.unwrap_or(workload.grace_period).max(SHORTEST_GRACE),
            })
        };
        let policy = container.restart_policy.as_deref().or(workload.restart_policy.as_deref());
        Self {
            container: container.name.to_string(),
            sidecar: container.list == List::Init,
            parts: container.valid_probes().filter_map(part).collect(),
            restarts: policy != Some("Never"),
            min_ready: workload.min_ready,
            progress_deadline: workload.progress_deadline,
        }
    }

    /// The probe of a kind.
    pub fn part(&self, kind: ProbeKind) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == kind)
    }

    /// The probe that kills a container which does not come up: startup where there is one, else liveness. `None` where nothing ever does.
    pub fn starter(&self) -> Option<&Part> {
        self.part(ProbeKind::Startup).or_else(|| self.part(ProbeKind::Liveness)).filter(|part| part.works())
    }

    /// A probe that runs once the container has started; `None` where it never has a result, or startup never lets it run.
    pub fn running(&self, kind: ProbeKind) -> Option<&Part> {
        let held_back = self.part(ProbeKind::Startup).is_some_and(|startup| !startup.works());
        self.part(kind).filter(|part| part.works() && !held_back)
    }

    /// Whether a container that needs this long to start is killed before, and when.
    pub fn start(&self, takes: Duration, until: Until) -> Outcome {
        self.starter().map_or(Outcome::NEVER, |part| part.timing.start(takes, until))
    }

    /// Whether a hang of this length trips a probe of the running container, and when.
    pub fn hang(&self, kind: ProbeKind, length: Duration) -> Outcome {
        self.running(kind).map_or(Outcome::NEVER, |part| part.timing.hang(length))
    }

    /// When a container that refuses until `starts_in` and is not killed is ready, at the earliest and the latest; `None`: never.
    pub fn ready(&self, starts_in: Duration) -> Option<(Duration, Duration)> {
        let readiness = self.part(ProbeKind::Readiness);
        if [self.part(ProbeKind::Startup), readiness].into_iter().flatten().any(|part| !part.works()) {
            return None;
        }
        let started = match self.part(ProbeKind::Startup).map(|part| part.timing) {
            Some(startup) => {
                let first = starts_in.max(seconds(startup.initial_delay));
                (first, first.saturating_add(seconds(startup.period)))
            }
            // Without a readiness probe it counts as ready before it can serve.
            None if readiness.is_none() => (Duration::ZERO, Duration::ZERO),
            None => (starts_in, starts_in),
        };
        Some(match readiness.map(|part| part.timing) {
            None => started,
            Some(readiness) => {
                let delay = seconds(readiness.initial_delay);
                // Runs on status changes (semantics 2.3) may be the successes, one right after the other.
                (started.0.max(delay), started.1.max(delay).saturating_add(seconds(readiness.recovery())))
            }
        })
    }

    /// The four stories.
    pub fn stories(&self) -> [Story; 4] {
        [self.start_up_story(), self.outage_story(StoryKind::Hang), self.outage_story(StoryKind::Refusal), self.rollout_story()]
    }

    fn start_up_story(&self) -> Story {
        let lanes = self.starter().map(|part| {
            let timing = &part.timing;
            let mut lane = Lane::new(part.kind);
            lane.until(timing.initial_delay, Phase::Unasked);
            lane.until(timing.guaranteed_start_up(), Phase::Tolerates);
            lane.until(timing.start_up_upper_bound(), Phase::Perhaps);
            lane.ends(Phase::Kills);
            lane
        });
        Story::new(StoryKind::StartUp, lanes.into_iter().collect())
    }

    fn outage_story(&self, kind: StoryKind) -> Story {
        let lanes = [ProbeKind::Liveness, ProbeKind::Readiness].into_iter().filter_map(|probe| self.running(probe)).map(|part| {
            let timing = &part.timing;
            let (earliest, latest) = match kind {
                StoryKind::Refusal => timing.refusal_detection(),
                _ => (timing.tolerance(), timing.worst_hang_detection()),
            };
            let mut lane = Lane::new(part.kind);
            lane.until(earliest, Phase::Tolerates);
            lane.until(latest, Phase::Perhaps);
            if part.kind == ProbeKind::Liveness {
                lane.until(latest.saturating_add(part.grace), Phase::Stops);
                lane.ends(Phase::Kills);
            } else {
                lane.ends(Phase::NoTraffic);
            }
            lane
        });
        Story::new(kind, lanes.collect())
    }

    /// From an immediate start to the slowest that is guaranteed to survive.
    fn rollout_story(&self) -> Story {
        let mut lanes = Vec::new();
        if let (Some((earliest, _)), Some((_, latest))) = (self.ready(Duration::ZERO), self.ready(self.guaranteed_start_up())) {
            let whole = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            let mut lane = Lane::new(ProbeKind::Readiness);
            lane.until(whole(earliest), Phase::NotReady);
            lane.until(whole(latest), Phase::Perhaps);
            lane.until(whole(latest).saturating_add(self.min_ready), Phase::Ready);
            lane.ends(Phase::Available);
            lanes.push(lane);
        }
        Story::new(StoryKind::Rollout, lanes)
    }

    /// The longest start that no phase kills; zero where nothing would.
    pub fn guaranteed_start_up(&self) -> Duration {
        self.starter().map_or(Duration::ZERO, |part| seconds(part.timing.guaranteed_start_up()))
    }
}

/// What the kubelet leaves a container at least (semantics 2.12).
const SHORTEST_GRACE: i64 = 2;

/// Longer commands are cut.
const COMMAND_CHARACTERS: usize = 60;

fn asks(handler: Handler<'_, '_>) -> String {
    let port = |port: Option<&PortRef<'_>>| match port {
        Some(PortRef::Number(number)) => number.to_string(),
        Some(PortRef::Name(name)) => name.to_string(),
        None => "?".to_owned(),
    };
    match handler {
        Handler::HttpGet(http) => {
            let scheme = http.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
            let path = http.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
            let slash = if path.starts_with('/') { "" } else { "/" };
            format!("GET {scheme}://{}:{}{slash}{path}", http.host.as_deref().unwrap_or("POD"), port(http.port.as_ref()))
        }
        Handler::TcpSocket(tcp) => format!("connect to {}:{}", tcp.host.as_deref().unwrap_or("POD"), port(tcp.port.as_ref())),
        Handler::Grpc(grpc) => format!("gRPC health of POD:{}", grpc.port.unwrap_or_default()),
        Handler::Exec(exec) => {
            let words: Vec<&str> = exec.command.iter().map(|word| &**word).collect();
            let command = words.join(" ").replace(char::is_whitespace, " ");
            match command.char_indices().nth(COMMAND_CHARACTERS) {
                Some((at, _)) => format!("run {}…", &command[..at]),
                None => format!("run {command}"),
            }
        }
    }
}

fn unknown_port(container: &Container<'_>, handler: Handler<'_, '_>) -> Option<String> {
    let port = match handler {
        Handler::HttpGet(http) => http.port.as_ref()?,
        Handler::TcpSocket(tcp) => tcp.port.as_ref()?,
        Handler::Grpc(_) | Handler::Exec(_) => return None,
    };
    match port {
        PortRef::Name(name) if resolve_port(container, port) == Port::Unknown => Some(name.to_string()),
        _ => None,
    }
}

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoryKind {
    /// From container start, for a target that refuses until it is up.
    StartUp,
    /// From the beginning of a hang.
    Hang,
    /// From the first refusal.
    Refusal,
    /// From container start until a rollout counts the pod.
    Rollout,
}

impl StoryKind {
    /// As a heading.
    pub const fn word(self) -> &'static str {
        match self {
            Self::StartUp => "start-up",
            Self::Hang => "hang",
            Self::Refusal => "refusal",
            Self::Rollout => "rollout",
        }
    }

    /// What second 0 is, and what would happen at each later one.
    pub const fn question(self) -> &'static str {
        match self {
            Self::StartUp => "if it needs this long to start",
            Self::Hang => "if it hangs for this long",
            Self::Refusal => "if it refuses for this long",
            Self::Rollout => "after the container started",
        }
    }
}

/// What holds in one stretch of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The probe does not run yet.
    Unasked,
    /// Nothing happens.
    Tolerates,
    /// It depends on the phase of the probe.
    Perhaps,
    /// The container has its signal and its grace period.
    Stops,
    /// The container is killed.
    Kills,
    /// The pod gets no traffic.
    NoTraffic,
    /// The pod is not ready.
    NotReady,
    /// The pod is ready and waits for `minReadySeconds`.
    Ready,
    /// The rollout counts the pod.
    Available,
}

impl Phase {
    /// In a legend.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unasked => "not asked yet",
            Self::Tolerates => "nothing happens",
            Self::Perhaps => "depends on the moment",
            Self::Stops => "stopping, up to its grace period",
            Self::Kills => "killed",
            Self::NoTraffic => "out of traffic",
            Self::NotReady => "not ready",
            Self::Ready => "ready, not yet available",
            Self::Available => "available",
        }
    }
}

/// A time with one probe's view of it in each lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Which one.
    pub kind: StoryKind,
    /// Empty where no probe has a say.
    pub lanes: Vec<Lane>,
    /// Seconds shown: a little more than everything that happens.
    pub end: i64,
}

impl Story {
    fn new(kind: StoryKind, lanes: Vec<Lane>) -> Self {
        let last = lanes.iter().filter_map(|lane| lane.stretches.last()).map(|stretch| stretch.from).max().unwrap_or(0);
        Self { kind, lanes, end: last.saturating_add((last / 6).max(2)) }
    }
}

/// One probe's view of a story: stretches that follow each other, the last one without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Whose view.
    pub kind: ProbeKind,
    /// None of them is empty.
    pub stretches: Vec<Stretch>,
}

/// What holds from one second to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// In seconds.
    pub from: i64,
    /// In seconds; `i64::MAX` in the last stretch.
    pub to: i64,
    /// What holds.
    pub phase: Phase,
}

impl Lane {
    const fn new(kind: ProbeKind) -> Self {
        Self { kind, stretches: Vec::new() }
    }

    fn until(&mut self, to: i64, phase: Phase) {
        let from = self.stretches.last().map_or(0, |stretch| stretch.to);
        if to > from {
            self.stretches.push(Stretch { from, to, phase });
        }
    }

    fn ends(&mut self, phase: Phase) {
        let from = self.stretches.last().map_or(0, |stretch| stretch.to);
        if from < i64::MAX {
            self.stretches.push(Stretch { from, to: i64::MAX, phase });
        }
    }
}
