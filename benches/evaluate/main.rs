//! What judging costs: rules alone, and whole answers; by size of the body, containers, rules, overrides and exemptions.
//!
//! `cargo bench --bench evaluate [-- NAME]` prints times and, where valgrind is installed, counts of instructions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that goes wrong ends

#[path = "../measure.rs"]
mod measure;
#[path = "../serve/review.rs"]
mod review;

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::civil::Date;
use measure::Case;
use probekeeper::admission::{Admission, Route};
use probekeeper::engine::evaluate_briefly;
use probekeeper::model::Workload;
use probekeeper::policy::{self, Policy, PolicyStore, Profile};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TODAY: Date = Date::constant(2026, 11, 27);

fn main() {
    let mut cases = Vec::new();
    let routes = [("/validate", Route::Validate), ("/mutate", Route::Mutate)];
    for size in [2_000, 5_000, 20_000, 200_000] {
        let body = review::review(size);
        for (name, route) in routes {
            cases.push(answer(format!("{name} {} kB", size / 1000), recommended, route, body.clone()));
        }
    }
    for containers in [1, 2, 4, 8, 16] {
        for (name, route) in routes {
            let body = review::with_containers(containers);
            cases.push(answer(format!("{name} containers: {containers}"), recommended, route, body));
        }
    }
    for profile in Profile::ALL {
        let policy = move || Policy::builtin(profile);
        cases.push(answer(format!("/validate 5 kB, profile {profile}"), policy, Route::Validate, review::review(5_000)));
        cases.push(rules(format!("rules alone, 5 kB, profile {profile}"), policy));
    }
    for rules in [0, 10, 20, 30, 40] {
        let policy = move || {
            let mut policy = recommended();
            policy.rules.truncate(rules);
            policy
        };
        cases.push(answer(format!("/validate 5 kB, first {rules} rules"), policy, Route::Validate, review::review(5_000)));
    }
    for (overrides, exemptions) in [(0, 0), (50, 50), (500, 500)] {
        for (name, route) in routes {
            let name = format!("{name} 5 kB, {overrides} overrides, {exemptions} exemptions");
            cases.push(answer(name, move || large(overrides, exemptions), route, review::review(5_000)));
        }
    }
    measure::run(&cases);
}

fn recommended() -> Policy {
    Policy::builtin(Profile::Recommended)
}

fn answer(name: String, policy: impl Fn() -> Policy + 'static, route: Route, body: Vec<u8>) -> Case {
    Case::new(name, body.len(), move || {
        let admission = Admission::at(Arc::new(PolicyStore::new(policy())), || TODAY);
        let body = body.clone();
        Box::new(move || admission.answer(route, &body).body.len())
    })
}

fn rules(name: String, policy: impl Fn() -> Policy + 'static) -> Case {
    let review: serde_json::Value = serde_json::from_slice(&review::review(5_000)).unwrap();
    let object: &'static str = review["request"]["object"].to_string().leak();
    Case::new(name, object.len(), move || {
        let policy = policy();
        let workload = Workload::from_json(object).unwrap().unwrap();
        Box::new(move || evaluate_briefly(&policy, &workload, TODAY).findings.len())
    })
}

/// A policy as a large company has it: each team, image and kind has a word of its own. None of them fits the object: those that do not are what costs.
fn large(overrides: usize, exemptions: usize) -> Policy {
    let mut text = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n".to_owned();
    let kinds = |at: usize| match at % 5 {
        0 => format!("namespaces: [team-{at}]"),
        1 => format!("namespaces: [\"team-{at}-*\", \"*-env-{at}\"]"),
        2 => format!("labels: {{ matchLabels: {{ app: service-{at} }} }}"),
        3 => format!("images: [\"registry.example/team-{at}/*\"], kinds: [Deployment]"),
        _ => format!("containers: [\"sidecar-{at}\"], namespaces: [team-{at}, shared-{at}]"),
    };
    if overrides > 0 {
        text.push_str("overrides:\n");
        for at in 0..overrides {
            let _ = writeln!(
                text,
                "  - {{ match: {{ {} }}, rules: {{ missing-readiness: deny, default-timeout: off }}, defaults: {{ livenessProbe: {{ timeoutSeconds: 7 }} }} }}",
                kinds(at)
            );
        }
    }
    if exemptions > 0 {
        text.push_str("exemptions:\n");
        for at in 0..exemptions {
            let _ = writeln!(
                text,
                "  - {{ match: {{ {} }}, rules: [missing-liveness, default-timeout], reason: agreed with team {at} }}",
                kinds(at)
            );
        }
    }
    policy::load(&text).unwrap()
}
