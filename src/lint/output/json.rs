//! The report for programs. Field names and order are an interface: additions only.

use serde::Serialize;

use crate::lint::{Allowed, Failure, Filled, Found, ObjectRef, Report, Summary};
use crate::model::ProbeKind;

/// Counts up when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// The report as a JSON document that ends with a line break.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    let document = Document {
        version: VERSION,
        findings: report.findings.iter().map(Finding::from).collect(),
        exempted: report.exempted.iter().map(Exempted::from).collect(),
        filled: report.filled.iter().map(Fill::from).collect(),
        errors: &report.errors,
        summary: report.summary,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Document<'r> {
    version: u32,
    findings: Vec<Finding<'r>>,
    exempted: Vec<Exempted<'r>>,
    filled: Vec<Fill<'r>>,
    errors: &'r [Failure],
    summary: Summary,
}

#[derive(Serialize)]
struct Finding<'r> {
    rule: &'r str,
    action: &'r str,
    message: &'r str,
    help: &'r str,
    url: String,
    file: &'r str,
    document: usize,
    line: usize,
    column: usize,
    object: &'r ObjectRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<&'r str>,
    pointer: &'r str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'r str,
}

#[derive(Serialize)]
struct Exempted<'r> {
    #[serde(flatten)]
    finding: Finding<'r>,
    by: &'r str,
    reason: &'r str,
}

impl<'r> From<&'r Allowed> for Exempted<'r> {
    fn from(allowed: &'r Allowed) -> Self {
        Self { finding: Finding::from(&allowed.found), by: allowed.by.name(), reason: &allowed.reason }
    }
}

impl<'r> From<&'r Found> for Finding<'r> {
    fn from(found: &'r Found) -> Self {
        let finding = &found.finding;
        Self {
            rule: finding.rule.id,
            action: finding.action.name(),
            message: &finding.message,
            help: &finding.help,
            url: finding.rule.url(),
            file: &found.file,
            document: found.document,
            line: found.line,
            column: found.column,
            object: &found.object,
            container: finding.container.as_deref(),
            probe: finding.probe.map(ProbeKind::field),
            pointer: &found.pointer,
            note: &finding.note,
        }
    }
}

#[derive(Serialize)]
struct Fill<'r> {
    file: &'r str,
    document: usize,
    object: &'r ObjectRef,
    pointer: &'r str,
    value: i64,
}

impl<'r> From<&'r Filled> for Fill<'r> {
    fn from(filled: &'r Filled) -> Self {
        let Filled { file, document, object, pointer, value } = filled;
        Self { file, document: *document, object, pointer, value: *value }
    }
}
