//! Manifests that the tests share. Small ones: what a test is about stands in the test.

use serde_json::{Value, json};

/// One of the eight kinds that carry a pod template, or are one.
#[derive(Debug)]
#[allow(clippy::struct_field_names)] // `kind` is what Kubernetes calls it
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
    pub(crate) api_version: &'static str,
    /// Path prefix of the API group.
    pub(crate) api: &'static str,
    pub(crate) resource: &'static str,
    /// JSON pointer to the object that holds the pod's `metadata` and `spec`.
    pub(crate) template: &'static str,
}

pub(crate) const KINDS: [Kind; 8] = [
    Kind { kind: "Pod", api_version: "v1", api: "api/v1", resource: "pods", template: "" },
    Kind { kind: "Deployment", api_version: "apps/v1", api: "apis/apps/v1", resource: "deployments", template: "/spec/template" },
    Kind {
        kind: "StatefulSet",
        api_version: "apps/v1",
        api: "apis/apps/v1",
        resource: "statefulsets",
        template: "/spec/template",
    },
    Kind { kind: "DaemonSet", api_version: "apps/v1", api: "apis/apps/v1", resource: "daemonsets", template: "/spec/template" },
    Kind { kind: "ReplicaSet", api_version: "apps/v1", api: "apis/apps/v1", resource: "replicasets", template: "/spec/template" },
    Kind {
        kind: "ReplicationController",
        api_version: "v1",
        api: "api/v1",
        resource: "replicationcontrollers",
        template: "/spec/template",
    },
    Kind { kind: "Job", api_version: "batch/v1", api: "apis/batch/v1", resource: "jobs", template: "/spec/template" },
    Kind {
        kind: "CronJob",
        api_version: "batch/v1",
        api: "apis/batch/v1",
        resource: "cronjobs",
        template: "/spec/jobTemplate/spec/template",
    },
];

impl Kind {
    /// An object of this kind around one container.
    pub(crate) fn object(&self, name: &str, container: &Value) -> Value {
        let labels = json!({ "app": name });
        let job = matches!(self.kind, "Job" | "CronJob");
        let pod = json!({ "containers": [container], "restartPolicy": if job { "OnFailure" } else { "Always" } });
        let template = json!({ "metadata": { "labels": labels }, "spec": pod });
        let spec = match self.kind {
            "Pod" => pod,
            "Job" => json!({ "template": template }),
            "CronJob" => json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": template } } }),
            "ReplicationController" => json!({ "replicas": 1, "selector": labels, "template": template }),
            "StatefulSet" => {
                json!({ "replicas": 1, "serviceName": name, "selector": { "matchLabels": labels }, "template": template })
            }
            "DaemonSet" => json!({ "selector": { "matchLabels": labels }, "template": template }),
            _ => json!({ "replicas": 1, "selector": { "matchLabels": labels }, "template": template }),
        };
        json!({ "apiVersion": self.api_version, "kind": self.kind, "metadata": { "name": name }, "spec": spec })
    }

    /// The first container of an object of this kind.
    pub(crate) fn container<'a>(&self, object: &'a Value) -> &'a Value {
        object.pointer(&format!("{}/spec/containers/0", self.template)).expect("a container")
    }
}

pub(crate) fn deployment(container: &Value) -> Value {
    KINDS[1].object("web", container)
}

/// The first container of a Deployment.
pub(crate) fn first_container(deployment: &Value) -> &Value {
    KINDS[1].container(deployment)
}

/// A container that serves on port 5000 with these probes.
fn container(liveness: &Value, readiness: &Value) -> Value {
    json!({
        "name": "app", "image": "registry.example/app:1",
        "ports": [{ "name": "http", "containerPort": 5000 }],
        "livenessProbe": liveness, "readinessProbe": readiness,
    })
}

/// The Flask app of the tutorials: the handlers, D and P are its author's, the rest is omitted.
pub(crate) fn flask() -> Value {
    container(
        &json!({ "httpGet": { "path": "/healthz", "port": 5000 }, "initialDelaySeconds": 10, "periodSeconds": 5 }),
        &json!({ "httpGet": { "path": "/readyz", "port": 5000 }, "initialDelaySeconds": 5, "periodSeconds": 5 }),
    )
}

/// Nothing is wrong with it and nothing was left out.
pub(crate) fn complete() -> Value {
    let mut complete = container(
        &json!({ "httpGet": { "path": "/healthz", "port": "http", "scheme": "HTTP" },
                "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 4 }),
        &json!({ "httpGet": { "path": "/readyz", "port": "http", "scheme": "HTTP" },
                "periodSeconds": 5, "timeoutSeconds": 3, "successThreshold": 1, "failureThreshold": 2 }),
    );
    complete["startupProbe"] = json!({ "httpGet": { "path": "/healthz", "port": "http", "scheme": "HTTP" },
        "periodSeconds": 2, "timeoutSeconds": 2, "successThreshold": 1, "failureThreshold": 30 });
    complete
}

/// Liveness gives up after a hang of one second: denied under every profile.
pub(crate) fn hair_trigger() -> Value {
    let mut bad = complete();
    bad["livenessProbe"]["periodSeconds"] = json!(1);
    bad["livenessProbe"]["timeoutSeconds"] = json!(1);
    bad["livenessProbe"]["failureThreshold"] = json!(1);
    bad
}
