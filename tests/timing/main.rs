//! `model::Timing` against a simulation of the kubelet's prober workers: each figure is reached at some phase of the tickers and passed at none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod kubelet;

use kubelet::{Event, Kubelet, SECOND, State, Target};
use probekeeper::model::{Leaf, Probe, ProbeKind, Timing};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Small numbers: every phase and every relation of P to T occurs, and one case is a few thousand steps.
const DELAY: std::ops::RangeInclusive<i64> = 0..=9;
const PERIOD: std::ops::RangeInclusive<i64> = 1..=6;
const TIMEOUT: std::ops::RangeInclusive<i64> = 1..=9;
const FAILURES: std::ops::RangeInclusive<i64> = 1..=5;
const SUCCESSES: std::ops::RangeInclusive<i64> = 1..=4;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// A probe as JSON, its numbers written, null, zero or left out, and the timing that the table of API defaults (semantics 1) gives it.
fn probe(successes: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = (Value, Timing)> {
    fn number(default: i64, range: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = (Option<Value>, i64)> {
        prop_oneof![
            8 => range.prop_map(|value| (Some(json!(value)), value)),
            1 => proptest::sample::select(vec![None, Some(Value::Null), Some(json!(0))]).prop_map(move |written| (written, default)),
        ]
    }
    (number(0, DELAY), number(10, PERIOD), number(1, TIMEOUT), number(3, FAILURES), number(1, successes)).prop_map(
        |(d, p, t, f, s)| {
            let mut probe = json!({ "tcpSocket": { "port": 80 } });
            for (leaf, written) in [
                (Leaf::InitialDelaySeconds, d.0),
                (Leaf::PeriodSeconds, p.0),
                (Leaf::TimeoutSeconds, t.0),
                (Leaf::FailureThreshold, f.0),
                (Leaf::SuccessThreshold, s.0),
            ] {
                if let Some(written) = written {
                    probe[leaf.field()] = written;
                }
            }
            let timing = Timing { initial_delay: d.1, period: p.1, timeout: t.1, failure_threshold: f.1, success_threshold: s.1 };
            (probe, timing)
        },
    )
}

/// The timing of a liveness or startup probe, through JSON.
fn timing() -> impl Strategy<Value = Timing> {
    probe(1..=1).prop_map(|(json, _)| serde_json::from_str::<Probe<'_>>(&json.to_string()).unwrap().timing())
}

fn readiness_timing() -> impl Strategy<Value = Timing> {
    probe(SUCCESSES).prop_map(|(json, _)| serde_json::from_str::<Probe<'_>>(&json.to_string()).unwrap().timing())
}

/// What a container does before it is up: any sequence of refusing and hanging, and in the end it serves.
fn start_up_pattern() -> impl Strategy<Value = Vec<(i64, State)>> {
    proptest::collection::vec((0..20 * SECOND, proptest::sample::select(vec![State::Refuses, State::Hangs, State::Loses])), 1..6)
}

fn starting(pattern: &[(i64, State)], up: i64) -> Target {
    let mut states: Vec<_> = pattern.iter().copied().filter(|(from, _)| *from < up).collect();
    states.sort_by_key(|(from, _)| *from);
    states.insert(0, (0, State::Refuses));
    states.push((up, State::Serves));
    Target(states)
}

fn phases(timing: &Timing) -> std::ops::Range<i64> {
    0..timing.period * SECOND
}

fn first(events: &[(i64, Event)], wanted: Event) -> Option<i64> {
    events.iter().find(|(_, event)| *event == wanted).map(|(at, _)| *at)
}

/// When one probe first says so, from a time on, at each phase of its ticker.
fn at_each_phase(kind: ProbeKind, timing: &Timing, target: &Target, from: i64, wanted: Event, end: i64) -> Vec<Option<i64>> {
    let after =
        |events: Vec<(i64, Event)>| events.into_iter().find(|(at, event)| *event == wanted && *at >= from).map(|(at, _)| at);
    phases(timing).map(|phase| after(Kubelet::new(&[(kind, *timing, phase)], target.clone()).run(end))).collect()
}

/// A time at which every probe of this timing has long been running and is content.
fn settled(timing: &Timing) -> i64 {
    (timing.initial_delay + (timing.success_threshold + 1) * timing.period) * SECOND
}

/// A liveness probe is seen through kills, a readiness probe through its endpoint.
const OUTAGE_SEEN_AS: [(ProbeKind, Event); 2] = [(ProbeKind::Liveness, Event::Killed), (ProbeKind::Readiness, Event::Unready)];

fn as_liveness(timing: Timing, kind: ProbeKind) -> Timing {
    if kind == ProbeKind::Readiness { timing } else { Timing { success_threshold: 1, ..timing } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn json_becomes_timing_by_the_table_of_api_defaults((json, expected) in probe(SUCCESSES)) {
        let text = json.to_string();
        let probe: Probe<'_> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(probe.timing(), expected);
    }

    #[test]
    fn no_hang_shorter_than_the_tolerance_trips_and_one_as_long_does(timing in readiness_timing()) {
        for (kind, event) in OUTAGE_SEEN_AS {
            let timing = as_liveness(timing, kind);
            let (from, tolerance) = (settled(&timing), timing.tolerance() * SECOND);
            let seen = |length| {
                let target = Target::outage(from, length, State::Hangs);
                at_each_phase(kind, &timing, &target, from, event, from + length + timing.worst_hang_detection() * SECOND)
            };
            prop_assert!(seen(tolerance - 1).iter().all(Option::is_none), "{kind:?} trips too early");
            prop_assert!(seen(tolerance).iter().any(Option::is_some), "{kind:?} never trips");
        }
    }

    #[test]
    fn any_shorter_hang_is_tolerated((timing, share) in (timing(), 0..1000_i64)) {
        let from = settled(&timing);
        let length = (timing.tolerance() * SECOND - 1) * share / 1000;
        let seen = at_each_phase(ProbeKind::Liveness, &timing, &Target::outage(from, length, State::Hangs), from, Event::Killed, from * 2 + 200 * SECOND);
        prop_assert!(seen.iter().all(Option::is_none));
    }

    #[test]
    fn a_hang_is_detected_between_the_tolerance_and_the_worst_case(timing in readiness_timing()) {
        for (kind, event) in OUTAGE_SEEN_AS {
            let timing = as_liveness(timing, kind);
            let from = settled(&timing);
            let end = from + (timing.worst_hang_detection() + 1) * SECOND;
            let after: Vec<_> = at_each_phase(kind, &timing, &Target(vec![(0, State::Serves), (from, State::Hangs)]), from, event, end)
                .into_iter()
                .map(|at| at.map(|at| at - from))
                .collect();
            prop_assert_eq!(after.iter().min().unwrap(), &Some(timing.tolerance() * SECOND));
            // Open: a tick one step before the hang sees nothing of it.
            prop_assert_eq!(after.iter().max().unwrap(), &Some(timing.worst_hang_detection() * SECOND - 1));
            prop_assert!(after.iter().all(Option::is_some));
        }
    }

    #[test]
    fn a_refusal_is_detected_between_both_ends(timing in readiness_timing()) {
        for (kind, event) in OUTAGE_SEEN_AS {
            let timing = as_liveness(timing, kind);
            let from = settled(&timing);
            let (shortest, longest) = timing.refusal_detection();
            let target = Target(vec![(0, State::Serves), (from, State::Refuses)]);
            let after: Vec<_> = at_each_phase(kind, &timing, &target, from, event, from + (longest + 1) * SECOND)
                .into_iter()
                .map(|at| at.map(|at| at - from))
                .collect();
            prop_assert!(after.iter().all(Option::is_some));
            prop_assert_eq!(after.iter().min().unwrap(), &Some(shortest * SECOND));
            prop_assert_eq!(after.iter().max().unwrap(), &Some(longest * SECOND - 1));
        }
    }

    /// Slow answers that are no failures leave a tick waiting when they take longer than P, so that the next two runs follow each other closely: it
    /// takes T above P, and costs a refusal's detection less than one period. A hang's does not change.
    #[test]
    fn slow_answers_before_an_outage_shorten_only_a_refusal_and_only_where_the_timeout_exceeds_the_period(
        timing in timing(),
        slow in proptest::collection::vec((0..10_000_i64, 1..12 * SECOND), 1..6),
    ) {
        let mut states = vec![(0, State::Serves)];
        let mut now = settled(&timing);
        for (share, pause) in slow {
            states.push((now, State::Hangs));
            now += (timing.timeout * SECOND - 1) * share / 10_000;
            states.push((now, State::Serves));
            now += pause;
        }
        let outage = |state, length| {
            let mut states = states.clone();
            states.extend([(now, state), (now.saturating_add(length), State::Serves)]);
            at_each_phase(ProbeKind::Liveness, &timing, &Target(states), 0, Event::Killed, now + 200 * SECOND)
        };
        let (shortest, _) = timing.refusal_detection();
        let shortest = if timing.timeout > timing.period { (shortest - timing.period).max(0) } else { shortest };
        prop_assert!(outage(State::Refuses, i64::MAX).iter().all(|at| at.is_some_and(|at| at >= now + shortest * SECOND)));
        prop_assert!(outage(State::Hangs, timing.tolerance() * SECOND - 1).iter().all(Option::is_none));
    }

    #[test]
    fn up_within_the_guaranteed_time_is_never_killed(timing in timing(), pattern in start_up_pattern(), early in 0..8 * SECOND) {
        let guaranteed = timing.guaranteed_start_up() * SECOND;
        let end = guaranteed + 100 * SECOND;
        for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
            for up in [guaranteed, (guaranteed - early).max(0)] {
                let target = starting(&pattern, up);
                let killed = at_each_phase(kind, &timing, &target, 0, Event::Killed, end);
                prop_assert!(killed.iter().all(Option::is_none), "{kind:?} kills a container that is up at {up}");
            }
            let late = at_each_phase(kind, &timing, &Target::up_at(guaranteed + 1, State::Refuses), 0, Event::Killed, guaranteed + SECOND);
            prop_assert!(late.contains(&Some(guaranteed)), "{kind:?} is more patient than said");
        }
    }

    #[test]
    fn a_startup_probe_holds_liveness_back(startup in timing(), liveness in timing(), pattern in start_up_pattern(), phase in 0..6 * SECOND) {
        let guaranteed = startup.guaranteed_start_up() * SECOND;
        let target = starting(&pattern, guaranteed);
        for of_startup in phases(&startup) {
            let probes = [(ProbeKind::Startup, startup, of_startup), (ProbeKind::Liveness, liveness, phase % (liveness.period * SECOND))];
            let events = Kubelet::new(&probes, target.clone()).run(guaranteed + 100 * SECOND);
            prop_assert_eq!(first(&events, Event::Killed), None);
            prop_assert!(first(&events, Event::Started).is_some());
        }
    }

    #[test]
    fn a_start_that_refuses_passes_up_to_the_upper_bound_and_never_beyond(timing in timing()) {
        let bound = timing.start_up_upper_bound() * SECOND;
        for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
            let killed = |up| at_each_phase(kind, &timing, &Target::up_at(up, State::Refuses), 0, Event::Killed, bound + 100 * SECOND);
            prop_assert!(killed(bound - 1).iter().any(Option::is_none), "{kind:?} never waits that long");
            prop_assert!(killed(bound).iter().all(|at| at.is_some_and(|at| at < bound)), "{kind:?} waits longer");
        }
    }

    /// The upper bound counts runs that fail at once. A start that accepts connections and hangs has longer: each run lasts until its timeout.
    #[test]
    fn a_start_that_hangs_passes_for_longer(timing in timing(), pattern in start_up_pattern()) {
        let bound = (timing.initial_delay + timing.worst_hang_detection()) * SECOND;
        prop_assert!(bound >= timing.start_up_upper_bound() * SECOND);
        let killed = |target: &Target| at_each_phase(ProbeKind::Liveness, &timing, target, 0, Event::Killed, bound + 100 * SECOND);
        // One step for the tick that comes just before the delay is over, one because an answer at the timeout is too late.
        prop_assert!(killed(&Target::up_at(bound - 2, State::Hangs)).iter().any(Option::is_none));
        prop_assert!(killed(&Target::up_at(bound, State::Hangs)).iter().all(|at| at.is_some_and(|at| at < bound)));
        prop_assert!(killed(&starting(&pattern, bound)).iter().all(|at| at.is_some_and(|at| at < bound)));
    }

    #[test]
    fn each_restart_has_the_same_time(timing in timing(), phase in 0..6 * SECOND) {
        let probes = [(ProbeKind::Liveness, timing, phase % (timing.period * SECOND))];
        let kubelet = Kubelet::new(&probes, Target(vec![(0, State::Refuses)]));
        let (shortest, longest) = (timing.guaranteed_start_up() * SECOND, timing.start_up_upper_bound() * SECOND);
        let events = kubelet.run(4 * (longest + kubelet.restart_pause));
        let mut started_at = 0;
        for (at, event) in &events {
            prop_assert_eq!(*event, Event::Killed);
            prop_assert!((shortest..longest).contains(&(at - started_at)), "lived {} of {shortest}..{longest}", at - started_at);
            started_at = at + kubelet.restart_pause;
        }
        prop_assert!(events.len() >= 4);
    }

    #[test]
    fn a_target_that_answers_again_is_ready_within_the_recovery(timing in readiness_timing(), hangs in any::<bool>(), changes in proptest::collection::vec(0..30 * SECOND, 0..6)) {
        let state = if hangs { State::Hangs } else { State::Refuses };
        let from = settled(&timing);
        let again = from + (timing.worst_hang_detection() + 1) * SECOND;
        let target = Target::outage(from, again - from, state);
        let recovery = timing.recovery() * SECOND;
        let end = again + recovery + 100 * SECOND;
        let after: Vec<_> =
            at_each_phase(ProbeKind::Readiness, &timing, &target, again, Event::Ready, end).into_iter().map(|at| at.map(|at| at - again)).collect();
        prop_assert!(after.iter().all(|after| after.is_some_and(|after| after < recovery)));
        if !hangs {
            prop_assert_eq!(after.iter().max().unwrap(), &Some(recovery - 1));
        }
        // Runs on status changes come on top (2.3): they never make it slower.
        for phase in phases(&timing) {
            let mut kubelet = Kubelet::new(&[(ProbeKind::Readiness, timing, phase)], target.clone());
            kubelet.status_changes = changes.iter().map(|change| again + change).collect();
            let ready = kubelet.run(end).into_iter().find(|(at, event)| *event == Event::Ready && *at >= again);
            prop_assert!(ready.is_some_and(|(at, _)| at < again + recovery));
        }
    }

    /// Where requests of the outage are lost for good, the one under way still runs into its timeout: with T above P that comes first.
    #[test]
    fn lost_requests_delay_the_recovery_where_the_timeout_exceeds_the_period(timing in readiness_timing()) {
        let from = settled(&timing);
        let again = from + 10 * (timing.worst_hang_detection() + 1) * SECOND;
        let bound = (timing.hanging_period() + (timing.success_threshold - 1) * timing.period) * SECOND;
        let mut worst = 0;
        // The outage ends at each moment until runs and ticks meet again.
        for later in 0..timing.hanging_period() * timing.period * SECOND {
            let target = Target::outage(from, again + later - from, State::Loses);
            let events = Kubelet::new(&[(ProbeKind::Readiness, timing, 0)], target).run(again + later + bound + 100 * SECOND);
            let ready = events.into_iter().find(|(at, event)| *event == Event::Ready && *at >= again + later).unwrap().0;
            worst = worst.max(ready - again - later);
        }
        prop_assert_eq!(worst, bound - 1);
        prop_assert_eq!(bound == timing.recovery() * SECOND, timing.timeout <= timing.period);
    }

    /// The left side of the rollout row of semantics 3, for a start that refuses.
    #[test]
    fn a_start_that_survives_is_ready_within_the_rollout_bound(startup in timing(), readiness in readiness_timing(), up in 0..60 * SECOND, phase in 0..6 * SECOND) {
        let bound = (startup.start_up_upper_bound() + readiness.initial_delay + readiness.recovery()) * SECOND;
        for of_startup in phases(&startup) {
            let probes = [(ProbeKind::Startup, startup, of_startup), (ProbeKind::Readiness, readiness, phase % (readiness.period * SECOND))];
            let events = Kubelet::new(&probes, Target::up_at(up, State::Refuses)).run(bound + 10 * SECOND);
            if first(&events, Event::Killed).is_none() {
                prop_assert!(first(&events, Event::Ready).is_some_and(|ready| ready < bound), "{events:?}");
            }
        }
    }

    /// Against the same formulas in 128 bits, cut to 64.
    #[test]
    fn arithmetic_saturates(d in large(), p in large(), t in large(), f in large(), s in large()) {
        let timing = Timing { initial_delay: d, period: p, timeout: t, failure_threshold: f, success_threshold: s };
        let [d, p, t, f, s] = [d, p, t, f, s].map(i128::from);
        let cut = |wide: i128| i64::try_from(wide).unwrap_or(i64::MAX);
        let tolerance = (f - 1) * p.max(t) + t;
        prop_assert_eq!(timing.hanging_period(), cut(p.max(t)));
        prop_assert_eq!(timing.tolerance(), cut(tolerance));
        prop_assert_eq!(timing.worst_hang_detection(), cut(p + tolerance));
        prop_assert_eq!(timing.refusal_detection(), (cut((f - 1) * p), cut(f * p)));
        prop_assert_eq!(timing.guaranteed_start_up(), cut(d + (f - 1) * p));
        prop_assert_eq!(timing.start_up_upper_bound(), cut(d + f * p));
        prop_assert_eq!(timing.recovery(), cut(s * p));
    }

    #[test]
    fn the_smallest_threshold_that_reaches_a_time(timing in readiness_timing(), seconds in prop_oneof![0..400_i64, any::<i64>()]) {
        let at = |failure_threshold| Timing { failure_threshold, ..timing };
        for (threshold, reached) in [
            (timing.threshold_for_tolerance(seconds), Timing::tolerance as fn(&Timing) -> i64),
            (timing.threshold_for_start_up(seconds), Timing::guaranteed_start_up),
        ] {
            prop_assert!(threshold >= 1);
            prop_assert!(reached(&at(threshold)) >= seconds);
            prop_assert!(threshold == 1 || reached(&at(threshold - 1)) < seconds);
        }
    }

    /// Numbers that the API would refuse may still be asked about: the answer means nothing, but there is one.
    #[test]
    fn no_number_overflows(d in any::<i64>(), p in any::<i64>(), t in any::<i64>(), f in any::<i64>(), s in any::<i64>()) {
        let json = json!({ "initialDelaySeconds": d, "periodSeconds": p, "timeoutSeconds": t, "failureThreshold": f, "successThreshold": s });
        let text = json.to_string();
        ask_everything(&serde_json::from_str::<Probe<'_>>(&text).unwrap().timing());
    }
}

fn large() -> impl Strategy<Value = i64> {
    let corners = [1, 2, 10, i64::from(i32::MAX) - 1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX - 1, i64::MAX];
    prop_oneof![proptest::sample::select(corners.to_vec()), 1..=i64::from(i32::MAX)]
}

fn ask_everything(timing: &Timing) {
    timing.hanging_period();
    timing.tolerance();
    timing.worst_hang_detection();
    timing.refusal_detection();
    timing.guaranteed_start_up();
    timing.start_up_upper_bound();
    timing.recovery();
    for seconds in [i64::MIN, -1, 0, 1, i64::MAX] {
        timing.threshold_for_tolerance(seconds);
        timing.threshold_for_start_up(seconds);
    }
}

#[test]
fn the_corners_of_the_number_range_have_an_answer() {
    for corner in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::from(i32::MAX), i64::MAX] {
        for other in [i64::MIN, -1, 0, 1, i64::MAX] {
            ask_everything(&Timing {
                initial_delay: other,
                period: corner,
                timeout: other,
                failure_threshold: corner,
                success_threshold: other,
            });
        }
    }
}

/// The two columns of the page's table.
#[test]
fn the_figures_of_the_table() {
    let timing = |json: &str| serde_json::from_str::<Probe<'_>>(json).unwrap().timing();
    let defaults = timing("{}");
    let tutorial = timing(r#"{ "initialDelaySeconds": 10, "periodSeconds": 5 }"#);
    let figures = |timing: Timing| {
        let detection = timing.worst_hang_detection();
        (
            timing.tolerance(),
            detection,
            timing.refusal_detection(),
            timing.guaranteed_start_up(),
            timing.recovery(),
            detection + 30,
        )
    };
    assert_eq!(figures(defaults), (21, 31, (20, 30), 20, 10, 61));
    assert_eq!(figures(tutorial), (11, 16, (10, 15), 20, 5, 46));
}
