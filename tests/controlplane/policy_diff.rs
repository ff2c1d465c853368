//! `policy diff --cluster`: what is listed, what is left out, and what is said where the rights are missing.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use probekeeper::policy::{Policy, Profile};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, Output};
use crate::webhook::eventually;
use crate::workloads::{KINDS, complete, deployment, hair_trigger};

/// Runs `policy diff` as a user of the cluster.
fn diff(cluster: &Cluster, user: &str, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_probekeeper"))
        .args(["policy", "diff"])
        .args(args)
        .env("KUBECONFIG", cluster.kubeconfig(user))
        .output()
        .expect("probekeeper");
    Output {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code().expect("a code"),
    }
}

fn create(namespace: &Namespace, path: &str, object: &Value) {
    let answer = namespace.cluster.call("POST", path, object);
    assert_eq!(answer.code, 201, "{answer:?}");
}

fn named(name: &str, container: &Value) -> Value {
    let mut object = deployment(container);
    object["metadata"]["name"] = json!(name);
    object
}

/// The first line of a report that compares these.
fn head(old: Profile, new: Profile) -> String {
    let name = |profile: Profile| format!("builtin:{profile} ({profile}, {})", Policy::builtin(profile).hash);
    format!("{} -> {}\n\n", name(old), name(new))
}

