//! What the compiled policy says of an object is what reading the file from top to bottom says.

use probekeeper::{
    model::{Kinds, Workload},
    policy::{Action, Choices, Defaults, Match, Operator, Override, Part, Policy, Requirement, RuleChoice},
    rules::{self, RULES, RuleDef},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::choices::{TODAY, Words, choices};

/// Few names, so that patterns fit often; all of them are about the same rules.
const NAMES: [&str; 5] = ["shop", "shop-eu", "team-a", "team-b", "a"];
const IMAGES: [&str; 4] = ["registry/shop:1", "registry/x/shop:2", "a", "shop"];
const TUNED: [&str; 4] = ["aggressive-liveness", "missing-readiness", "no-startup-allowance", "hair-trigger-liveness"];
const PATTERNS: [&str; 9] = ["*", "shop", "shop-*", "*-eu", "team-?", "t*m*", "a", "**", "nothing"];
const WORDS: Words = Words {
    namespaces: &PATTERNS,
    kinds: &["Deployment", "*Set", "Rollout", "*"],
    containers: &PATTERNS,
    images: &["*", "registry/*", "*/shop:?", "a", "*shop*"],
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_first_that_fits_and_says_something_counts(choices in choices(WORDS, TUNED.to_vec()), object in object()) {
        let text = object.to_string();
        let policy = Policy::compile(&choices).unwrap_or_else(|refused| panic!("{refused:?}"));
        let kinds = Kinds::with(&choices.workloads);
        let workload = Workload::read(&text, &kinds).unwrap().expect("a workload");
        let scope = policy.scope(&workload);
        let parts = (0..workload.containers.len()).map(|at| (Part::Container(at), Some(at)));
        for (part, container) in std::iter::once((Part::Object, None)).chain(parts) {
            let fitting: Vec<&Override> = choices.overrides.iter().filter(|over| fits(&over.matching, &object, container)).collect();
            for def in RULES {
                let (action, params) = scope.rule(part, def).expect("a rule of the catalogue");
                let (expected, expected_params, allowed) = rule(def, &choices, &fitting);
                prop_assert_eq!(action, expected, "{:?} {:?}", part, def);
                prop_assert_eq!(params, &expected_params, "{:?} {:?}", part, def);
                prop_assert_eq!(scope.allows_annotation(part, def), allowed, "{:?} {:?}", part, def);
            }
            prop_assert_eq!(scope.defaults(part), &defaults(choices.defaults, &fitting), "{:?}", part);

            for id in TUNED {
                let def = rules::find(id).unwrap();
                let expected: Vec<usize> = choices
                    .exemptions
                    .iter()
                    .enumerate()
                    .filter(|(_, exemption)| exemption.rules.is_empty() || exemption.rules.contains(&def))
                    .filter(|(_, exemption)| fits(&exemption.matching, &object, container))
                    .map(|(at, _)| at)
                    .collect();
                let container = container.map(|at| &workload.containers[at]);
                let of = policy.exemptions_of(&workload);
                let found: Vec<usize> =
                    of.iter().filter(|exemption| exemption.is_about(def, container)).map(|exemption| exemption.place).collect();
                prop_assert_eq!(&found, &expected);
                for exemption in of {
                    let until = choices.exemptions[exemption.place].until;
                    prop_assert_eq!(exemption.has_ended(TODAY), until.is_some_and(|until| until < TODAY));
                }
            }
        }
    }
}

/// The plain reading of `match`.
fn fits(matching: &Match, object: &Value, container: Option<usize>) -> bool {
    let list = |patterns: &[String], text: &Value| {
        patterns.is_empty()
            || patterns.iter().any(|pattern| match text.as_str() {
                Some(text) => glob(pattern, text),
                None => pattern.chars().all(|rune| rune == '*'),
            })
    };
    let label = |key: &str| {
        let own = &object["metadata"]["labels"][key];
        if own.is_null() { object["spec"]["template"]["metadata"]["labels"][key].as_str() } else { own.as_str() }
    };
    let labels = matching.labels.labels.iter().all(|(key, value)| label(key) == Some(value))
        && matching.labels.expressions.iter().all(|Requirement { key, operator, values }| {
            let listed = label(key).is_some_and(|value| values.iter().any(|listed| listed == value));
            match operator {
                Operator::In => listed,
                Operator::NotIn => !listed,
                Operator::Exists => label(key).is_some(),
                Operator::DoesNotExist => label(key).is_none(),
            }
        });
    let parts = match container {
        None => matching.containers.is_empty() && matching.images.is_empty(),
        Some(at) => {
            let container = &object["spec"]["template"]["spec"]["containers"][at];
            list(&matching.containers, &container["name"]) && list(&matching.images, &container["image"])
        }
    };
    list(&matching.namespaces, &object["metadata"]["namespace"]) && list(&matching.kinds, &object["kind"]) && labels && parts
}

/// Tries every way to fill the first wildcard.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|taken| glob(&pattern[1..], &text[taken..])),
        Some(first) => text.chars().next().is_some_and(|rune| first == '?' || first == rune) && glob(&pattern[1..], &text[1..]),
    }
}

