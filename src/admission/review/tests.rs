//! The two readers of reviews agree.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

#[path = "../../../fuzz/src/mutate.rs"]
#[allow(unreachable_pub, missing_docs)] // a module of another package
mod mutate;

fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/admission-reviews");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut texts: Vec<_> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    texts.push(EVERYTHING.to_owned());
    texts
}

/// Every field that is read.
const EVERYTHING: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","subResource":"","operation":"UPDATE",
        "name":"web","namespace":"shop","options":{"fieldManager":"x"},"oldObject":{"kind":"Deployment"},"object":{"apiVersion":"batch/v1","kind":"CronJob",
        "metadata":{"name":"web","generateName":"web-","namespace":"shop","labels":{"app":"web","tier":null,"a\"b":"\u00e9"},
        "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"a\":[\"}\\\"\"]}\n","probekeeper.dev/filled":"{}","probekeeper.dev/allow":"no-probes: x",
        "probekeeper.dev/defaults":"off","sidecar.istio.io/rewriteAppHTTPProbers":"true","sidecar.istio.io/inject":"false","other":"x"},
        "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","controller":true,"name":"x"}],"deletionTimestamp":"2026-01-01T00:00:00Z",
        "managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{"k:{\"name\":\"a\"}":{".":{}}}}}]},
        "spec":{"minReadySeconds":5,"progressDeadlineSeconds":600,"selector":{"matchLabels":{"app":"web"}},"jobTemplate":{"metadata":null,"spec":{"template":{
        "metadata":{"labels":{"app":"web"}},"spec":{"restartPolicy":"Always","terminationGracePeriodSeconds":30,"hostNetwork":false,"hostname":"h",
        "hostAliases":[{"ip":"127.0.0.1","hostnames":["me","my.self"]}],"initContainers":[{"name":"init","restartPolicy":"Always"}],
        "containers":[{"name":"app","image":"registry.example/shop/web:1","ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],
        "env":[{"name":"A","value":"b\\c"},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],"restartPolicy":null,"restartPolicyRules":[],
        "lifecycle":{"preStop":{"exec":{"command":["sleep","5"]},"sleep":{"seconds":5},"httpGet":{"port":1},"tcpSocket":{}},"postStart":{}},
        "livenessProbe":{"httpGet":{"path":"/healthz","port":"http","host":"h","scheme":"HTTPS","protocol":"HTTP2","httpHeaders":[{"name":"Host","value":"v"}]},
        "initialDelaySeconds":1,"timeoutSeconds":2,"periodSeconds":10,"successThreshold":1,"failureThreshold":3,"terminationGracePeriodSeconds":60},
        "readinessProbe":{"exec":{"command":["sh","-c","curl -f \"localhost\" || exit 1"]},"tcpSocket":{"port":8080,"host":"x"}},
        "startupProbe":{"grpc":{"port":9000,"service":"s"}}}]}}}}},"status":{"a":[[1.5e3],true,false,null,-0.0,"\u0041"]}}}}"#;

/// The two readers agree: what both accept is the same; what serde_json refuses is refused or lies in what is skipped.
fn agree(json: &str) -> Result<(), TestCaseError> {
    let slow = serde_json::from_str::<Decoded<'_>>(json);
    let mut skipped = Vec::new();
    let fast = Decoded::read_noting(json, &mut skipped);
    match (slow, fast) {
        (_, None) => {}
        (Ok(slow), Some(fast)) => {
            prop_assert_eq!(values(&slow), values(&fast), "{}", json);
            let object = serde_json::from_str::<Raw<'_>>(json).unwrap().request.and_then(|request| request.object);
            prop_assert_eq!(fast.request.and_then(|request| request.object_text), object);
        }
        (Err(error), Some(_)) => {
            // What was skipped aside, it is a review.
            let mut kept = String::new();
            let mut at = 0;
            for span in skipped {
                kept.push_str(&json[at..span.start]);
                kept.push('1');
                at = span.end;
            }
            kept.push_str(&json[at..]);
            let again = serde_json::from_str::<Decoded<'_>>(&kept).map(drop);
            prop_assert!(again.is_ok(), "{:?} {:?} {}", error, again, kept);
        }
    }
    Ok(())
}

/// Everything that was read, also what `Debug` hides.
fn values(review: &Decoded<'_>) -> String {
    let Review { api_version, kind, request } = review;
    let Some(Request { uid, sub_resource, operation, name, namespace, object, old_object, options, object_text: _ }) = request
    else {
        return format!("{api_version:?} {kind:?}");
    };
    let hidden = object.as_ref().map(crate::model::hidden_values);
    format!(
        "{api_version:?} {kind:?} {uid:?} {sub_resource:?} {operation:?} {name:?} {namespace:?} {object:?} {hidden:?} {old_object:?} {options:?}"
    )
}

#[test]
fn reviews_of_an_api_server_are_plain() {
    for text in fixtures() {
        assert!(Decoded::read(&text).is_some(), "{text}");
        let compact = serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string();
        assert!(Decoded::read(&compact).is_some(), "{compact}");
        agree(&text).unwrap();
        agree(&compact).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_readers_agree_on_changed_reviews(at in any::<prop::sample::Index>(), seeds in prop::collection::vec(any::<u32>(), 1..5)) {
        let mut text = fixtures()[at.index(fixtures().len())].clone();
        for seed in seeds {
            let mut bytes = vec![0; 4 * text.len() + 4096];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            let room = bytes.len();
            if let Some(size) = mutate::json(&mut bytes, text.len(), room, seed) {
                bytes.truncate(size);
                text = String::from_utf8(bytes).unwrap();
            }
            agree(&text)?;
        }
    }

    #[test]
    fn both_readers_agree_on_broken_text(
        at in any::<prop::sample::Index>(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, "[\"\\\\{}\\[\\],:0-9ntfe \u{1}.-]{1,3}"), 1..4),
    ) {
        let mut text = fixtures()[at.index(fixtures().len())].clone();
        for (place, length, instead) in breaks {
            let from = place.index(text.len());
            let to = (from + length).min(text.len());
            if text.is_char_boundary(from) && text.is_char_boundary(to) {
                text.replace_range(from..to, &instead);
                agree(&text)?;
            }
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_left_to_serde_json(at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>()) {
        // A copy of some member of some mapping before itself.
        let text = &fixtures()[at.index(fixtures().len())];
        let starts: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
        let start = starts[place.index(starts.len())];
        let mut reader = Reader::new(&text[start..]);
        let member = reader.text().ok().and_then(|_| {
            text[start + reader.place()..].strip_prefix(':')?;
            let colon = reader.place();
            let mut value = Reader::new(&text[start + colon + 1..]);
            value.skip().ok()?;
            Some(&text[start..start + colon + 1 + value.place()])
        });
        if let Some(member) = member {
            agree(&format!("{}{member},{}", &text[..start], &text[start..]))?;
        }
    }
}
