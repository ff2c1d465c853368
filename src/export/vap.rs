//! A policy as ValidatingAdmissionPolicies with their bindings.
//!
//! There is one for each action. A rule whose action is deny stands in two: in the first with what is new or worse, in the second with what is only a
//! warning, because it was there before, a controller made the object, or the rule itself is unsure. `engine::decide` in CEL.

use std::fmt::Write as _;

use super::facts::{self, Variable};
use super::found::{self, Writing, Written, name, rank};
use super::past;
use super::table::How;
use crate::model::Kind;
use crate::policy::{Action, ActiveRule, EXCLUDED_NAMESPACES, IGNORE_LABEL, OwnedObjects, Policy};
use crate::rules::{self, RULES, RuleDef};

/// What `export vap` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The policy's hash.
    pub hash: String,
    /// The policy's profile.
    pub profile: String,
    /// At most one for each action, the most severe first.
    pub policies: Vec<PolicyObject>,
    /// Rules that are on, at least for some objects, and not written, in the order of the catalogue.
    pub unwritten: Vec<Unwritten>,
    /// Kinds that the policy adds: the API server knows neither their defaults nor what is valid in them, so only the webhook judges them.
    pub kinds: Vec<String>,
}

/// One ValidatingAdmissionPolicy and its binding, which have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyObject {
    /// `probekeeper-deny`, `-warn`, `-audit`.
    pub name: String,
    /// `Deny`, `Warn`, `Audit`.
    pub validation_action: &'static str,
    /// Name and CEL.
    pub conditions: Vec<(&'static str, String)>,
    /// In an order in which each needs only those before it.
    pub variables: Vec<Variable>,
    /// One for each rule.
    pub validations: Vec<Validation>,
}

/// One entry of `validations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// The rule.
    pub rule: &'static str,
    /// True where the rule finds nothing.
    pub expression: String,
    /// What is said where the text of `message_expression` cannot be: it holds a line break.
    pub message: String,
    /// `rule: container "web", livenessProbe: what is wrong`.
    pub message_expression: String,
}

/// A rule of the policy that is not exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// The rule.
    pub rule: &'static str,
    /// What the policy does when it fires, overrides aside.
    pub action: Action,
    /// The end of a sentence that begins with the rule.
    pub reason: &'static str,
}

/// Writes a policy's rules in CEL, as far as that says exactly what they say.
pub fn vap(policy: &Policy) -> Export {
    let mut written = Vec::new();
    let mut unwritten = Vec::new();
    for rule in RULES.iter().copied() {
        let active = policy.rules.iter().find(|active| active.def == rule);
        if active.is_none() && !policy.is_overridden(rule) {
            continue;
        }
        match (why_not(policy, rule), active, super::how(rule.id)) {
            (Some(reason), _, _) => {
                unwritten.push(Unwritten { rule: rule.id, action: active.map_or(Action::Off, |active| active.action), reason });
            }
            (None, Some(active), Some(How::Cel(ways))) => {
                let writing = Writing { policy, rule: active };
                let ways = ways(writing);
                // One that asks for nothing finds nothing: `required-probes` without parameters.
                if !ways.is_empty() {
                    written.push(found::written(writing, &ways));
                }
            }
            _ => {}
        }
    }
    let policies = [Action::Deny, Action::Warn, Action::Audit].into_iter().filter_map(|action| object(policy, &written, action));
    Export {
        hash: policy.hash.clone(),
        profile: policy.profile.to_string(),
        policies: policies.collect(),
        unwritten,
        kinds: policy.kinds.custom().map(|custom| custom.kind.clone()).collect(),
    }
}

/// Why a rule of this policy is not written; `None` where it can be.
fn why_not(policy: &Policy, rule: &RuleDef) -> Option<&'static str> {
    if let Some(reason) = super::reason(rule.id) {
        return Some(reason);
    }
    if policy.is_overridden(rule) {
        return Some("an override of the policy speaks of it");
    }
    if policy.is_exempted_somewhere(rule) {
        return Some("an exemption of the policy is about it");
    }
    let better = rule.covered_by.iter().filter_map(|better| rules::find(better));
    better.into_iter().any(|better| policy.is_overridden(better)).then_some("a rule that says the same better is overridden")
}