fn rule(def: &'static RuleDef, choices: &Choices, fitting: &[&Override]) -> (Action, Value, bool) {
    let base: Vec<&RuleChoice> = choices.rules.iter().filter(|(rule, _)| *rule == def).map(|(_, choice)| choice).collect();
    let over = fitting.iter().flat_map(|over| &over.rules).filter(|(rule, _)| *rule == def).map(|(_, choice)| choice);
    let said: Vec<&RuleChoice> = over.chain(base.iter().copied()).collect();
    let action = said.iter().find_map(|choice| choice.action);
    let mut params = match def.profile_params[choices.profile.column()] {
        "" => json!({}),
        _ if action.is_some() => json!({}),
        text => serde_json::from_str(text).unwrap(),
    };
    let first = fitting.iter().flat_map(|over| &over.rules).find(|(rule, choice)| *rule == def && choice.params.is_some());
    for choice in base.into_iter().chain(first.map(|(_, choice)| choice)) {
        for (key, value) in choice.params.iter().flat_map(|params| params.as_object().unwrap()) {
            params[key] = value.clone();
        }
    }
    let (_, params) = (def.build)(params).unwrap();
    let allowed = said.iter().find_map(|choice| choice.allow_annotation).unwrap_or(true);
    (action.unwrap_or_else(|| def.action(choices.profile)), params, allowed)
}

fn defaults(base: Defaults, fitting: &[&Override]) -> Defaults {
    let mut result = base;
    // The last written is the one that counts, so the first that fits is written last.
    for over in fitting.iter().rev().map(|over| over.defaults) {
        for (probe, choice) in
            [(&mut result.liveness, over.liveness), (&mut result.readiness, over.readiness), (&mut result.startup, over.startup)]
        {
            probe.initial_delay = choice.initial_delay.unwrap_or(probe.initial_delay);
            probe.timeout = choice.timeout.unwrap_or(probe.timeout);
            probe.period = choice.period.unwrap_or(probe.period);
            probe.failure_threshold = choice.failure_threshold.unwrap_or(probe.failure_threshold);
        }
        result.liveness_grace = over.liveness_grace.unwrap_or(result.liveness_grace);
        result.add_startup_probe = over.add_startup_probe.unwrap_or(result.add_startup_probe);
        result.pre_stop_sleep_seconds = over.pre_stop_sleep_seconds.unwrap_or(result.pre_stop_sleep_seconds);
        result.fill_unknown = over.fill_unknown.unwrap_or(result.fill_unknown);
    }
    result
}

fn object() -> BoxedStrategy<Value> {
    let labels = || {
        (option::of(select(vec!["web", "db"])), option::of(select(vec!["web", "db"]))).prop_map(|(tier, team)| {
            let mut labels = json!({});
            for (key, value) in [("tier", tier), ("team", team)] {
                if let Some(value) = value {
                    labels[key] = json!(value);
                }
            }
            labels
        })
    };
    let containers = vec(select(IMAGES.to_vec()), 1..4);
    let kind = select(vec![("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("argoproj.io/v1beta1", "Rollout")]);
    (kind, option::weighted(0.9, select(NAMES.to_vec())), labels(), labels(), containers, any::<prop::sample::Index>())
        .prop_map(|((api_version, kind), namespace, own, template, images, first)| {
            let first = first.index(NAMES.len());
            let container = |(at, image): (usize, &str)| json!({ "name": NAMES[(first + at) % NAMES.len()], "image": image });
            let containers: Vec<Value> = images.into_iter().enumerate().map(container).collect();
            let mut object = json!({
                "apiVersion": api_version, "kind": kind, "metadata": { "name": "w", "labels": own },
                "spec": { "selector": {}, "template": { "metadata": { "labels": template }, "spec": { "containers": containers } } },
            });
            if let Some(namespace) = namespace {
                object["metadata"]["namespace"] = json!(namespace);
            }
            object
        })
        .boxed()
}
