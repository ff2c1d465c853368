//! The life of a policy in a ConfigMap: what is in force after each change, and what is said about it. probekeeper has no more rights here than it
//! needs: to read that one ConfigMap and to write Events.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::webhook::{Server, Webhook, eventually};
use crate::workloads::{deployment, hair_trigger};

pub(crate) const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

/// The ConfigMap `policy` with this under `policy.yaml`.
pub(crate) fn holding(policy: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "policy" }, "data": { "policy.yaml": policy } })
}

/// The hash by which a policy calls itself.
pub(crate) fn hash(policy: &str) -> String {
    probekeeper::policy::load(policy).expect("a valid policy").hash
}

fn apply(namespace: &Namespace, object: &Value) {
    namespace.kubectl_with(&["apply", "-f", "-"], object).ok();
}

/// What is said to somebody who creates a workload that every profile denies; nothing is stored.
fn denial(namespace: &Namespace) -> String {
    let bad = deployment(&hair_trigger());
    let answer = namespace.cluster.call("POST", &format!("{}?dryRun=All", namespace.path("apis/apps/v1", "deployments")), &bad);
    answer.message().to_owned()
}

/// Type, reason and note of each Event about the ConfigMap, in the order of their times, and the controller that wrote them.
fn events(namespace: &Namespace) -> Vec<(String, String, String)> {
    let mut events = namespace.list("events.v1.events.k8s.io");
    events.retain(|event| event["regarding"]["kind"] == "ConfigMap" && event["regarding"]["name"] == "policy");
    events.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    events
        .iter()
        .map(|event| {
            assert_eq!(
                (&event["reportingController"], &event["action"]),
                (&json!("probekeeper.dev/probekeeper"), &json!("LoadPolicy"))
            );
            (text(&event["type"]), text(&event["reason"]), text(&event["note"]))
        })
        .collect()
}

/// From no ConfigMap at all to one that was deleted and made again, with nothing that would stop a bad one, before two replicas.
#[test]
fn the_last_good_policy_stays_in_force() {
    let namespace = &Cluster::shared().namespace("policy-life");
    let mut webhook = Webhook::following(namespace, false);
    let second = Server::following(namespace, "second");
    let strict = format!("{HEAD}profile: strict\n");
    let (recommended_hash, strict_hash) = (hash(HEAD), hash(&strict));
    let broken = format!("{HEAD}profile: strickt\nrules:\n  agressive-liveness: deny\n");

    let says = |text: &str| assert!(eventually(|| webhook.readiness().contains(text)), "no `{text}` in {}", webhook.readiness());
    says("[-]policy: ConfigMap policy-life/policy does not exist; no policy is in force yet\n");
    // Whoever asks before it is ready is not judged by a policy that nobody chose.
    let refused = denial(namespace);
    assert!(refused.contains("failed calling webhook"), "{refused}");

    let no_key =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "policy" }, "data": { "policy.yml": HEAD } });
    apply(namespace, &no_key);
    says(
        "[-]policy: ConfigMap policy-life/policy: there is no key `policy.yaml`; rename `policy.yml` to it; no policy is in force yet\n",
    );
    apply(namespace, &holding(&broken));
    says(
        "[-]policy: 2 errors, the first: policy.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`?; no policy is in force yet\n",
    );

    apply(namespace, &holding(HEAD));
    webhook.wait_ready();
    second.wait_ready();
    let in_force = |profile: &str, hash: &str| {
        let info = format!("probekeeper_policy_info{{hash=\"{hash}\",profile=\"{profile}\"}} 1");
        assert!(eventually(|| webhook.counts(&info) && second.counts(&info)), "not in force: {info}\n{}", webhook.log());
        let named = format!("Policy: {profile} ({hash}).");
        assert!(denial(namespace).contains(&named), "{}", denial(namespace));
    };
    let stale = |stale: u8| {
        let line = format!("probekeeper_policy_stale {stale}");
        assert!(eventually(|| webhook.counts(&line) && second.counts(&line)), "{}", webhook.log());
    };
    in_force("recommended", &recommended_hash);
    stale(0);
    apply(namespace, &holding(&strict));
    in_force("strict", &strict_hash);
    second.calls_only(namespace.cluster.address());

    apply(namespace, &holding(&broken));
    stale(1);
    in_force("strict", &strict_hash);
    // What nobody changed is not reported again.
    namespace.kubectl(&["label", "configmap", "policy", "team=platform"]).ok();
    apply(namespace, &no_key);
    assert!(eventually(|| webhook.counts("probekeeper_policy_reload_total{result=\"missing\"} 3")), "{}", webhook.log());
    in_force("strict", &strict_hash);
    apply(namespace, &holding(HEAD));
    in_force("recommended", &recommended_hash);
    stale(0);

    namespace.kubectl(&["delete", "configmap", "policy"]).ok();
    stale(1);
    in_force("recommended", &recommended_hash);
    assert!(webhook.readiness().contains("[+]policy ok\n"), "{}", webhook.readiness());
    apply(namespace, &holding(&strict));
    in_force("strict", &strict_hash);
    stale(0);
    assert!(webhook.counts("probekeeper_policy_reload_total{result=\"ok\"} 4"), "{}", webhook.log());
    assert!(webhook.counts("probekeeper_policy_reload_total{result=\"invalid\"} 2"), "{}", webhook.log());
    assert!(webhook.lives());

    // Two replicas saw each change, and each is told once.
    let accepted = |hash: &str, profile: &str| {
        ("Normal".to_owned(), "PolicyAccepted".to_owned(), format!("policy {hash} (profile {profile}) is in force"))
    };
    let warning = |reason: &str, note: String| ("Warning".to_owned(), reason.to_owned(), note);
    let key = "ConfigMap policy-life/policy: there is no key `policy.yaml`; rename `policy.yml` to it";
    let errors = "2 errors, the first: policy.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`?";
    let mut expected = vec![
        warning("PolicyMissing", format!("{key}; no policy is in force yet")),
        warning("PolicyRejected", format!("{errors}; no policy is in force yet")),
        accepted(&recommended_hash, "recommended"),
        accepted(&strict_hash, "strict"),
        warning("PolicyRejected", format!("{errors}; policy {strict_hash} stays in force")),
        warning("PolicyMissing", format!("{key}; policy {strict_hash} stays in force")),
        accepted(&recommended_hash, "recommended"),
        warning(
            "PolicyMissing",
            format!("ConfigMap policy-life/policy does not exist; policy {recommended_hash} stays in force"),
        ),
        accepted(&strict_hash, "strict"),
    ];
    expected.sort();
    let mut found = Vec::new();
    let complete = eventually(|| {
        found = events(namespace);
        found.sort();
        found == expected
    });
    assert!(complete, "{found:#?}\nexpected {expected:#?}");

    // It was done without any right to the other ConfigMaps.
    let said = namespace.kubectl_as_probekeeper(&["get", "configmaps"]).refused();
    assert!(said.contains("cannot list resource \"configmaps\""), "{said}");
}

