//! `probekeeper fix` without `--unsafe` never changes what a manifest means: the fixed file, stored without the webhook, is what the webhook makes of the
//! original.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cluster::{Cluster, Namespace};
use crate::webhook::Webhook;

#[test]
fn a_fixed_file_is_stored_as_the_webhook_would_store_the_original() {
    compare("fix", "unknownIntent: leave", 8);
}

#[test]
fn what_is_added_as_a_whole_is_stored_alike() {
    compare("fix-adding", "unknownIntent: leave, addStartupProbe: true, addPreStopSleepSeconds: 5", 12);
}

fn compare(name: &str, defaults: &str, least: usize) {
    let cluster = Cluster::shared();
    let (with, without) = (cluster.namespace(&format!("{name}-with-webhook")), cluster.namespace(&format!("{name}-without")));
    // Findings only warn: this is about what is stored. client-side `create` leaves no witness, so files must not spell API defaults out.
    let policy = format!(
        "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: baseline\nrules: {{ hair-trigger-liveness: warn, unknown-port-name: warn, loopback-host: warn, liveness-calls-other-service: warn, readiness-cannot-fail: warn, unusable-path: warn }}\ndefaults: {{ {defaults} }}\n"
    );
    let _webhook = Webhook::start(&with, Some(&policy));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = manifests(&root.join("examples"));
    files.extend(manifests(&root.join("tests/fix/cases")));
    let folder = cluster.folder(name);
    let policy_file = folder.join("policy");
    std::fs::write(&policy_file, &policy).expect("policy");
    let mut changed = 0;
    for (at, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).expect("manifest");
        let copy = folder.join(format!("{at}.{}", file.extension().and_then(|ending| ending.to_str()).expect("an ending")));
        std::fs::write(&copy, &text).expect("copy");
        let output = Command::new(env!("CARGO_BIN_EXE_probekeeper"))
            .args(["fix", "--write", "--policy"])
            .args([&policy_file, &copy])
            .output()
            .expect("probekeeper");
        assert_eq!(output.status.code(), Some(0), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        let fixed = std::fs::read_to_string(&copy).expect("fixed file");
        // What stands behind an alias is filled in by the webhook, but not in the file.
        if fixed == text || String::from_utf8_lossy(&output.stderr).contains("note:") {
            continue;
        }
        changed += 1;
        // Server-side apply says what the author wrote, so that the webhook fills in whatever was left out.
        let stored = dry_run(&with, file);
        let own = dry_run(&without, &copy);
        assert_eq!(own, stored, "{}", file.display());
        let _ = std::fs::remove_file(&copy);
    }
    assert!(changed >= least, "only {changed} of {} files were changed", files.len());
}

/// Every object as it would be stored, without what tells the two ways apart: who wrote it, when, and our own record.
fn dry_run(namespace: &Namespace, file: &Path) -> Vec<Value> {
    let arguments = ["apply", "--server-side", "--dry-run=server", "-o", "json", "-f", file.to_str().expect("UTF-8")];
    let output = namespace.kubectl(&arguments).ok();
    let objects = serde_json::Deserializer::from_str(&output.stdout).into_iter::<Value>().map(|value| value.expect("JSON"));
    let mut objects: Vec<Value> =
        objects.flat_map(|object| object["items"].as_array().cloned().unwrap_or_else(|| vec![object])).collect();
    for object in &mut objects {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        for field in ["managedFields", "uid", "creationTimestamp", "namespace", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("probekeeper.dev/filled");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
        slashes(object);
    }
    objects
}

/// The kubelet adds a missing leading slash; `fix` writes it.
fn slashes(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(path) if key == "path" && !path.starts_with('/') => path.insert(0, '/'),
                    value => slashes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(slashes),
        _ => {}
    }
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = entries.flat_map(|path| if path.is_dir() { manifests(&path) } else { vec![path] }).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "json"));
    // No manifest; what the API server refuses; an explicit null, which counts as written to server-side apply, and as left out to `kubectl apply`.
    files.retain(|file| {
        !["recorded.json", "duplicate-keys.yaml", "quoted-port.yaml", "blanks.yaml"].iter().any(|name| file.ends_with(name))
    });
    files.sort();
    files
}
