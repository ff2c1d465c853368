//! What a rule sees and what it reports.

use super::RuleDef;
use crate::{
    graph::Around,
    model::{Container, Edit, Leaf, Probe, ProbeKind, Scalar, Workload},
    policy::Action,
};

/// What a rule sees.
#[derive(Debug, Clone, Copy)]
pub struct Context<'w> {
    /// The object as it would be stored.
    pub workload: &'w Workload<'w>,
    /// What is known of the objects around it; `None` where nothing is, as for a single object. A rule that needs them is then silent.
    pub around: Option<Around<'w>>,
    /// Rules that the allow annotation of this object does not allow, because of the policy.
    pub forbidden: &'w [&'static RuleDef],
}

impl<'w> Context<'w> {
    /// What a Service around the workload says is spoken on a port of the pod (`appProtocol`).
    pub fn app_protocol(&self, port: i64) -> Option<&'w str> {
        self.around.and_then(|around| around.app_protocol(port))
    }

    /// [`Workload::other_host`].
    pub fn other_host<'p>(&self, probe: &'p Probe<'_>) -> Option<(&'static str, &'p str)> {
        self.workload.other_host(probe)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static RuleDef,
    /// What the policy does about it.
    pub action: Action,
    /// Name of the container; `None` where the whole object is meant.
    pub container: Option<String>,
    /// Which probe; `None` where the whole container is meant.
    pub probe: Option<ProbeKind>,
    /// RFC 6901 pointer to the value at fault, or to where a missing one would stand.
    pub pointer: String,
    /// What is wrong, with the numbers at hand; short enough for a warning (see [`Finding::MESSAGE_RUNES`]).
    pub message: String,
    /// What to write instead, as YAML; empty where nothing can be proposed.
    pub help: String,
    /// What else a reader should know, as a clause: that an exemption has ended. Mostly empty.
    pub note: String,
    /// How bad, where a rule has a measure: a larger number is worse. Compared on UPDATE, so that an old violation may stay but not grow.
    pub badness: i64,
    /// What to change so that the rule is silent, as pointers from the object's root; empty where nothing can be proposed for certain. It changes what
    /// the author wrote, so only `probekeeper fix --unsafe` carries it out. A rule that ever gives one says so in its declaration.
    pub rewrite: Vec<Edit>,
    /// A secret stands there or near it: its surroundings are not to be shown.
    pub secret: bool,
}

impl Finding {
    /// Messages stay within this many characters, so that a warning with rule and place stays near the API server's advice of 120 runes.
    pub const MESSAGE_RUNES: usize = 160;

    /// The finding was judged too severely by its rule's action: this much at most.
    pub fn at_most(&mut self, action: Action) -> &mut Self {
        self.action = self.action.min(action);
        self
    }

    /// Sets the measure of badness.
    pub fn badness(&mut self, badness: i64) -> &mut Self {
        self.badness = badness;
        self
    }

    /// Proposes another value at the place at fault.
    pub fn rewrite_to(&mut self, value: impl Into<Scalar>) -> &mut Self {
        self.rewrite.push(Edit::set(&*self.pointer, value));
        self
    }

    /// Proposes to leave out the member at fault.
    pub fn rewrite_without(&mut self) -> &mut Self {
        self.rewrite.push(Edit::remove(&*self.pointer));
        self
    }

    /// Where the finding is about a probe as a whole: proposes another value for one of its numbers.
    pub fn rewrite_leaf(&mut self, leaf: Leaf, value: i64) -> &mut Self {
        self.rewrite.push(Edit::set(format!("{}/{}", self.pointer, leaf.field()), value));
        self
    }

    /// Marks the place as one that must not be quoted.
    pub fn secret(&mut self) -> &mut Self {
        self.secret = true;
        self
    }

    /// Where, in words: `container "web", livenessProbe`.
    pub fn place(&self) -> String {
        match (&self.container, self.probe) {
            (Some(container), Some(probe)) => format!("container \"{container}\", {}", probe.field()),
            (Some(container), None) => format!("container \"{container}\""),
            (None, _) => "pod".to_owned(),
        }
    }
}

/// A text, or how to write it: rules that are only counted give the latter, and where nobody reads their findings it is not written.
pub trait Words {
    /// The text.
    fn words(self) -> String;
}

