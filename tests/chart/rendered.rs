//! What is rendered.

use std::fs;

use similar::TextDiff;

use crate::helm::{Helm, object, objects, probekeeper, root, values};

#[test]
fn every_set_of_values_passes_the_strict_lint() {
    for helm in Helm::BOTH {
        for (name, file) in values() {
            let output = helm.run(&["lint", "--strict", "charts/probekeeper", "--values", &file]);
            assert_eq!(output.code, 0, "{helm:?}, {name}: {}{}", output.stdout, output.stderr);
            assert!(!output.stdout.contains("[WARNING]"), "{name}: {}", output.stdout);
        }
    }
}

/// The default in full, the others by what they change, so that a review sees what a value does.
#[test]
fn snapshots() {
    let default = Helm::Four.template(&[]);
    for (name, file) in values() {
        let text = without_dashboard(&Helm::Four.template(&["--values", &file]));
        let shown = if name == "default" {
            text
        } else {
            TextDiff::from_lines(&default, &text).unified_diff().context_radius(4).header("default", &name).to_string()
        };
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

/// Thousands of lines that a snapshot would only repeat; `monitoring` looks at them.
fn without_dashboard(text: &str) -> String {
    let Some((before, rest)) = text.split_once("  probekeeper.json: |\n") else { return text.to_owned() };
    let after = rest.lines().skip_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n");
    format!("{before}  probekeeper.json: (the dashboard)\n{after}\n")
}

/// Renderers that compare (Argo CD, Flux) must find no difference where nothing changed, whichever Helm they have in them.
#[test]
fn the_same_bytes_each_time_from_both() {
    for (name, file) in values() {
        let first = Helm::Four.template(&["--values", &file]);
        assert!(first == Helm::Four.template(&["--values", &file]), "{name}");
        // The two put foreign kinds into different orders.
        let sorted = |text: &str| {
            let mut documents: Vec<String> = text.split("---\n").map(|document| document.trim().to_owned()).collect();
            documents.sort();
            documents.join("\n---\n")
        };
        let (four, three) = (sorted(&first), sorted(&Helm::Three.template(&["--values", &file])));
        assert!(four == three, "{name}: {}", TextDiff::from_lines(&four, &three).unified_diff());
    }
    for entry in fs::read_dir(root().join("charts/probekeeper/templates")).expect("templates") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("UTF-8");
        for word in ["lookup", "genCA", "genSelfSigned", "randAlpha", "uuidv4", " now ", "Capabilities", "htpasswd"] {
            assert!(!text.contains(word), "{}: {word} differs from one rendering to the next", path.display());
        }
    }
}

#[test]
fn neither_a_ca_bundle_nor_a_key_is_ever_rendered() {
    for (name, file) in values() {
        let text = Helm::Four.template(&["--values", &file]);
        assert!(!text.contains("caBundle:"), "{name}");
        for secret in objects(&text).iter().filter(|o| o["kind"] == "Secret") {
            assert!(secret.get("data").is_none() && secret.get("stringData").is_none(), "{name}: {secret}");
        }
    }
}

#[test]
fn the_chart_passes_its_own_strict_profile() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let policy = folder.path().join("strict.yaml");
    fs::write(&policy, "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strict\n").expect("written");
    let policy = policy.to_string_lossy();
    for (name, file) in values() {
        let text = Helm::Four.template(&["--values", &file]);
        let lint = probekeeper(&["lint", "--policy", &policy, "--fail-on", "warn", "-"], &text);
        assert_eq!((lint.code, lint.stdout.trim()), (0, "1 file, 2 workloads: nothing wrong"), "{name}: {}", lint.stderr);
        let fix = probekeeper(&["fix", "--policy", &policy, "--diff", "-"], &text);
        assert_eq!((fix.code, fix.stdout.trim()), (0, ""), "{name}: there is something to fill in: {}", fix.stdout);
    }
}

