//! The report as workflow commands, which GitHub Actions shows as annotations beside the changed lines.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::path::Path;

use super::text::summary;
use crate::lint::{Failure, Found, Report, relative};
use crate::policy::Action;

/// One command per finding and error, and one line of totals. `root`: the folder that the workflow's files are relative to.
pub fn github(report: &Report, root: Option<&Path>) -> String {
    let mut out = String::new();
    for found in &report.findings {
        out += &finding(found, root);
    }
    for failure in &report.errors {
        out += &error(failure, root);
    }
    out + &summary(report)
}

fn finding(found: &Found, root: Option<&Path>) -> String {
    let finding = &found.finding;
    let command = match finding.action {
        Action::Deny => "error",
        Action::Warn => "warning",
        Action::Audit | Action::Off => "notice",
    };
    let mut message = format!("{}, {}: {}\nwhy: {}", found.object, finding.place(), finding.message, finding.rule.why);
    if !finding.help.is_empty() {
        message += &["\nwrite\n", finding.help.trim_end()].concat();
    }
    message += &["\n", &finding.rule.url()].concat();
    format!(
        "::{command} file={},line={},col={},title={}::{}\n",
        property(relative(&found.file, root)),
        found.line,
        found.column,
        property(&format!("probekeeper: {}", finding.rule.id)),
        data(&message),
    )
}

fn error(failure: &Failure, root: Option<&Path>) -> String {
    let place = match (failure.line, failure.column) {
        (Some(line), Some(column)) => format!(",line={line},col={column}"),
        _ => String::new(),
    };
    let file = property(relative(&failure.file, root));
    format!("::error file={file}{place},title=probekeeper::{}\n", data(&failure.message))
}

/// The text after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, which also ends at a colon or comma.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