impl Words for String {
    fn words(self) -> String {
        self
    }
}

impl Words for &str {
    fn words(self) -> String {
        self.to_owned()
    }
}

impl<F: FnOnce() -> String> Words for F {
    fn words(self) -> String {
        self()
    }
}

/// Collects the findings of one rule after another.
#[derive(Debug)]
pub struct Findings {
    rule: &'static RuleDef,
    action: Action,
    /// Whether nobody reads what is only counted.
    brief: bool,
    list: Vec<Finding>,
}

impl Default for Findings {
    /// An empty collection; [`Findings::next_rule`] says whose findings come.
    fn default() -> Self {
        Self::new(super::RULES[0], Action::Off)
    }
}

impl Findings {
    /// An empty collection for a rule and the action that policy gives it.
    pub fn new(rule: &'static RuleDef, action: Action) -> Self {
        Self { rule, action, brief: false, list: Vec::new() }
    }

    /// An empty collection in which findings that are only counted (action `audit`) have no texts, pointers and rewrites.
    pub fn brief() -> Self {
        Self { brief: true, ..Self::default() }
    }

    /// Goes on to the next rule.
    pub fn next_rule(&mut self, rule: &'static RuleDef, action: Action) {
        self.rule = rule;
        self.action = action;
    }

    /// Everything reported so far.
    pub fn into_vec(self) -> Vec<Finding> {
        self.list
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets everything after the first `len`: what a rule reported before it failed is not trusted.
    pub fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Forgets those after the first `len` that do not count.
    pub fn retain_from(&mut self, len: usize, mut counts: impl FnMut(&Finding) -> bool) {
        let mut at = 0;
        self.list.retain(|finding| {
            at += 1;
            at <= len || counts(finding)
        });
    }

    /// Reports something about a probe. `at` is a pointer relative to the probe (`httpGet/port`), or empty for the probe itself.
    pub fn probe(
        &mut self,
        cx: &Context<'_>,
        container: &Container<'_>,
        kind: ProbeKind,
        at: &str,
        message: impl Words,
        help: impl Words,
    ) -> &mut Finding {
        let pointer = || below(cx.workload.probe_pointer(container, kind), at);
        self.push(Some(container), Some(kind), pointer, message, help)
    }

    /// Reports something about a container. `at` is a pointer relative to it, or empty.
    pub fn container(
        &mut self,
        cx: &Context<'_>,
        container: &Container<'_>,
        at: &str,
        message: impl Words,
        help: impl Words,
    ) -> &mut Finding {
        let pointer = || below(cx.workload.container_pointer(container), at);
        self.push(Some(container), None, pointer, message, help)
    }

    /// Reports something about the pod as a whole. `pointer` is absolute.
    pub fn pod(&mut self, pointer: impl Words, message: impl Words, help: impl Words) -> &mut Finding {
        self.push(None, None, pointer, message, help)
    }

    fn push(
        &mut self,
        container: Option<&Container<'_>>,
        probe: Option<ProbeKind>,
        pointer: impl Words,
        message: impl Words,
        help: impl Words,
    ) -> &mut Finding {
        let at = self.list.len();
        let (pointer, message, help) = if self.brief && self.action == Action::Audit {
            Default::default()
        } else {
            (pointer.words(), message.words(), help.words())
        };
        self.list.push(Finding {
            rule: self.rule,
            action: self.action,
            container: container.map(|container| container.name.to_string()),
            probe,
            pointer,
            message,
            help,
            note: String::new(),
            badness: 0,
            rewrite: Vec::new(),
            secret: false,
        });
        &mut self.list[at]
    }
}

fn below(mut pointer: String, at: &str) -> String {
    if !at.is_empty() {
        pointer.push('/');
        pointer.push_str(at);
    }
    pointer
}

/// A name cut to at most `runes` characters: names of 253 are allowed, messages of that length are not read.
pub(super) fn shorten(name: &str, runes: usize) -> String {
    if name.chars().count() <= runes {
        return name.to_owned();
    }
    name.chars().take(runes.saturating_sub(1)).chain(['…']).collect()
}

/// `a, b and 3 more`, each name cut where it is very long.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>, shown: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|name| shorten(name, 30)).collect();
    match names.split_at_checked(shown) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
