use super::{Context, Findings, Rule};
use crate::{model::Handler, rules::finding::shorten};

declare_rule! {
    /// A probe carries a credential in its headers.
    ///
    /// ## What it does
    ///
    /// Fires when an `httpGet` probe has a header named Authorization, Proxy-Authorization, Cookie or X-Api-Key, or one whose name ends in `-Token`
    /// or `-Secret`, with a value. The value is never printed.
    ///
    /// ## Why it is bad
    ///
    /// Whoever may read the workload reads the credential, and it stands in the repository, in every backup and in the audit log. There is no way
    /// to take it from a Secret: headers of probes are literal.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet:
    ///     path: /healthz
    ///     port: 8080
    ///     httpHeaders: [{ name: Authorization, value: Basic Zm9vOmJhcg== }]
    /// ```
    ///
    /// ## Instead
    ///
    /// A health endpoint that needs no credential, on a port that no Service exposes if need be; or a command that reads the credential from its
    /// environment.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet:
    ///     path: /healthz
    ///     port: 8081
    ///     httpHeaders: [{ name: Accept, value: application/json }]
    /// ```
    pub struct CredentialInHeader {}
    id: "credential-in-header",
    why: "whoever may read the workload reads the credential",
    actions: [Warn, Warn, Deny],
    needs: HEADERS,
}

impl Rule for CredentialInHeader {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(Handler::HttpGet(http)) = probe.handler() else { continue };
                for (at, header) in http.http_headers.iter().enumerate() {
                    if header.value.trim().is_empty() || !is_credential(&header.name) {
                        continue;
                    }
                    let message = format!("header \"{}\" carries a credential (not shown)", shorten(&header.name, 40));
                    let help = format!("{}:\n  httpGet:   # an endpoint that needs no credential", kind.field());
                    out.probe(cx, container, kind, &format!("httpGet/httpHeaders/{at}/name"), message, help).secret();
                }
            }
        }
    }
}

fn is_credential(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    matches!(&*name, "authorization" | "proxy-authorization" | "cookie" | "x-api-key")
        || name.ends_with("-token")
        || name.ends_with("-secret")
}
