//! `model::Course` against the simulation: never is never, surely is at every phase, possibly is at some and not at others, and nothing happens outside its
//! window.

use std::time::Duration;

use probekeeper::model::{Chance, Course, Outcome, Part, ProbeKind, Timing, Until};
use proptest::prelude::*;

use super::kubelet::{Event, Kubelet, SECOND, State, Target};
use super::{as_liveness, at_each_phase, config, first, phases, readiness_timing, settled, timing};

fn steps(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap() * 1000 / u64::try_from(SECOND).unwrap())
}

/// What happened at each phase, against what was said of it. `end`: how long the event lasted, in steps.
fn agrees(outcome: Outcome, seen: &[Option<i64>], end: i64) -> Result<(), TestCaseError> {
    let (all, none) = (seen.iter().all(Option::is_some), seen.iter().all(Option::is_none));
    // At the last step before everything happens, no phase of whole steps is late enough to escape.
    let last_step = steps(end + 1) >= outcome.latest && outcome.latest < steps(end + 2) && all;
    match outcome.chance {
        Chance::Never => prop_assert!(none, "{outcome:?} {seen:?}"),
        Chance::Surely => prop_assert!(all, "{outcome:?} {seen:?}"),
        Chance::Possibly => prop_assert!(!none && (!all || last_step), "{outcome:?} {seen:?}"),
    }
    for at in seen.iter().flatten() {
        prop_assert!((outcome.earliest..=outcome.latest).contains(&steps(*at)), "{outcome:?} {seen:?}");
    }
    Ok(())
}

fn part(kind: ProbeKind, timing: Timing) -> Part {
    Part { kind, timing, asks: String::new(), unknown_port: None, grace: 30 }
}

fn course(parts: Vec<Part>) -> Course {
    Course { container: "c".to_owned(), sidecar: false, parts, restarts: true, min_ready: 0, progress_deadline: None }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_hang_of_any_length(timing in readiness_timing(), share in 0..1200_i64) {
        for (kind, event) in super::OUTAGE_SEEN_AS {
            let timing = as_liveness(timing, kind);
            let (from, longest) = (settled(&timing), timing.worst_hang_detection() * SECOND);
            for length in [longest * share / 1000, timing.tolerance() * SECOND - 1, timing.tolerance() * SECOND, longest] {
                let target = Target::outage(from, length, State::Hangs);
                let seen: Vec<_> = at_each_phase(kind, &timing, &target, from, event, from + 2 * longest)
                    .into_iter()
                    .map(|at| at.map(|at| at - from))
                    .collect();
                agrees(course(vec![part(kind, timing)]).hang(kind, steps(length)), &seen, length)?;
            }
        }
    }

    #[test]
    fn a_start_of_any_length(timing in timing(), share in 0..1200_i64) {
        for (until, state, longest) in [
            (Until::Refuses, State::Refuses, timing.start_up_upper_bound()),
            (Until::Hangs, State::Hangs, timing.initial_delay + timing.worst_hang_detection()),
        ] {
            let longest = longest * SECOND;
            for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
                for takes in [longest * share / 1000, timing.guaranteed_start_up() * SECOND, timing.guaranteed_start_up() * SECOND + 1, longest] {
                    let target = Target::up_at(takes, state);
                    let seen = at_each_phase(kind, &timing, &target, 0, Event::Killed, longest + SECOND);
                    agrees(course(vec![part(kind, timing)]).start(steps(takes), until), &seen, takes)?;
                }
            }
        }
    }

    #[test]
    fn ready_between_the_earliest_and_the_latest(
        startup in timing(),
        readiness in readiness_timing(),
        share in 0..1000_i64,
        phase in 0..6 * SECOND,
        changes in proptest::collection::vec(0..60 * SECOND, 0..4),
    ) {
        let up = startup.guaranteed_start_up() * SECOND * share / 1000;
        for with_startup in [true, false] {
            let mut parts = vec![part(ProbeKind::Readiness, readiness)];
            if with_startup {
                parts.push(part(ProbeKind::Startup, startup));
            }
            let (earliest, latest) = course(parts).ready(steps(up)).unwrap();
            for of_startup in phases(&startup) {
                let mut probes = vec![(ProbeKind::Readiness, readiness, phase % (readiness.period * SECOND))];
                if with_startup {
                    probes.push((ProbeKind::Startup, startup, of_startup));
                }
                let mut kubelet = Kubelet::new(&probes, Target::up_at(up, State::Refuses));
                kubelet.status_changes.clone_from(&changes);
                let ready = first(&kubelet.run(1000 * SECOND), Event::Ready).unwrap();
                prop_assert!((earliest..latest).contains(&steps(ready)), "{ready} {earliest:?} {latest:?}");
            }
        }
    }

    /// Where one success is enough and no startup probe is in between, both ends are reached.
    #[test]
    fn the_ends_of_readiness_are_reached(readiness in readiness_timing(), up in 0..30 * SECOND) {
        let readiness = Timing { success_threshold: 1, ..readiness };
        let (earliest, latest) = course(vec![part(ProbeKind::Readiness, readiness)]).ready(steps(up)).unwrap();
        let seen = at_each_phase(ProbeKind::Readiness, &readiness, &Target::up_at(up, State::Refuses), 0, Event::Ready, 1000 * SECOND);
        let seen: Vec<_> = seen.into_iter().map(|at| steps(at.unwrap())).collect();
        prop_assert_eq!(*seen.iter().min().unwrap(), earliest);
        prop_assert_eq!(*seen.iter().max().unwrap() + steps(1), latest);
    }
}

#[test]
fn what_nothing_asks_never_happens() {
    let long = Duration::from_secs(1 << 40);
    let nothing = course(Vec::new());
    assert_eq!(nothing.start(long, Until::Refuses).chance, Chance::Never);
    assert_eq!(nothing.hang(ProbeKind::Liveness, long).chance, Chance::Never);
    assert_eq!(nothing.ready(long), Some((Duration::ZERO, Duration::ZERO)));

    // Errors are no failures (semantics 2.6): an unknown port of startup holds everything back for good.
    let defaults = Timing { initial_delay: 0, period: 10, timeout: 1, failure_threshold: 3, success_threshold: 1 };
    let broken = Part { unknown_port: Some("web".to_owned()), ..part(ProbeKind::Startup, defaults) };
    let stuck = course(vec![part(ProbeKind::Liveness, defaults), broken]);
    assert_eq!(stuck.start(long, Until::Refuses).chance, Chance::Never);
    assert_eq!(stuck.hang(ProbeKind::Liveness, long).chance, Chance::Never);
    assert_eq!(stuck.ready(Duration::ZERO), None);
    assert!(stuck.stories().iter().all(|story| story.lanes.is_empty()));
}

#[test]
fn the_largest_numbers_have_stories() {
    let largest = i64::from(i32::MAX);
    for number in [1, largest, i64::MAX] {
        let timing = Timing {
            initial_delay: number,
            period: number,
            timeout: number,
            failure_threshold: number,
            success_threshold: number,
        };
        let parts = ProbeKind::ALL.map(|kind| Part { grace: number, ..part(kind, timing) });
        let all = Course { min_ready: number, progress_deadline: Some(number), ..course(parts.to_vec()) };
        for story in all.stories() {
            for lane in &story.lanes {
                assert!(lane.stretches.iter().all(|stretch| stretch.from < stretch.to), "{lane:?}");
            }
        }
        all.start(Duration::MAX, Until::Hangs);
        all.ready(Duration::MAX);
    }
}
