//! What becomes of `kubectl apply` when the webhook is away or misbehaves, with either failurePolicy.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::webhook::{Behaviour, FailurePolicy, FakeServer, ReadWrite, Registration, Webhook};
use crate::workloads::{deployment, first_container, flask, hair_trigger};

const APPLY: &[&str] = &["apply", "-f", "-"];

#[test]
fn a_killed_webhook_with_ignore_lets_everything_pass() {
    let namespace = Cluster::shared().namespace("killed-ignore");
    let webhook = Webhook::start_with(&namespace, None, FailurePolicy::Ignore);
    let said = namespace.kubectl_with(APPLY, &deployment(&hair_trigger())).refused();
    assert!(said.contains("hair-trigger-liveness"), "{said}");
    webhook.kill();
    namespace.kubectl_with(APPLY, &deployment(&hair_trigger())).ok();
    namespace.kubectl_with(APPLY, &deployment(&flask())).ok();
    assert_eq!(
        first_container(&namespace.get("deployment", "web"))["readinessProbe"]["timeoutSeconds"],
        1,
        "nobody filled it in"
    );
}

#[test]
fn a_killed_webhook_with_fail_refuses_and_names_itself() {
    let namespace = Cluster::shared().namespace("killed-fail");
    let webhook = Webhook::start_with(&namespace, None, FailurePolicy::Fail);
    namespace.kubectl_with(APPLY, &deployment(&flask())).ok();
    webhook.kill();
    let mut change = flask();
    change["image"] = json!("registry.example/app:2");
    let said = namespace.kubectl_with(APPLY, &deployment(&change)).refused();
    assert!(said.contains("InternalError") && said.contains("failed calling webhook \"mutate.probekeeper.dev\""), "{said}");
    // What it does not look at is not held up: pods can be deleted, deployments scaled.
    namespace.kubectl(&["scale", "deployment", "web", "--replicas=0"]).ok();
    namespace.kubectl(&["delete", "deployment", "web"]).ok();
}

#[test]
fn a_webhook_that_is_asked_to_end_loses_no_request() {
    let namespace = Cluster::shared().namespace("terminated");
    let mut webhook = Webhook::start_with(&namespace, None, FailurePolicy::Fail);
    namespace.kubectl_with(APPLY, &deployment(&flask())).ok();
    let code = webhook.terminate(|| {
        // Within the drain delay, also where kubectl takes a second or more: the API server's open connection is answered, and so are new ones.
        for n in 0..8 {
            let mut change = flask();
            change["image"] = json!(format!("registry.example/app:{n}"));
            namespace.kubectl_with(APPLY, &deployment(&change)).ok();
        }
    });
    assert_eq!(code, Some(0));
}

/// What a server can do wrong between the request and the answer, and what the API server then says under `Fail`.
const FAULTS: [(&str, Behaviour, &str); 6] = [
    ("dies-mid-request", |_, _| {}, "EOF"),
    ("never-answers", |_, _| std::thread::sleep(std::time::Duration::from_secs(4)), "deadline exceeded"),
    ("answers-500", |stream, _| answer(stream, "500 Internal Server Error", "no"), "an error on the server"),
    ("answers-503", |stream, _| answer(stream, "503 Service Unavailable", ""), "currently unable to handle the request"),
    ("answers-no-json", |stream, _| answer(stream, "200 OK", "<html>"), "couldn't get version/kind"),
    ("answers-another-uid", |stream, _| answer(stream, "200 OK", &allow("somebody-else")), "expected response.uid"),
];

#[test]
fn a_faulty_answer_with_ignore_lets_everything_pass() {
    for (name, behaviour, _) in FAULTS {
        let namespace = Cluster::shared().namespace(&format!("ignore-{name}"));
        let fake = FakeServer::start(behaviour);
        let _registration = Registration::new(&namespace, &fake.url, &fake.ca, FailurePolicy::Ignore);
        namespace.kubectl_with(APPLY, &deployment(&hair_trigger())).ok();
        namespace.get("deployment", "web");
    }
}

#[test]
fn a_faulty_answer_with_fail_refuses_and_says_why() {
    for (name, behaviour, why) in FAULTS {
        let namespace = Cluster::shared().namespace(&format!("fail-{name}"));
        let fake = FakeServer::start(behaviour);
        let _registration = Registration::new(&namespace, &fake.url, &fake.ca, FailurePolicy::Fail);
        let said = namespace.kubectl_with(APPLY, &deployment(&flask())).refused();
        assert!(said.contains("failed calling webhook \"mutate.probekeeper.dev\"") && said.contains(why), "{name}: {said}");
        assert_eq!(namespace.list("deployments"), Vec::<Value>::new(), "{name}");
    }
}

pub(crate) fn answer(stream: &mut dyn ReadWrite, status: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all((head + body).as_bytes());
    let _ = stream.flush();
}

fn allow(uid: &str) -> String {
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": { "uid": uid, "allowed": true } })
        .to_string()
}
