//! Whether the webhooks that are registered are really asked, and answer: Pods are sent to the API server as dry runs, and what becomes of them tells.
//! Nothing is stored. With `failurePolicy: Ignore` nothing else shows that nobody answers.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::model::Record;

/// Names of the two webhooks in their configurations.
pub const VALIDATING: &str = "validate.probekeeper.dev";
/// See [`VALIDATING`].
pub const MUTATING: &str = "mutate.probekeeper.dev";

/// Name of the Pods, and of the field manager that applies them.
const NAME: &str = "probekeeper-verify";

/// What a check found, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The webhook was asked and did its work.
    Works(String),
    /// It was not asked, or did not.
    Fails(String),
    /// Something else came between: no right to ask, another webhook, no API server.
    Unknown(String),
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Whether a Pod that every profile denies is rejected.
    Rejecting,
    /// Whether a timeout that was left out is filled in.
    FillingIn,
}

/// Between two looks at what does not work yet: an API server takes up a new configuration within about a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks at one thing in a namespace, again and again until it works or `patience` is over; returns the last answer.
pub async fn verify(client: &Client, namespace: &str, check: Check, patience: Duration) -> Verdict {
    let end = Instant::now() + patience;
    loop {
        let verdict = match check {
            Check::Rejecting => rejecting(client, namespace).await,
            Check::FillingIn => filling_in(client, namespace).await,
        };
        if matches!(verdict, Verdict::Works(_)) || Instant::now() + PAUSE > end {
            return verdict;
        }
        sleep(PAUSE).await;
    }
}

async fn rejecting(client: &Client, namespace: &str) -> Verdict {
    let mut pod = pod();
    pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = json!("not-declared");
    let result = match serde_json::from_value::<Pod>(pod) {
        Ok(pod) => {
            Api::namespaced(client.clone(), namespace).create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await
        }
        Err(error) => return Verdict::Unknown(error.to_string()),
    };
    match result {
        Ok(_) => Verdict::Fails(format!(
            "a Pod whose readiness probe names a port that it does not declare was accepted: either the API server does not ask {VALIDATING} about \
             namespace {namespace}, or nobody answered and failurePolicy let it pass, or the policy turns unknown-port-name off"
        )),
        Err(Error::Api(status)) if denied_by(&status.message, VALIDATING) => {
            Verdict::Works(format!("{VALIDATING} rejected a Pod whose readiness probe names a port that it does not declare"))
        }
        Err(error) => trouble(&error),
    }
}

async fn filling_in(client: &Client, namespace: &str) -> Verdict {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // Server-side apply leaves a trace of what its user wrote: the answer does not depend on `unknownIntent`.
    let params = PatchParams { dry_run: true, ..PatchParams::apply(NAME) };
    match pods.patch(NAME, &params, &Patch::Apply(pod())).await {
        Ok(pod) if pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(Record::ANNOTATION)) => {
            Verdict::Works(format!("{MUTATING} filled in the timeout of a liveness probe that left it out"))
        }
        Ok(_) => Verdict::Fails(format!(
            "the timeout of a liveness probe that left it out was not filled in: either the API server does not ask {MUTATING} about namespace \
             {namespace}, or nobody answered and failurePolicy let it pass, or the policy says to leave it"
        )),
        Err(error) => trouble(&error),
    }
}

fn denied_by(message: &str, webhook: &str) -> bool {
    message.contains(&format!("admission webhook \"{webhook}\" denied the request"))
}

fn trouble(error: &Error) -> Verdict {
    let Error::Api(status) = error else {
        return Verdict::Unknown(format!("the API server cannot be asked: {}", super::plain(error)));
    };
    for webhook in [VALIDATING, MUTATING] {
        if status.message.contains(&format!("failed calling webhook \"{webhook}\"")) {
            return Verdict::Fails(format!("nobody answers, and failurePolicy is Fail: {}", status.message));
        }
    }
    Verdict::Unknown(format!("the API server refused the Pod for another reason: {}", status.message))
}

/// A Pod that no profile denies, that leaves out a timeout, and that Pod Security `restricted` and a quota on requests let through.
fn pod() -> Value {
    let check = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3 });
    let resources = json!({ "cpu": "1m", "memory": "1Mi" });
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": NAME },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "app",
                "image": "probekeeper.dev/verify:never-pulled",
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "startupProbe": check("/livez"),
                "livenessProbe": check("/livez"),
                "readinessProbe": check("/readyz"),
                "lifecycle": { "preStop": { "sleep": { "seconds": 5 } } },
                "resources": { "requests": resources, "limits": resources },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    });
    if let Some(liveness) = pod["spec"]["containers"][0]["livenessProbe"].as_object_mut() {
        liveness.remove("timeoutSeconds");
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_denied_is_read_from_the_message() {
        let denied = "admission webhook \"validate.probekeeper.dev\" denied the request: Pod has 1 problem";
        assert!(denied_by(denied, VALIDATING) && !denied_by(denied, MUTATING));
        assert!(!denied_by("admission webhook \"validate.example.com\" denied the request: no", VALIDATING));
    }
}
