use super::{Context, Findings, Rule};

declare_rule! {
    /// The preStop hook sleeps for all of the grace period.
    ///
    /// ## What it does
    ///
    /// Fires when the preStop hook of a container is a command that begins with `sleep N`, or a `sleep` action, and takes no less than the pod's
    /// `terminationGracePeriodSeconds`.
    ///
    /// ## Why it is bad
    ///
    /// The hook runs within the grace period. When it is used up the hook is cut off, the process gets its signal and is killed two seconds later:
    /// open requests are lost, in every rolling update.
    ///
    /// ```yaml,fires
    /// lifecycle:
    ///   preStop: { exec: { command: [sleep, "60"] } }
    /// ```
    ///
    /// ## Instead
    ///
    /// A shorter sleep: a few seconds let every load balancer notice. Or a grace period that covers the sleep and what the process needs
    /// afterwards.
    ///
    /// ```yaml,clean
    /// lifecycle:
    ///   preStop: { exec: { command: [sleep, "10"] } }
    /// ```
    pub struct PrestopExceedsGrace {}
    id: "prestop-exceeds-grace",
    why: "the process is killed two seconds after its signal, and open requests are lost",
    actions: [Warn, Warn, Deny],
    needs: PRE_STOP,
}

impl Rule for PrestopExceedsGrace {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let grace = cx.workload.grace_period;
        for container in &cx.workload.containers {
            let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else { continue };
            let takes = container.pre_stop().at_least;
            // A sleep action that is longer is refused by the API server.
            if takes == 0 || takes < grace || (hook.sleep.is_some() && takes > grace) {
                continue;
            }
            let message = format!("preStop takes {takes} s of a grace period of {grace} s; nothing is left for the process");
            let help = format!("terminationGracePeriodSeconds: {}   # of the pod; or a shorter sleep", takes.saturating_add(20));
            out.container(cx, container, "lifecycle/preStop", message, help).badness(takes.saturating_sub(grace));
        }
    }
}
