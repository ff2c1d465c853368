//! `export vap`.

use insta::assert_snapshot;

use super::{anywhere, folder, run};

/// A policy in which only these rules are on.
fn only(rules: &str, more: &str) -> String {
    let list = anywhere(&["rules", "list", "--format", "json"], "").json();
    let ids = list.as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned());
    let off: Vec<String> = ids.filter(|id| !rules.contains(&format!("{id}:"))).map(|id| format!("  {id}: off\n")).collect();
    let off = off.concat();
    format!("apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules:\n{rules}{off}{more}")
}

#[test]
fn the_whole_text_of_a_small_policy() {
    let policy = only("  startup-probe-alone: warn\n  costly-exec: audit\n", "");
    let folder = folder(&[("policy.yaml", &policy)]);
    let export = run(folder.path(), &["export", "vap", "--policy", "policy.yaml"], "");
    assert_eq!(export.code, 0);
    assert_snapshot!(export.all());
    assert_eq!(run(folder.path(), &["export", "vap", "--policy", "policy.yaml"], "").stdout, export.stdout);

    let written = run(folder.path(), &["export", "vap", "--policy", "policy.yaml", "--output", "vap.yaml"], "");
    assert_eq!((written.code, written.stdout, written.stderr), (0, String::new(), export.stderr));
    assert_eq!(std::fs::read_to_string(folder.path().join("vap.yaml")).unwrap(), export.stdout);
}

/// What differs between objects is not exported, and neither is what depends on it.
#[test]
fn overrides_exemptions_and_custom_kinds_are_listed() {
    let rules = "  loopback-host: deny\n  hair-trigger-liveness: deny\n  aggressive-liveness: warn\n  slow-recovery: warn\n  slow-readiness: warn\n";
    let more = "overrides:\n  - match: { namespaces: [shop] }\n    rules: { hair-trigger-liveness: warn, no-probes: audit }\n  \
                - match: { containers: [web] }\n    defaults: { livenessProbe: { timeoutSeconds: 4 } }\n\
                exemptions:\n  - match: { namespaces: [legacy] }\n    rules: [slow-readiness]\n    reason: moves to the queue\n\
                workloads:\n  - { apiVersion: argoproj.io/v1alpha1, kind: Rollout, resource: rollouts, template: /spec/template }\n";
    let folder = folder(&[("policy.yaml", &only(rules, more))]);
    let export = run(folder.path(), &["export", "vap", "--policy", "policy.yaml"], "");
    let comments: Vec<&str> = export.stdout.lines().take_while(|line| line.starts_with('#')).skip(3).collect();
    assert_snapshot!(comments.join("\n") + "\n--- stderr\n" + &export.stderr, @r"
    # Rules of the policy that CEL cannot express exactly, and that only the webhook judges:
    #   hair-trigger-liveness (deny): an override of the policy speaks of it
    #   aggressive-liveness (warn): a rule that says the same better is overridden
    #   slow-readiness (warn): an exemption of the policy is about it
    #   no-probes (off): an override of the policy speaks of it
    # Kinds of the policy that only the webhook judges: Rollout.
    --- stderr
    probekeeper: 4 rules of the policy are not exported: see the comments at the top
    ");
    let validations = export.stdout.lines().filter(|line| line.contains("- expression: size(variables.told_")).count();
    // What denies stands among the warnings too.
    assert_eq!((export.code, validations), (0, 3));
    assert!(export.stdout.contains("w.apiVersion.startsWith('argoproj.io/') && w.kind in ['Rollout']"), "{}", export.stdout);
}

#[test]
fn a_bad_policy_exits_2_and_writes_nothing() {
    let folder =
        folder(&[("policy.yaml", "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { agressive-liveness: deny }\n")]);
    let export = run(folder.path(), &["export", "vap", "--policy", "policy.yaml", "--output", "vap.yaml"], "");
    assert_eq!((export.code, &*export.stdout), (2, ""));
    assert!(export.stderr.starts_with("policy.yaml:3:10: "), "{}", export.stderr);
    assert!(!folder.path().join("vap.yaml").exists());
    let missing = run(folder.path(), &["export", "vap", "--policy", "none.yaml"], "");
    assert_eq!(
        (missing.code, &*missing.stderr),
        (2, "probekeeper: none.yaml: the policy cannot be read: No such file or directory\n")
    );
}
