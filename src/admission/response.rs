//! The answer on the wire, and the texts that people read in it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::review::{API_VERSION, KIND};
use crate::{
    engine::{Demotion, Exempted, Judged, Verdict},
    model::{Workload, quote},
    policy::{Action, Policy},
    rules::Finding,
};

/// The API server cuts a warning here (contract 2).
const WARNING_RUNES: usize = 256;
/// The API server drops warnings that together are longer (contract 2).
const WARNINGS_RUNES: usize = 4096;
/// A denial names at most this many problems in full: a message that scrolls away is not read.
const DENIED_IN_FULL: usize = 8;
/// An answer without its texts is a little smaller.
const USUAL_BYTES: usize = 320;
/// An audit annotation names at most this many findings: audit events are stored for long.
const AUDITED: usize = 32;

/// `response` of an AdmissionReview.
#[derive(Debug, Default)]
pub(super) struct Response<'r> {
    pub(super) uid: &'r str,
    pub(super) allowed: bool,
    pub(super) status: Option<Status>,
    /// Base64 of RFC 6902 JSON.
    patch: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) audit_annotations: Option<AuditAnnotations<'r>>,
}

/// Why a request was denied.
#[derive(Debug)]
pub(super) struct Status {
    message: String,
    reason: &'static str,
    code: u16,
}

/// Keys become `<webhook name>/<key>` in the audit log, so they have no slash of their own.
#[derive(Debug, Default)]
pub(super) struct AuditAnnotations<'r> {
    pub(super) policy: &'r str,
    /// Left out where it is empty, as are the others.
    pub(super) findings: String,
    pub(super) exempted: String,
    pub(super) filled: String,
    /// What the change was taken for.
    pub(super) rollback: &'static str,
}

impl<'r> Response<'r> {
    /// Allowed without a word.
    pub(super) fn allow(uid: &'r str) -> Self {
        Self { uid, allowed: true, ..Self::default() }
    }

    /// Adds lines that kubectl prints.
    pub(super) fn warn(mut self, lines: Vec<String>) -> Self {
        self.warnings = within_budget(lines);
        self
    }

    /// Adds a patch.
    pub(super) fn patch(&mut self, operations: &str) {
        self.patch = Some(STANDARD.encode(operations));
    }

