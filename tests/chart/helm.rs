//! Both majors of Helm, cut off from the machine's own settings.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Output;

/// Name of the release in all tests.
pub(crate) const RELEASE: &str = "probekeeper";
/// Its namespace where none is of interest.
pub(crate) const NAMESPACE: &str = "probekeeper-system";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helm {
    Three,
    Four,
}

impl Helm {
    pub(crate) const BOTH: [Self; 2] = [Self::Three, Self::Four];

    fn binary(self) -> PathBuf {
        let folder = root().join("target/controlplane");
        let binary = folder.join(match self {
            Self::Three => "helm3",
            Self::Four => "bin/helm",
        });
        assert!(binary.exists(), "{} is missing: run make controlplane", binary.display());
        binary
    }

    /// Runs Helm without a cluster.
    pub(crate) fn run(self, args: &[&str]) -> Output {
        self.run_on(Path::new("/nonexistent"), args)
    }

    /// Runs Helm on the cluster of a kubeconfig.
    pub(crate) fn run_on(self, kubeconfig: &Path, args: &[&str]) -> Output {
        static HOME: OnceLock<TempDir> = OnceLock::new();
        let home = HOME.get_or_init(|| tempfile::tempdir().expect("temporary folder"));
        let mut command = Command::new(self.binary());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HELM_") {
                command.env_remove(name);
            }
        }
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, home.path().join(name));
        }
        let output = command.current_dir(root()).env("KUBECONFIG", kubeconfig).args(args).output().expect("helm");
        Output {
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// What is rendered in the namespace of the tests.
    #[track_caller]
    pub(crate) fn template(self, args: &[&str]) -> String {
        self.template_in(NAMESPACE, args)
    }

    #[track_caller]
    pub(crate) fn template_in(self, namespace: &str, args: &[&str]) -> String {
        let fixed = ["template", RELEASE, "charts/probekeeper", "--namespace", namespace];
        let output = self.run(&[fixed.as_slice(), args].concat()).ok();
        assert_eq!(output.stderr, "", "warnings");
        // Helm 4 puts an empty line after each object, Helm 3 does not.
        output.stdout.replace("\n\n---\n", "\n---\n").trim_end().to_owned() + "\n"
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every set of values that is tested, as name and path.
pub(crate) fn values() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(root().join("charts/probekeeper/ci"))
        .expect("ci")
        .map(|entry| {
            let path = entry.expect("entry").path();
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            let name = file.strip_suffix("-values.yaml").unwrap_or_else(|| panic!("{file}: name it *-values.yaml")).to_owned();
            (name, path.to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    files
}

/// The objects of rendered text.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    probekeeper::yaml::parse(text)
        .iter()
        .map(|document| {
            let mut json = String::new();
            document.root.as_ref().expect("YAML").to_json(&mut json);
            serde_json::from_str::<Value>(&json).expect("JSON")
        })
        .filter(|object| !object.is_null())
        .collect()
}

/// The only object of a kind and name.
#[track_caller]
pub(crate) fn object(objects: &[Value], kind: &str, name: &str) -> Value {
    let found: Vec<&Value> = objects.iter().filter(|o| o["kind"] == kind && o["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0].clone()
}

/// Runs probekeeper itself on rendered text.
pub(crate) fn probekeeper(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_probekeeper"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("probekeeper");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("probekeeper");
    Output {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code().unwrap_or(-1),
    }
}
