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
use probekeeper::engine::evaluate;
use probekeeper::model::Workload;
use probekeeper::policy::{self, Policy, PolicyStore, Profile};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TODAY: Date = Date::constant(2026, 11, 27);

fn main() {
    let mut cases = Vec::new();
    for size in [2_000, 5_000, 20_000, 200_000] {
        let body = review::review(size);
        for (name, route) in [("/validate", Route::Validate), ("/mutate", Route::Mutate)] {
            cases.push(answer(format!("{name} {} kB", size / 1000), Policy::builtin(Profile::Recommended), route, body.clone()));
        }
    }
    for containers in [1, 2, 4, 8, 16] {
        let body = review::with_containers(containers);
        for (name, route) in [("/validate", Route::Validate), ("/mutate", Route::Mutate)] {
            let policy = Policy::builtin(Profile::Recommended);
            cases.push(answer(format!("{name} containers: {containers}"), policy, route, body.clone()));
        }
    }
    for profile in Profile::ALL {
        let name = format!("/validate 5 kB, profile {profile}");
        cases.push(answer(name, Policy::builtin(profile), Route::Validate, review::review(5_000)));
        cases.push(rules(format!("rules alone, 5 kB, profile {profile}"), Policy::builtin(profile)));
    }
    for rules in [0, 10, 20, 30, 40] {
        let mut policy = Policy::builtin(Profile::Recommended);
        policy.rules.truncate(rules);
        cases.push(answer(format!("/validate 5 kB, first {rules} rules"), policy, Route::Validate, review::review(5_000)));
    }
    for (overrides, exemptions) in [(0, 0), (50, 50), (500, 500)] {
        for (name, route) in [("/validate", Route::Validate), ("/mutate", Route::Mutate)] {
            let name = format!("{name} 5 kB, {overrides} overrides, {exemptions} exemptions");
            cases.push(answer(name, large(overrides, exemptions), route, review::review(5_000)));
        }
    }
    measure::run(cases);
}

fn answer(name: String, policy: Policy, route: Route, body: Vec<u8>) -> Case {
    let admission = Admission::at(Arc::new(PolicyStore::new(policy)), || TODAY);
    Case::new(name, body.len(), move || admission.answer(route, &body).body.len())
}

fn rules(name: String, policy: Policy) -> Case {
    let review: serde_json::Value = serde_json::from_slice(&review::review(5_000)).unwrap();
    let object: &'static str = review["request"]["object"].to_string().leak();
    let workload: &'static Workload<'static> = Box::leak(Box::new(Workload::from_json(object).unwrap().unwrap()));
    Case::new(name, object.len(), move || evaluate(&policy, workload, TODAY).findings.len())
}

/// A policy as a large company has it: each team, image and kind has a word of its own. The last ones fit the object.
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
