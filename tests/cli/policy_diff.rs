//! `policy diff`, on files.

use insta::assert_snapshot;

use super::{Run, folder, run};

const SHOP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
      - name: app
        image: a:1
        ports: [{ containerPort: 8080 }]
        livenessProbe: { httpGet: { port: 8080 }, timeoutSeconds: 1, periodSeconds: 1, failureThreshold: 1 }
---
apiVersion: v1
kind: Pod
metadata: { name: plain }
spec:
  containers:
  - name: app
    image: a:1
    readinessProbe: { httpGet: { port: 8080, path: /ready } }
---
apiVersion: v1
kind: Service
metadata: { name: plain }
";

const NEW: &str = "apiVersion: probekeeper.dev/v1
kind: ProbePolicy
rules: { liveness-without-readiness: deny }
defaults: { readinessProbe: { timeoutSeconds: 7 } }
exemptions:
- { match: { namespaces: [shop] }, rules: [hair-trigger-liveness], reason: moves away }
";

fn diff(files: &[(&str, &str)], args: &[&str]) -> Run {
    let folder = folder(files);
    run(folder.path(), &[&["policy", "diff"], args].concat(), "")
}

#[test]
fn each_difference_is_told() {
    let files = [("shop.yaml", SHOP), ("new.yaml", NEW)];
    let told = diff(&files, &["builtin:recommended", "new.yaml", "shop.yaml"]);
    assert_snapshot!(told.all(), @r#"
    builtin:recommended (recommended, 28d77cc9a449) -> new.yaml (recommended, d7a8bca9202b)

    shop.yaml:1: Deployment shop/web: denied as before
      ~ warn -> deny liveness-without-readiness: container "app": serves on port 8080 with liveness but without readiness: it is restarted, never taken out of the traffic
      - deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s (now exempted by the policy: moves away)
    shop.yaml:15: Pod plain: passes as before
      ~ fill /spec/containers/0/readinessProbe/timeoutSeconds: 3 -> 7

    2 workloads compared: 2 differ (1 denied for something new, 0 no longer denied)
    --- stderr
    --- exit code 1
    "#);
    assert_eq!(diff(&files, &["builtin:recommended", "new.yaml", "shop.yaml"]).stdout, told.stdout, "the same bytes each time");
}

#[test]
fn only_what_is_denied_anew_exits_1() {
    assert_snapshot!(diff(&[("shop.yaml", SHOP), ("old.yaml", NEW)], &["old.yaml", "builtin:recommended", "shop.yaml"]).all(), @r#"
    old.yaml (recommended, d7a8bca9202b) -> builtin:recommended (recommended, 28d77cc9a449)

    shop.yaml:1: Deployment shop/web: denied as before
      + deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s (exempted before by the policy: moves away)
      ~ deny -> warn liveness-without-readiness: container "app": serves on port 8080 with liveness but without readiness: it is restarted, never taken out of the traffic
    shop.yaml:15: Pod plain: passes as before
      ~ fill /spec/containers/0/readinessProbe/timeoutSeconds: 7 -> 3

    2 workloads compared: 2 differ (1 denied for something new, 0 no longer denied)
    --- stderr
    --- exit code 1
    "#);
    let mild = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: baseline\nrules: { hair-trigger-liveness: off }\n";
    assert_snapshot!(diff(&[("shop.yaml", SHOP), ("new.yaml", mild)], &["builtin:baseline", "new.yaml", "."]).all(), @r#"
    builtin:baseline (baseline, 256c725927a8) -> new.yaml (baseline, 1bbd7c52c709)

    shop.yaml:1: Deployment shop/web: denied -> passes
      - deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s

    2 workloads compared: 1 differs (0 denied for something new, 1 no longer denied)
    --- stderr
    --- exit code 0
    "#);
    assert_snapshot!(diff(&[("shop.yaml", SHOP)], &["builtin:strict", "builtin:strict", "."]).all(), @r#"
    builtin:strict (strict, 336a41b75e1b) -> builtin:strict (strict, 336a41b75e1b)

    2 workloads compared: no difference
    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn json() {
    let json =
        diff(&[("shop.yaml", SHOP), ("new.yaml", NEW)], &["builtin:recommended", "new.yaml", "shop.yaml", "--format", "json"]);
    assert_eq!(json.code, 1);
    assert_snapshot!(json.stdout);
}

/// A kind that only one of them knows, and what a controller made.
#[test]
fn kinds_and_owners() {
    let custom = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nworkloads:\n\
                  - { apiVersion: argoproj.io/v1alpha1, kind: Rollout, resource: rollouts, template: /spec/template }\n";
    let rollout = SHOP.split("---").next().unwrap().replace("apps/v1", "argoproj.io/v1alpha1").replace("Deployment", "Rollout");
    let replica_set = SHOP.split("---").next().unwrap().replace("kind: Deployment", "kind: ReplicaSet");
    let by = |api: &str, kind: &str| {
        let owner = format!(
            "namespace: shop, ownerReferences: [{{ apiVersion: {api}, kind: {kind}, name: web, uid: a, controller: true }}]"
        );
        replica_set.replace("namespace: shop", &owner)
    };
    let (of_rollout, of_deployment) = (by("argoproj.io/v1alpha1", "Rollout"), by("apps/v1", "Deployment"));
    let files = [
        ("a.yaml", &*rollout),
        ("b.yaml", &*of_rollout),
        ("c.yaml", &*of_deployment),
        ("policy", custom),
        ("policy.deny", &*(custom.to_owned() + "ownedObjects: deny\n")),
    ];
    assert_snapshot!(diff(&files, &["builtin:recommended", "policy", "."]).all(), @r#"
    builtin:recommended (recommended, 28d77cc9a449) -> policy (recommended, 12fff602fa57)

    a.yaml:1: Rollout shop/web: not judged -> denied
      + deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s
      + warn liveness-without-readiness: container "app": serves on port 8080 with liveness but without readiness: it is restarted, never taken out of the traffic
      + fill /spec/template/spec/containers/0/livenessProbe/initialDelaySeconds: 30
    b.yaml:1: ReplicaSet shop/web: denied -> warned
      ~ deny -> warn hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s

    2 workloads compared: 2 differ (1 denied for something new, 1 no longer denied)
    --- stderr
    --- exit code 1
    "#);
    // Where one of them denies what a controller made, that is compared too.
    assert_snapshot!(diff(&files, &["policy", "policy.deny", "."]).all(), @r#"
    policy (recommended, 12fff602fa57) -> policy.deny (recommended, 988eb4ed71cf)

    b.yaml:1: ReplicaSet shop/web: warned -> denied
      ~ warn -> deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s
    c.yaml:1: ReplicaSet shop/web: warned -> denied
      ~ warn -> deny hair-trigger-liveness: container "app", livenessProbe: liveness restarts the container after a hang of 1 s

    3 workloads compared: 2 differ (2 denied for something new, 0 no longer denied)
    --- stderr
    --- exit code 1
    "#);
}

#[test]
fn what_cannot_be_compared_exits_2() {
    let files = [
        ("shop.yaml", SHOP),
        ("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\nspec: { containers: [{ name: 5, image: a }] }\n"),
    ];
    assert_snapshot!(diff(&files, &["builtin:recommended", "builtin:baseline", "."]).all(), @r#"
    builtin:recommended (recommended, 28d77cc9a449) -> builtin:baseline (baseline, 256c725927a8)

    shop.yaml:1: Deployment shop/web: denied as before
      - warn liveness-without-readiness: container "app": serves on port 8080 with liveness but without readiness: it is restarted, never taken out of the traffic

    2 workloads compared: 1 differs (0 denied for something new, 0 no longer denied)
    --- stderr
    bad.yaml:4:24: the API server would refuse this: invalid type: integer `5`, expected a string
    --- exit code 2
    "#);
    assert_snapshot!(diff(&files, &["builtin:recomended", "builtin:baseline", "."]).all(), @r#"
    --- stderr
    error: invalid value 'builtin:recomended' for '<OLD>': there is no profile `recomended`: write one of baseline, recommended, strict

    For more information, try '--help'.
    --- exit code 2
    "#);
    assert_snapshot!(diff(&files, &["builtin:recommended", "builtin:baseline"]).all(), @r#"
    --- stderr
    error: the following required arguments were not provided:
      <PATH>...

    Usage: probekeeper policy diff <OLD> <NEW> <PATH>...

    For more information, try '--help'.
    --- exit code 2
    "#);
    assert_snapshot!(diff(&files, &["builtin:recommended", "builtin:baseline", ".", "-n", "shop"]).all(), @r#"
    --- stderr
    error: the argument '[PATH]...' cannot be used with '--namespace <NAMESPACE>'

    Usage: probekeeper policy diff <OLD> <NEW> <PATH>...

    For more information, try '--help'.
    --- exit code 2
    "#);
    let broken = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strickt\n";
    assert_snapshot!(diff(&[("a.yaml", broken), ("b.yaml", broken)], &["a.yaml", "b.yaml", "."]).all(), @r#"
    --- stderr
    a.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`?
    b.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`?
    --- exit code 2
    "#);
}
