use super::{Context, Findings, Rule};
use crate::model::{Call, Reading};

declare_rule! {
    /// A probe runs a command that is expensive for what it finds out.
    ///
    /// ## What it does
    ///
    /// Fires when the command of a probe runs a tool that walks the file system, reads every process, or starts or stops a Java VM: `jcmd`, `jstack`, `jmap`, `jps`,
    /// `jinfo`, `jstat`, `ps`, `top`, `lsof`, `du`, a `find` over a whole tree, `nodetool`, `zkCli.sh`, `kafka-topics` and other Kafka tools.
    ///
    /// ## Why it is bad
    ///
    /// It runs every few seconds for as long as the container lives, inside the container's own CPU and memory limits. A VM of its own may need more memory than
    /// the server has to spare; `jstack` and `jmap` stop the server while they look; `ps | grep` finds itself. Under load, when an answer matters most, such a
    /// command is the first to time out.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   exec: { command: [sh, -c, "ps aux | grep -v grep | grep java"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask the server itself; a process that has ended needs no probe, its container is restarted anyway.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   tcpSocket: { port: 9042 }
    /// ```
    pub struct CostlyExec {}
    id: "costly-exec",
    why: "it runs every few seconds within the container's own limits, and is the first to time out under load",
    actions: [Off, Audit, Warn],
    needs: EXEC,
}

impl Rule for CostlyExec {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(reading) = Reading::of_probe(probe, container, cx.workload) else { continue };
                let Some((program, cost)) = reading.calls.iter().find_map(|call| Some((&call.program, cost(call)?))) else {
                    continue;
                };
                let program: String = program.chars().take(40).collect();
                let period = probe.timing().period;
                let message = || format!("{} runs {program} every {period} s, which {cost}", kind.word());
                let help = || {
                    format!(
                        "{}:\n  httpGet:      # or tcpSocket, grpc: ask the server itself\n    path: ...\n    port: ...",
                        kind.field()
                    )
                };
                out.probe(cx, container, kind, "exec/command", message, help);
            }
        }
    }
}

/// What makes a program costly.
fn cost(call: &Call) -> Option<&'static str> {
    Some(match &*call.program {
        "jstack" | "jmap" | "jcmd" | "jinfo" => "starts a Java VM and may stop the server's",
        "jps" | "jstat" | "nodetool" | "zkCli.sh" | "cypher-shell" => "starts a Java VM",
        name if name.starts_with("kafka-") => "starts a Java VM",
        "ps" | "top" => "reads every process",
        "lsof" => "reads the open files of every process",
        "du" => "walks a whole directory tree",
        "find" if walks_far(&call.arguments) => "walks a whole directory tree",
        _ => return None,
    })
}

/// Whether `find` searches a tree from near the root: a look at one file's age, as in `find /tmp/healthy -mmin -1`, is cheap.
fn walks_far(arguments: &[String]) -> bool {
    if arguments.iter().any(|argument| argument == "-maxdepth" || argument == "-prune") {
        return false;
    }
    let mut paths = arguments.iter().take_while(|argument| !argument.starts_with(['-', '(', '!'])).peekable();
    let far = |path: &String| {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").count();
        path.starts_with('/') && parts <= 1 && !matches!(path.trim_end_matches('/'), "/tmp" | "/run")
    };
    paths.any(far)
}
