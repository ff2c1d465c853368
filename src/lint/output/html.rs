//! The report as one page that needs nothing else: no network, no script.

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::explain::{filled, plan, sentences, together};
use super::index::Index;
use super::text::count;
use super::timeline;
use crate::lint::{Allowed, Found, Report, Seen, relative};
use crate::model::{Course, Phase};
use crate::policy::Action;

/// Plain CSS; colours are chosen for a contrast of at least 4.5 to 1 in both schemes.
const STYLE: &str = include_str!("html.css");

/// The report as an HTML page, with timelines where the judge gave [courses](crate::lint::Judge::with_courses). `root`: the folder that file names are
/// relative to.
pub fn html(report: &Report, root: Option<&Path>) -> String {
    let index = Index::of(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "probekeeper: " (verdict(report)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "probekeeper" }
                    p .verdict { (verdict(report)) }
                    (totals(report))
                }
                main {
                    @if !report.errors.is_empty() { (errors(report, root)) }
                    @if !report.workloads.is_empty() { (legend(report)) }
                    @for seen in &report.workloads { (workload(&index, seen, root)) }
                }
                footer {
                    p { "Judged by probekeeper " (env!("CARGO_PKG_VERSION")) ". Timelines show each object as it would be stored." }
                }
            }
        }
    };
    page.into_string() + "\n"
}

/// `3 denied, 1 warning`
fn verdict(report: &Report) -> String {
    let summary = &report.summary;
    let parts = [
        (summary.deny > 0).then(|| format!("{} denied", summary.deny)),
        (summary.warn > 0).then(|| count(summary.warn, "warning")),
        (!report.errors.is_empty()).then(|| count(report.errors.len(), "error")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing wrong".to_owned() } else { parts.join(", ") }
}

fn totals(report: &Report) -> Markup {
    let summary = &report.summary;
    let mut cells = vec![
        ("files", summary.files),
        ("workloads", summary.workloads),
        ("denied", summary.deny),
        ("warnings", summary.warn),
        ("for audit", summary.audit),
        ("exempted", summary.exempted),
        ("skipped", summary.skipped),
        ("filled in", report.filled.len()),
    ];
    cells.extend(summary.known.map(|known| ("known", known)));
    html! {
        dl .totals {
            @for (name, number) in cells {
                div { dt { (name) } dd { (number) } }
            }
        }
    }
}

fn errors(report: &Report, root: Option<&Path>) -> Markup {
    html! {
        section .errors aria-labelledby="errors" {
            h2 #errors { "Could not be read" }
            ul {
                @for failure in &report.errors {
                    li {
                        code { (relative(&failure.file, root)) @if let Some(line) = failure.line { ":" (line) } }
                        " " (failure.message)
                    }
                }
            }
        }
    }
}

fn legend(report: &Report) -> Markup {
    let mut phases: Vec<Phase> = Vec::new();
    for course in report.workloads.iter().flat_map(|seen| &seen.courses) {
        for phase in timeline::phases(&course.stories()) {
            if !phases.contains(&phase) {
                phases.push(phase);
            }
        }
    }
    html! {
        @if !phases.is_empty() {
            ul .legend aria-label="Colours of the timelines" {
                @for phase in phases {
                    li {
                        svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                            rect width="16" height="16" class=(timeline::class(phase)) {}
                        }
                        (phase.meaning())
                    }
                }
            }
        }
        // One definition serves every drawing of the page.
        svg .defs width="0" height="0" aria-hidden="true" {
            defs {
                pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="6" height="6" class="hatch-ground" {}
                    rect width="3" height="6" class="hatch-line" {}
                }
            }
        }
    }
}

fn workload(index: &Index<'_>, seen: &Seen, root: Option<&Path>) -> Markup {
    let findings: Vec<&Found> = index.findings(seen);
    let worst = findings.iter().map(|found| found.finding.action).max();
    let exempted = index.exempted(seen);
    let filled = filled(index, seen);
    html! {
        article class=(worst.map_or("clean", Action::name)) {
            h2 { (seen.object) }
            p .place { code { (relative(&seen.file, root)) ":" (seen.line) } }
            @if findings.is_empty() { p .fine { @if exempted.is_empty() { "Nothing wrong." } @else { "Nothing wrong beyond what is exempted." } } }
            @for found in findings { (finding(found)) }
            @if !exempted.is_empty() { (exemptions(&exempted)) }
            @if !filled.is_empty() {
                p .filled { "Filled in: " @for (at, value) in filled.iter().enumerate() { @if at > 0 { ", " } code { (value) } } }
            }
            // Where something is wrong, the numbers are part of the answer.
            details open[worst.is_some()] {
                summary { "What its probes do" }
                @for course in &seen.courses { (container(course)) }
            }
        }
    }
}

fn finding(found: &Found) -> Markup {
    let finding = &found.finding;
    let excerpt = &found.excerpt;
    let (text, range) = (&excerpt.text, &excerpt.primary);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    html! {
        section .finding {
            h3 {
                span class={ "badge " (finding.action.name()) } { (finding.action.name()) }
                " " (finding.message)
            }
            p .place { (finding.place()) ", line " (found.line) " · " a href=(finding.rule.url()) { (finding.rule.id) } }
            pre tabindex="0" role="region" aria-label={ "Line " (found.line) } {
                code { (part(0, range.start)) mark { (part(range.start, range.end)) } (part(range.end, text.len())) }
            }
            p { "Why: " (finding.rule.why) "." }
            @if !finding.help.is_empty() {
                p { "Write instead:" }
                pre tabindex="0" role="region" aria-label="What to write instead" { code { (finding.help.trim_end()) } }
            }
        }
    }
}

/// What a rule says and somebody gave a reason for.
fn exemptions(exempted: &[&Allowed]) -> Markup {
    html! {
        section .exempted {
            h3 { "Exempted" }
            ul {
                @for Allowed { found, reason, by } in exempted {
                    li {
                        (found.finding.message)
                        p .place { (found.finding.place()) ", line " (found.line) " · " a href=(found.finding.rule.url()) { (found.finding.rule.id) } }
                        p { "By the " (by.name()) ": " (reason) }
                    }
                }
            }
        }
    }
}

/// A number and its unit stay on one line.
fn together_units(sentence: &str) -> String {
    let words: Vec<&str> = sentence.split(' ').collect();
    let mut out = String::with_capacity(sentence.len());
    for (at, word) in words.iter().enumerate() {
        let unit = word.trim_end_matches([')', ';', ',', '.']) == "s";
        if at > 0 {
            out.push(if unit { '\u{a0}' } else { ' ' });
        }
        out += word;
    }
    out
}

fn container(course: &Course) -> Markup {
    html! {
        section .container {
            h3 { "Container " code { (course.container) } @if course.sidecar { " (native sidecar)" } }
            @for part in &course.parts {
                h4 { (part.kind.field()) }
                p .asks { (plan(part)) }
                ul { @for sentence in sentences(course, part) { li { (together_units(&sentence)) } } }
            }
            div .together { @for sentence in together(course) { p { (together_units(&sentence)) } } }
            div .stories {
                @for story in course.stories().iter().filter(|story| !story.lanes.is_empty()) {
                    figure {
                        figcaption { strong { (story.kind.word()) } " " (story.kind.question()) }
                        (timeline::svg(story, &format!("{} of container {}", story.kind.word(), course.container)))
                    }
                }
            }
        }
    }
}
