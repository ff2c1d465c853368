use super::{Context, Findings, Rule, is_requested_as_written};
use crate::model::{Call, Container, Edit, HttpCall, ProbeKind, Reach, Reading, Scalar, Target};

declare_rule! {
    /// A probe starts curl or wget to ask its own container.
    ///
    /// ## What it does
    ///
    /// Fires when the command of a probe is one `curl --fail` or `wget` of one URL on this pod, with nothing that `httpGet` cannot do: no body, credentials,
    /// client certificate, proxy, variable in a header, or use of the output. Prints the equivalent `httpGet`.
    ///
    /// ## Why it is bad
    ///
    /// Every run starts a process (two with a shell), needs the client in the image, and counts towards the container's CPU and memory limits. The kubelet sends
    /// the same request from outside, for a fraction of it, and says in its event which status came back.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   exec: { command: [sh, -c, "curl -fsS http://localhost:8080/ready || exit 1"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// `httpGet` with the same path and port. The server must listen on the pod's address: one that listens on 127.0.0.1 only keeps the command.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: 8080 }
    /// ```
    pub struct ExecHttpClient {}
    id: "exec-http-client",
    why: "each run starts a process and needs the client in the image; httpGet asks the same from outside",
    actions: [Off, Warn, Warn],
    needs: EXEC,
    rewrite: "puts `httpGet` in its place where the command is nothing but a GET of localhost with flags that do not matter; the server must listen on the \
              pod's address too",
}

impl Rule for ExecHttpClient {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(reading) = Reading::of_probe(probe, container, cx.workload) else { continue };
                if reading.cannot_fail(probe.timing().timeout).is_some() {
                    continue;
                }
                let Some(Call { program, http: Some(http), targets, output_used: false, .. }) = reading.only() else { continue };
                let [target @ Target { reach: Reach::Local, .. }] = targets.as_slice() else { continue };
                if !http.replaceable {
                    continue;
                }
                let message = format!(
                    "{} starts {program} to ask its own container; httpGet needs no process, if the server listens on the pod's address",
                    kind.word()
                );
                let rewrite = reading.plain.then(|| same_request(target, http)).flatten();
                let finding = out.probe(cx, container, kind, "exec/command", message, http_get(container, kind, target, http));
                finding.rewrite.extend(rewrite.map(|entries| {
                    let exec = format!("{}/exec", cx.workload.probe_pointer(container, kind));
                    Edit::replace(exec, "httpGet", entries)
                }));
            }
        }
    }
}

/// The entries of an `httpGet` that certainly asks the same.
fn same_request(target: &Target, http: &HttpCall) -> Option<Vec<(&'static str, Scalar)>> {
    let path = if target.path.is_empty() { "/" } else { &*target.path };
    let port = target.port.filter(|_| http.exact && is_requested_as_written(path))?;
    let mut entries = vec![("path", path.into()), ("port", i64::from(port).into())];
    entries.extend(http.https.then(|| ("scheme", "HTTPS".into())));
    Some(entries)
}

/// The probe that asks the same. Values of variables are not printed: a port is given when the container declares it.
pub(super) fn http_get(container: &Container<'_>, kind: ProbeKind, target: &Target, http: &HttpCall) -> String {
    let declared = container.ports.iter().find(|port| port.container_port == target.port.map(i64::from));
    let port = match (declared.map(|port| (&port.name, port.container_port)), target.port) {
        (Some((Some(name), _)), _) => name.to_string(),
        (Some((None, Some(number))), _) => number.to_string(),
        (_, Some(number)) if target.literal => number.to_string(),
        _ => "...".to_owned(),
    };
    let path = match &*target.path {
        "" => "/",
        path if path.contains('$') => "...",
        path => path,
    };
    let scheme = if http.https { "\n    scheme: HTTPS   # the certificate is not verified" } else { "" };
    let headers = if http.headers.is_empty() { String::new() } else { "\n    httpHeaders:".to_owned() };
    let headers = http.headers.iter().fold(headers, |text, name| text + "\n      - { name: " + name + ", value: ... }");
    format!("{}:\n  httpGet:\n    path: {path}\n    port: {port}{scheme}{headers}", kind.field())
}
