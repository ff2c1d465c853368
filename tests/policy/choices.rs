//! Policies as an operator might write them: rules that differ from the profile, overrides, exemptions current and ended, a custom kind.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use probekeeper::{
    model::CustomKind,
    policy::{
        Action, Choices, DefaultsChoice, ExemptionChoice, FillWith, Match, Operator, Override, ProbeDefaultsChoice, Profile,
        Requirement, RuleChoice, Selector,
    },
    rules::{self, RuleDef},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;

/// The day on which they are in force: some exemptions end the day before, on it or the day after.
pub(crate) const TODAY: Date = date(2027, 3, 31);

/// The patterns to choose from, which should fit the objects to be judged now and then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) namespaces: &'static [&'static str],
    pub(crate) kinds: &'static [&'static str],
    pub(crate) containers: &'static [&'static str],
    pub(crate) images: &'static [&'static str],
}

/// Policies that speak of these rules.
pub(crate) fn choices(words: Words, rules: Vec<&'static str>) -> BoxedStrategy<Choices> {
    let over = (matching(words), rule_choices(rules.clone()), defaults_choice())
        .prop_map(|(matching, rules, defaults)| Override { matching, rules, defaults });
    let until = option::of(select(vec![date(2027, 3, 30), TODAY, date(2027, 4, 1)]));
    let exemption =
        (matching(words), vec(select(rules.clone()), 0..3), until).prop_map(|(matching, rules, until)| ExemptionChoice {
            matching,
            rules: rules.into_iter().map(|id| rules::find(id).unwrap()).collect(),
            reason: "because".to_owned(),
            until,
        });
    (select(Profile::ALL.to_vec()), rule_choices(rules), vec(over, 0..8), vec(exemption, 0..8))
        .prop_map(|(profile, rules, overrides, exemptions)| Choices {
            profile,
            rules,
            overrides,
            exemptions,
            workloads: vec![CustomKind {
                api_version: "argoproj.io/v1alpha1".to_owned(),
                kind: "Rollout".to_owned(),
                resource: "rollouts".to_owned(),
                template: "/spec/template".to_owned(),
            }],
            ..Choices::default()
        })
        .boxed()
}

fn rule_choices(rules: Vec<&'static str>) -> BoxedStrategy<Vec<(&'static RuleDef, RuleChoice)>> {
    let params = |id: &'static str| match id {
        "no-startup-allowance" => option::of((1..50_i64).prop_map(|seconds| json!({ "minSeconds": seconds }))).boxed(),
        "aggressive-liveness" => option::of(prop_oneof![
            (1..50_i64).prop_map(|seconds| json!({ "minToleranceSeconds": seconds })),
            (1..50_i64).prop_map(|seconds| json!({ "denyBelowSeconds": seconds })),
        ])
        .boxed(),
        "hair-trigger-liveness" => option::of((1..50_i64).prop_map(|seconds| json!({ "minToleranceSeconds": seconds }))).boxed(),
        _ => Just(None).boxed(),
    };
    let choice = select(rules)
        .prop_flat_map(move |id| (Just(id), option::of(select(Action::ALL.to_vec())), params(id), option::of(any::<bool>())));
    vec(choice, 0..4)
        .prop_map(|choices| {
            let by_rule: BTreeMap<&str, RuleChoice> = choices
                .into_iter()
                .map(|(id, action, params, allow_annotation)| (id, RuleChoice { action, params, allow_annotation }))
                .collect();
            by_rule.into_iter().map(|(id, choice)| (rules::find(id).unwrap(), choice)).collect()
        })
        .boxed()
}

fn defaults_choice() -> BoxedStrategy<DefaultsChoice> {
    let fill = || option::of(prop_oneof![Just(FillWith::Auto), Just(FillWith::Leave), (1..9_i64).prop_map(FillWith::Value)]);
    let probe = move || {
        (fill(), fill(), fill(), fill()).prop_map(|(initial_delay, timeout, period, failure_threshold)| ProbeDefaultsChoice {
            initial_delay,
            timeout,
            period,
            failure_threshold,
        })
    };
    let rest = (fill(), option::of(any::<bool>()), option::of(0..9_i64), option::of(any::<bool>()));
    (probe(), probe(), probe(), rest)
        .prop_map(|(liveness, readiness, startup, rest)| {
            let (liveness_grace, add_startup_probe, pre_stop_sleep_seconds, fill_unknown) = rest;
            DefaultsChoice {
                liveness,
                readiness,
                startup,
                liveness_grace,
                add_startup_probe,
                pre_stop_sleep_seconds,
                fill_unknown,
            }
        })
        .boxed()
}

fn matching(words: Words) -> BoxedStrategy<Match> {
    let list = |texts: &'static [&'static str], weight: f64| {
        option::weighted(weight, vec(select(texts).prop_map(str::to_owned), 1..3)).prop_map(Option::unwrap_or_default)
    };
    let operator = select(vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist]);
    let requirement =
        (select(vec!["tier", "team"]), operator, vec(select(vec!["web", "db"]), 1..3)).prop_map(|(key, operator, values)| {
            Requirement {
                key: key.to_owned(),
                operator,
                values: if operator.takes_values() { values.into_iter().map(str::to_owned).collect() } else { Vec::new() },
            }
        });
    let equal = option::weighted(0.3, (select(vec!["tier", "team"]), select(vec!["web", "db"])));
    (
        list(words.namespaces, 0.5),
        list(words.kinds, 0.3),
        (equal, vec(requirement, 0..2)),
        list(words.containers, 0.25),
        list(words.images, 0.25),
    )
        .prop_map(|(namespaces, kinds, (equal, expressions), containers, images)| Match {
            namespaces,
            kinds,
            labels: Selector {
                labels: equal.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
                expressions,
            },
            containers,
            images,
        })
        .boxed()
}
