//! What every rule asks about an object, as variables in CEL: containers, probes and their numbers after API defaulting, of the new object and, on UPDATE,
//! of the old one. They are computed once for each policy object, and only when a validation needs them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::host;
use crate::model::{Annotations, Kind, Kinds, Leaf, MESH_SIDECARS, ProbeKind, Record};
use crate::rules::RULES;

/// A variable of a ValidatingAdmissionPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// As in `variables.name`.
    pub name: String,
    /// CEL.
    pub expression: String,
}

impl Variable {
    pub(super) fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self { name: name.into(), expression: expression.into() }
    }
}

/// The variables that every rule may use, each a list with an entry for the new object and, on UPDATE, one for the old.
///
/// Everything is `dyn`: one policy object holds for eight kinds, and a typed `object` could only be asked for what all of them have.
pub(super) fn variables() -> Vec<Variable> {
    let mesh: Vec<String> = MESH_SIDECARS.iter().map(|name| quoted(name)).collect();
    let probes =
        ProbeKind::ALL.map(|kind| format!("    ?'{}': c.?{}.optMap(p, {})", kind.word(), kind.field(), timing(kind))).join(",\n");
    let pairs = ProbeKind::ALL
        .map(|kind| {
            let word = kind.word();
            format!("    variables.containers[i].filter(c, has(c.{word})).map(c, {{'c': dyn(c), 'q': c.{word}}})")
        })
        .join(" +\n");
    vec![
        // Positions in the lists below.
        Variable::new("at", "request.operation == 'UPDATE' ? [0, 1] : [0]"),
        Variable::new(
            "objects",
            format!(
                "(request.operation == 'UPDATE' ? [dyn(object), dyn(oldObject)] : [dyn(object)]).map(o, {{\n  \
                   'object': o,\n  \
                   'meta': {pod_meta},\n  \
                   'pod': {pod},\n  \
                   'record': dyn(o.metadata.?annotations[?'{record}'].orValue(''))\n\
                 }})",
                pod = by_kind("o.spec", "o.spec.jobTemplate.spec.template.spec", "o.spec.template.spec"),
                pod_meta = by_kind(
                    "o.metadata",
                    "o.spec.jobTemplate.spec.template.?metadata.orValue({})",
                    "o.spec.template.?metadata.orValue({})"
                ),
                record = Record::ANNOTATION,
            ),
        ),
        Variable::new(
            "containers",
            format!(
                "variables.objects.map(o, (\n    o.pod.containers +\n    \
                     o.pod.?initContainers.orValue([]).filter(c, c.?restartPolicy.orValue('') == 'Always')\n  \
                 ).filter(c, !(c.name in [{mesh}])).map(c, {{\n    \
                     'raw': c,\n    \
                     'name': c.name,\n    \
                     'ports': c.?ports.orValue([]),\n    \
                     'serving': dyn(c.?ports.orValue([])\n      \
                         .filter(p, !p.?name.orValue('').split('-').exists(w, w in ['metrics', 'prometheus', 'prom']))\n      \
                         .map(p, p.?name.orValue('') != '' ? p.name : string(p.containerPort))),\n    \
                     'copied': dyn({copied}),\n\
                 {probes}\n  \
                 }}))",
                mesh = mesh.join(", "),
                copied = recorded("o.record", "c.name", ProbeKind::Startup, "added", "1"),
            ),
        ),
        Variable::new("probes", format!("variables.at.map(i,\n{pairs})")),
        // What the annotation says on the object and on its template, an entry on each line: `rules::Allow` in CEL. A reason may hold `;` and line breaks.
        Variable::new(
            "allows",
            format!(
                "variables.objects.map(o, [o.object.metadata, o.meta].map(m,\n  \
                 string(m.?annotations[?'{allow}'].orValue('')).replace('\\n', ';').split(';')\n  \
                 .map(e, e.matches(r'{entry}') ? '\\n' + e : e).join(';')).join('\\n').split('\\n'))",
                allow = Annotations::ALLOW,
                entry = starts_entry(),
            ),
        ),
        // Rules that it allows with a reason.
        Variable::new(
            "allowed",
            "variables.allows.map(l, l.filter(e, e.contains(':') && e.substring(e.indexOf(':') + 1).matches(r'[\\p{L}\\p{N}]'))\n  \
             .map(e, e.substring(0, e.indexOf(':')).trim()))",
        ),
        // Hosts that lead to the node itself, and IP addresses. Asked only of probes that set a host.
        Variable::new("loopback", format!("r'{}'", host::loopback())),
        Variable::new("address", format!("r'{}'", host::address())),
    ]
}

