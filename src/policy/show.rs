//! A policy spelt out, as the data of a policy file.

use serde_json::{Map, Value, json};

use super::{
    Action, Choices, Defaults, DefaultsChoice, FillWith, ProbeDefaultsChoice, RuleChoice,
    choices::{Exemption, Match, Override},
    scope::Overrides,
};
use crate::rules::{RULES, RuleDef};

/// Everything that is in force.
pub(super) fn effective(choices: &Choices, overrides: &Overrides) -> Value {
    let rules: Map<String, Value> = RULES
        .iter()
        .zip(overrides.base())
        .map(|(def, setting)| {
            let chosen = choices.rules.iter().any(|(rule, choice)| rule == def && choice.params.is_some());
            // The parameters of a rule that is off matter only where an override turns it on: the defaults need not be told.
            let params = Some(&overrides.built(setting).params).filter(|_| chosen || setting.action != Action::Off);
            (def.id.to_owned(), rule(setting.action, params, setting.allow_annotation()))
        })
        .collect();
    let mut policy = json!({
        "apiVersion": super::API_VERSION,
        "kind": super::KIND,
        "profile": choices.profile.name(),
        "rules": rules,
        "defaults": defaults(choices.defaults),
        "startup": choices.startup.json(),
        "ownedObjects": choices.owned_objects.name(),
        "onInternalError": choices.on_internal_error.name(),
    });
    let workloads = choices.workloads.iter().map(
        |kind| json!({ "apiVersion": kind.api_version, "kind": kind.kind, "resource": kind.resource, "template": kind.template }),
    );
    let mut list = |key: &str, items: Vec<Value>| {
        if !items.is_empty() {
            policy[key] = Value::Array(items);
        }
    };
    list("overrides", choices.overrides.iter().map(one_override).collect());
    list("exemptions", choices.exemptions.iter().map(exemption).collect());
    list("workloads", workloads.collect());
    policy
}

fn rule(action: Action, params: Option<&Value>, allow_annotation: bool) -> Value {
    let params = params.filter(|params| params.as_object().is_some_and(|params| !params.is_empty()));
    if allow_annotation && params.is_none() {
        return json!(action.name());
    }
    let mut said = Said::new();
    said.add("action", Some(json!(action.name())));
    said.add("params", params.cloned());
    said.add("allowAnnotation", (!allow_annotation).then_some(json!(false)));
    Value::Object(said.0)
}

fn defaults(defaults: Defaults) -> Value {
    let mut liveness = defaults.liveness.json();
    liveness["terminationGracePeriodSeconds"] = defaults.liveness_grace.json();
    json!({
        "livenessProbe": liveness,
        "readinessProbe": defaults.readiness.json(),
        "startupProbe": defaults.startup.json(),
        "addStartupProbe": defaults.add_startup_probe,
        "addPreStopSleepSeconds": defaults.pre_stop_sleep_seconds,
        "unknownIntent": unknown_intent(defaults.fill_unknown),
    })
}

const fn unknown_intent(fill: bool) -> &'static str {
    if fill { "fill" } else { "leave" }
}

/// Members that say something.
struct Said(Map<String, Value>);

impl Said {
    fn new() -> Self {
        Self(Map::new())
    }

    fn add(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value);
        }
    }

    fn done(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

fn one_override(written: &Override) -> Value {
    let mut said = Said::new();
    said.add("match", matching(&written.matching));
    let rules: Map<String, Value> = written.rules.iter().map(|(def, choice)| rule_choice(def, choice)).collect();
    said.add("rules", (!rules.is_empty()).then_some(Value::Object(rules)));
    said.add("defaults", defaults_choice(&written.defaults));
    Value::Object(said.0)
}

fn rule_choice(def: &RuleDef, choice: &RuleChoice) -> (String, Value) {
    let action = choice.action.map(|action| json!(action.name()));
    let entry = if let (Some(action), None, None) = (&action, &choice.params, choice.allow_annotation) {
        action.clone()
    } else {
        let mut said = Said::new();
        said.add("action", action);
        said.add("params", choice.params.clone());
        said.add("allowAnnotation", choice.allow_annotation.map(Value::Bool));
        Value::Object(said.0)
    };
    (def.id.to_owned(), entry)
}

fn defaults_choice(choice: &DefaultsChoice) -> Option<Value> {
    let probe = |choice: ProbeDefaultsChoice, grace: Option<FillWith>| {
        let mut said = Said::new();
        said.add("initialDelaySeconds", choice.initial_delay.map(FillWith::json));
        said.add("timeoutSeconds", choice.timeout.map(FillWith::json));
        said.add("periodSeconds", choice.period.map(FillWith::json));
        said.add("failureThreshold", choice.failure_threshold.map(FillWith::json));
        said.add("terminationGracePeriodSeconds", grace.map(FillWith::json));
        said.done()
    };
    let mut said = Said::new();
    said.add("livenessProbe", probe(choice.liveness, choice.liveness_grace));
    said.add("readinessProbe", probe(choice.readiness, None));
    said.add("startupProbe", probe(choice.startup, None));
    said.add("addStartupProbe", choice.add_startup_probe.map(Value::Bool));
    said.add("addPreStopSleepSeconds", choice.pre_stop_sleep_seconds.map(Value::from));
    said.add("unknownIntent", choice.fill_unknown.map(|fill| json!(unknown_intent(fill))));
    said.done()
}

fn exemption(written: &Exemption) -> Value {
    let rules: Vec<&str> = written.rules.iter().map(|rule| rule.id).collect();
    let mut said = Said::new();
    said.add("match", matching(&written.matching));
    said.add("rules", Some(if rules.is_empty() { json!(["*"]) } else { json!(rules) }));
    said.add("reason", Some(json!(written.reason)));
    said.add("until", written.until.map(|until| json!(until.to_string())));
    Value::Object(said.0)
}

fn matching(matching: &Match) -> Option<Value> {
    let list = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts));
    let mut labels = Said::new();
    let Match { labels: selector, .. } = matching;
    labels.add("matchLabels", (!selector.labels.is_empty()).then(|| json!(selector.labels)));
    let expressions: Vec<Value> = selector
        .expressions
        .iter()
        .map(|requirement| {
            let mut said = Said::new();
            said.add("key", Some(json!(requirement.key)));
            said.add("operator", Some(json!(requirement.operator.name())));
            said.add("values", list(&requirement.values));
            Value::Object(said.0)
        })
        .collect();
    labels.add("matchExpressions", (!expressions.is_empty()).then_some(Value::Array(expressions)));
    let mut said = Said::new();
    said.add("namespaces", list(&matching.namespaces));
    said.add("kinds", list(&matching.kinds));
    said.add("labels", labels.done());
    said.add("containers", list(&matching.containers));
    said.add("images", list(&matching.images));
    said.done()
}