fn object(policy: &Policy, written: &[Written<'_>], action: Action) -> Option<PolicyObject> {
    // What a denial becomes where it is none stands in the policy that warns.
    let speaks = |rule: &ActiveRule| rule.action == action || (action == Action::Warn && rule.action == Action::Deny);
    let rules: Vec<&Written<'_>> = written.iter().filter(|written| speaks(written.rule)).collect();
    if rules.is_empty() {
        return None;
    }
    let mut conditions = vec![
        ("not-being-deleted", "!has(object.metadata.deletionTimestamp)".to_owned()),
        ("not-the-mirror-of-a-static-pod", format!("!{}", facts::mirror())),
    ];
    let owned_is_mild = policy.owned_objects == OwnedObjects::Warn;
    if policy.owned_objects == OwnedObjects::Skip || (owned_is_mild && action == Action::Deny) {
        conditions.push(("not-made-by-a-judged-controller", format!("!{}", facts::owned(&policy.kinds))));
    }
    let mut variables = facts::variables();
    variables.extend(past::variables());
    if owned_is_mild && action == Action::Warn {
        variables.push(Variable::new("owned", facts::owned(&policy.kinds)));
    }
    // Those that speak, and those that others are silent for.
    let needed = |id: &str| rules.iter().any(|rule| rule.rule.def.id == id || rule.needs.contains(&id));
    variables.extend(written.iter().filter(|written| needed(written.rule.def.id)).map(|written| written.found.clone()));
    let mut validations = Vec::new();
    for written in rules {
        let rule = written.rule;
        variables.extend(written.left.clone());
        let told = Variable::new(name("told", rule.def.id), told(written, action, owned_is_mild));
        validations.push(validation(rule, &told.name, action));
        variables.push(told);
    }
    let texts = validations.iter().flat_map(|validation| [&*validation.expression, &*validation.message_expression]);
    let variables = referenced(variables, texts.map(str::to_owned).collect());
    let verb = match action {
        Action::Deny => "Deny",
        Action::Warn => "Warn",
        Action::Audit | Action::Off => "Audit",
    };
    Some(PolicyObject {
        name: format!("probekeeper-{}", action.name()),
        validation_action: verb,
        conditions,
        variables,
        validations,
    })
}

/// Those variables that these texts refer to, and so on.
fn referenced(variables: Vec<Variable>, mut texts: Vec<String>) -> Vec<Variable> {
    let mut kept = Vec::new();
    for variable in variables.into_iter().rev() {
        let reference = format!("variables.{}", variable.name);
        let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        if texts.iter().any(|text| text.match_indices(&reference).any(|(at, found)| ends(&text[at + found.len()..]))) {
            texts.push(variable.expression.clone());
            kept.push(variable);
        }
    }
    kept.reverse();
    kept
}

/// Which of a rule's findings get this action: of what is `left`. What the old object had is all that was `found`: what another rule said better, or an
/// annotation allowed, was there too.
fn told(written: &Written<'_>, action: Action, owned_is_mild: bool) -> String {
    let Written { rule, found, left, differ, .. } = written;
    let left = format!("variables.{}", left.as_ref().unwrap_or(found).name);
    let found = format!("variables.{}", found.name);
    let (deny, own) = (rank(Action::Deny), rank(action));
    // The old object had the same, denied as well and at least as bad: by container and probe, and by what is measured where something is.
    let of = if *differ { " && (o.badness == 0 && x.badness == 0 || o.of == x.of)" } else { "" };
    let before = format!(
        "size({found}) > 1 && (variables.unchanged || {found}[1].exists(o,\n    \
           (o.container == x.container || variables.renamed.exists(r, r.new == x.container && r.old == o.container)) && \
           o.probe == x.probe && o.action == {deny} && o.badness >= x.badness{of}) || variables.rolled_back)"
    );
    match action {
        Action::Deny => format!("{left}[0].filter(x, x.action == {deny} &&\n  !({before}))"),
        Action::Warn if rule.action == Action::Deny && owned_is_mild => {
            format!("{left}[0].filter(x, x.action == {own} || x.action == {deny} && (variables.owned ||\n  {before}))")
        }
        Action::Warn if rule.action == Action::Deny => {
            format!("{left}[0].filter(x, x.action == {own} || x.action == {deny} &&\n  {before})")
        }
        _ => format!("{left}[0].filter(x, x.action == {own})"),
    }
}

fn validation(rule: &ActiveRule, told: &str, action: Action) -> Validation {
    let told = format!("variables.{told}");
    let place = format!(
        "({told}[0].container == '' ? 'pod' : 'container \"' + {told}[0].container + '\"' + \
         ({told}[0].probe == '' ? '' : ', ' + {told}[0].probe))"
    );
    let mut says = format!(
        "'{}: ' + {place} + ': ' + {told}[0].says +\n  (size({told}) > 1 ? ' (and ' + string(size({told}) - 1) + ' more)' : '')",
        rule.def.id
    );
    if action == Action::Warn && rule.action == Action::Deny {
        let _ = write!(
            says,
            " +\n  ({told}[0].action == {} ? ' (not denied: it was there before, a controller made it, or it is a rollback)' : '')",
            rank(Action::Deny)
        );
    }
    Validation {
        rule: rule.def.id,
        expression: format!("size({told}) == 0"),
        message: format!("{}: {}", rule.def.id, rule.def.summary()),
        message_expression: says,
    }
}

impl Export {
    /// The objects as YAML, with what is not in them as comments before them. The same policy gives the same bytes.
    pub fn to_yaml(&self) -> String {
        let mut out = format!(
            "# ValidatingAdmissionPolicies of probekeeper's policy {} ({}), written by `probekeeper export vap`.\n",
            self.profile, self.hash
        );
        out += "# They judge as the webhook does; they fill nothing in. Kubernetes 1.30 or later.\n#\n";
        if self.unwritten.is_empty() {
            out += "# Every rule of the policy is in them.\n";
        } else {
            out += "# Rules of the policy that CEL cannot express exactly, and that only the webhook judges:\n";
            for Unwritten { rule, action, reason } in &self.unwritten {
                let _ = writeln!(out, "#   {rule} ({action}): {reason}");
            }
        }
        if !self.kinds.is_empty() {
            let _ = writeln!(out, "# Kinds of the policy that only the webhook judges: {}.", self.kinds.join(", "));
        }
        for policy in &self.policies {
            policy.write(&mut out);
        }
        out
    }
}

impl PolicyObject {
    fn write(&self, out: &mut String) {
        let _ = write!(
            out,
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: {}\n  labels:\n    app.kubernetes.io/name: probekeeper\nspec:\n",
            self.name
        );
        // A failure to evaluate is never the author's fault.
        *out += "  failurePolicy: Ignore\n  matchConstraints:\n    matchPolicy: Equivalent\n    resourceRules:\n";
        for (group, operations, resources) in resource_rules() {
            let _ = write!(
                out,
                "      - apiGroups: [\"{group}\"]\n        apiVersions: [v1]\n        operations: [{}]\n        resources: [{}]\n        scope: Namespaced\n",
                operations.join(", "),
                resources.join(", ")
            );
        }
        *out += "  matchConditions:\n";
        for (name, expression) in &self.conditions {
            let _ = writeln!(out, "    - name: {name}");
            block(out, 6, "expression", expression);
        }
        *out += "  variables:\n";
        for variable in &self.variables {
            let _ = writeln!(out, "    - name: {}", variable.name);
            block(out, 6, "expression", &variable.expression);
        }
        *out += "  validations:\n";
        for validation in &self.validations {
            let _ = writeln!(out, "    - expression: {}", validation.expression);
            block(out, 6, "message", &validation.message);
            block(out, 6, "messageExpression", &validation.message_expression);
        }
        let _ = write!(
            out,
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata:\n  name: {name}\n  labels:\n    app.kubernetes.io/name: probekeeper\nspec:\n  policyName: {name}\n  validationActions: [{}]\n  matchResources:\n    namespaceSelector:\n      matchExpressions:\n        - {{ key: kubernetes.io/metadata.name, operator: NotIn, values: [{}] }}\n        - {{ key: {IGNORE_LABEL}, operator: DoesNotExist }}\n",
            self.validation_action,
            EXCLUDED_NAMESPACES.join(", "),
            name = self.name,
        );
    }
}

/// Group, operations and resources, as the webhook is registered: Pods and Jobs on CREATE only, no subresources, no wildcards.
fn resource_rules() -> Vec<(&'static str, Vec<&'static str>, Vec<String>)> {
    let mut rules: Vec<(&str, Vec<&str>, Vec<String>)> = Vec::new();
    for kind in Kind::ALL {
        let operations = if kind.only_on_create() { vec!["CREATE"] } else { vec!["CREATE", "UPDATE"] };
        let resource = kind.resource();
        match rules.iter_mut().find(|(group, same, _)| *group == kind.group() && *same == operations) {
            Some((_, _, resources)) => resources.push(resource),
            None => rules.push((kind.group(), operations, vec![resource])),
        }
    }
    rules
}

/// A member whose value is a text of any lines, kept as it is.
fn block(out: &mut String, indent: usize, key: &str, text: &str) {
    let _ = writeln!(out, "{:indent$}{key}: |-", "");
    for line in text.lines() {
        let _ = writeln!(out, "{:width$}{line}", "", width = indent + 2);
    }
}
