//! The report for people: the place in the file underlined, why it matters, what to write instead.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::lint::{Allowed, Found, Report};
use crate::policy::Action;

/// Longer sentences are broken: what fits beside a diff or in a CI log.
const WIDTH: usize = 100;

/// The findings with excerpts, and one line of totals.
pub fn text(report: &Report, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(WIDTH + 20);
    let mut out = String::new();
    for found in &report.findings {
        out.push_str(&excerpt(found, &renderer));
        out.push_str("\n\n");
    }
    for allowed in &report.exempted {
        out.push_str(&exemption(allowed));
    }
    if !report.exempted.is_empty() {
        out.push('\n');
    }
    out.push_str(&summary(report));
    out
}

/// One line: what is right there, who says so and why.
fn exemption(Allowed { found, reason, by }: &Allowed) -> String {
    let Found { file, line, column, object, finding, .. } = found;
    let place = finding.place();
    format!("exempted[{}]: {file}:{line}:{column}: {object}, {place}: {reason} ({})\n", finding.rule.id, by.name())
}

fn excerpt(found: &Found, renderer: &Renderer) -> String {
    let finding = &found.finding;
    let level = match finding.action {
        Action::Deny => Level::ERROR,
        Action::Warn => Level::WARNING,
        Action::Audit | Action::Off => Level::NOTE,
    };
    let excerpt = &found.excerpt;
    let snippet = Snippet::source(&*excerpt.text)
        .line_start(excerpt.first_line)
        .path(&*found.file)
        .annotation(AnnotationKind::Primary.span(excerpt.primary.clone()))
        .annotations(excerpt.context.iter().map(|context| AnnotationKind::Visible.span(context.clone())));
    let place = format!("{}, {}", found.object, finding.place());
    let title = wrap(&finding.message, WIDTH - finding.rule.id.len() - "warn[]: ".len());
    let mut group = level
        .with_name(finding.action.name())
        .primary_title(title)
        .id(finding.rule.id)
        .element(snippet)
        .element(Level::NOTE.with_name("in").message(wrap(&place, WIDTH)))
        .element(Level::NOTE.with_name("why").message(wrap(finding.rule.why, WIDTH)));
    if !finding.note.is_empty() {
        group = group.element(Level::NOTE.with_name("note").message(wrap(&finding.note, WIDTH)));
    }
    if !finding.help.is_empty() {
        group = group.element(Level::HELP.message(instead(&finding.help)));
    }
    renderer.render(&[group])
}

/// YAML stands on lines of its own, so that it can be copied.
fn instead(yaml: &str) -> String {
    let yaml = yaml.trim_end();
    if yaml.contains('\n') { format!("write\n{yaml}") } else { format!("write `{yaml}`") }
}

/// Breaks a sentence at spaces.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// `2 files, 3 workloads: 1 denied, 2 warnings; 4 values would be filled in`
pub(super) fn summary(report: &Report) -> String {
    let Report { summary, filled, errors, .. } = report;
    let mut line = format!("{}, {}: ", count(summary.files, "file"), count(summary.workloads, "workload"));
    let found = [
        (summary.deny > 0).then(|| format!("{} denied", summary.deny)),
        (summary.warn > 0).then(|| count(summary.warn, "warning")),
        (summary.audit > 0).then(|| format!("{} for audit", summary.audit)),
        (summary.exempted > 0).then(|| format!("{} exempted", summary.exempted)),
        summary.known.filter(|known| *known > 0).map(|known| format!("{known} known")),
    ];
    let found: Vec<_> = found.into_iter().flatten().collect();
    line += &match (found.is_empty(), errors.is_empty()) {
        (true, true) => "nothing wrong".to_owned(),
        (true, false) => "no findings".to_owned(),
        _ => found.join(", "),
    };
    if !filled.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(line, "; {} would be filled in", count(filled.len(), "value"));
    }
    if !errors.is_empty() {
        let _ = write!(line, "; {}", count(errors.len(), "error"));
    }
    line.push('\n');
    line
}

pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