#[test]
fn a_broken_policy_is_refused_when_it_is_applied_and_can_always_be_repaired() {
    let namespace = &Cluster::shared().namespace("policy-refused");
    let webhook = Webhook::following(namespace, true);
    let apply_text = |text: &str| namespace.kubectl_with(&["apply", "-f", "-"], &holding(text));
    let broken = format!(
        "{HEAD}profile: strickt\nrules:\n  agressive-liveness: deny\n  missing-readiness: {{ action: dney }}\ndefaults:\n  livenessProbe: {{ timeoutSeconds: 0 }}\n"
    );

    // The registration was seen when the canary of it was; the policy's own entry came with it. It is judged before any policy is in force.
    insta::assert_snapshot!(apply_text(&broken).refused(), @r#"
    Error from server (Forbidden): error when creating "STDIN": admission webhook "policy.probekeeper.dev" denied the request: ConfigMap "policy-refused/policy" has 4 errors in policy.yaml (lines count from its first):

    3:10: profile: unknown value `strickt`, did you mean `strict`?
      3 | profile: strickt

    5:3: rules: unknown rule `agressive-liveness`, did you mean `aggressive-liveness`?
      5 |   agressive-liveness: deny

    6:32: rules.missing-readiness.action: unknown value `dney`, did you mean `deny`?
      6 |   missing-readiness: { action: dney }

    8:36: defaults.livenessProbe.timeoutSeconds: 0 is out of range: it must be a whole number from 1 to 2147483647
      8 |   livenessProbe: { timeoutSeconds: 0 }

    Nothing was changed: the policy in force stays. Check a file before you apply it: probekeeper policy check FILE
    "#);
    let no_key =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "policy" }, "data": { "Policy.yaml": HEAD } });
    insta::assert_snapshot!(namespace.kubectl_with(&["apply", "-f", "-"], &no_key).refused(), @r#"
    Error from server (Forbidden): error when creating "STDIN": admission webhook "policy.probekeeper.dev" denied the request: ConfigMap "policy-refused/policy" holds no policy: there is no key `policy.yaml`; rename `Policy.yaml` to it

    Nothing was changed: the policy in force stays. Check a file before you apply it: probekeeper policy check FILE
    "#);
    apply_text(HEAD).ok();
    webhook.wait_ready();
    let said = apply_text("profile: [strict]\n").refused();
    assert!(said.contains("has 3 errors in policy.yaml") && said.contains("profile: found a list"), "{said}");
    assert!(denial(namespace).contains(&hash(HEAD)), "the good one is still there: {}", denial(namespace));
    // Not ours, whatever it holds.
    let mut other = holding("nonsense");
    other["metadata"]["name"] = json!("other");
    apply(namespace, &other);

    // An invalid one that came in while nobody was there: everything about it may change but to another invalid one.
    webhook.kill();
    apply_text(&broken).ok();
    let webhook = webhook.replaced(namespace, true);
    let labelled = namespace.kubectl(&["label", "configmap", "policy", "team=platform"]).ok();
    assert_eq!(
        labelled.stderr.trim_end(),
        "Warning: not in force: policy.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`? (not denied: it was there before)"
    );
    apply_text("kind: ProbePolicy\n").refused();
    apply_text(HEAD).ok();
    webhook.wait_ready();
    namespace.kubectl(&["delete", "configmap", "policy"]).ok();
}
