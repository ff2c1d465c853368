use super::{Context, Findings, Rule};
use crate::model::{Handler, unexpanded_variables};

declare_rule! {
    /// A probe's command uses $(NAME) of a variable that has no literal value.
    ///
    /// ## What it does
    ///
    /// Fires when the words of an `exec` probe contain `$(NAME)` and the container's `env` takes NAME from elsewhere (`valueFrom`).
    ///
    /// ## Why it is bad
    ///
    /// In a container's `command` and `args` Kubernetes expands `$(NAME)` for every variable. In probes the kubelet knows literal values only, and puts nothing in
    /// the place of the others: `-h $(POD_IP)` becomes `-h ` and the command asks something else, or fails.
    ///
    /// ```yaml,fires
    /// env: [{ name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }]
    /// readinessProbe:
    ///   exec: { command: [pg_isready, -h, $(POD_IP)] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Let a shell in the container expand it: there the variable has its value.
    ///
    /// ```yaml,clean
    /// env: [{ name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }]
    /// readinessProbe:
    ///   exec: { command: [sh, -c, "exec pg_isready -h \"$POD_IP\""] }
    /// ```
    pub struct ExecUnexpandedVariable {}
    id: "exec-unexpanded-variable",
    why: "in probes the kubelet puts nothing in its place",
    actions: [Warn, Deny, Deny],
    needs: EXEC,
}

impl Rule for ExecUnexpandedVariable {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(Handler::Exec(exec)) = probe.handler() else { continue };
                let names = unexpanded_variables(exec, container, cx.workload);
                let Some(first) = names.first() else { continue };
                let first: String = first.chars().take(60).collect();
                let more = match names.len() {
                    1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                let message = format!("$({first}){more} becomes nothing in a probe: its value comes from valueFrom");
                let help = format!(
                    "{}:\n  exec:\n    command: [sh, -c, '... \"${first}\" ...']   # a shell in the container knows it",
                    kind.field()
                );
                out.probe(cx, container, kind, "exec/command", message, help);
            }
        }
    }
}
