//! A kube-apiserver of our own: one per test binary, one namespace per test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use crate::command;
pub(crate) use crate::command::Output;
use crate::http::{self, Answer};

/// etcd and kube-apiserver, and on request kube-controller-manager, on loopback. They end with the process that started them.
pub(crate) struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    address: String,
    token: String,
    tls: Arc<rustls::ClientConfig>,
    /// The supervisor ends everything when this closes, at the latest when the test binary ends.
    lifeline: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Cluster {
    /// The API server that all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A second one in which Kubernetes' own controllers act: they write to objects, which would disturb the other tests.
    pub(crate) fn with_controllers() -> &'static Self {
        static WITH_CONTROLLERS: OnceLock<Cluster> = OnceLock::new();
        WITH_CONTROLLERS.get_or_init(|| Self::start(&["--controllers"]))
    }

    /// One whose API server is restarted under the feet of one test only.
    pub(crate) fn of_its_own() -> &'static Self {
        Box::leak(Box::new(Self::start(&[])))
    }

    /// One of whose API server's flags a test makes something.
    pub(crate) fn with_flag(flag: &str) -> &'static Self {
        Box::leak(Box::new(Self::start(&[flag])))
    }

    fn start(flags: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let bin = std::env::var_os("KUBEBUILDER_ASSETS").map_or_else(|| root.join("target/controlplane/bin"), PathBuf::from);
        for binary in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
            assert!(bin.join(binary).exists(), "{} is missing: run make controlplane", bin.join(binary).display());
        }
        // The supervisor removes the folder: it outlives this process by the moment that takes.
        let dir = tempfile::Builder::new().prefix("probekeeper-test-").tempdir().expect("temporary folder").keep();
        // Nobody waits for it: it ends after this process does.
        #[allow(clippy::zombie_processes)]
        let mut supervisor = Command::new("bash")
            .arg(root.join("tests/controlplane/up.sh"))
            .args([&bin, &dir])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut line = String::new();
        let mut said = BufReader::new(supervisor.stdout.take().expect("piped"));
        said.read_line(&mut line).expect("supervisor's output");
        assert_eq!(line, "ready\n", "the control plane did not start: see above");
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).expect(file).trim().to_owned();
        Self {
            address: read("address"),
            token: read("token"),
            tls: http::client_config(read("ca.crt").as_bytes()),
            bin,
            dir,
            lifeline: Mutex::new((supervisor.stdin.take().expect("piped"), said)),
        }
    }

    /// Kills the API server and waits until it answers again, at the same address and with the same data.
    pub(crate) fn restart(&self) {
        let mut lifeline = self.lifeline.lock().expect("lifeline");
        let (supervisor, said) = &mut *lifeline;
        supervisor.write_all(b"restart\n").expect("supervisor's input");
        let mut line = String::new();
        said.read_line(&mut line).expect("supervisor's output");
        assert_eq!(line, "restarted\n", "the API server did not start again: see above");
    }

    /// Where the API server listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The kubeconfig of a user: `kubeconfig` of the administrator, `alice`, `probekeeper`.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(user)
    }

    /// The kubeconfig of the ServiceAccount `name` of a namespace. There are no tokens for it without a controller, so admin acts in its name.
    pub(crate) fn service_account(&self, namespace: &str, name: &str) -> PathBuf {
        let user = json!({ "token": self.token, "as": format!("system:serviceaccount:{namespace}:{name}") });
        let server = json!({ "server": format!("https://{}", self.address), "certificate-authority": self.dir.join("ca.crt") });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": server }],
            "users": [{ "name": "test", "user": user }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        });
        let file = self.folder(namespace).join(format!("{name}.kubeconfig"));
        std::fs::write(&file, config.to_string()).expect("kubeconfig");
        file
    }

    /// The chart's manifests from these templates, for a release whose objects are all called like its namespace.
    pub(crate) fn rendered(&self, namespace: &str, templates: &[&str]) -> String {
        let mut helm = Command::new(self.bin.join("helm"));
        helm.current_dir(env!("CARGO_MANIFEST_DIR")).env("HELM_CONFIG_HOME", self.folder("helm"));
        helm.args(["template", namespace, "charts/probekeeper", "--namespace", namespace, "--set"]);
        helm.arg(format!("fullnameOverride={namespace}")).args(templates.iter().flat_map(|&template| ["--show-only", template]));
        let output = helm.output().expect("helm: run make controlplane");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A folder for the files of one test.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.join("files").join(name);
        std::fs::create_dir_all(&folder).expect("folder");
        folder
    }

    /// Creates the namespace for one test. Its label is what the webhook registrations of that test select.
    pub(crate) fn namespace(&'static self, name: &str) -> Namespace {
        let answer = self.call("POST", "/api/v1/namespaces", &json!({ "metadata": { "name": name } }));
        assert_eq!(answer.code, 201, "{answer:?}");
        Namespace { cluster: self, name: name.to_owned() }
    }

    /// One API request as admin, its status code, warnings and body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_as(method, path, "application/json", &body.to_string())
    }

    /// As `call`, with a content type of the caller's choice: patches differ in nothing else.
    pub(crate) fn call_as(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type), ("Accept", "application/json")];
        http::request(&self.tls, &self.address, method, path, &headers, body)
    }
}

/// One test's corner of the cluster.
pub(crate) struct Namespace {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
}

impl Namespace {
    /// Runs kubectl as admin in this namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Output {
        self.run("kubeconfig", args, "")
    }

    /// As `kubectl`, with a manifest on its standard input (`-f -`).
    pub(crate) fn kubectl_with(&self, args: &[&str], manifest: &Value) -> Output {
        self.run("kubeconfig", args, &manifest.to_string())
    }

    /// As `kubectl_with`, but as alice, who is no administrator.
    pub(crate) fn kubectl_as_alice(&self, args: &[&str], manifest: &Value) -> Output {
        self.run("alice", args, &manifest.to_string())
    }

    /// As `kubectl`, but with the rights that probekeeper itself was given.
    pub(crate) fn kubectl_as_probekeeper(&self, args: &[&str]) -> Output {
        self.run("probekeeper", args, "")
    }

    fn run(&self, kubeconfig: &str, args: &[&str], stdin: &str) -> Output {
        let dir = &self.cluster.dir;
        let mut kubectl = Command::new(self.cluster.bin.join("kubectl"));
        kubectl
            .arg(format!("--kubeconfig={}", dir.join(kubeconfig).display()))
            .arg(format!("--cache-dir={}", dir.join("cache").display()))
            .arg(format!("--namespace={}", self.name))
            .args(args)
            // kubectl diff runs diff, and nothing of the machine's own configuration shall matter.
            .env("KUBERC", "off")
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .env_remove("KUBECONFIG");
        command::run(&mut kubectl, stdin)
    }

    /// The object as it is stored, for example `get("deployment", "web")`.
    #[track_caller]
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        let output = self.kubectl(&["get", kind, name, "-o", "json", "--show-managed-fields"]).ok();
        serde_json::from_str(&output.stdout).expect("JSON from kubectl")
    }

    /// All objects of a kind.
    #[track_caller]
    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        let output = self.kubectl(&["get", kind, "-o", "json"]).ok();
        let list: Value = serde_json::from_str(&output.stdout).expect("JSON from kubectl");
        list["items"].as_array().expect("items").clone()
    }

    /// The path of a collection in this namespace: `path("apis/apps/v1", "deployments")`.
    pub(crate) fn path(&self, api: &str, resource: &str) -> String {
        format!("/{api}/namespaces/{}/{resource}", self.name)
    }
}
