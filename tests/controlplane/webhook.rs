//! The real `probekeeper serve`, or a server that misbehaves, registered with the API server for one namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Namespace;
use crate::sockets::sockets;

/// How long a process may take to get ready, and the API server to see a new registration.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the API server does when a call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FailurePolicy {
    Fail,
    Ignore,
}

/// A running `probekeeper serve`, registered for one namespace. Dropping it ends the process and removes the registration.
pub(crate) struct Webhook<'a> {
    server: Server,
    _registration: Registration<'a>,
}

impl<'a> Webhook<'a> {
    /// With the built-in policy, or the given policy file, and `failurePolicy: Fail`, so that no fault of ours goes unseen.
    pub(crate) fn start(namespace: &'a Namespace, policy: Option<&str>) -> Self {
        Self::start_with(namespace, policy, FailurePolicy::Fail)
    }

    pub(crate) fn start_with(namespace: &'a Namespace, policy: Option<&str>, failure: FailurePolicy) -> Self {
        let folder = namespace.cluster.folder(&namespace.name);
        let flag = policy.map(|policy| {
            let file = folder.join("policy.yaml");
            std::fs::write(&file, policy).expect("policy file");
            format!("file:{}", file.display())
        });
        let server = Server::start(namespace, &folder, flag.as_deref());
        server.wait_ready();
        let registration = Registration::new(namespace, &server.url, &server.ca, failure);
        Self { server, _registration: registration }
    }

    /// Follows the ConfigMap `policy` of the namespace with the least rights (see [`grant`]). `guarded`: whether that ConfigMap is checked when it
    /// is applied. Does not wait for readiness, which takes a policy.
    pub(crate) fn following(namespace: &'a Namespace, guarded: bool) -> Self {
        grant(namespace);
        Self::registered(namespace, guarded)
    }

    fn registered(namespace: &'a Namespace, guarded: bool) -> Self {
        let server = Server::following(namespace, "first");
        let entry = guarded.then(|| policy_entry(namespace, &server.url, &server.ca));
        let registration = Registration::with(namespace, &server.url, &server.ca, FailurePolicy::Fail, entry);
        Self { server, _registration: registration }
    }

    /// Another process in the place of this one.
    pub(crate) fn replaced(self, namespace: &'a Namespace, guarded: bool) -> Self {
        drop(self);
        Self::registered(namespace, guarded)
    }

    /// Waits until every gate is open.
    pub(crate) fn wait_ready(&self) {
        self.server.wait_ready();
    }

    /// Status line and gates of `/readyz?verbose`.
    pub(crate) fn readiness(&self) -> String {
        self.server.readiness()
    }

    /// Whether the metrics hold this line.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.server.counts(line)
    }

    /// Whether the process of the start is still there.
    pub(crate) fn lives(&mut self) -> bool {
        self.server.guard.try_wait().expect("wait").is_none()
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Ends the server at once, as the kernel or a lost machine would; the registration stays.
    pub(crate) fn kill(&self) {
        self.server.signal("KILL");
        assert!(eventually(|| TcpStream::connect(&self.server.ops).is_err()), "probekeeper still listens after SIGKILL");
    }

    /// Asks the server to end, as Kubernetes does, while `meanwhile` runs; returns its exit code.
    pub(crate) fn terminate(&mut self, meanwhile: impl FnOnce()) -> Option<i32> {
        self.server.signal("TERM");
        meanwhile();
        // Not `wait`: it closes the guard's input first, which is the signal to kill.
        let mut code = None;
        eventually(|| {
            code = self.server.guard.try_wait().expect("wait").and_then(|status| status.code());
            code.is_some()
        });
        code
    }

    /// How many reviews this server has answered.
    pub(crate) fn requests(&self) -> f64 {
        self.server.sum("probekeeper_admission_requests_total{")
    }
}

