//! One way in which a rule finds something, in CEL: over which containers or probes of an object, when, where, and how bad.

use std::fmt::Write as _;

use super::facts::Variable;
use crate::model::ProbeKind;
use crate::policy::{Action, ActiveRule, Policy};

/// A rule of a policy, while it is written in CEL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing<'p> {
    pub(super) policy: &'p Policy,
    pub(super) rule: &'p ActiveRule,
}

impl Writing<'_> {
    /// A numeric parameter; `None` where it is absent.
    pub(super) fn number(self, param: &str) -> Option<i64> {
        self.rule.params.get(param)?.as_i64()
    }

    /// What the policy does when another rule fires: its rank, 0 when it is off.
    pub(super) fn rank_of(self, rule: &str) -> i64 {
        self.policy.rules.iter().find(|active| active.def.id == rule).map_or(0, |active| rank(active.action))
    }
}

/// Actions in CEL: a number that grows with severity.
pub(super) const fn rank(action: Action) -> i64 {
    match action {
        Action::Off => 0,
        Action::Audit => 1,
        Action::Warn => 2,
        Action::Deny => 3,
    }
}

/// One way in which a rule finds something. All texts but `says` are CEL in which `i` is the position of the object, `x` what is looped over.
#[derive(Debug, Clone)]
pub(super) struct Found {
    over: String,
    when: String,
    container: &'static str,
    probe: String,
    badness: String,
    /// What badness is measured of; the same for all findings of a rule where it is empty.
    of: String,
    mild: Option<String>,
    says: String,
    /// Whether it may be about a startup probe, and whether also about liveness.
    startup: bool,
    liveness: bool,
}

impl Found {
    /// Over the probes of every kind: `x.q` is the probe, `x.c` its container.
    pub(super) fn probe(when: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            over: "variables.probes[i]".into(),
            when: when.into(),
            container: "x.c.name",
            probe: "x.q.kind".into(),
            badness: "0".into(),
            of: String::new(),
            mild: None,
            says: says.into(),
            startup: true,
            liveness: true,
        }
    }

    /// Over the probes of these kinds.
    pub(super) fn probe_of(kinds: &[ProbeKind], when: impl Into<String>, says: impl Into<String>) -> Self {
        let fields: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.field())).collect();
        let of_kind = match &*fields {
            [only] => format!("x.q.kind == {only}"),
            _ => format!("x.q.kind in [{}]", fields.join(", ")),
        };
        let found = Self::probe(when, says);
        Self {
            when: format!("{of_kind} && ({})", found.when),
            startup: kinds.contains(&ProbeKind::Startup),
            liveness: kinds.contains(&ProbeKind::Liveness),
            ..found
        }
    }

    /// Over the containers: `x` is the container, and it is at fault as a whole.
    pub(super) fn container(when: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            over: "variables.containers[i]".into(),
            container: "x.name",
            probe: "''".into(),
            startup: false,
            liveness: false,
            ..Self::probe(when, says)
        }
    }

    /// About the pod as a whole, once.
    pub(super) fn pod(when: impl Into<String>, says: impl Into<String>) -> Self {
        Self { over: "[dyn('')]".into(), container: "''", ..Self::container(when, says) }
    }

    /// Loops over this list instead; `x` has still to have what `container` and `probe` ask of it.
    pub(super) fn over(self, list: impl Into<String>) -> Self {
        Self { over: list.into(), ..self }
    }

    /// Over the containers, but about one of their probes.
    pub(super) fn about(self, kind: ProbeKind) -> Self {
        Self {
            probe: format!("'{}'", kind.field()),
            startup: kind == ProbeKind::Startup,
            liveness: kind == ProbeKind::Liveness,
            ..self
        }
    }

    /// About the probe that this says.
    pub(super) fn about_probe(self, field: impl Into<String>) -> Self {
        Self { probe: field.into(), ..self }
    }

    /// How bad; a larger number is worse.
    pub(super) fn badness(self, badness: impl Into<String>) -> Self {
        Self { badness: badness.into(), ..self }
    }

    /// What badness is measured of, where findings of a rule in one place differ in that.
    pub(super) fn of(self, field: impl Into<String>) -> Self {
        Self { of: field.into(), ..self }
    }

    /// No more than a warning where this holds.
    pub(super) fn at_most_warn(self, when: impl Into<String>) -> Self {
        Self { mild: Some(when.into()), ..self }
    }

    fn action(&self, writing: Writing<'_>) -> String {
        let action = rank(writing.rule.action);
        match &self.mild {
            Some(mild) if action > rank(Action::Warn) => format!("({mild} ? {} : {action})", rank(Action::Warn)),
            _ => action.to_string(),
        }
    }

    fn list(&self, writing: Writing<'_>, with_copied: bool, with_of: bool) -> String {
        let of = match (with_of, &*self.of) {
            (false, _) => String::new(),
            (true, "") => ", 'of': dyn('')".to_owned(),
            (true, of) => format!(", 'of': dyn({of})"),
        };
        let copied = match (with_copied, self.container) {
            (false, _) => String::new(),
            (true, "x.name") => format!(", 'copied': dyn({} == 'startupProbe' && x.copied)", self.probe),
            (true, _) => format!(", 'copied': dyn({} == 'startupProbe' && x.c.copied)", self.probe),
        };
        format!(
            "{}.filter(x, {}).map(x, {{\n    \
               'container': dyn({}), 'probe': dyn({}), 'badness': dyn({}), 'action': dyn({}){copied}{of},\n    \
               'says': dyn({})\n  }})",
            self.over,
            self.when,
            self.container,
            self.probe,
            self.badness,
            self.action(writing),
            self.says
        )
    }
}

