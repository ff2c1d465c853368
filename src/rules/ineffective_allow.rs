use super::{Allow, Context, Findings, Rule, allow, find, shorten, suggest};
use crate::model::Annotations;

declare_rule! {
    /// An entry of the annotation `probekeeper.dev/allow` has no effect.
    ///
    /// ## What it does
    ///
    /// Fires on each entry that names no rule, gives no reason, or names a rule that the policy does not let an annotation allow. Such an entry exempts from
    /// nothing.
    ///
    /// ## Why it is bad
    ///
    /// Whoever wrote it believes that a rule is off here, and finds out when the workload is rejected.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata:
    ///   name: web
    ///   annotations:
    ///     probekeeper.dev/allow: "mising-readiness: gets no requests"
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - { name: web, image: example.com/web:1 }
    /// ```
    ///
    /// ## Instead
    ///
    /// The name of a rule, a colon, and why breaking it is right here. Several entries are separated by `;`.
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata:
    ///   name: web
    ///   annotations:
    ///     probekeeper.dev/allow: "missing-readiness: gets no requests"
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - { name: web, image: example.com/web:1 }
    /// ```
    pub struct IneffectiveAllow {}
    id: "ineffective-allow",
    why: "whoever wrote it believes that a rule is off here",
    actions: [Warn, Warn, Warn],
    needs: ALLOW,
}

impl Rule for IneffectiveAllow {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for (metadata, entry) in Allow::of(cx.workload) {
            let name = shorten(entry.rule, 40);
            let (message, better) = match find(entry.rule) {
                None => match suggest(entry.rule) {
                    Some(near) => (format!("\"{name}\" is no rule, did you mean \"{near}\"? Nothing is allowed by it"), near),
                    None => (format!("\"{name}\" is no rule (`probekeeper rules list` shows all): nothing is allowed by it"), ""),
                },
                Some(rule) if !entry.has_reason() => (format!("\"{name}\" is not allowed, because no reason is given"), rule.id),
                Some(rule) if cx.forbidden.contains(&rule) => {
                    (format!("\"{name}\" is not allowed, because the policy takes no annotation for it"), "")
                }
                Some(_) => continue,
            };
            let help = if better.is_empty() {
                String::new()
            } else {
                let reason = if entry.has_reason() { entry.reason } else { "why it is right here" };
                format!("{}: {}", Annotations::ALLOW, serde_json::Value::from(format!("{better}: {reason}")))
            };
            out.pod(allow::pointer(&metadata), message, help);
        }
    }
}
