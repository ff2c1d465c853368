//! The report as JUnit XML: one suite per file, one case per finding, exempted ones among them, and one that passes per workload without any.

use std::collections::BTreeMap;
use std::path::Path;

use quick_junit::{NonSuccessKind, Report as Suites, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::index::Index;
use crate::lint::{Allowed, Found, Report, relative};
use crate::policy::Action;

/// The report as an XML document. Findings of at least the severity `fails` are failures, the others skipped cases that carry their message; so are those
/// that are right there, with the reason.
pub fn junit(report: &Report, fails: Action, root: Option<&Path>) -> Result<String, SerializeError> {
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    let mut add = |file: &str, mut case: TestCase| {
        let file = relative(file, root).to_owned();
        case.set_classname(file.clone());
        suites.entry(file).or_insert_with_key(|file| TestSuite::new(file.clone())).add_test_case(case);
    };
    for found in &report.findings {
        add(&found.file, case(found, fails));
    }
    for allowed in &report.exempted {
        add(&allowed.found.file, exempted(allowed));
    }
    let index = Index::of(report);
    for judged in &report.workloads {
        if index.findings(judged).is_empty() {
            add(&judged.file, TestCase::new(judged.object.to_string(), TestCaseStatus::success()));
        }
    }
    for failure in &report.errors {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("error").set_message(failure.message.clone()).set_description(failure.to_string());
        add(&failure.file, TestCase::new("can be read", status));
    }
    let mut document = Suites::new("probekeeper");
    document.add_test_suites(suites.into_values());
    document.to_string()
}

fn name(found: &Found) -> String {
    format!("{}: {}, {}", found.finding.rule.id, found.object, found.finding.place())
}

fn exempted(Allowed { found, reason, by }: &Allowed) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    let text = format!("{}:{}:{}: {}", found.file, found.line, found.column, found.finding.message);
    status.set_type("exempted").set_message(format!("{reason} ({})", by.name())).set_description(text);
    TestCase::new(name(found), status)
}

fn case(found: &Found, fails: Action) -> TestCase {
    let finding = &found.finding;
    let help = if finding.help.is_empty() { String::new() } else { format!("\nwrite\n{}", finding.help.trim_end()) };
    let text = format!(
        "{}:{}:{}: {}\nwhy: {}{help}\n{}",
        found.file,
        found.line,
        found.column,
        finding.message,
        finding.rule.why,
        finding.rule.url(),
    );
    let mut status =
        if finding.action >= fails { TestCaseStatus::non_success(NonSuccessKind::Failure) } else { TestCaseStatus::skipped() };
    status.set_type(finding.action.name()).set_message(finding.message.clone()).set_description(text);
    TestCase::new(name(found), status)
}