/// Matches a part of the allow annotation, between `;` or line breaks, that starts an entry: what begins with the name of a rule and a colon, with a word in
/// the form of one, a colon and a blank, or is the name of a rule.
fn starts_entry() -> String {
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    let blank = r"[\p{Z}\t-\r\x{85}]";
    format!("^{blank}*(?:(?:{}){blank}*(?::|$)|[a-z0-9-]*-[a-z0-9-]*{blank}*:(?:{blank}|$))", rules.join("|"))
}

/// A value that depends on where the kind of object keeps its pod.
fn by_kind(pod: &str, cron_job: &str, other: &str) -> String {
    format!("request.kind.kind == 'Pod' ? {pod} : request.kind.kind == 'CronJob' ? {cron_job} : {other}")
}

/// What is known of the probe `p`.
fn timing(kind: ProbeKind) -> String {
    let leaf = |leaf: Leaf| format!("dyn(p.?{}.orValue({}))", leaf.field(), leaf.api_default().unwrap_or(0));
    format!(
        "dyn({{\n      'kind': dyn('{field}'), 'word': dyn('{word}'), 'raw': p,\n      \
         'handler': dyn(has(p.httpGet) ? 'httpGet' : has(p.tcpSocket) ? 'tcpSocket' : has(p.grpc) ? 'grpc' : 'exec'),\n      \
         'port': dyn(has(p.httpGet) ? [p.httpGet.port] : has(p.tcpSocket) ? [p.tcpSocket.port] : has(p.grpc) ? [p.grpc.port] : []),\n      \
         'host': dyn((has(p.httpGet) ? string(p.httpGet.?host.orValue('')) : has(p.tcpSocket) ? string(p.tcpSocket.?host.orValue('')) : '').trim()),\n      \
         'path': dyn(has(p.httpGet) ? string(p.httpGet.?path.orValue('')) : ''),\n      \
         'd': {d}, 'p': {p}, 't': {t}, 'f': {f}, 's': {s}\n    }})",
        field = kind.field(),
        word = kind.word(),
        d = leaf(Leaf::InitialDelaySeconds),
        p = leaf(Leaf::PeriodSeconds),
        t = leaf(Leaf::TimeoutSeconds),
        f = leaf(Leaf::FailureThreshold),
        s = leaf(Leaf::SuccessThreshold),
    )
}

