//! Every manifest under examples/ fares as its first line says: `# Expected: rejected RULE`, `filled in` or `accepted`, the last two with
//! `, warning RULE` where a warning is due. `make demo` shows the same to people.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::webhook::Webhook;

#[test]
fn examples_fare_as_they_say() {
    let namespace = Cluster::shared().namespace("examples");
    let _webhook = Webhook::start(&namespace, None);
    let files = manifests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    assert!(files.len() >= 11, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("manifest");
        let expected = text.lines().next().and_then(|l| l.strip_prefix("# Expected: "));
        let expected = expected.unwrap_or_else(|| panic!("{}: the first line does not say what is expected", file.display()));
        let path = file.to_str().expect("UTF-8");
        let output = namespace.kubectl(&["apply", "-f", path]);
        let said = format!("{path}: {}{}", output.stdout, output.stderr);
        if let Some(rule) = expected.strip_prefix("rejected ") {
            assert!(output.code == 1 && output.stderr.contains("denied the request") && output.stderr.contains(rule), "{said}");
            continue;
        }
        assert_eq!(output.code, 0, "{said}");
        let (outcome, rule) = expected.split_once(", warning ").map_or((expected, None), |(o, r)| (o, Some(r)));
        let warnings: Vec<_> = output.stderr.lines().filter(|l| l.starts_with("Warning:")).collect();
        match rule {
            Some(rule) => assert!(warnings.iter().any(|w| w.contains(rule)), "{said}"),
            None => assert_eq!(warnings, Vec::<&str>::new(), "{said}"),
        }
        let stored = namespace.kubectl(&["get", "-f", path, "-o", "json"]).ok();
        let stored: Value = serde_json::from_str(&stored.stdout).expect("JSON");
        let objects = stored["items"].as_array().cloned().unwrap_or_else(|| vec![stored.clone()]);
        let filled = objects.iter().any(|o| o["metadata"]["annotations"]["probekeeper.dev/filled"].is_string());
        assert_eq!(if filled { "filled in" } else { "accepted" }, outcome, "{said}");
    }
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path());
    let mut files: Vec<_> = entries.flat_map(|p| if p.is_dir() { manifests(&p) } else { vec![p] }).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}
