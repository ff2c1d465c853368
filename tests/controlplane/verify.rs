//! `probekeeper verify` against a webhook that works, one that is dead, none, and without the rights to ask.

use std::process::Command;

use crate::cluster::{Cluster, Namespace};
use crate::webhook::{FailurePolicy, Webhook, eventually};

/// Its exit code and what it printed.
fn verify(namespace: &Namespace, user: &str, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_probekeeper"))
        .args(["verify", "--namespace", &namespace.name])
        .args(args)
        .env("KUBECONFIG", namespace.cluster.kubeconfig(user))
        .output()
        .expect("probekeeper");
    let text = String::from_utf8(output.stdout).expect("UTF-8") + &String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("an exit code"), text)
}

const STRICT: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strict\ndefaults: { unknownIntent: leave }\n";

#[test]
fn a_webhook_that_works_is_seen_to_work_under_the_strictest_policy() {
    let namespace = Cluster::shared().namespace("verify-works");
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, restricted]).ok();
    let _webhook = Webhook::start(&namespace, Some(STRICT));
    let expected = "works: validate.probekeeper.dev rejected a Pod whose readiness probe names a port that it does not declare\n\
                    works: mutate.probekeeper.dev filled in the timeout of a liveness probe that left it out\n";
    assert_eq!(verify(&namespace, "kubeconfig", &[]), (0, expected.to_owned()));
    assert!(namespace.list("pods").is_empty(), "nothing is stored");
    assert_eq!(verify(&namespace, "kubeconfig", &["--only", "rejecting"]).1.lines().count(), 1);
}

#[test]
fn that_nobody_is_asked_or_answers_fails() {
    let namespace = Cluster::shared().namespace("verify-fails");
    let (code, said) = verify(&namespace, "kubeconfig", &["--wait", "1s"]);
    assert_eq!((code, said.matches("fails: ").count()), (1, 2), "{said}");

    let webhook = Webhook::start_with(&namespace, None, FailurePolicy::Ignore);
    webhook.kill();
    let (code, said) = verify(&namespace, "kubeconfig", &["--only", "rejecting"]);
    assert!(code == 1 && said.contains("nobody answered and failurePolicy let it pass"), "{code}: {said}");
    drop(webhook);

    let webhook = Webhook::start_with(&namespace, None, FailurePolicy::Fail);
    webhook.kill();
    let seen = eventually(|| verify(&namespace, "kubeconfig", &[]).1.contains("nobody answers, and failurePolicy is Fail: "));
    assert!(seen, "{}", verify(&namespace, "kubeconfig", &[]).1);
}

#[test]
fn what_cannot_be_told_is_no_failure_of_the_webhook() {
    let namespace = Cluster::shared().namespace("verify-unknown");
    let (code, said) = verify(&namespace, "alice", &[]);
    assert!(
        code == 2 && said.contains("unknown: the API server refused the Pod for another reason: pods is forbidden"),
        "{said}"
    );
    let (code, said) = verify(&namespace, "nobody", &[]);
    assert!(code == 2 && said.contains("probekeeper: no cluster is configured"), "{code}: {said}");
}