/// The variables of a rule that finds something in any of these ways: what it finds, and what is left where others or itself say the same better, or the
/// object's annotation allows it.
/// As in `engine::evaluate`, what it finds counts for the rules that it covers even where it is itself covered.
pub(super) fn written<'p>(writing: Writing<'p>, ways: &[Found]) -> Written<'p> {
    let id = writing.rule.def.id;
    // A startup probe that was filled in is a copy of liveness: what is wrong with both is said of liveness.
    let copies = ways.iter().any(|way| way.startup) && ways.iter().any(|way| way.liveness);
    let differ = ways.iter().any(|way| !way.of.is_empty());
    let lists: Vec<String> = ways.iter().map(|way| way.list(writing, copies, differ)).collect();
    let found = Variable::new(name("found", id), format!("variables.at.map(i, {})", lists.join(" +\n  ")));
    // A rule that is not written in CEL is not among the variables; who is covered by one says so itself.
    let better = writing.rule.def.covered_by.iter().filter(|better| writing.rank_of(better) > 0 && super::is_expressible(better));
    let mut left = format!("variables.{}[i]", found.name);
    for better in better.clone() {
        let _ = write!(
            left,
            ".filter(x,\n  !variables.{}[i].exists(b, b.container == x.container && b.probe == x.probe && b.action >= x.action))",
            name("found", better)
        );
    }
    if copies {
        left = format!(
            "[{left}].map(l, l.filter(x,\n  \
             !(x.copied && l.exists(b, b.probe == 'livenessProbe' && b.container == x.container && b.action >= x.action))))[0]"
        );
    }
    let may_be_allowed = writing.policy.allows_annotation(writing.rule.def);
    if may_be_allowed {
        left = format!("'{id}' in variables.allowed[i] ? [] : {left}");
    }
    let left = (copies || may_be_allowed || better.clone().next().is_some())
        .then(|| Variable::new(name("left", id), format!("variables.at.map(i, {left})")));
    Written { rule: writing.rule, needs: better.copied().collect(), found, left, differ }
}

/// A rule in CEL.
#[derive(Debug)]
pub(super) struct Written<'p> {
    pub(super) rule: &'p ActiveRule,
    /// Rules whose findings it has to know.
    pub(super) needs: Vec<&'static str>,
    /// For each object a list of maps with `container`, `probe` (empty strings where none is meant), `badness`, `action` (a [`rank`]) and `says`.
    pub(super) found: Variable,
    /// Those of them that no other says better and nothing allows, where that may be fewer.
    pub(super) left: Option<Variable>,
    /// Whether `of` says what badness is measured of.
    pub(super) differ: bool,
}

/// The name of a rule's variable.
pub(super) fn name(what: &str, rule: &str) -> String {
    format!("{what}_{}", rule.replace('-', "_"))
}