/// `off` is a boolean to Helm's YAML; the stored policy must still mean off, and every stored policy must be one that probekeeper takes.
#[test]
fn what_is_stored_is_a_policy() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut checked = 0;
    for helm in Helm::BOTH {
        for (name, file) in values() {
            let objects = objects(&helm.template(&["--values", &file]));
            let Some(map) = objects.iter().find(|o| !o["data"]["policy.yaml"].is_null()) else {
                assert_eq!(name, "existing-secret", "has a ConfigMap of its own");
                continue;
            };
            let path = folder.path().join("policy.yaml");
            let text = map["data"]["policy.yaml"].as_str().expect("text");
            fs::write(&path, text).expect("written");
            let check = probekeeper(&["policy", "check", &path.to_string_lossy()], "");
            assert_eq!(check.code, 0, "{name}: {}{}\n{text}", check.stdout, check.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");

    let stored = |args: &[&str]| {
        let objects = objects(&Helm::Four.template(args));
        object(&objects, "ConfigMap", "probekeeper-policy")["data"]["policy.yaml"].as_str().expect("text").to_owned()
    };
    assert_eq!(stored(&[]), "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: recommended\n");
    assert_eq!(
        stored(&["--set", "policy.rules.undeclared-port=off", "--set", "policy.profile=strict"]),
        "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strict\nrules:\n  undeclared-port: \"off\"\n"
    );
    // Word for word, whatever the first line begins with.
    let text = "  # indented\napiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n\nrules: { undeclared-port: off }\n";
    let file = folder.path().join("verbatim.yaml");
    fs::write(&file, text).expect("written");
    assert_eq!(stored(&["--set-file", &format!("policy={}", file.display())]), text);
}

#[test]
fn further_workloads_of_the_policy_become_rules_of_both_webhooks() {
    let workloads = r#"policy.workloads=[{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","resource":"rollouts","template":"/spec/template"},{"apiVersion":"v2","kind":"Thing","resource":"things","template":"/spec/template"}]"#;
    let objects = objects(&Helm::Four.template(&["--set-json", workloads]));
    for (kind, name) in [
        ("ValidatingWebhookConfiguration", "validate.probekeeper.dev"),
        ("MutatingWebhookConfiguration", "mutate.probekeeper.dev"),
    ] {
        let webhooks = object(&objects, kind, "probekeeper")["webhooks"].clone();
        let webhook = webhooks.as_array().expect("webhooks").iter().find(|w| w["name"] == name).expect(name).clone();
        let rules = webhook["rules"].as_array().expect("rules");
        let rule = |group: &str, version: &str, resource: &str| {
            serde_json::json!({ "apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"],
                                "resources": [resource], "scope": "Namespaced" })
        };
        assert_eq!(rules[rules.len() - 2], rule("argoproj.io", "v1alpha1", "rollouts"));
        assert_eq!(rules[rules.len() - 1], rule("", "v2", "things"));
    }
}

/// `--help` behind them stops the program after it has read them all, and an unknown flag or value stops it before.
#[test]
fn the_program_knows_the_arguments_of_its_containers() {
    for (name, file) in values() {
        let objects = objects(&Helm::Four.template(&["--values", &file]));
        let pods = objects.iter().filter_map(|o| match o["kind"].as_str() {
            Some("Deployment") => Some(&o["spec"]["template"]["spec"]),
            Some("Pod") => Some(&o["spec"]),
            _ => None,
        });
        for pod in pods {
            let args = pod["containers"][0]["args"].as_array().expect("args");
            let args: Vec<&str> = args.iter().map(|arg| arg.as_str().expect("a string")).collect();
            assert!(["serve", "verify"].contains(&args[0]), "{name}: {args:?}");
            assert_eq!(probekeeper(&[args.as_slice(), &["--help"]].concat(), "").code, 0, "{name}: {args:?}");
            assert_eq!(probekeeper(&[args.as_slice(), &["--unknown", "--help"]].concat(), "").code, 2, "{name}: {args:?}");
        }
    }
}

/// Names, images and namespaces that YAML would take for something else.
#[test]
fn awkward_names_stay_strings() {
    let text = Helm::Four.template_in("123", &["--set-string", "image.tag=1e3,podLabels.build=007,nodeSelector.pool=on"]);
    let deployment = object(&objects(&text), "Deployment", "probekeeper");
    assert_eq!(deployment["metadata"]["namespace"], "123");
    let pod = &deployment["spec"]["template"];
    assert_eq!(pod["spec"]["containers"][0]["image"], "ghcr.io/probekeeper/probekeeper:1e3");
    assert_eq!(pod["metadata"]["labels"]["build"], "007");
    assert_eq!(pod["spec"]["nodeSelector"]["pool"], "on");
    let long = "x".repeat(53);
    let output = Helm::Four.run(&["template", &long, "charts/probekeeper"]).ok();
    for object in objects(&output.stdout).iter().filter(|o| o["kind"] == "Service") {
        let name = object["metadata"]["name"].as_str().expect("a name");
        assert!(name.len() <= 63, "{name}");
    }
}
