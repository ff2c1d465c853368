//! What each probe of a workload means, in sentences and drawings.

use std::fmt::Write as _;
use std::time::Duration;

use super::index::Index;
use super::timeline;
use crate::lint::{Filled, Report, Seen};
use crate::model::{Chance, Course, Outcome, Part, ProbeKind, Until, seconds};

/// Questions about every container.
#[derive(Debug, Default, Clone, Copy)]
pub struct WhatIf {
    /// What if it needs this long to start?
    pub starts_in: Option<Duration>,
    /// What if it hangs for this long?
    pub hangs_for: Option<Duration>,
}

/// Every workload of a report with its containers and probes; needs a judge [`with_courses`](crate::lint::Judge::with_courses).
pub fn explain(report: &Report, what_if: &WhatIf) -> String {
    let mut out = String::new();
    let index = Index::of(report);
    for seen in &report.workloads {
        let _ = writeln!(out, "{} ({}:{})", seen.object, seen.file, seen.line);
        let filled = filled(&index, seen);
        if !filled.is_empty() {
            let _ = writeln!(out, "  filled in by probekeeper: {}", filled.join(", "));
        }
        for course in &seen.courses {
            container(&mut out, course, what_if);
        }
        out.push('\n');
    }
    if report.workloads.is_empty() {
        out += "no workload to explain\n";
    }
    out
}

/// What was filled in in a workload: `web livenessProbe.timeoutSeconds: 5`.
pub(super) fn filled(index: &Index<'_>, seen: &Seen) -> Vec<String> {
    let shown = |filled: &Filled| {
        let mut steps = filled.pointer.rsplit('/');
        let (leaf, probe, index) = (steps.next()?, steps.next()?, steps.next()?);
        let list = steps.next()?;
        let nth = index.parse::<usize>().ok()?;
        let container = seen.courses.iter().filter(|course| course.sidecar == (list == "initContainers")).nth(nth);
        // Among init containers, those that do not run on have no course: their position says nothing then.
        let name = container.filter(|course| !course.sidecar).map(|course| format!("{} ", course.container)).unwrap_or_default();
        Some(format!("{name}{probe}.{leaf}: {}", filled.value))
    };
    index.filled(seen).into_iter().filter_map(shown).collect()
}

fn container(out: &mut String, course: &Course, what_if: &WhatIf) {
    let sidecar = if course.sidecar { " (native sidecar)" } else { "" };
    let _ = writeln!(out, "\n  container \"{}\"{sidecar}", course.container);
    for part in &course.parts {
        let _ = writeln!(out, "    {}: {}", part.kind.field(), plan(part));
        for sentence in sentences(course, part) {
            let _ = writeln!(out, "      - {sentence}");
        }
    }
    for sentence in together(course) {
        let _ = writeln!(out, "    {sentence}");
    }
    for answer in answers(course, what_if) {
        let _ = writeln!(out, "    {answer}");
    }
    let stories = course.stories();
    for story in stories.iter().filter(|story| !story.lanes.is_empty()) {
        let _ = writeln!(out, "\n    {} ({})", story.kind.word(), story.kind.question());
        *out += &timeline::text(story, "      ");
    }
    let phases = timeline::phases(&stories);
    if !phases.is_empty() {
        let _ = writeln!(out, "\n    {}", timeline::legend(&phases));
    }
}

/// `GET http://POD:8080/healthz every 10 s from second 5 on, each within 5 s; 3 failures in a row trip it`
pub(super) fn plan(part: &Part) -> String {
    let timing = &part.timing;
    let delay = if timing.initial_delay > 0 { format!(" from second {} on", timing.initial_delay) } else { String::new() };
    let failures = match timing.failure_threshold {
        1 => "1 failure trips it".to_owned(),
        number => format!("{number} failures in a row trip it"),
    };
    let successes = match timing.success_threshold {
        1 => String::new(),
        number => format!(", {number} successes count again"),
    };
    format!("{} every {} s{delay}, each within {} s; {failures}{successes}", part.asks, timing.period, timing.timeout)
}