/// More Deployments than the API server puts into one answer, of which the first and the last differ.
#[test]
fn every_page_of_a_list_is_read() {
    let namespace = Cluster::shared().namespace("diff-pages");
    let path = namespace.path("apis/apps/v1", "deployments");
    let (fine, bad) = (complete(), hair_trigger());
    thread::scope(|scope| {
        for share in 0..4 {
            let (namespace, path, fine) = (&namespace, &path, &fine);
            scope.spawn(move || {
                for at in (share..500).step_by(4) {
                    create(namespace, path, &named(&format!("m-{at:03}"), fine));
                }
            });
        }
    });
    create(&namespace, &path, &named("a", &bad));
    create(&namespace, &path, &named("z", &bad));
    let mild = namespace.cluster.folder("diff-pages").join("mild.yaml");
    std::fs::write(&mild, "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { hair-trigger-liveness: warn }\n")
        .expect("policy");
    let mild = mild.to_str().expect("UTF-8");
    let told = diff(namespace.cluster, "kubeconfig", &[mild, "builtin:recommended", "--cluster", "-n", "diff-pages"]);
    let line = "  ~ warn -> deny hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s\n";
    let body = format!(
        "Deployment diff-pages/a: warned -> denied\n{line}Deployment diff-pages/z: warned -> denied\n{line}\n\
         502 workloads compared: 2 differ (2 denied for something new, 0 no longer denied)\n"
    );
    let (_, rest) = told.stdout.split_once("\n\n").expect("a head");
    assert_eq!((told.code, rest, &*told.stderr), (1, &*body, ""));
    // The other way around nothing is denied anew.
    let back = diff(namespace.cluster, "kubeconfig", &["builtin:recommended", mild, "--cluster", "-n", "diff-pages"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert!(
        back.stdout.ends_with("502 workloads compared: 2 differ (0 denied for something new, 2 no longer denied)\n"),
        "{back:?}"
    );
}

/// Each kind, and those that a policy adds, whether the cluster has them or not.
#[test]
fn every_kind_is_compared() {
    let namespace = Cluster::shared().namespace("diff-kinds");
    for kind in &KINDS {
        create(&namespace, &namespace.path(kind.api, kind.resource), &kind.object("web", &hair_trigger()));
    }
    // What a controller made is its owner's affair, and what is being deleted nobody's.
    let mut owned = KINDS[0].object("owned", &hair_trigger());
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true }]);
    create(&namespace, &namespace.path("api/v1", "pods"), &owned);
    let mut dying = named("dying", &hair_trigger());
    dying["metadata"]["finalizers"] = json!(["probekeeper.test/stay"]);
    create(&namespace, &namespace.path("apis/apps/v1", "deployments"), &dying);
    let dying = format!("{}/dying", namespace.path("apis/apps/v1", "deployments"));
    assert_eq!(namespace.cluster.call("DELETE", &dying, &Value::Null).code, 200);

    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "apps.diff.probekeeper.test" },
        "spec": {
            "group": "diff.probekeeper.test", "scope": "Namespaced",
            "names": { "plural": "apps", "singular": "app", "kind": "App", "listKind": "AppList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    });
    create(&namespace, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd);
    let mut app = deployment(&hair_trigger());
    app["apiVersion"] = json!("diff.probekeeper.test/v1");
    app["kind"] = json!("App");
    app["spec"] = json!({ "runs": { "template": app["spec"]["template"] } });
    let apps = namespace.path("apis/diff.probekeeper.test/v1", "apps");
    assert!(eventually(|| namespace.cluster.call("POST", &apps, &app).code == 201), "the API server did not take up the kind");

    let policy = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nworkloads:\n\
                  - { apiVersion: diff.probekeeper.test/v1, kind: App, resource: apps, template: /spec/runs/template }\n\
                  - { apiVersion: absent.probekeeper.test/v1, kind: Absent, resource: absents, template: /spec/template }\n";
    let folder = namespace.cluster.folder("diff-kinds");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("policy");
        path.to_str().expect("UTF-8").to_owned()
    };
    let off = file("off.yaml", "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { hair-trigger-liveness: off }\n");
    let on = file("on.yaml", policy);
    let told = diff(namespace.cluster, "kubeconfig", &[&off, &on, "--cluster", "-n", "diff-kinds"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert_eq!(
        told.stderr,
        "probekeeper: the cluster has no absents.absent.probekeeper.test: nothing of that kind was compared\n"
    );
    let workloads: Vec<(&str, &str)> =
        told.stdout.lines().skip(2).filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(": ")).collect();
    let expected = KINDS.iter().map(|kind| kind.kind).chain(["App"]).map(|kind| format!("{kind} diff-kinds/web"));
    assert_eq!(
        workloads.iter().map(|(name, _)| (*name).to_owned()).take(9).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>(),
        "{}",
        told.stdout
    );
    assert!(workloads.iter().take(9).all(|(_, becomes)| becomes.ends_with("-> denied")), "{}", told.stdout);
    assert_eq!(workloads[8].1, "not judged -> denied");
    assert_eq!(workloads[9], ("9 workloads compared", "9 differ (9 denied for something new, 0 no longer denied)"));

    let patch = json!([{ "op": "remove", "path": "/metadata/finalizers" }]).to_string();
    namespace.cluster.call_as("PATCH", &dying, "application/json-patch+json", &patch);
    namespace.cluster.call(
        "DELETE",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apps.diff.probekeeper.test",
        &Value::Null,
    );
}

/// Without a namespace, everything but what registrations leave alone.
#[test]
fn what_the_webhook_leaves_alone_is_not_compared() {
    let cluster = Cluster::shared();
    let (seen, ignored) = (cluster.namespace("diff-seen"), cluster.namespace("diff-ignored"));
    ignored.kubectl(&["label", "namespace", "diff-ignored", "probekeeper.dev/ignore="]).ok();
    let bad = named("diff-alone", &hair_trigger());
    for namespace in ["diff-seen", "diff-ignored", "kube-system"] {
        create(&seen, &format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &bad);
    }
    let told = diff(cluster, "kubeconfig", &["builtin:baseline", "builtin:strict", "--cluster"]);
    let of = |namespace: &str| {
        let start = format!("Deployment {namespace}/diff-alone: ");
        told.stdout.lines().any(|line| line.starts_with(&start))
    };
    assert!(told.stdout.starts_with(&head(Profile::Baseline, Profile::Strict)), "{told:?}");
    assert_eq!(["diff-seen", "diff-ignored", "kube-system"].map(of), [true, false, false], "{told:?}");
    // One that is named is compared.
    let told = diff(cluster, "kubeconfig", &["builtin:baseline", "builtin:strict", "--cluster", "-n", "diff-ignored"]);
    assert!(told.stdout.contains("Deployment diff-ignored/diff-alone: "), "{told:?}");
    cluster.call("DELETE", "/apis/apps/v1/namespaces/kube-system/deployments/diff-alone", &Value::Null);
}

#[test]
fn a_missing_right_is_named() {
    let namespace = Cluster::shared().namespace("diff-rights");
    create(&namespace, &namespace.path("apis/apps/v1", "deployments"), &deployment(&hair_trigger()));
    let args = ["builtin:baseline", "builtin:strict", "--cluster", "-n", "diff-rights"];
    let none = diff(namespace.cluster, "alice", &args);
    assert_eq!((none.code, &*none.stdout), (2, ""), "{none:?}");
    let asked: BTreeSet<&str> =
        none.stderr.lines().filter_map(|line| line.split("the verb list on ").nth(1)?.split(' ').next()).collect();
    let all = [
        "cronjobs.batch",
        "daemonsets.apps",
        "deployments.apps",
        "jobs.batch",
        "pods",
        "replicasets.apps",
        "replicationcontrollers",
        "statefulsets.apps",
    ];
    assert_eq!((asked.into_iter().collect::<Vec<_>>(), none.stderr.lines().count()), (all.to_vec(), 8), "{none:?}");

    let role = [
        "create",
        "role",
        "reader",
        "--verb=list",
        "--resource=pods,replicationcontrollers,deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch",
    ];
    namespace.kubectl(&role).ok();
    namespace.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=alice"]).ok();
    let one = || diff(namespace.cluster, "alice", &args);
    assert!(eventually(|| one().stderr.lines().count() == 1), "{:?}", one());
    let one = one();
    assert_eq!(
        (one.code, &*one.stdout, &*one.stderr),
        (
            2,
            "",
            "probekeeper: cannot list cronjobs.batch in namespace diff-rights: the verb list on cronjobs.batch is not granted in namespace diff-rights: \
             cronjobs.batch is forbidden: User \"alice\" cannot list resource \"cronjobs\" in API group \"batch\" in the namespace \"diff-rights\"\n"
        )
    );
    namespace
        .kubectl(&[
            "patch",
            "role",
            "reader",
            "--type=json",
            "-p",
            r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":["batch"],"resources":["cronjobs"],"verbs":["list"]}}]"#,
        ])
        .ok();
    assert!(eventually(|| diff(namespace.cluster, "alice", &args).code == 0), "{:?}", diff(namespace.cluster, "alice", &args));
    // Without a namespace it takes more.
    let everywhere = diff(namespace.cluster, "alice", &["builtin:baseline", "builtin:strict", "--cluster"]);
    let first = "probekeeper: cannot list namespaces: the verb list on namespaces is not granted: namespaces is forbidden: User \"alice\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope\n";
    assert!(everywhere.code == 2 && everywhere.stderr.starts_with(first), "{everywhere:?}");
}

#[test]
fn no_cluster_to_ask_exits_2() {
    let cluster = Cluster::shared();
    let folder = cluster.folder("diff-nowhere");
    let config = folder.join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    std::fs::write(&config, text.to_string()).expect("kubeconfig");
    let output = diff(cluster, config.to_str().expect("UTF-8"), &["builtin:baseline", "builtin:strict", "--cluster"]);
    assert_eq!((output.code, &*output.stdout, output.stderr.lines().count()), (2, "", 1), "{output:?}");
    assert!(
        output.stderr.starts_with("probekeeper: cannot list namespaces: ") && output.stderr.contains("Connection refused"),
        "{output:?}"
    );
}
