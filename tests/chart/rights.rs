//! What the service account may do, read from the rendered roles and asked of the real authorizer.

use serde_json::{Value, json};

use crate::accepted::cluster;
use crate::helm::{Helm, objects, values};

#[test]
fn no_wildcard_and_nothing_cluster_wide_but_the_two_configurations() {
    for (name, file) in values() {
        let objects = objects(&Helm::Four.template(&["--values", &file]));
        let release = if name == "full" { "probes" } else { "probekeeper" };
        for role in objects.iter().filter(|o| o["kind"] == "Role" || o["kind"] == "ClusterRole") {
            let text = role["rules"].to_string();
            assert!(!text.contains('*'), "{name}: {text}");
            for word in ["escalate", "bind\"", "impersonate", "deletecollection", "\"delete\"", "nonResourceURLs"] {
                assert!(!text.contains(word), "{name}: {text}");
            }
        }
        let cluster_wide: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "ClusterRole").map(|o| &o["rules"]).collect();
        let expected = json!([{
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            "resourceNames": [release],
            "verbs": ["get", "list", "watch", "patch"],
        }]);
        let needs_it = !name.starts_with("cert-manager");
        assert_eq!(cluster_wide, if needs_it { vec![&expected] } else { vec![] }, "{name}");
        // What may write Pods exists only while `helm test` runs.
        for role in objects.iter().filter(|o| o["kind"] == "Role" && o["rules"].to_string().contains("pods")) {
            assert_eq!(role["metadata"]["annotations"]["helm.sh/hook"], "test", "{name}");
            let delete = role["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().expect("a policy");
            assert_eq!(delete, "before-hook-creation,hook-succeeded,hook-failed", "{name}");
        }
    }
}

#[test]
fn the_authorizer_lets_it_do_what_it_needs_and_no_more() {
    let namespace = cluster().namespace("rights");
    let text = Helm::Four.template_in("rights", &["--set", "fullnameOverride=rights"]);
    let roles: Vec<Value> = objects(&text)
        .into_iter()
        .filter(|o| o["kind"].as_str().is_some_and(|kind| kind.contains("Role")) && o["metadata"]["annotations"].is_null())
        .collect();
    assert_eq!(roles.len(), 4);
    namespace.kubectl_with(&["apply", "-f", "-"], &json!({ "apiVersion": "v1", "kind": "List", "items": roles })).ok();

    let registration = "admissionregistration.k8s.io";
    // Verb, group, resource, namespace, name, whether it may.
    let cases = [
        ("get", "", "secrets", "rights", "rights-ca", true),
        ("update", "", "secrets", "rights", "rights-ca", true),
        ("patch", "", "secrets", "rights", "rights-ca", true),
        ("create", "", "secrets", "rights", "rights-ca", true),
        ("watch", "", "secrets", "rights", "rights-ca", true),
        ("delete", "", "secrets", "rights", "rights-ca", false),
        ("get", "", "secrets", "rights", "another", false),
        ("create", "", "secrets", "rights", "", false),
        ("list", "", "secrets", "rights", "", false),
        ("get", "", "secrets", "default", "rights-ca", false),
        ("watch", "", "configmaps", "rights", "rights-policy", true),
        ("patch", "", "configmaps", "rights", "rights-policy", false),
        ("list", "", "configmaps", "rights", "", false),
        ("create", "events.k8s.io", "events", "rights", "", true),
        ("create", "events.k8s.io", "events", "default", "", false),
        ("patch", registration, "validatingwebhookconfigurations", "", "rights", true),
        ("patch", registration, "mutatingwebhookconfigurations", "", "rights", true),
        ("watch", registration, "mutatingwebhookconfigurations", "", "rights", true),
        ("update", registration, "mutatingwebhookconfigurations", "", "rights", false),
        ("delete", registration, "validatingwebhookconfigurations", "", "rights", false),
        ("patch", registration, "validatingwebhookconfigurations", "", "another", false),
        ("list", registration, "validatingwebhookconfigurations", "", "", false),
        ("list", "", "pods", "rights", "", false),
        ("list", "apps", "deployments", "default", "", false),
    ];
    for (verb, group, resource, place, name, expected) in cases {
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:rights:rights",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:rights", "system:authenticated"],
            "resourceAttributes": { "verb": verb, "group": group, "resource": resource, "namespace": place, "name": name },
        }});
        // The authorizer hears of new roles by a watch.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let answer = namespace.cluster.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", &review);
            if answer.body["status"]["allowed"] == expected {
                break;
            }
            assert!(std::time::Instant::now() < end, "{verb} {group}/{resource} {place}/{name}: {answer:?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
