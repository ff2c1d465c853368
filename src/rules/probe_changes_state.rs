use super::{Context, Findings, Rule};
use crate::{model::Handler, rules::finding::shorten};

declare_rule! {
    /// A probe requests an endpoint that changes something.
    ///
    /// ## What it does
    ///
    /// Fires when the last segment of an `httpGet` path is a verb that stops or alters the server: one of `verbs`, or a word that begins with
    /// `toggle`. Case, a trailing slash and the query do not matter.
    ///
    /// ## Why it is bad
    ///
    /// A probe is sent every few seconds for as long as the container lives, by something that nobody watches. The first run shuts the server down,
    /// or turns its traffic off.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /quitquitquit, port: 15020 }
    /// ```
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /admin/toggle-ready, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask an endpoint that only looks. What has to happen before the end belongs in a `preStop` hook.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// lifecycle:
    ///   preStop:
    ///     httpGet: { path: /drain, port: 8080 }
    /// ```
    pub struct ProbeChangesState {
        /// Last segments of a path, in lower case, that change something.
        verbs: Vec<String> = [
            "shutdown", "quit", "quitquitquit", "exit", "kill", "abort", "restart", "reset", "drain", "disable", "pause",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
    id: "probe-changes-state",
    why: "a probe is sent every few seconds, and every time it changes something",
    actions: [Warn, Deny, Deny],
    needs: HTTP_GET,
}

const TOGGLE: &str = "toggle";

/// Without query and fragment.
fn last_segment(path: &str) -> &str {
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let path = path[..end].trim_end_matches('/');
    let start = path.bytes().rposition(|byte| byte == b'/').map_or(0, |at| at + 1);
    &path[start..]
}

impl Rule for ProbeChangesState {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(Handler::HttpGet(http)) = probe.handler() else { continue };
                let path = http.path.as_deref().unwrap_or_default();
                let verb = last_segment(path);
                let toggles = verb.get(..TOGGLE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TOGGLE));
                if !toggles && !self.verbs.iter().any(|known| verb.eq_ignore_ascii_case(known)) {
                    continue;
                }
                let message = format!("path \"{}\" changes something each time it is requested", shorten(path, 60));
                let help = format!("{}:\n  httpGet:\n    path: /healthz   # an endpoint that only looks", kind.field());
                out.probe(cx, container, kind, "httpGet/path", message, help);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::last_segment;

    #[test]
    fn last_segments() {
        let cases =
            [("", ""), ("/", ""), ("/a", "a"), ("a", "a"), ("/a/b/", "b"), ("/a/b?c/d", "b"), ("/a#/d", "a"), ("/é/è//?x", "è")];
        for (path, segment) in cases {
            assert_eq!(last_segment(path), segment, "{path}");
        }
    }
}
