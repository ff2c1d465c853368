//! How each rule is written in CEL, or why it cannot be. This is the one place that says so; a test compares it with [`crate::rules::RULES`].

use std::fmt::Write as _;

use super::facts::{
    HOST_NETWORK, LONG_RUNNING, acted, cut, guaranteed_start_up, is_loopback, other_host, quoted, recorded, start_up_upper_bound,
    tolerance,
};
use super::found::{Found, Writing};
use crate::model::{DATA_STORES, Leaf, MESH_PORTS, ProbeKind};

use ProbeKind::{Liveness, Readiness, Startup};

/// How a rule is written in CEL.
pub(super) enum How {
    /// These ways of finding something are exactly the rule's.
    Cel(fn(Writing<'_>) -> Vec<Found>),
    /// They cannot be, for this reason: the end of a sentence that begins with the rule.
    Not(&'static str),
}

const READS_COMMANDS: &str = "reads the command of an exec probe as a shell does";
const READS_PRE_STOP: &str = "reads the sleeps in the command of a preStop hook";
const NEEDS_OTHERS: &str = "needs the objects around it";

/// In the order of the catalogue.
pub(super) static TABLE: &[(&str, How)] = &[
    ("unknown-port-name", How::Cel(unknown_port_name)),
    ("unusable-path", How::Cel(unusable_path)),
    ("loopback-host", How::Cel(loopback_host)),
    ("explicit-host", How::Cel(explicit_host)),
    ("non-tcp-port", How::Cel(non_tcp_port)),
    ("scheme-mismatch", How::Cel(scheme_mismatch)),
    ("grpc-over-http", How::Cel(grpc_over_http)),
    ("undeclared-port", How::Cel(undeclared_port)),
    ("mesh-rewrite-disabled", How::Cel(mesh_rewrite_disabled)),
    ("probe-changes-state", How::Cel(probe_changes_state)),
    ("liveness-calls-other-service", How::Not(READS_COMMANDS)),
    ("readiness-calls-other-service", How::Not(READS_COMMANDS)),
    ("readiness-calls-data-store", How::Not(READS_COMMANDS)),
    ("readiness-cycle", How::Not(NEEDS_OTHERS)),
    ("readiness-cannot-fail", How::Not(READS_COMMANDS)),
    ("liveness-cannot-fail", How::Not(READS_COMMANDS)),
    ("exec-unexpanded-variable", How::Not("follows the expansion of $(NAME) in the words of a command")),
    ("exec-ignores-http-status", How::Not(READS_COMMANDS)),
    ("hair-trigger-liveness", How::Cel(hair_trigger_liveness)),
    ("aggressive-liveness", How::Cel(aggressive_liveness)),
    ("single-failure-liveness", How::Cel(single_failure_liveness)),
    ("liveness-not-slower-than-readiness", How::Cel(liveness_not_slower_than_readiness)),
    ("same-liveness-and-readiness", How::Cel(same_liveness_and_readiness)),
    ("liveness-checks-dependencies", How::Not("splits the names in a path into words, by the classes of Unicode")),
    ("no-startup-allowance", How::Cel(no_startup_allowance)),
    ("startup-budget-too-small", How::Cel(startup_budget_too_small)),
    ("startup-exceeds-progress-deadline", How::Cel(startup_exceeds_progress_deadline)),
    ("startup-budget-too-large", How::Cel(startup_budget_too_large)),
    ("startup-probe-alone", How::Cel(startup_probe_alone)),
    ("long-initial-delay", How::Cel(long_initial_delay)),
    ("redundant-initial-delay", How::Cel(redundant_initial_delay)),
    ("single-failure-readiness", How::Cel(single_failure_readiness)),
    ("slow-readiness", How::Cel(slow_readiness)),
    ("slow-recovery", How::Cel(slow_recovery)),
    ("timeout-exceeds-period", How::Cel(timeout_exceeds_period)),
    ("default-timeout", How::Cel(default_timeout)),
    ("prestop-exceeds-grace", How::Not(READS_PRE_STOP)),
    ("probe-grace-below-prestop", How::Not(READS_PRE_STOP)),
    ("slow-termination", How::Cel(slow_termination)),
    ("liveness-never-restarts", How::Cel(liveness_never_restarts)),
    ("probe-on-job", How::Cel(probe_on_job)),
    ("liveness-without-readiness", How::Cel(liveness_without_readiness)),
    ("missing-readiness", How::Cel(missing_readiness)),
    ("grpc-over-tcp", How::Not(READS_COMMANDS)),
    ("exec-http-client", How::Not(READS_COMMANDS)),
    ("frequent-exec", How::Cel(frequent_exec)),
    ("costly-exec", How::Not(READS_COMMANDS)),
    ("service-port-mismatch", How::Not(NEEDS_OTHERS)),
    ("service-ignores-readiness", How::Not(NEEDS_OTHERS)),
    ("pdb-blocks-unready", How::Not(NEEDS_OTHERS)),
    ("no-probes", How::Cel(no_probes)),
    ("missing-liveness", How::Cel(missing_liveness)),
    ("missing-startup", How::Cel(missing_startup)),
    ("missing-prestop", How::Cel(missing_prestop)),
    ("credential-in-header", How::Cel(credential_in_header)),
    ("required-probes", How::Cel(required_probes)),
    ("ineffective-allow", How::Not("reads the allow annotation beside the whole catalogue")),
];

fn unknown_port_name(_: Writing<'_>) -> Vec<Found> {
    let names = "x.c.ports.filter(d, has(d.name)).map(d, d.name)";
    let when = format!("x.q.handler in ['httpGet', 'tcpSocket'] && type(x.q.port[0]) == string && !(x.q.port[0] in {names})");
    let declared = format!("(size({names}) == 0 ? 'no port has a name' : 'declared: ' + {names}.join(', '))");
    let effect = "(x.q.word == 'liveness' ? 'it never acts' : x.q.word == 'readiness' ? 'the pod never becomes ready' : 'the container never counts as started')";
    vec![Found::probe(
        when,
        format!("'port \"' + x.q.port[0] + '\" is not declared by this container (' + {declared} + '): ' + {effect}"),
    )]
}

fn unusable_path(_: Writing<'_>) -> Vec<Found> {
    // Two slashes and no third, or what Go reads as a scheme.
    let when = "x.q.handler == 'httpGet' && x.q.path.matches(r'^(?://(?:[^/]|$)|[a-zA-Z][a-zA-Z0-9+.-]*:)')";
    vec![Found::probe(
        when,
        format!("'path \"' + {} + '\" reads as a URL, and something else is requested'", cut("x.q.path", 40)),
    )]
}

fn loopback_host(_: Writing<'_>) -> Vec<Found> {
    let when = format!("x.q.host != '' && !{HOST_NETWORK} && {}", is_loopback("x.q.host"));
    vec![Found::probe(when, "'host \"' + x.q.host + '\" is the node, not this container'")]
}

fn explicit_host(writing: Writing<'_>) -> Vec<Found> {
    let mut when = format!("x.q.host != '' && !({HOST_NETWORK} && {})", is_loopback("x.q.host"));
    // The rules on calls of other services speak of another host first, as far as they are not milder. Of them only this part is needed.
    let own = writing.rank_of("explicit-host");
    if writing.rank_of("liveness-calls-other-service") >= own {
        let _ = write!(when, " && !(x.q.word != 'readiness' && {})", other_host());
    }
    if writing.rank_of("readiness-calls-other-service") >= own {
        let stores: Vec<String> = DATA_STORES.iter().map(|(port, _)| port.to_string()).collect();
        let _ = write!(
            when,
            " && !(x.q.word == 'readiness' && !(x.q.handler == 'tcpSocket' && x.q.port[0] in [{}]) && {})",
            stores.join(", "),
            other_host()
        );
    }
    vec![Found::probe(
        when,
        format!("'host \"' + {} + '\" is set; the kubelet asks the pod itself when it is left out'", cut("x.q.host", 60)),
    )]
}

/// The ports that the container of `x` declares under the name or number of its probe's port, which there has to be.
const DECLARED: &str =
    "x.c.ports.filter(d, type(x.q.port[0]) == string ? d.?name.orValue('') == x.q.port[0] : d.containerPort == x.q.port[0])";

fn non_tcp_port(_: Writing<'_>) -> Vec<Found> {
    let protocols = format!("{DECLARED}.map(d, d.?protocol.orValue('TCP'))");
    let when =
        format!("size(x.q.port) > 0 && size({protocols}) > 0 && {protocols}.all(p, p in ['UDP', 'SCTP']) && !{}", other_host());
    let says = format!("'port ' + string(x.q.port[0]) + ' is declared for ' + {protocols}[0] + ' only; probes use TCP'");
    vec![Found::probe(when, says).at_most_warn("type(x.q.port[0]) == int")]
}

fn scheme_mismatch(_: Writing<'_>) -> Vec<Found> {
    let speaks = |name: &str, words: &str| format!("{name}.lowerAscii().split('-').exists(w, w in [{words}])");
    let tells = format!("{} != {}", speaks("n", "'https', 'tls'"), speaks("n", "'http'"));
    // Each probe with the names of its port that tell, and the numbers that its port may mean.
    let over = format!(
        "variables.probes[i].filter(x, x.q.handler == 'httpGet').map(x, {{\n    \
           'c': x.c, 'q': x.q, 'tls': dyn(x.q.raw.httpGet.?scheme.orValue('HTTP').lowerAscii() == 'https'),\n    \
           'names': dyn((type(x.q.port[0]) == string ? [dyn(x.q.port[0])] : \
           {DECLARED}.filter(d, has(d.name)).map(d, d.name)).filter(n, {tells})),\n    \
           'numbers': dyn(type(x.q.port[0]) == int ? [x.q.port[0]] : {DECLARED}.map(d, d.containerPort))\n  }})"
    );
    let by_name = speaks("x.names[0]", "'https', 'tls'");
    let when = format!(
        "size(x.names) > 0 ? x.tls != {by_name} : !x.tls && size(x.numbers) > 0 && x.numbers[0] in [443, 6443, 8443, 9443]"
    );
    let says = "(x.tls ? 'HTTPS' : 'HTTP') + ' to port ' + string(x.q.port[0]) + ', which by its ' + (size(x.names) > 0 ? 'name' : 'number') + ' speaks ' + (x.tls ? 'HTTP' : 'HTTPS')";
    vec![Found::probe(when, says).over(over).at_most_warn("size(x.names) == 0")]
}

fn grpc_over_http(_: Writing<'_>) -> Vec<Found> {
    let when = format!(
        "x.q.handler == 'httpGet' && x.q.raw.httpGet.?protocol.orValue('') != 'HTTP2' &&\n    \
         {DECLARED}.exists(d, d.?name.orValue('').startsWith('grpc') && \
         !d.name.split('-').exists(w, w in ['web', 'gateway', 'gw', 'http', 'metrics', 'health', 'admin']))"
    );
    vec![Found::probe(when, "'HTTP/1.1 to port ' + string(x.q.port[0]) + ', which by its name speaks gRPC'")]
}

fn undeclared_port(_: Writing<'_>) -> Vec<Found> {
    let [one, other] = MESH_PORTS;
    let when = format!(
        "size(x.c.ports) > 0 && size(x.q.port) > 0 && type(x.q.port[0]) == int && !(x.q.port[0] in [{one}, {other}]) &&\n    \
         !x.c.ports.exists(d, d.containerPort == x.q.port[0]) && !{}",
        other_host()
    );
    let says = "'port ' + string(x.q.port[0]) + ' is not declared by this container (declared: ' + x.c.ports.map(d, string(d.containerPort)).join(', ') + ')'";
    vec![Found::probe(when, says)]
}

fn mesh_rewrite_disabled(_: Writing<'_>) -> Vec<Found> {
    let meta = "variables.objects[i].meta";
    // What was there before is judged by the labels of now.
    let label = "variables.objects[0].meta.?labels[?'sidecar.istio.io/inject'].orValue('')";
    let when = format!(
        "{meta}.?annotations[?'sidecar.istio.io/rewriteAppHTTPProbers'].orValue('') == 'false' &&\n    \
         {meta}.?annotations[?'sidecar.istio.io/inject'].orValue({label}) != 'false' &&\n    \
         variables.probes[i].exists(p, p.q.handler != 'exec')"
    );
    vec![Found::pod(when, "'rewriteAppHTTPProbers is \"false\": Istio leaves HTTP, TCP and gRPC probes as they are'")]
}

fn probe_changes_state(writing: Writing<'_>) -> Vec<Found> {
    let verbs = writing.rule.params["verbs"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let verbs: Vec<String> = verbs.map(quoted).collect();
    let segment = "(s.size() == 0 ? '' : s[s.size() - 1].lowerAscii())";
    let when = format!(
        "x.q.handler == 'httpGet' &&\n    \
         [x.q.path.split('?')[0].split('#')[0].split('/').filter(s, s != '')].exists(s, {segment}.startsWith('toggle') || {segment} in [{}])",
        verbs.join(", ")
    );
    vec![Found::probe(when, format!("'path \"' + {} + '\" changes something each time it is requested'", cut("x.q.path", 60)))]
}

fn hair_trigger_liveness(writing: Writing<'_>) -> Vec<Found> {
    let tolerance = tolerance("x.q");
    let least = writing.number("minToleranceSeconds").unwrap_or_default();
    let says = format!("'liveness restarts the container after a hang of ' + string({tolerance}) + ' s'");
    vec![Found::probe_of(&[Liveness], format!("{tolerance} < {least}"), says).badness(format!("-{tolerance}"))]
}

fn aggressive_liveness(writing: Writing<'_>) -> Vec<Found> {
    let tolerance = tolerance("x.q");
    let least = writing.number("minToleranceSeconds").unwrap_or_default();
    let says =
        format!("'liveness restarts the container after a hang of ' + string({tolerance}) + ' s; give it {least} s or more'");
    let found = Found::probe_of(&[Liveness], format!("{tolerance} < {least}"), says).badness(format!("-{tolerance}"));
    vec![match writing.number("denyBelowSeconds") {
        Some(limit) => found.at_most_warn(format!("{tolerance} >= {limit}")),
        None => found,
    }]
}

fn single_failure_liveness(_: Writing<'_>) -> Vec<Found> {
    let says = "'one failed run, within ' + string(x.q.p) + ' s, restarts the container (failureThreshold 1)'";
    vec![Found::probe_of(&[Liveness], "x.q.f == 1", says)]
}

/// `model::same_check` for two probes that there are, by the ports of their container.
pub(super) fn same_check(l: &str, r: &str, ports: &str) -> String {
    let number = |q: &str| {
        format!(
            "(type({q}.port[0]) == int ? [{q}.port[0]] : {ports}.filter(d, d.?name.orValue('') == {q}.port[0]).map(d, d.containerPort))"
        )
    };
    let port = format!(
        "(size({nl}) > 0 && size({nr}) > 0 ? {nl}[0] == {nr}[0] : size({nl}) == size({nr}) && {l}.port == {r}.port)",
        nl = number(l),
        nr = number(r)
    );
    // Untrimmed, in this place.
    let host = |q: &str, handler: &str| format!("{q}.raw.{handler}.?host.orValue('').lowerAscii()");
    let path = |q: &str| format!("({q}.path.startsWith('/') ? {q}.path.substring(1) : {q}.path)");
    let scheme = |q: &str| format!("{q}.raw.httpGet.?scheme.orValue('HTTP').lowerAscii()");
    let headers = |q: &str| {
        format!(
            "{q}.raw.httpGet.?httpHeaders.orValue([]).map(h, [dyn(h.?name.orValue('').lowerAscii()), dyn(h.?value.orValue(''))])"
        )
    };
    format!(
        "{l}.handler == {r}.handler && (\n    \
         {l}.handler == 'exec' ? {l}.raw.exec.?command.orValue([]) == {r}.raw.exec.?command.orValue([]) :\n    \
         {l}.handler == 'grpc' ? {l}.port == {r}.port && {l}.raw.grpc.?service.orValue('') == {r}.raw.grpc.?service.orValue('') :\n    \
         {l}.handler == 'tcpSocket' ? {port} && {host_l_tcp} == {host_r_tcp} :\n    \
         {port} && {host_l} == {host_r} && {scheme_l} == {scheme_r} && {path_l} == {path_r} &&\n    \
         size({headers_l}) == size({headers_r}) &&\n    \
         {headers_l}.all(h, {headers_l}.filter(o, o == h).size() == {headers_r}.filter(o, o == h).size()))",
        host_l_tcp = host(l, "tcpSocket"),
        host_r_tcp = host(r, "tcpSocket"),
        host_l = host(l, "httpGet"),
        host_r = host(r, "httpGet"),
        scheme_l = scheme(l),
        scheme_r = scheme(r),
        path_l = path(l),
        path_r = path(r),
        headers_l = headers(l),
        headers_r = headers(r),
    )
}

fn liveness_not_slower_than_readiness(writing: Writing<'_>) -> Vec<Found> {
    let (tolerance, acted) = (tolerance("x.liveness"), acted("x.readiness"));
    let when = format!(
        "has(x.liveness) && has(x.readiness) && {tolerance} <= {acted} && {}",
        same_check("x.liveness", "x.readiness", "x.ports")
    );
    let says = format!(
        "'same check as readiness, and liveness gives up after ' + string({tolerance}) + ' s; readiness needs up to ' + string({acted}) + ' s'"
    );
    let found = Found::container(when, says).about(Liveness).badness(format!("{acted} - {tolerance}"));
    let only_chosen = writing.rule.params["denyOnlyChosenThreshold"] == true;
    vec![if only_chosen {
        let filled = filled("x.name", Liveness, Leaf::FailureThreshold, "x.liveness.f");
        found.at_most_warn(format!("x.liveness.f == 3 || {filled}"))
    } else {
        found
    }]
}

fn same_liveness_and_readiness(_: Writing<'_>) -> Vec<Found> {
    let (tolerance, acted) = (tolerance("x.liveness"), acted("x.readiness"));
    let when = format!(
        "has(x.liveness) && has(x.readiness) && {tolerance} > {acted} && {}",
        same_check("x.liveness", "x.readiness", "x.ports")
    );
    let says =
        format!("'same check as readiness: ' + string({tolerance}) + ' s of what makes the pod unready restart the container'");
    vec![Found::container(when, says).about(Liveness)]
}

fn no_startup_allowance(writing: Writing<'_>) -> Vec<Found> {
    let guaranteed = guaranteed_start_up("x.liveness");
    let least = writing.number("minSeconds").unwrap_or_default();
    let when = format!("has(x.liveness) && !has(x.startup) && {guaranteed} < {least}");
    let says = format!("'liveness guarantees only ' + string({guaranteed}) + ' s to start, and there is no startup probe'");
    vec![Found::container(when, says).about(Liveness).badness(format!("-{guaranteed}"))]
}

fn startup_budget_too_small(writing: Writing<'_>) -> Vec<Found> {
    let guaranteed = guaranteed_start_up("x.q");
    let least = writing.number("minSeconds").unwrap_or_default();
    let says = format!("'startup guarantees only ' + string({guaranteed}) + ' s to start; give it {least} s or more'");
    vec![Found::probe_of(&[Startup], format!("{guaranteed} < {least}"), says).badness(format!("-{guaranteed}"))]
}

fn startup_exceeds_progress_deadline(_: Writing<'_>) -> Vec<Found> {
    let (startup, liveness) = (start_up_upper_bound("x.startup"), start_up_upper_bound("x.liveness"));
    let spec = "variables.objects[i].object.spec";
    let bound = format!("(has(x.startup) ? {startup} : has(x.liveness) ? {liveness} : 0)");
    let over = format!(
        "variables.containers[i].filter(x, request.kind.kind == 'Deployment' && (has(x.liveness) || has(x.readiness) || has(x.startup))).map(x, {{\n    \
           'name': x.name,\n    \
           'takes': dyn({spec}.?minReadySeconds.orValue(0) + (!has(x.readiness) ? {bound} :\n      \
             ({bound} > x.readiness.d ? {bound} : x.readiness.d) + x.readiness.s * x.readiness.p)),\n    \
           'deadline': dyn({spec}.?progressDeadlineSeconds.orValue(600)),\n    \
           'field': dyn(has(x.startup) ? 'startupProbe' : has(x.liveness) ? 'livenessProbe' : 'readinessProbe')\n  }})"
    );
    let says =
        "'a pod may take ' + string(x.takes) + ' s until it is available; the rollout fails after ' + string(x.deadline) + ' s'";
    vec![Found::container("x.takes >= x.deadline", says).over(over).badness("x.takes - x.deadline").of("x.field")]
}

fn startup_budget_too_large(writing: Writing<'_>) -> Vec<Found> {
    let budget = start_up_upper_bound("x.q");
    let most = writing.number("maxSeconds").unwrap_or_default();
    let says = format!("'startup waits for up to ' + string({budget}) + ' s; a hang at start stays that long'");
    vec![Found::probe_of(&[Startup], format!("{budget} > {most}"), says).badness(budget)]
}

fn startup_probe_alone(_: Writing<'_>) -> Vec<Found> {
    let says = "'a startup probe without liveness and readiness: nothing watches the container once it has started'";
    vec![Found::container("has(x.startup) && !has(x.liveness) && !has(x.readiness)", says).about(Startup)]
}

/// Whether a number of a probe of object `i` is one that was filled in, and stands as it was filled in.
fn filled(container: &str, probe: ProbeKind, leaf: Leaf, value: &str) -> String {
    recorded("variables.objects[i].record", container, probe, leaf.field(), value)
}

fn long_initial_delay(writing: Writing<'_>) -> Vec<Found> {
    let least = writing.number("minSeconds").unwrap_or_default();
    let of = |kind: ProbeKind| {
        let filled = filled("x.c.name", kind, Leaf::InitialDelaySeconds, "x.q.d");
        let when = format!("!has(x.c.startup) && x.q.d >= {least} && !(x.q.d > 0 && {filled})");
        let says = format!("'{} first runs after ' + string(x.q.d) + ' s, however soon the container is up'", kind.word());
        Found::probe_of(&[kind], when, says).badness("x.q.d")
    };
    vec![of(Liveness), of(Readiness)]
}

fn redundant_initial_delay(_: Writing<'_>) -> Vec<Found> {
    let bound = start_up_upper_bound("x.c.startup");
    let startup = [
        (Leaf::FailureThreshold, "x.c.startup.f"),
        (Leaf::PeriodSeconds, "x.c.startup.p"),
        (Leaf::InitialDelaySeconds, "x.c.startup.d"),
    ]
    .map(|(leaf, value)| format!("!({value} > 0 && {})", filled("x.c.name", Startup, leaf, value)))
    .join(" && ");
    let of = |kind: ProbeKind| {
        let filled = filled("x.c.name", kind, Leaf::InitialDelaySeconds, "x.q.d");
        let when = format!("has(x.c.startup) && x.q.d > 0 && x.q.d <= {bound} && !{filled} && {startup}");
        let says =
            format!("'a delay of ' + string(x.q.d) + ' s, within the ' + string({bound}) + ' s that the startup probe gives'");
        Found::probe_of(&[kind], when, says)
    };
    vec![of(Liveness), of(Readiness)]
}

fn single_failure_readiness(writing: Writing<'_>) -> Vec<Found> {
    let most = writing.number("maxTimeoutSeconds").unwrap_or_default();
    let says = "'one answer that takes more than ' + string(x.q.t) + ' s makes the pod unready (failureThreshold 1)'";
    vec![Found::probe_of(&[Readiness], format!("x.q.f == 1 && x.q.t <= {most}"), says).badness("-x.q.t")]
}

fn slow_readiness(writing: Writing<'_>) -> Vec<Found> {
    let most = writing.number("maxSeconds").unwrap_or_default();
    let says = "'a pod that refuses every request stays in the traffic for up to ' + string(x.q.f * x.q.p) + ' s'";
    vec![Found::probe_of(&[Readiness], format!("x.q.f * x.q.p > {most}"), says).badness("x.q.f * x.q.p")]
}

fn slow_recovery(writing: Writing<'_>) -> Vec<Found> {
    let most = writing.number("maxSeconds").unwrap_or_default();
    let says = "'a pod that is well again stays out of the traffic for up to ' + string(x.q.s * x.q.p) + ' s'";
    vec![Found::probe_of(&[Readiness], format!("x.q.s * x.q.p > {most}"), says).badness("x.q.s * x.q.p")]
}

fn timeout_exceeds_period(_: Writing<'_>) -> Vec<Found> {
    let says = "'timeout of ' + string(x.q.t) + ' s is longer than the period of ' + string(x.q.p) + ' s'";
    vec![Found::probe("x.q.t > x.q.p", says).badness("x.q.t - x.q.p")]
}

fn default_timeout(_: Writing<'_>) -> Vec<Found> {
    let says = "x.q.word + ' has 1 s to answer, Kubernetes\\' default'";
    vec![Found::probe("x.q.t == 1 && x.q.handler != 'tcpSocket'", says)]
}

fn slow_termination(writing: Writing<'_>) -> Vec<Found> {
    let most = writing.number("maxSeconds").unwrap_or_default();
    let grace = "variables.objects[i].pod.?terminationGracePeriodSeconds.orValue(30)";
    let slow = |word: &str| format!("has(x.{word}) && !has(x.{word}.raw.terminationGracePeriodSeconds)");
    let when = format!("{grace} > {most} && ({} || {})", slow("liveness"), slow("startup"));
    let says = format!(
        "'a container that failed ' + ({} ? 'liveness' : 'startup') + ' may take ' + string({grace}) + ' s to be killed: the pod\\'s grace period'",
        slow("liveness")
    );
    let field = format!("({} ? 'livenessProbe' : 'startupProbe')", slow("liveness"));
    vec![Found::container(when, says).badness(grace).of(field)]
}

fn liveness_never_restarts(_: Writing<'_>) -> Vec<Found> {
    let when = "has(x.liveness) && !has(x.raw.restartPolicyRules) &&\n    \
        x.raw.?restartPolicy.orValue(variables.objects[i].pod.?restartPolicy.orValue('Always')) == 'Never'";
    let says = "'a container that fails liveness is killed and, with restartPolicy Never, not restarted'";
    vec![Found::container(when, says).about(Liveness)]
}

fn probe_on_job(_: Writing<'_>) -> Vec<Found> {
    let when = "request.kind.kind in ['Job', 'CronJob'] && variables.objects[i].pod.containers.exists(r, r.name == x.c.name)";
    let says = "'a ' + request.kind.kind + ' has a ' + x.q.word + ' probe: ' + (x.q.word == 'liveness' ? 'it restarts work that takes long' : 'it has no effect')";
    vec![Found::probe_of(&[Liveness, Readiness], when, says)]
}

fn liveness_without_readiness(_: Writing<'_>) -> Vec<Found> {
    let when = format!("{LONG_RUNNING} && has(x.liveness) && !has(x.readiness) && size(x.serving) > 0");
    let says = "'serves on port ' + x.serving[0] + ' with liveness but without readiness: it is restarted, never taken out of the traffic'";
    vec![Found::container(when, says)]
}

fn missing_readiness(_: Writing<'_>) -> Vec<Found> {
    let when = format!("{LONG_RUNNING} && !has(x.readiness) && size(x.serving) > 0");
    vec![Found::container(when, "'serves on port ' + x.serving[0] + ', but has no readiness probe'")]
}

fn frequent_exec(writing: Writing<'_>) -> Vec<Found> {
    let shortest = writing.number("minPeriodSeconds").unwrap_or_default();
    let says = format!("x.q.word + ' starts a process every ' + string(x.q.p) + ' s; {shortest} s or more is enough'");
    let each =
        Found::probe_of(&[Liveness, Readiness], format!("x.q.handler == 'exec' && x.q.p < {shortest}"), says).badness("-x.q.p");
    // Where no single one is too frequent, all of them may be; that is said of the fastest, the first in the order of the pod.
    let fastest = |word: &str| format!("(has(c.{word}) && c.{word}.handler == 'exec' && c.{word}.p == t.least)");
    let over = format!(
        "[variables.probes[i].filter(p, p.q.word != 'startup' && p.q.handler == 'exec')]\n    \
         .filter(l, size(l) > 0 && l.all(p, p.q.p >= {shortest}))\n    \
         .map(l, {{'count': size(l), 'runs': l.map(p, 3600 / int(p.q.p)).sum(), 'least': l.map(p, int(p.q.p)).min()}})\n    \
         .filter(t, t.runs > 1800)\n    \
         .map(t, variables.containers[i].filter(c, {liveness} || {readiness}).map(c, {{\n      \
         'name': c.name, 'count': dyn(t.count), 'runs': dyn(t.runs), 'probe': dyn({liveness} ? 'livenessProbe' : 'readinessProbe')\n    }})[0])",
        liveness = fastest("liveness"),
        readiness = fastest("readiness")
    );
    let says =
        "string(x.count) + ' exec probes of this pod start ' + string(x.runs) + ' processes in an hour, more than one in 2 s'";
    let together = Found::container("true", says).over(over).about_probe("x.probe").badness("x.runs");
    vec![each, together]
}

fn no_probes(_: Writing<'_>) -> Vec<Found> {
    let when = format!("{LONG_RUNNING} && !has(x.liveness) && !has(x.readiness) && !has(x.startup)");
    vec![Found::container(when, "'runs on without any probe'")]
}

fn missing_liveness(_: Writing<'_>) -> Vec<Found> {
    vec![Found::container(format!("{LONG_RUNNING} && !has(x.liveness)"), "'runs on, but has no liveness probe'")]
}

fn missing_startup(_: Writing<'_>) -> Vec<Found> {
    let when = format!("{LONG_RUNNING} && !has(x.startup) && (has(x.liveness) || has(x.readiness))");
    vec![Found::container(when, "'has no startup probe'")]
}

fn missing_prestop(_: Writing<'_>) -> Vec<Found> {
    let when = format!("{LONG_RUNNING} && size(x.serving) > 0 && !x.raw.?lifecycle.?preStop.hasValue()");
    let says = "'serves on port ' + x.serving[0] + ' without a preStop hook: it stops before the last requests have been sent elsewhere'";
    vec![Found::container(when, says)]
}

fn credential_in_header(_: Writing<'_>) -> Vec<Found> {
    let name = "h.?name.orValue('').trim().lowerAscii()";
    let credentials = format!(
        "x.q.raw.httpGet.?httpHeaders.orValue([]).filter(h, h.?value.orValue('').trim() != '' &&\n    \
         ({name} in ['authorization', 'proxy-authorization', 'cookie', 'x-api-key'] || {name}.endsWith('-token') || {name}.endsWith('-secret')))"
    );
    let when = format!("x.q.handler == 'httpGet' && size({credentials}) > 0");
    // One finding stands for all headers of a probe: where there are more than before, one is new.
    vec![
        Found::probe(when, format!("'header \"' + {credentials}[0].name + '\" carries a credential (not shown)'"))
            .badness(format!("size({credentials})")),
    ]
}

fn required_probes(writing: Writing<'_>) -> Vec<Found> {
    let params = &writing.rule.params;
    let words = |name: &str| -> Vec<String> {
        params[name].as_array().into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let mut ways = Vec::new();
    let wanted = words("probes");
    for kind in ProbeKind::ALL.into_iter().filter(|kind| wanted.iter().any(|name| name == kind.field())) {
        let word = kind.word();
        let says = format!("'has no {word} probe; the policy asks for one'");
        ways.push(Found::container(format!("{LONG_RUNNING} && !has(x.{word})"), says).about(kind));
    }
    let handlers = words("handlers");
    if !handlers.is_empty() {
        let allowed: Vec<String> = handlers.iter().map(|handler| quoted(handler)).collect();
        let says = format!("'the handler is ' + x.q.handler + '; the policy asks for {}'", handlers.join(", "));
        ways.push(Found::probe(format!("!(x.q.handler in [{}])", allowed.join(", ")), says));
    }
    for kind in ProbeKind::ALL {
        for (leaf, fact) in [
            (Leaf::InitialDelaySeconds, "x.q.d"),
            (Leaf::TimeoutSeconds, "x.q.t"),
            (Leaf::PeriodSeconds, "x.q.p"),
            (Leaf::SuccessThreshold, "x.q.s"),
            (Leaf::FailureThreshold, "x.q.f"),
        ] {
            let field = leaf.field();
            let range = &params[kind.field()][field];
            let says = |bound: &str| format!("'{field} is ' + string({fact}) + '; the policy asks for {bound}'");
            if let Some(min) = range["min"].as_i64() {
                let found = Found::probe_of(&[kind], format!("{fact} < {min}"), says(&format!("at least {min}")));
                ways.push(found.badness(format!("{min} - {fact}")).of(quoted(field)));
            }
            if let Some(max) = range["max"].as_i64() {
                let found = Found::probe_of(&[kind], format!("{fact} > {max}"), says(&format!("at most {max}")));
                ways.push(found.badness(format!("{fact} - {max}")).of(quoted(field)));
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    #[test]
    fn every_rule_is_written_in_cel_or_has_a_reason() {
        let rules: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        let table: Vec<&str> = TABLE.iter().map(|(rule, _)| *rule).collect();
        assert_eq!(table, rules);
        assert!(TABLE.iter().all(|(_, how)| !matches!(how, How::Not(reason) if reason.is_empty())));
    }

    /// Who is covered by a rule that cannot be written has to say so itself, as far as CEL can.
    #[test]
    fn what_covers_a_written_rule_is_written() {
        for rule in RULES.iter().filter(|rule| crate::export::is_expressible(rule.id) && rule.id != "explicit-host") {
            for better in rule.covered_by {
                assert!(crate::export::is_expressible(better), "{rule:?} is covered by {better}");
            }
        }
    }
}