/// What one probe means.
pub(super) fn sentences(course: &Course, part: &Part) -> Vec<String> {
    if let Some(name) = &part.unknown_port {
        let then = match part.kind {
            ProbeKind::Liveness => "it never acts",
            ProbeKind::Readiness => "the pod never becomes ready",
            ProbeKind::Startup => "the container never counts as started, is never ready and never restarted",
        };
        return vec![format!(
            "port \"{name}\" is not declared by this container, so every run is an error and is thrown away: {then}"
        )];
    }
    if part.kind != ProbeKind::Startup && course.running(part.kind).is_none() {
        return vec!["never runs, because the startup probe never succeeds".to_owned()];
    }
    let timing = &part.timing;
    let (shortest, longest) = timing.refusal_detection();
    let refusal = if shortest == 0 { format!("within {longest} s") } else { format!("after {shortest} to {longest} s") };
    let restart = if course.restarts { "restarts the container" } else { "stops the container for good (restartPolicy Never)" };
    match part.kind {
        ProbeKind::Liveness => {
            let next = if course.restarts { "the next container starts" } else { "it has ended" };
            let mut sentences = vec![
                format!(
                    "a hang of {} s {restart}; it is noticed within {} s at worst, and {next} within {} s (grace period {} s)",
                    timing.tolerance(),
                    timing.worst_hang_detection(),
                    part.forced_restart(),
                    part.grace
                ),
                format!("a refusal {restart} {refusal}"),
            ];
            if course.part(ProbeKind::Startup).is_none() {
                sentences.push(start_up(part));
            }
            sentences
        }
        ProbeKind::Readiness => vec![
            format!(
                "a hang of {} s takes the pod out of traffic; it is noticed within {} s at worst",
                timing.tolerance(),
                timing.worst_hang_detection()
            ),
            format!("a refusal takes the pod out of traffic {refusal}"),
            format!("traffic comes back within {} s after it answers again", timing.recovery()),
        ],
        ProbeKind::Startup => vec![start_up(part), "liveness and readiness wait until it has succeeded once".to_owned()],
    }
}

fn start_up(part: &Part) -> String {
    let timing = &part.timing;
    format!(
        "{} s are guaranteed to start; a container that still refuses after {} s is surely killed",
        timing.guaranteed_start_up(),
        timing.start_up_upper_bound()
    )
}

/// What the probes of a container mean together.
pub(super) fn together(course: &Course) -> Vec<String> {
    let mut sentences = Vec::new();
    if course.parts.is_empty() {
        sentences.push("no probe: it counts as ready as soon as it runs, and restarts only when its process ends".to_owned());
        return sentences;
    }
    if course.part(ProbeKind::Liveness).is_none() {
        sentences.push("no liveness probe: a hang never restarts it".to_owned());
    }
    if course.part(ProbeKind::Readiness).is_none() {
        let when = if course.part(ProbeKind::Startup).is_some() { "once it has started" } else { "as soon as it runs" };
        sentences.push(format!("no readiness probe: it gets traffic {when}, and whatever happens later"));
    }
    sentences.push(rollout(course));
    sentences
}

fn rollout(course: &Course) -> String {
    let slowest = course.guaranteed_start_up();
    let (Some((earliest, _)), Some((_, latest))) = (course.ready(Duration::ZERO), course.ready(slowest)) else {
        return "rollout: never ready, so a rollout never finishes".to_owned();
    };
    let min_ready = seconds(course.min_ready);
    let mut text = format!("rollout: ready {} at the earliest", shown(earliest));
    if slowest.is_zero() {
        let _ = write!(text, ", {} at the latest where it starts at once", shown(latest));
    } else {
        let _ = write!(
            text,
            ", {} at the latest where it uses all of the {} that are guaranteed to start",
            shown(latest),
            shown(slowest)
        );
    }
    if course.min_ready > 0 {
        let _ = write!(text, "; it counts {} later (minReadySeconds)", shown(min_ready));
    }
    if let Some(deadline) = course.progress_deadline {
        // The left side of the rollout row of semantics 3: the slowest start that may pass.
        let done = course.starter().and_then(|part| course.ready(seconds(part.timing.start_up_upper_bound())));
        let fits = match done {
            Some((_, ready)) if ready.saturating_add(min_ready) < seconds(deadline) => {
                "even the slowest start that survives is within"
            }
            Some(_) => "a slow start that survives can outlast",
            None => "nothing limits its start, which can outlast",
        };
        let _ = write!(text, "; {fits} progressDeadlineSeconds {deadline}");
    }
    text
}

