use super::{Context, Findings, Rule};
use crate::{model::Handler, rules::finding::shorten};

declare_rule! {
    /// The path of an `httpGet` probe is not what gets requested.
    ///
    /// ## What it does
    ///
    /// Fires when the path starts with `//` or with something that reads as a URL scheme (`http://x/y`, `a:b`). A missing leading slash is fine.
    ///
    /// ## Why it is bad
    ///
    /// The kubelet parses the path as a URL. Of `//status/ready` it takes `status` for a host and asks for `/ready`; of `http://example/ready` it keeps
    /// `/ready`; `check:ready` has no path at all and always fails. The probe asks another question than the one written down.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: //status/alive, port: 8080 }
    /// ```
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: "http://example/ready", port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /status/alive, port: 8080 }
    /// ```
    pub struct UnusablePath {}
    id: "unusable-path",
    why: "the kubelet parses the path as a URL and requests something else",
    actions: [Deny, Deny, Deny],
    needs: HTTP_GET,
}

impl Rule for UnusablePath {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(Handler::HttpGet(http)) = probe.handler() else { continue };
                let path = http.path.as_deref().unwrap_or_default();
                let Some(sent) = sent_instead(path) else { continue };
                let shown = shorten(path, 40);
                let message = match &sent {
                    Sent::Path(sent) => format!("path \"{shown}\" is sent as \"{}\"", shorten(sent, 40)),
                    Sent::Nothing => format!("path \"{shown}\" reads as a URL without a path: every request fails"),
                };
                let proposed = match &sent {
                    Sent::Path(_) if path.starts_with("//") => format!("/{}", path.trim_start_matches('/')),
                    Sent::Path(sent) => sent.clone(),
                    Sent::Nothing => format!("/{path}"),
                };
                let help = format!("{}:\n  httpGet:\n    path: {proposed}", kind.field());
                out.probe(cx, container, kind, "httpGet/path", message, help);
            }
        }
    }
}

/// Whether a path is requested as it is written, with a slash before it at most.
pub(crate) fn is_requested_as_written(path: &str) -> bool {
    sent_instead(path).is_none()
}

enum Sent {
    /// This path is requested instead.
    Path(String),
    /// The URL is opaque: the request cannot even be made.
    Nothing,
}

/// What Go's `url.Parse`, as the kubelet uses it, makes of a path; `None` when it is requested as written. (Where Go reports a parse error, as for
/// `1:b`, the kubelet sends the path as it is.)
fn sent_instead(path: &str) -> Option<Sent> {
    let after_authority = |rest: &str| match rest.find(['/', '?', '#']) {
        Some(at) if rest[at..].starts_with('/') => Sent::Path(rest[at..].to_owned()),
        _ => Sent::Path("/".to_owned()),
    };
    if let Some(rest) = path.strip_prefix("//") {
        // Three slashes keep the path: the host is then empty on purpose.
        return (!rest.starts_with('/')).then(|| after_authority(rest));
    }
    let (scheme, rest) = path.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme {
        return None;
    }
    Some(match rest.strip_prefix("//") {
        Some(rest) => after_authority(rest),
        None if rest.starts_with('/') => Sent::Path(rest.to_owned()),
        None if rest.is_empty() => Sent::Path("/".to_owned()),
        None => Sent::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured with Go 1.26's net/url in the kubelet's way of building the request.
    #[test]
    fn agrees_with_go() {
        let cases = [
            ("//foo/bar", Some("/bar")),
            ("//", Some("/")),
            ("///x", None),
            ("http://x/y", Some("/y")),
            ("http:/x", Some("/x")),
            ("a:/b", Some("/b")),
            ("a:b", Some("<none>")),
            ("a:b/c", Some("<none>")),
            ("v1:check/x", Some("<none>")),
            ("1:b", None),
            (":b", None),
            ("v_1:x", None),
            ("é:b", None),
            ("healthz", None),
            ("healthz?u=a:b", None),
            ("/a:b", None),
            ("", None),
        ];
        for (path, expected) in cases {
            let sent = sent_instead(path).map(|sent| match sent {
                Sent::Path(path) => path,
                Sent::Nothing => "<none>".to_owned(),
            });
            assert_eq!(sent.as_deref(), expected, "{path}");
        }
    }
}
