//! The line about a judged request.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{Level, enabled};

use super::log::LINE;
use crate::admission::{Outcome, Route};
use crate::model::quote;

/// Bytes of a text from the request that a line shows. Kubernetes' names end at 253 characters, but a forged review's take up to 8 MiB, and thousands of lines
/// may wait for stderr.
const SHOWN: usize = 1 << 10;

/// What became of a request.
pub(super) struct Judged<'o> {
    pub(super) route: Route,
    pub(super) status: u16,
    pub(super) outcome: &'o Outcome,
    pub(super) took: Duration,
}

impl Judged<'_> {
    const MESSAGE: &'static str = "request judged";

    /// How important its line is, if it is written at all: `warn` for errors, `info` for what was denied or changed, else `debug`.
    pub(super) fn level(&self) -> Option<Level> {
        let outcome = self.outcome;
        // tracing wants each level written out, to know at compile time which callsites there are.
        match outcome.verdict {
            "error" => enabled!(Level::WARN).then_some(Level::WARN),
            "denied" | "patched" => enabled!(Level::INFO).then_some(Level::INFO),
            _ if self.status != 200 || outcome.error.is_some() || !outcome.rule_errors.is_empty() => {
                enabled!(Level::WARN).then_some(Level::WARN)
            }
            _ => enabled!(Level::DEBUG).then_some(Level::DEBUG),
        }
    }

    /// Gives it to tracing.
    pub(super) fn event(&self, level: Level) {
        let Self { route, status, outcome, .. } = self;
        let [findings, filled, rule_errors] = self.lists().map(|(_, list)| list);
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    path = route.path(),
                    operation = outcome.operation,
                    kind = &*outcome.kind,
                    object = shown(&outcome.object),
                    uid = shown(&outcome.uid),
                    verdict = outcome.verdict,
                    status,
                    findings,
                    filled,
                    rule_errors,
                    error = outcome.error.as_deref().map(shown),
                    policy = outcome.policy,
                    micros = self.micros(),
                    "{}",
                    Self::MESSAGE
                )
            };
        }
        match level {
            Level::WARN => event!(Level::WARN),
            Level::INFO => event!(Level::INFO),
            _ => event!(Level::DEBUG),
        }
    }

    /// The line as tracing writes it in JSON, to the letter. There is one for each patched object, and tracing's formatter takes a quarter of
    /// the time for it that judging the object does.
    pub(super) fn json(&self, at: Timestamp, level: Level) -> String {
        let Self { route, status, outcome, .. } = self;
        let mut line = String::with_capacity(LINE);
        let text = |line: &mut String, key: &str, value: &str| {
            line.push_str(",\"");
            line.push_str(key);
            line.push_str("\":");
            quote(value, line);
        };
        // Writing to a string does not fail.
        let _ = write!(line, "{{\"timestamp\":\"{at:.6}\",\"level\":\"{level}\"");
        text(&mut line, "message", Self::MESSAGE);
        text(&mut line, "path", route.path());
        text(&mut line, "operation", outcome.operation);
        text(&mut line, "kind", &outcome.kind);
        text(&mut line, "object", shown(&outcome.object));
        text(&mut line, "uid", shown(&outcome.uid));
        text(&mut line, "verdict", outcome.verdict);
        let _ = write!(line, ",\"status\":{status}");
        for (key, list) in self.lists() {
            if let Some(list) = list {
                text(&mut line, key, &list);
            }
        }
        if let Some(error) = &outcome.error {
            text(&mut line, "error", shown(error));
        }
        text(&mut line, "policy", &outcome.policy);
        let _ = write!(line, ",\"micros\":{}", self.micros());
        text(&mut line, "target", module_path!());
        line.push_str("}\n");
        line
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }

    /// Those that have something in them.
    fn lists(&self) -> [(&'static str, Option<String>); 3] {
        let Outcome { findings, filled, rule_errors, .. } = self.outcome;
        [
            ("findings", joined(findings.iter().map(|(rule, action)| [*rule, "=", *action]))),
            ("filled", joined(filled.iter().map(|field| [*field, "", ""]))),
            ("rule_errors", joined(rule_errors.iter().map(|rule| [*rule, "", ""]))),
        ]
    }
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

/// `a=deny, b=warn`.
fn joined<'a>(items: impl ExactSizeIterator<Item = [&'a str; 3]>) -> Option<String> {
    let mut text = String::with_capacity(items.len() * 40);
    for item in items {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.extend(item);
    }
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::log::Format;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn is_to_the_letter_what_tracing_writes() {
        let patched = Outcome {
            operation: "CREATE",
            kind: "Deployment".into(),
            verdict: "patched",
            filled: vec!["livenessProbe.timeoutSeconds", "readinessProbe.timeoutSeconds"],
            object: "shop/web".into(),
            uid: "u-1".into(),
            policy: "28d77cc9a449".into(),
            ..Outcome::default()
        };
        let denied = Outcome {
            verdict: "denied",
            findings: vec![("remote-host", "deny"), ("default-timeout", "audit")],
            filled: Vec::new(),
            ..patched.clone()
        };
        let failed = Outcome {
            verdict: "allowed",
            rule_errors: vec!["remote-host"],
            error: Some("a \"quote\", a \\,\na line, \u{1b}[31m, \u{7f} and \u{e9}\u{2028}".into()),
            ..denied.clone()
        };
        let allowed = Outcome { verdict: "allowed", ..Outcome::default() };
        let forged = Outcome { object: "é".repeat(5_000), uid: "x".repeat(5_000), ..patched.clone() };
        let cases = [
            (&patched, Level::INFO),
            (&denied, Level::INFO),
            (&failed, Level::WARN),
            (&allowed, Level::DEBUG),
            (&forged, Level::INFO),
        ];
        for (outcome, level) in cases {
            let judged = Judged { route: Route::Mutate, status: 200, outcome, took: Duration::from_micros(212) };
            let kept = Kept::default();
            let writer = kept.clone();
            let layer = Format::Json.layer(move || writer.clone());
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                assert_eq!(judged.level(), Some(level));
                judged.event(level);
            });
            let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let at = written.split('"').nth(3).unwrap();
            assert_eq!(judged.json(at.parse().unwrap(), level), written);
            assert!(written.len() < 3 * SHOWN, "{written}");
        }
    }
}