pub(crate) struct Server {
    /// The shell that ends probekeeper when this process is gone.
    guard: Child,
    pid: String,
    url: String,
    ops: String,
    ca: String,
    log: PathBuf,
}

impl Server {
    /// Another replica that follows the ConfigMap `policy`, called `name`.
    pub(crate) fn following(namespace: &Namespace, name: &str) -> Self {
        let folder = namespace.cluster.folder(&format!("{}-{name}", namespace.name));
        Self::start(namespace, &folder, Some(&format!("configmap:{}/policy", namespace.name)))
    }

    fn start(namespace: &Namespace, folder: &Path, policy: Option<&str>) -> Self {
        let ca_file = folder.join("webhook-ca.crt");
        let mut flags = vec!["--tls=self-signed".to_owned(), format!("--ca-out={}", ca_file.display())];
        flags.extend(policy.map(|policy| format!("--policy={policy}")));
        let mut server = Self::launch(folder, &namespace.cluster.kubeconfig("probekeeper"), &free_address(), &flags);
        server.ca = std::fs::read_to_string(&ca_file).expect("file of --ca-out");
        server
    }

    /// At this address, with these flags and as this user; waits until the process lives, not until it is ready.
    pub(crate) fn launch(folder: &Path, kubeconfig: &Path, listen: &str, flags: &[String]) -> Self {
        let ops = free_address();
        let log_file = folder.join("probekeeper.log");
        let log = std::fs::File::create(&log_file).expect("log file");
        // Prints the server's process id, then waits; the end of its input is this process's end.
        let guard =
            "exec 3<&0; \"$@\" < /dev/null 3<&- > /dev/null & echo $!; { cat <&3; kill -KILL $!; } > /dev/null 2>&1 & wait %1";
        let mut command = Command::new("bash");
        command.args(["-c", guard, "guard", env!("CARGO_BIN_EXE_probekeeper"), "serve"]);
        command.args(["--listen", listen, "--ops-listen", &ops, "--log-format", "json", "--drain-delay", "15s"]);
        command.args(flags).env("KUBECONFIG", kubeconfig);
        let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn().expect("bash");
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().expect("piped")).read_line(&mut pid).expect("process id");
        let up = eventually(|| guard.try_wait().expect("wait").is_some() || ops_get(&ops, "/livez").is_some());
        let said = || std::fs::read_to_string(&log_file).unwrap_or_default();
        assert!(up && guard.try_wait().expect("wait").is_none(), "probekeeper serve did not start: {}", said());
        let pid = pid.trim().to_owned();
        Self { guard, pid, url: format!("https://{listen}"), ops, ca: String::new(), log: log_file }
    }

    pub(crate) fn wait_ready(&self) {
        let ready = eventually(|| ops_get(&self.ops, "/readyz").is_some_and(|text| text.starts_with("HTTP/1.1 200")));
        let said = || std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ready, "probekeeper serve did not get ready: {:?}\n{}", ops_get(&self.ops, "/readyz?verbose"), said());
    }

    pub(crate) fn counts(&self, line: &str) -> bool {
        ops_get(&self.ops, "/metrics").is_some_and(|text| text.lines().any(|found| found == line))
    }

    /// The sum of all samples whose lines start like this.
    pub(crate) fn sum(&self, start: &str) -> f64 {
        let text = ops_get(&self.ops, "/metrics").expect("metrics");
        let lines = text.lines().filter(|line| line.starts_with(start));
        lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a sample")).sum()
    }

    /// Status line and gates of `/readyz?verbose`.
    pub(crate) fn readiness(&self) -> String {
        ops_get(&self.ops, "/readyz?verbose").expect("readiness")
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("log")
    }

    /// The API server is the only one that it calls, beside its own port, at which it looks.
    #[track_caller]
    pub(crate) fn calls_only(&self, api_server: &str) {
        let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port");
        let (api_server, listen, ops) = (port(api_server), port(&self.url), port(&self.ops));
        let sockets = sockets(self.pid.parse().expect("a process id"));
        assert!(sockets.iter().any(|(_, _, there)| *there == api_server), "it has no connection to the API server: {sockets:?}");
        for (protocol, here, there) in sockets {
            let known = [listen, ops].contains(&here) || [listen, api_server].contains(&there);
            assert!(
                protocol.starts_with("tcp") && known,
                "{protocol} from {here} to {there}, beside {listen}, {ops}, {api_server}"
            );
        }
    }

    fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([&format!("-{signal}"), &self.pid]).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("KILL");
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A webhook server that does what the test says with each request, for what a correct server cannot be made to do.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    pub(crate) ca: String,
}