/// The answers to what was asked, about one container.
pub(super) fn answers(course: &Course, what_if: &WhatIf) -> Vec<String> {
    let mut answers = Vec::new();
    if let Some(takes) = what_if.starts_in {
        answers.push(format!("if it needs {} to start: {}", shown(takes), start_answer(course, takes)));
    }
    if let Some(length) = what_if.hangs_for {
        let killed = course.hang(ProbeKind::Liveness, length);
        let restart = if course.restarts { "restarted" } else { "stopped for good" };
        answers.push(format!(
            "if it hangs for {}: {}",
            shown(length),
            verdict(killed, &format!("{restart} by its liveness probe"), "after the hang began")
        ));
        let out = course.hang(ProbeKind::Readiness, length);
        // A container that is killed begins anew instead.
        let comes_back = out.chance != Chance::Never && killed.chance != Chance::Surely;
        let back = match course.part(ProbeKind::Readiness).filter(|_| comes_back) {
            Some(part) => format!("; back within {} s after the hang", part.timing.recovery()),
            None => String::new(),
        };
        answers.push(format!(
            "if it hangs for {}: {}{back}",
            shown(length),
            verdict(out, "taken out of traffic", "after the hang began")
        ));
    }
    answers
}

fn start_answer(course: &Course, takes: Duration) -> String {
    let by = match course.starter() {
        Some(part) => format!("killed by its {} probe", part.kind.word()),
        None => "killed by a probe".to_owned(),
    };
    let refusing = course.start(takes, Until::Refuses);
    let hanging = course.start(takes, Until::Hangs);
    let mut text = verdict(refusing, &by, "after its start");
    if hanging.chance != refusing.chance {
        let _ = write!(
            text,
            " (that is while it refuses; if it accepts connections without answering: {})",
            verdict(hanging, &by, "after its start")
        );
    }
    match course.ready(takes) {
        None => text += "; never ready",
        Some(_) if refusing.chance == Chance::Surely => {}
        Some((earliest, latest)) => {
            let unless = if refusing.chance == Chance::Possibly { "if not killed, " } else { "" };
            if earliest == latest {
                let _ = write!(text, "; {unless}ready {} after its start", shown(latest));
            } else {
                let _ = write!(text, "; {unless}ready {} to {} after its start", shown(earliest), shown(latest));
            }
            if earliest < takes {
                text += ", before it can serve";
            }
            let counts = |ready: Duration| ready.saturating_add(seconds(course.min_ready));
            if let Some(deadline) = course.progress_deadline.map(seconds) {
                if counts(earliest) >= deadline {
                    let _ = write!(text, ", later than progressDeadlineSeconds {}", deadline.as_secs());
                } else if counts(latest) >= deadline {
                    let _ = write!(text, ", possibly later than progressDeadlineSeconds {}", deadline.as_secs());
                }
            }
        }
    }
    text
}

fn verdict(outcome: Outcome, what: &str, since: &str) -> String {
    let when = if outcome.earliest == outcome.latest {
        format!("{} {since}", shown(outcome.latest))
    } else {
        format!("{} to {} {since}", shown(outcome.earliest), shown(outcome.latest))
    };
    match outcome.chance {
        Chance::Never => format!("never {what}"),
        Chance::Possibly => format!("possibly {what}, depending on the moment of its runs: {when}"),
        Chance::Surely => format!("surely {what}: {when}"),
    }
}

/// `40 s`, `1.5 s`
fn shown(time: Duration) -> String {
    if time.subsec_nanos() == 0 { format!("{} s", time.as_secs()) } else { format!("{} s", time.as_secs_f64()) }
}
