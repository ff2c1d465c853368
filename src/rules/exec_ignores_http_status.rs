use super::{Context, Findings, Rule, exec_http_client::http_get};
use crate::model::{Call, Reach, Reading};

declare_rule! {
    /// A probe runs curl, which succeeds whatever the HTTP status is.
    ///
    /// ## What it does
    ///
    /// Fires when a probe runs `curl` without `--fail` (or `-f`, `--fail-with-body`) and nothing looks at the answer: no `--write-out`, pipe, substitution or
    /// output file.
    ///
    /// ## Why it is bad
    ///
    /// `curl` exits 0 as soon as any HTTP response has come, 500 and 404 included. The probe only finds out whether the port answers.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   exec: { command: [curl, -s, "http://localhost:8080/ready"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// `httpGet`, for which a status from 400 up is a failure; or `curl --fail`.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   exec: { command: [curl, -sf, "http://localhost:8080/ready"] }
    /// ```
    pub struct ExecIgnoresHttpStatus {}
    id: "exec-ignores-http-status",
    why: "curl exits 0 for 404 and 500 too, so the probe only sees whether the port answers",
    actions: [Warn, Warn, Deny],
    needs: EXEC,
}

impl Rule for ExecIgnoresHttpStatus {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(reading) = Reading::of_probe(probe, container, cx.workload) else { continue };
                // Where the exit code does not matter at all, another rule says so.
                if reading.cannot_fail(probe.timing().timeout).is_some() {
                    continue;
                }
                let ignoring = reading.calls.iter().find_map(|call| match call {
                    Call { http: Some(http), targets, output_used: false, .. } if http.ignores_status => {
                        Some((http, targets.first()?))
                    }
                    _ => None,
                });
                let Some((http, target)) = ignoring else { continue };
                let message = format!("{} runs curl without --fail: a status of 404 or 500 counts as a success", kind.word());
                let help = if target.reach == Reach::Local {
                    http_get(container, kind, target, http)
                } else {
                    format!("{}:\n  exec:\n    command: [curl, --fail, ...]", kind.field())
                };
                out.probe(cx, container, kind, "exec/command", message, help);
            }
        }
    }
}