    /// The body. It is written here because most of it is fixed.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let texts = self.patch.as_ref().map_or(0, String::len)
            + self.warnings.iter().map(String::len).sum::<usize>()
            + self.status.as_ref().map_or(0, |status| status.message.len())
            + self.audit_annotations.as_ref().map_or(0, |audit| audit.findings.len() + audit.exempted.len() + audit.filled.len());
        let mut body = String::with_capacity(USUAL_BYTES + texts);
        body.push_str(r#"{"apiVersion":""#);
        body.push_str(API_VERSION);
        body.push_str(r#"","kind":""#);
        body.push_str(KIND);
        body.push_str(r#"","response":{"uid":"#);
        quote(self.uid, &mut body);
        body.push_str(if self.allowed { r#","allowed":true"# } else { r#","allowed":false"# });
        if let Some(Status { message, reason, code }) = &self.status {
            body.push_str(r#","status":{"message":"#);
            quote(message, &mut body);
            let _ = write!(body, r#","reason":"{reason}","code":{code}}}"#);
        }
        if let Some(patch) = &self.patch {
            // Nothing in base64 needs escaping.
            body.push_str(r#","patch":""#);
            body.push_str(patch);
            body.push_str(r#"","patchType":"JSONPatch""#);
        }
        for (at, warning) in self.warnings.iter().enumerate() {
            body.push_str(if at == 0 { r#","warnings":["# } else { "," });
            quote(warning, &mut body);
        }
        if !self.warnings.is_empty() {
            body.push(']');
        }
        if let Some(AuditAnnotations { policy, findings, exempted, filled, rollback }) = &self.audit_annotations {
            body.push_str(r#","auditAnnotations":{"policy":"#);
            quote(policy, &mut body);
            for (key, value) in [("findings", &**findings), ("exempted", exempted), ("filled", filled), ("rollback", rollback)] {
                if !value.is_empty() {
                    body.push_str(",\"");
                    body.push_str(key);
                    body.push_str("\":");
                    quote(value, &mut body);
                }
            }
            body.push('}');
        }
        body.push_str("}}");
        body.into_bytes()
    }
}

impl Status {
    /// The code that every denial has (contract 2): one below 400 would become 400, and other reasons mean other things to clients.
    pub(super) fn forbidden(message: String) -> Self {
        Self { message, reason: "Forbidden", code: 403 }
    }
}

/// Status 403 `Forbidden` with everything that the author needs to repair the manifest.
pub(super) fn denial(workload: &Workload<'_>, verdict: &Verdict, policy: &Policy) -> Status {
    let denied: Vec<&Judged> = verdict.with(Action::Deny).collect();
    let plural = if denied.len() == 1 { "problem" } else { "problems" };
    let mut message =
        format!("{} {} has {} {plural} with its probes:\n", workload.kind_name(), full_name(workload), denied.len());
    for (number, judged) in denied.iter().take(DENIED_IN_FULL).enumerate() {
        describe(&mut message, number + 1, &judged.finding);
    }
    if let Some(more) = denied.len().checked_sub(DENIED_IN_FULL).filter(|more| *more > 0) {
        let _ = writeln!(message, "\nand {more} more");
    }
    let rule = denied.first().map_or("", |judged| judged.finding.rule.id);
    let _ = write!(message, "\nPolicy: {} ({}). More: probekeeper rules explain {rule}", policy.profile, policy.hash);
    Status::forbidden(message)
}

fn describe(message: &mut String, number: usize, finding: &Finding) {
    let _ = writeln!(message, "\n{number}. {}: {} [{}]", finding.place(), finding.message, finding.rule.id);
    let _ = writeln!(message, "   Why: {}", finding.rule.why);
    if !finding.note.is_empty() {
        let _ = writeln!(message, "   Note: {}", finding.note);
    }
    if !finding.help.is_empty() {
        message.push_str("   Instead:\n");
        for line in finding.help.lines() {
            let _ = writeln!(message, "     {line}");
        }
    }
    let _ = writeln!(message, "   At: {}", finding.pointer);
}

fn full_name(workload: &Workload<'_>) -> String {
    let namespace = workload.namespace().unwrap_or_default();
    let name = workload.name();
    if namespace.is_empty() { format!("\"{name}\"") } else { format!("\"{namespace}/{name}\"") }
}

/// One line for each finding that warns, the most important first, within what the API server passes on.
pub(super) fn warnings(verdict: &Verdict) -> Vec<String> {
    let lines = verdict.with(Action::Warn).map(|judged| {
        let Judged { finding, demoted } = judged;
        let reason = match demoted {
            Some(Demotion::AlreadyThere) => " (not denied: it was there before)",
            Some(Demotion::RolledBack) => " (not denied: a rollback)",
            Some(Demotion::Owned) => " (not denied: made by a controller)",
            None => "",
        };
        let note = if finding.note.is_empty() { String::new() } else { format!(" ({})", finding.note) };
        format!("{}: {}: {}{reason}{note}", finding.rule.id, finding.place(), finding.message)
    });
    within_budget(lines.collect())
}

/// Cuts each line to what is passed on, and ends with "and N more" when not all fit.
pub(super) fn within_budget(lines: Vec<String>) -> Vec<String> {
    let reserve = 40; // runes for the closing line
    let total = lines.len();
    let mut kept: Vec<String> = Vec::with_capacity(total);
    let mut used = 0;
    for line in lines {
        let line = cut(&line);
        let runes = line.chars().count();
        let last = kept.len() + 1 == total;
        if used + runes + if last { 0 } else { reserve } > WARNINGS_RUNES {
            break;
        }
        used += runes;
        kept.push(line);
    }
    if kept.len() < total {
        kept.push(format!("and {} more from probekeeper", total - kept.len()));
    }
    kept
}

fn shown(rune: char) -> char {
    if rune.is_control() { '\u{fffd}' } else { rune }
}

/// One line of a warning. The API server drops one that holds a control character, which a path or a host may.
fn cut(line: &str) -> String {
    if line.chars().count() <= WARNING_RUNES {
        return line.chars().map(shown).collect();
    }
    line.chars().take(WARNING_RUNES - 1).map(shown).chain(['…']).collect()
}

/// `rule=action` with its place, for the audit log.
pub(super) fn audited(verdict: &Verdict) -> String {
    let mut text = String::with_capacity(64 * verdict.judged.len().min(AUDITED));
    for (at, Judged { finding, .. }) in verdict.judged.iter().take(AUDITED).enumerate() {
        for part in [if at > 0 { ", " } else { "" }, finding.rule.id, "=", finding.action.name()] {
            text.push_str(part);
        }
        place(&mut text, finding);
    }
    and_more(&mut text, verdict.judged.len());
    text
}

/// Longest reason in an audit annotation, in characters.
const REASON_RUNES: usize = 100;

/// Each finding that is right there, who says so and why, for the audit log.
pub(super) fn audited_exemptions(exempted: &[Exempted]) -> String {
    let mut text = String::new();
    for (at, Exempted { finding, reason, by }) in exempted.iter().take(AUDITED).enumerate() {
        let separator = if at > 0 { "; " } else { "" };
        let _ = write!(text, "{separator}{}", finding.rule.id);
        place(&mut text, finding);
        let _ = write!(text, " ({}: ", by.name());
        text.extend(reason.chars().take(REASON_RUNES).map(shown));
        text.push(')');
    }
    and_more(&mut text, exempted.len());
    text
}

fn place(text: &mut String, finding: &Finding) {
    if let Some(container) = &finding.container {
        text.push(' ');
        text.push_str(container);
    }
    if let Some(probe) = finding.probe {
        text.push('/');
        text.push_str(probe.field());
    }
}

fn and_more(text: &mut String, all: usize) {
    if let Some(more) = all.checked_sub(AUDITED).filter(|more| *more > 0) {
        let _ = write!(text, ", and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        /// The keys and their order are those of the API's own types (k8s.io/api/admission/v1).
        #[test]
        fn the_body_is_the_json_of_what_it_says(
            texts in prop::array::uniform5(".{0,40}"),
            warnings in prop::collection::vec(".{0,20}", 0..3),
            (allowed, denied, patched, audited) in any::<(bool, bool, bool, bool)>(),
        ) {
            let [uid, message, findings, exempted, filled] = &texts;
            let mut response = Response { uid, allowed, warnings: warnings.clone(), ..Response::default() };
            let mut expected = json!({ "uid": uid, "allowed": allowed });
            if denied {
                response.status = Some(Status::forbidden(message.clone()));
                expected["status"] = json!({ "message": message, "reason": "Forbidden", "code": 403 });
            }
            if patched {
                response.patch(message);
                expected["patch"] = STANDARD.encode(message).into();
                expected["patchType"] = "JSONPatch".into();
            }
            if !warnings.is_empty() {
                expected["warnings"] = json!(warnings);
            }
            if audited {
                let (findings, exempted, filled) = (findings.clone(), exempted.clone(), filled.clone());
                let mut annotations = json!({ "policy": uid });
                for (key, value) in [("findings", &findings), ("exempted", &exempted), ("filled", &filled)] {
                    if !value.is_empty() {
                        annotations[key] = value.clone().into();
                    }
                }
                expected["auditAnnotations"] = annotations;
                response.audit_annotations = Some(AuditAnnotations { policy: uid, findings, exempted, filled, rollback: "" });
            }
            let body = String::from_utf8(response.to_bytes()).unwrap();
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&read, &json!({ "apiVersion": API_VERSION, "kind": KIND, "response": expected }));
        }
    }

    #[test]
    fn warnings_stay_within_what_the_api_server_passes_on() {
        for (count, length) in [(1, 10), (1, 256), (1, 257), (16, 256), (17, 256), (500, 300), (3, 5)] {
            let lines = within_budget(vec!["é".repeat(length); count]);
            assert!(lines.iter().all(|line| line.chars().count() <= WARNING_RUNES));
            assert!(lines.iter().map(|line| line.chars().count()).sum::<usize>() <= WARNINGS_RUNES, "{count} x {length}");
            let whole = lines.iter().filter(|line| line.starts_with('é')).count();
            if whole < count {
                assert_eq!(lines.last().unwrap(), &format!("and {} more from probekeeper", count - whole));
            }
        }
        assert_eq!(within_budget(vec!["é".repeat(256); 16]).len(), 16, "exactly the budget fits");
    }
}
