use super::{Context, Findings, Rule};
use crate::{
    model::{Container, Handler, PortRef},
    policy::Action,
};

declare_rule! {
    /// A probe speaks HTTP to a TLS port, or TLS to a plain one.
    ///
    /// ## What it does
    ///
    /// Fires when an `httpGet` probe without `scheme: HTTPS` asks a port named https or tls (as one word of its name), or one with it asks a port
    /// named http. Where the port has no such name, its number is taken: 443, 6443, 8443 and 9443 are for TLS; a number is only warned about.
    ///
    /// ## Why it is bad
    ///
    /// A TLS server answers a plain request with an error (400, or it hangs up), and a plain server cannot complete a TLS handshake: every run
    /// fails, whatever the state of the application.
    ///
    /// ```yaml,fires
    /// ports: [{ name: https, containerPort: 8443 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: https }
    /// ```
    ///
    /// ## Instead
    ///
    /// The scheme that the port speaks. The certificate is never verified.
    ///
    /// ```yaml,clean
    /// ports: [{ name: https, containerPort: 8443 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: https, scheme: HTTPS }
    /// ```
    pub struct SchemeMismatch {}
    id: "scheme-mismatch",
    why: "the server cannot answer, so every run fails",
    actions: [Warn, Warn, Deny],
    needs: HTTP_GET,
}

impl Rule for SchemeMismatch {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(handler @ Handler::HttpGet(http)) = probe.handler() else { continue };
                let Some(port) = handler.port() else { continue };
                let tls = http.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("HTTPS"));
                let Some((speaks_tls, by_name)) = speaks_tls(container, &port) else { continue };
                if tls == speaks_tls {
                    continue;
                }
                let (sent, other) = if tls { ("HTTPS", "HTTP") } else { ("HTTP", "HTTPS") };
                let message =
                    format!("{sent} to port {port}, which by its {} speaks {other}", if by_name { "name" } else { "number" });
                let help = format!("{}:\n  httpGet:\n    scheme: {other}", kind.field());
                let at = if http.scheme.is_some() { "httpGet/scheme" } else { "httpGet" };
                let finding = out.probe(cx, container, kind, at, message, help);
                if !by_name {
                    finding.at_most(Action::Warn);
                }
            }
        }
    }
}

/// Whether a port speaks TLS, and whether its name says so; `None` where nothing tells.
fn speaks_tls(container: &Container<'_>, port: &PortRef<'_>) -> Option<(bool, bool)> {
    let by_name = |name: &str| {
        let words = name.as_bytes().split(|byte| *byte == b'-');
        let has = |wanted: &[&[u8]]| words.clone().any(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)));
        match (has(&[b"https", b"tls"]), has(&[b"http"])) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    };
    let written = if let PortRef::Name(name) = port { by_name(name) } else { None };
    let declared = || container.declared(port).find_map(|declared| by_name(declared.name.as_deref()?));
    if let Some(tls) = written.or_else(declared) {
        return Some((tls, true));
    }
    let number = match port {
        PortRef::Number(number) => *number,
        PortRef::Name(_) => container.declared(port).find_map(|declared| declared.container_port)?,
    };
    match number {
        // The other way round nothing is guessed: HTTPS is never a default, so who writes it for 8080 means it.
        443 | 6443 | 8443 | 9443 => Some((true, false)),
        _ => None,
    }
}