/// Whether the record annotation names a number of a container with this value. The record is JSON, which CEL cannot read; but it is JSON that probekeeper
/// wrote: maps three deep, names without escapes, whole numbers.
pub(super) fn recorded(record: &str, container: &str, probe: ProbeKind, leaf: &str, value: &str) -> String {
    let number = r#"\s*"[^"\\]*"\s*:\s*-?[0-9]+\s*"#;
    let part = format!(r#"\s*"[^"\\]*"\s*:\s*\{{(?:{number}(?:,{number})*|\s*)\}}\s*"#);
    let whole = format!(r#"\s*"[^"\\]*"\s*:\s*\{{(?:{part}(?:,{part})*|\s*)\}}\s*"#);
    let begin = r"\s*";
    // An empty record answers at once: the expression is only for objects that carry one.
    format!(
        "({record} != '' && {record}.matches(r'^\\s*\\{{(?:{whole}(?:,{whole})*|\\s*)\\}}\\s*$') && \
         {record}.matches(r'\"' + {container} + r'\"\\s*:\\s*\\{{(?:{part},)*{begin}\"{field}\"\\s*:\\s*\\{{(?:{number},)*{begin}\"{leaf}\"\\s*:\\s*' + {value} + r'\\s*[,}}]'))",
        field = probe.field(),
        value = if value.chars().all(|digit| digit.is_ascii_digit()) { quoted(value) } else { format!("string({value})") },
    )
}

/// Whether the controller that made `object` is one whose own object is judged.
pub(super) fn owned(kinds: &Kinds) -> String {
    let built_in = Kind::ALL.into_iter().map(|kind| (kind.group().to_owned(), kind.name().to_owned()));
    let custom = kinds.custom().map(|custom| (custom.group().to_owned(), custom.kind.clone()));
    // Sorted: the same policy gives the same text.
    let mut by_group: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (group, kind) in built_in.chain(custom) {
        by_group.entry(group).or_default().push(quoted(&kind));
    }
    let any = by_group.iter().map(|(group, kinds)| {
        let of_group = match &**group {
            "" => "!w.apiVersion.contains('/')".to_owned(),
            // Where Deployments lived until 1.16; an owner may still say so.
            "apps" => "(w.apiVersion.startsWith('apps/') || w.apiVersion.startsWith('extensions/'))".to_owned(),
            other => format!("w.apiVersion.startsWith({})", quoted(&format!("{other}/"))),
        };
        format!("{of_group} && w.kind in [{}]", kinds.join(", "))
    });
    let any: Vec<String> = any.collect();
    controller(&format!("\n    {}", any.join(" ||\n    ")))
}

/// Whether the node itself made `object`: the mirror of a static pod.
pub(super) fn mirror() -> String {
    controller("w.apiVersion == 'v1' && w.kind == 'Node'")
}

fn controller(is: &str) -> String {
    format!("dyn(object).metadata.?ownerReferences.orValue([]).exists(w, w.?controller.orValue(false) && ({is}))")
}

/// A string in CEL. The text is ours or a policy's word.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for letter in text.chars() {
        match letter {
            '\\' | '\'' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('\'');
    out
}

/// The shortest hang that trips a probe: `model::Timing::tolerance`.
pub(super) fn tolerance(probe: &str) -> String {
    format!("(({probe}.f - 1) * ({probe}.p > {probe}.t ? {probe}.p : {probe}.t) + {probe}.t)")
}

/// `model::Timing::guaranteed_start_up`.
pub(super) fn guaranteed_start_up(probe: &str) -> String {
    format!("({probe}.d + ({probe}.f - 1) * {probe}.p)")
}

/// `model::Timing::start_up_upper_bound`.
pub(super) fn start_up_upper_bound(probe: &str) -> String {
    format!("({probe}.d + {probe}.f * {probe}.p)")
}

/// `model::Timing::acted`.
pub(super) fn acted(probe: &str) -> String {
    format!("({probe}.f * {probe}.p + {probe}.t)")
}

/// Whether the host of a probe leads to the node itself; there must be one.
pub(super) fn is_loopback(host: &str) -> String {
    format!("{host}.matches(variables.loopback)")
}

/// `model::Workload::other_host` for the probe `x.q` of object `i`.
pub(super) fn other_host() -> String {
    format!("(x.q.host != '' && !{} && !({HOST_NETWORK} && x.q.host.matches(r'{}')))", is_loopback("x.q.host"), host::address())
}

/// Whether the pod of object `i` has the node's network.
pub(super) const HOST_NETWORK: &str = "variables.objects[i].pod.?hostNetwork.orValue(false)";

/// `model::Workload::is_long_running` for object `i`.
pub(super) const LONG_RUNNING: &str = "(request.kind.kind == 'Pod' ? variables.objects[i].pod.?restartPolicy.orValue('Always') == 'Always' : !(request.kind.kind in ['Job', 'CronJob']))";

/// At most so many characters of a text of the object's author.
pub(super) fn cut(text: &str, runes: usize) -> String {
    format!("(size({text}) <= {runes} ? {text} : {text}.substring(0, {}) + '…')", runes.saturating_sub(1))
}