/// The stream after the request was read, and the request's body.
pub(crate) type Behaviour = fn(&mut dyn ReadWrite, &Value);
pub(crate) trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl FakeServer {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("key");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("certificate and key");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("https://{}", listener.local_addr().expect("address"));
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                std::thread::spawn(move || {
                    let tls = rustls::ServerConnection::new(config).expect("TLS server");
                    let mut stream = rustls::StreamOwned::new(tls, tcp);
                    // One request per connection: what is not answered then ends as it would when a process dies.
                    if let Some(review) = read_review(&mut stream) {
                        behaviour(&mut stream, &review);
                    }
                });
            }
        });
        Self { url, ca: certified.cert.pem() }
    }
}

/// Reads one request with a `Content-Length`; `None` at the end of the stream.
fn read_review(stream: &mut dyn ReadWrite) -> Option<Value> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// Both webhook configurations, for one namespace only, so that tests with different policies do not see each other.
pub(crate) struct Registration<'a> {
    namespace: &'a Namespace,
}

pub(crate) const CONFIGURATIONS: [(&str, &str); 2] =
    [("MutatingWebhookConfiguration", "mutate"), ("ValidatingWebhookConfiguration", "validate")];

impl<'a> Registration<'a> {
    pub(crate) fn new(namespace: &'a Namespace, url: &str, ca: &str, failure: FailurePolicy) -> Self {
        Self::with(namespace, url, ca, failure, None)
    }

    /// The same for a webhook that is reached by a Service of the namespace.
    pub(crate) fn by_service(namespace: &'a Namespace, name: &str, port: u16, ca: &str, failure: FailurePolicy) -> Self {
        let reached = |path: &str| json!({ "service": { "namespace": namespace.name, "name": name, "port": port, "path": format!("/{path}") } });
        Self::reached(namespace, reached, ca, failure, None)
    }

    /// With one more entry in the validating configuration.
    fn with(namespace: &'a Namespace, url: &str, ca: &str, failure: FailurePolicy, entry: Option<Value>) -> Self {
        Self::reached(namespace, |path| json!({ "url": format!("{url}/{path}") }), ca, failure, entry)
    }

