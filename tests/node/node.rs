//! A Kubernetes node of our own, shared by all tests.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::{self, Output};
use crate::http::{self, Answer};
use crate::image;

/// containerd, etcd, Kubernetes and a kubelet in namespaces of their own. They end with the process that started them.
pub(crate) struct Node {
    bin: PathBuf,
    dir: PathBuf,
    address: String,
    token: String,
    tls: Arc<rustls::ClientConfig>,
    /// Every object that was there before anything was installed.
    pristine: BTreeSet<String>,
    /// The supervisor ends everything when this closes, at the latest when the test binary ends.
    _lifeline: ChildStdin,
}

/// The label of the namespaces that tests make.
const OURS: &str = "node-test";

impl Node {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let root = root();
        let bin = root.join("target/controlplane/bin");
        // The supervisor removes the folder: it outlives this process by the moment that takes.
        let dir = tempfile::Builder::new().prefix("probekeeper-node-").tempdir().expect("temporary folder").keep();
        let images = tempfile::tempdir().expect("temporary folder");
        // Nobody waits for it: it ends after this process does.
        #[allow(clippy::zombie_processes)]
        let mut supervisor = Command::new("bash")
            .arg(root.join("tests/node/up.sh"))
            .args([&bin, &dir])
            .args([image::archive(), image::next_archive(images.path())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut line = String::new();
        BufReader::new(supervisor.stdout.take().expect("piped")).read_line(&mut line).expect("supervisor's output");
        assert_eq!(line, "ready\n", "the node did not start: see above");
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).expect(file).trim().to_owned();
        let mut node = Self {
            address: read("address"),
            token: read("token"),
            tls: http::client_config(read("ca.crt").as_bytes()),
            pristine: BTreeSet::new(),
            bin,
            dir,
            _lifeline: supervisor.stdin.take().expect("piped"),
        };
        node.pristine = node.objects();
        node
    }

    /// A folder for files of the tests.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.dir.join("files");
        std::fs::create_dir_all(&folder).expect("folder");
        folder
    }

    /// A file of the node's authority: `ca.crt`, or `NAME.crt` and `NAME.key` of what pki.sh issued.
    pub(crate) fn pki(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.dir.join("pki").join(file)).expect(file)
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_with(args, "")
    }

    /// As `kubectl`, with text on its standard input (`-f -`).
    pub(crate) fn kubectl_with(&self, args: &[&str], stdin: &str) -> Output {
        let mut kubectl = self.tool("kubectl");
        kubectl.arg(format!("--cache-dir={}", self.dir.join("cache").display())).args(args);
        command::run(&mut kubectl, stdin)
    }

    pub(crate) fn helm(&self, args: &[&str]) -> Output {
        command::run(self.tool("helm").args(args), "")
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.bin.join(name));
        tool.env("KUBECONFIG", self.dir.join("kubeconfig")).env("KUBERC", "off").current_dir(root());
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            tool.env(home, self.dir.join("helm"));
        }
        tool
    }

    /// Runs a command inside the node's namespaces, as root there.
    pub(crate) fn inside(&self, args: &[&str]) -> Output {
        let init = std::fs::read_to_string(self.dir.join("init.pid")).expect("init.pid");
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", init.trim(), "--mount", "--net", "--pid", "--ipc", "--uts", "--"]).args(args);
        command::run(&mut nsenter, "")
    }

    /// Starts or stops daemons of the node: see component.sh.
    #[track_caller]
    pub(crate) fn component(&self, args: &[&str]) {
        let script = root().join("tests/node/component.sh");
        let (script, dir) = (script.to_str().expect("UTF-8"), self.dir.to_str().expect("UTF-8"));
        self.inside(&[&["bash", script, dir], args].concat()).ok();
    }

    /// Waits until the API server answers.
    pub(crate) fn await_api(&self) {
        eventually("the API server is back", 120, || {
            self.kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]).succeeded()
        });
    }

    /// One API request as admin; an error when there is no answer at all.
    pub(crate) fn call(&self, method: &str, path: &str, content_type: &str, body: &str) -> std::io::Result<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type), ("Accept", "application/json")];
        http::try_request(&self.tls, &self.address, method, path, &headers, body)
    }

    /// What `kubectl get -o json ARGS` prints.
    #[track_caller]
    pub(crate) fn get(&self, args: &[&str]) -> Value {
        let output = self.kubectl(&[&["get", "-o", "json"], args].concat()).ok();
        serde_json::from_str(&output.stdout).expect("JSON from kubectl")
    }

    /// The items of `kubectl get -o json ARGS`.
    #[track_caller]
    pub(crate) fn list(&self, args: &[&str]) -> Vec<Value> {
        self.get(args)["items"].as_array().expect("items").clone()
    }

    /// Creates a namespace for one test, anew when it is there.
    pub(crate) fn namespace(&self, name: &str) {
        self.kubectl(&["delete", "namespace", name, "--ignore-not-found"]).ok();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { OURS: "" } } });
        self.kubectl_with(&["create", "-f", "-"], &namespace.to_string()).ok();
        eventually("the default service account", 30, || {
            self.kubectl(&["get", "serviceaccount", "default", "-n", name]).succeeded()
        });
    }

    /// Every object of the cluster that was not there at the start and is not a test's, as `Kind namespace/name`.
    pub(crate) fn additions(&self) -> BTreeSet<String> {
        let own: Vec<String> = self
            .list(&["namespaces", "-l", OURS])
            .iter()
            .map(|namespace| namespace["metadata"]["name"].as_str().expect("name").to_owned())
            .collect();
        let is_own =
            |object: &str| own.iter().any(|name| object.contains(&format!(" {name}/")) || object == format!("Namespace /{name}"));
        self.objects().difference(&self.pristine).filter(|object| !is_own(object)).cloned().collect()
    }

    /// Every object of the cluster but what comes and goes by itself: events, the leases of nodes and API servers.
    fn objects(&self) -> BTreeSet<String> {
        let resources = self.kubectl(&["api-resources", "--verbs=list", "-o", "name"]).ok().stdout;
        let fleeting = ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"];
        let resources: Vec<&str> = resources.lines().filter(|name| !fleeting.contains(name)).collect();
        let template = "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
        let args = ["get", &resources.join(","), "--all-namespaces", "-o", template];
        self.kubectl(&args).ok().stdout.lines().map(str::to_owned).collect()
    }
}

impl Output {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0
    }
}

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Asks `holds` again and again until it does; fails the test after that many seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_node_leaves_nothing_on_the_machine() {
    let node = Node::start();
    let (dir, address) = (node.dir.clone(), node.address.clone());
    let number = address.split('.').nth(1).expect("an address in 10.N.0.0/16");
    let interface = PathBuf::from(format!("/sys/class/net/pknode{number}"));
    let groups = || {
        let name = format!("probekeeper-node-{number}");
        let trees = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").filter_map(|tree| Some(tree.ok()?.path()));
        trees.chain([PathBuf::from("/sys/fs/cgroup")]).map(|tree| tree.join(&name)).filter(|group| group.exists()).count()
    };
    assert!(interface.exists() && groups() > 0, "{interface:?}");
    drop(node);
    eventually("its folder is gone", 60, || !dir.exists());
    assert!(!interface.exists(), "{interface:?} is still there");
    assert_eq!(groups(), 0, "cgroups are still there");
}
