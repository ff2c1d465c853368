//! What reading costs: a whole review on the serving path, and an object by itself, by size of the body.
//!
//! `cargo bench --bench decode [-- NAME]` prints times and, where valgrind is installed, counts of instructions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that goes wrong ends

#[path = "../measure.rs"]
mod measure;
#[path = "../serve/review.rs"]
#[allow(dead_code)]
mod review;

use std::sync::Arc;

use measure::Case;
use probekeeper::admission::{Admission, Route};
use probekeeper::model::Workload;
use probekeeper::policy::{Policy, PolicyStore, Profile};
use serde_json::value::RawValue;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut cases = Vec::new();
    for size in [2_000, 5_000, 20_000, 200_000] {
        let body = review::review(size);
        // Nothing is judged when an object goes, so that what is left is reading the review and answering.
        let deleted = String::from_utf8(body.clone()).unwrap().replace("\"operation\":\"CREATE\"", "\"operation\":\"DELETE\"");
        let object = object(&body);
        cases.push(Case::new(format!("review {} kB", size / 1000), deleted.len(), move || {
            let admission = Admission::new(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))));
            let deleted = deleted.clone();
            Box::new(move || admission.answer(Route::Validate, deleted.as_bytes()).body.len())
        }));
        cases.push(Case::new(format!("object {} kB", size / 1000), object.len(), move || {
            let object = object.clone();
            Box::new(move || Workload::from_json(&object).unwrap().unwrap().containers.len())
        }));
        cases.push(Case::new(format!("serde_json, nothing kept, {} kB", size / 1000), body.len(), move || {
            let text = String::from_utf8(body.clone()).unwrap();
            Box::new(move || serde_json::from_str::<&RawValue>(&text).unwrap().get().len())
        }));
    }
    measure::run(&cases);
}

fn object(body: &[u8]) -> String {
    let review: serde_json::Value = serde_json::from_slice(body).unwrap();
    review["request"]["object"].to_string()
}
