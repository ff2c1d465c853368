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
    for (size, validate, mutate) in [(2_000, 27, 70), (5_000, 27, 58), (20_000, 36, 84), (200_000, 90, 235)] {
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

/// Three bytes of a list can take half a kilobyte, and anybody may send 8 MiB.
#[test]
fn a_forged_review_takes_little_memory() {
    let admission = Admission::at(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))), || TODAY);
    let many = vec!["{}"; 2_700_000].join(",");
    let object = |inside: &str| {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"x"}},"spec":{{"selector":{{}},"template":{{"spec":{{"containers":[{inside}]}}}}}}}}"#
        )
    };
    let ports = format!(r#"{{"name":"a","image":"b","ports":[{many}]}}"#);
    let small =
        object(r#"{"name":"a","image":"b","livenessProbe":{"httpGet":{"port":1},"periodSeconds":1,"failureThreshold":1}}"#);
    for (object, old) in [(object(&many), "null".to_owned()), (object(&ports), "null".to_owned()), (small, object(&many))] {
        let operation = if old == "null" { "CREATE" } else { "UPDATE" };
        let review = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"{operation}","object":{object},"oldObject":{old}}}}}"#
        );
        for route in [Route::Validate, Route::Mutate] {
            let mut verdict = "";
            let measured = allocation_counter::measure(|| verdict = admission.answer(route, review.as_bytes()).outcome.verdict);
            assert!(measured.bytes_max < 32 << 20, "{operation} {route:?}: {} bytes", measured.bytes_max);
            // Whoever cannot be read is never denied.
            let expected = if operation == "UPDATE" && route == Route::Mutate { "allowed" } else { "error" };
            assert_eq!(verdict, expected, "{operation} {route:?}");
        }
    }
}

/// `managedFields` longer than any that an API server keeps are not read, and then nothing is filled in: who knows what the author set.
#[test]
fn forged_managed_fields_take_little_memory_and_override_nothing() {
    let admission = Admission::at(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))), || TODAY);
    let entry = |containers: &str| {
        format!(
            r#"{{"operation":"Apply","fieldsV1":{{"f:spec":{{"f:template":{{"f:spec":{{"f:containers":{{{containers}}}}}}}}}}}}}"#
        )
    };
    let applied = entry(r#""k:{\"name\":\"a\"}":{"f:livenessProbe":{"f:httpGet":{}}}"#);
    for (managed, verdict) in [
        (applied.clone(), "patched"),
        (vec![&*applied; 3_000].join(","), "patched"),
        (vec!["{}"; 2_600_000].join(","), "allowed"),
        (entry(&vec![r#""":{}"#; 1_300_000].join(",")), "allowed"),
    ] {
        let review = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE","object":{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"x","managedFields":[{managed}]}},"spec":{{"selector":{{}},"template":{{"spec":{{"containers":[{{"name":"a","image":"b","livenessProbe":{{"httpGet":{{"port":1}},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}}}}]}}}}}}}}}}}}"#
        );
        let mut found = "";
        let measured = allocation_counter::measure(|| found = admission.answer(Route::Mutate, review.as_bytes()).outcome.verdict);
        assert_eq!(found, verdict, "{} bytes", review.len());
        assert!(measured.bytes_max < 32 << 20, "{} bytes for {}", measured.bytes_max, review.len());
    }
}

/// Whether an update is a rollback is asked of all that is not the template. What a forged object holds there is not built.
#[test]
fn a_forged_rollback_takes_little_memory() {
    let admission = Admission::at(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))), || TODAY);
    let pairs = vec![r#"{"":0}"#; 500_000].join(",");
    let members = vec![r#""":0"#; 700_000].join(",");
    for (managed, status, spec) in [(&*pairs, "{}", r#""a":0"#), ("", &*format!("[{pairs}]"), r#""a":0"#), ("", "{}", &*members)]
    {
        let object = |image: &str| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"x","managedFields":[{managed}]}},"status":{status},"spec":{{{spec},"selector":{{}},"template":{{"spec":{{"containers":[{{"name":"a","image":"{image}","livenessProbe":{{"httpGet":{{"port":1}},"timeoutSeconds":1,"periodSeconds":1,"failureThreshold":1}}}}]}}}}}}}}"#
            )
        };
        let review = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"UPDATE","options":{{}},"object":{},"oldObject":{}}}}}"#,
            object("b"),
            object("c"),
        );
        for route in [Route::Validate, Route::Mutate] {
            let measured = allocation_counter::measure(|| drop(admission.answer(route, review.as_bytes())));
            assert!(measured.bytes_max < 32 << 20, "{route:?}: {} bytes for {}", measured.bytes_max, review.len());
        }
    }
}