    fn reached(
        namespace: &'a Namespace,
        reached: impl Fn(&str) -> Value,
        ca: &str,
        failure: FailurePolicy,
        mut entry: Option<Value>,
    ) -> Self {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(ca);
        let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace.name } });
        for (kind, path) in CONFIGURATIONS {
            let mut product = json!({
                "name": format!("{path}.probekeeper.dev"),
                "clientConfig": reached(path),
                "namespaceSelector": selector,
                "rules": rules(),
                "failurePolicy": format!("{failure:?}"),
                "timeoutSeconds": if path == "mutate" { 2 } else { 3 },
                "sideEffects": "None", "matchPolicy": "Equivalent", "admissionReviewVersions": ["v1"],
            });
            product["clientConfig"]["caBundle"] = json!(ca);
            if path == "mutate" {
                product["reinvocationPolicy"] = json!("IfNeeded");
            }
            // Nobody listens on port 1: once a ConfigMap of this label is refused, the API server has seen this configuration.
            let canary = json!({
                "name": format!("{path}.canary.test"),
                "clientConfig": { "url": "https://127.0.0.1:1/" },
                "namespaceSelector": selector,
                "objectSelector": { "matchLabels": { "canary": path } },
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"] }],
                "failurePolicy": "Fail", "timeoutSeconds": 1, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            });
            let mut webhooks = vec![product, canary];
            if path == "validate" {
                webhooks.extend(entry.take());
            }
            let configuration = json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": { "name": namespace.name }, "webhooks": webhooks,
            });
            let answer = namespace.cluster.call("POST", &collection(kind), &configuration);
            assert_eq!(answer.code, 201, "{answer:?}");
        }
        for (_, path) in CONFIGURATIONS {
            let canary = json!({ "metadata": { "name": path, "labels": { "canary": path } } });
            let target = format!("{}?dryRun=All", namespace.path("api/v1", "configmaps"));
            let seen = eventually(|| namespace.cluster.call("POST", &target, &canary).code == 500);
            assert!(seen, "the API server did not take up the {path} configuration");
        }
        Self { namespace }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        for (kind, _) in CONFIGURATIONS {
            self.namespace.cluster.call("DELETE", &format!("{}/{}", collection(kind), self.namespace.name), &Value::Null);
        }
    }
}

pub(crate) fn collection(kind: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/{}s", kind.to_lowercase())
}

/// What the chart installs: Pods and Jobs on CREATE only, no subresources, no wildcards.
pub(crate) fn rules() -> Value {
    let rule = |group: &str, operations: &[&str], resources: &[&str]| json!({ "apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": resources, "scope": "Namespaced" });
    json!([
        rule("", &["CREATE"], &["pods"]),
        rule("batch", &["CREATE"], &["jobs"]),
        rule("", &["CREATE", "UPDATE"], &["replicationcontrollers"]),
        rule("apps", &["CREATE", "UPDATE"], &["deployments", "statefulsets", "daemonsets", "replicasets"]),
        rule("batch", &["CREATE", "UPDATE"], &["cronjobs"]),
        // From `policy.workloads` of the tests that have some.
        rule("custom.test", &["CREATE", "UPDATE"], &["rollouts", "pools"]),
    ])
}

/// What the chart installs to check the policy itself: that one ConfigMap, and whatever happens, it can be repaired.
fn policy_entry(namespace: &Namespace, url: &str, ca: &str) -> Value {
    use base64::Engine as _;
    json!({
        "name": "policy.probekeeper.dev",
        "clientConfig": { "url": format!("{url}/policy"), "caBundle": base64::engine::general_purpose::STANDARD.encode(ca) },
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace.name } },
        "matchConditions": [{ "name": "the-policy", "expression": "request.name == 'policy'" }],
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"], "scope": "Namespaced" }],
        "failurePolicy": "Ignore", "timeoutSeconds": 2,
        "sideEffects": "None", "matchPolicy": "Equivalent", "admissionReviewVersions": ["v1"],
    })
}

/// All that user probekeeper needs to follow the ConfigMap `policy` of a namespace and to write Events about it.
pub(crate) fn grant(namespace: &Namespace) {
    let role = json!({
        "metadata": { "name": "probekeeper" },
        "rules": [
            { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["policy"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
        ],
    });
    let binding = json!({
        "metadata": { "name": "probekeeper" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probekeeper" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "probekeeper" }],
    });
    for (resource, object) in [("roles", role), ("rolebindings", binding)] {
        let answer = namespace.cluster.call("POST", &namespace.path("apis/rbac.authorization.k8s.io/v1", resource), &object);
        assert_eq!(answer.code, 201, "{answer:?}");
    }
}

/// Tries until it holds or the patience ends.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A loopback address that was free a moment ago, below 32768: from there on Linux gives ports to outgoing connections, of which there are many here.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = 10_000 + ((std::process::id() % 200) * 97 + NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// The whole answer to a GET on the operations port, `None` while nobody listens.
fn ops_get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
