//! How often an answer allocates: a count does not depend on what else the machine does, so that it can be bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "../benches/serve/review.rs"]
#[allow(dead_code)]
mod review;

use std::sync::Arc;

use jiff::civil::Date;
use probekeeper::admission::{Admission, Route};
use probekeeper::policy::{Policy, PolicyStore, Profile};

const TODAY: Date = Date::constant(2026, 11, 27);

fn allocations(admission: &Admission, route: Route, body: &[u8]) -> u64 {
    // What is built once per process is not counted.
    let verdict = admission.answer(route, body).outcome.verdict;
    assert!(matches!((route, verdict), (Route::Validate, "allowed") | (Route::Mutate, "patched")), "{route:?} {verdict}");
    allocation_counter::measure(|| drop(admission.answer(route, body))).count_total
}

/// docs/performance.md states these figures.
#[test]
fn answers_allocate_little() {
    let admission = Admission::at(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))), || TODAY);
    let mut counted = Vec::new();
    for (size, validate, mutate) in [(2_000, 30, 75), (5_000, 30, 65), (20_000, 40, 90), (200_000, 95, 240)] {
        let body = review::review(size);
        for (route, most) in [(Route::Validate, validate), (Route::Mutate, mutate)] {
            counted.push((size, route, allocations(&admission, route, &body), most));
        }
    }
    println!("{counted:?}");
    for (size, route, allocations, most) in counted {
        assert!(allocations <= most, "{} of {size} bytes: {allocations} allocations, at most {most} expected", route.path());
    }
}
