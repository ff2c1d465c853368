//! Certificates that the replicas keep themselves, with no more rights than the chart gives them: who makes the CA, what is repaired, and that no call
//! fails while certificates change. Each replica has an entry of its own in both webhook configurations, so that every call goes to all of them.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probekeeper::pki::certificate::to_pem;
use probekeeper::pki::issue;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::http::{self, Answer};
use crate::webhook::{CONFIGURATIONS, Server, collection, eventually, free_address, rules};
use crate::workloads::{complete, deployment, hair_trigger};

const REPLICAS: usize = 3;

/// The replicas of one release. Everything is called like the namespace, but the Secret: that has `-ca` at its end.
struct Release {
    namespace: Namespace,
    addresses: Vec<String>,
}

impl Release {
    fn new(name: &str) -> Self {
        let release =
            Self { namespace: Cluster::shared().namespace(name), addresses: (0..REPLICAS).map(|_| free_address()).collect() };
        for (kind, _) in CONFIGURATIONS {
            release.register(kind);
        }
        release
    }

    /// One configuration as the chart renders it: nobody is trusted yet, and whoever does not answer fails the call.
    fn register(&self, kind: &str) {
        let name = &self.namespace.name;
        let (_, path) = CONFIGURATIONS.into_iter().find(|(known, _)| *known == kind).expect("a configuration");
        let entry = |(number, address): (usize, &String)| {
            json!({
                "name": format!("{path}-{number}.probekeeper.dev"),
                "clientConfig": { "url": format!("https://{address}/{path}") },
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
                "rules": rules(), "failurePolicy": "Fail", "timeoutSeconds": 10,
                "sideEffects": "None", "matchPolicy": "Equivalent", "admissionReviewVersions": ["v1"],
            })
        };
        let webhooks: Vec<Value> = self.addresses.iter().enumerate().map(entry).collect();
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": name }, "webhooks": webhooks,
        });
        let answer = self.namespace.cluster.call("POST", &collection(kind), &object);
        assert_eq!(answer.code, 201, "{answer:?}");
    }

    fn unregister(&self, kind: &str) {
        let path = format!("{}/{}", collection(kind), self.namespace.name);
        let answer = self.namespace.cluster.call("DELETE", &path, &Value::Null);
        assert_eq!(answer.code, 200, "{answer:?}");
    }

    /// Applies what the chart renders from these templates.
    fn install(&self, templates: &[&str]) {
        let Namespace { cluster, name } = &self.namespace;
        let file = cluster.folder(name).join("rendered.yaml");
        std::fs::write(&file, cluster.rendered(name, templates)).expect("file");
        self.namespace.kubectl(&["apply", "-f", file.to_str().expect("UTF-8")]).ok();
    }

    /// A replica as the chart starts it, but reached by address and in more of a hurry.
    fn start(&self, number: usize, more: &[&str]) -> Server {
        let Namespace { cluster, name } = &self.namespace;
        let mut flags = vec![format!("--validating-configuration={name}"), format!("--mutating-configuration={name}")];
        if !more.iter().any(|flag| flag.starts_with("--tls")) {
            flags.extend([format!("--tls=managed:{name}/{name}-ca"), "--certificate-name=127.0.0.1".to_owned()]);
        }
        flags.extend(more.iter().map(ToString::to_string));
        let folder = cluster.folder(&format!("{name}-{number}"));
        Server::launch(&folder, &cluster.service_account(name, name), &self.addresses[number], &flags)
    }

    /// All replicas at the same moment.
    fn start_all(&self, more: &[&str]) -> Vec<Server> {
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..REPLICAS).map(|number| scope.spawn(move || self.start(number, more))).collect();
            starting.into_iter().map(|one| one.join().expect("a replica")).collect()
        })
    }

    /// A value of the Secret, as text; none if there is none.
    fn secret(&self, key: &str) -> Option<String> {
        let Namespace { cluster, name } = &self.namespace;
        let secret = cluster.call("GET", &format!("{}/{name}-ca", self.namespace.path("api/v1", "secrets")), &Value::Null);
        Some(decoded(secret.body["data"][key].as_str()?))
    }

    /// The bundle of each entry of one configuration.
    fn bundles(&self, kind: &str) -> Vec<String> {
        let path = format!("{}/{}", collection(kind), self.namespace.name);
        let object = self.namespace.cluster.call("GET", &path, &Value::Null).body;
        let entries = object["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().map(|entry| decoded(entry["clientConfig"]["caBundle"].as_str().unwrap_or_default())).collect()
    }

    /// Waits until every entry of both configurations has this bundle.
    #[track_caller]
    fn published(&self, bundle: &str) {
        for (kind, _) in CONFIGURATIONS {
            let right = || self.bundles(kind) == [bundle; REPLICAS];
            assert!(eventually(right), "{kind}: {:#?}\nexpected {bundle}", self.bundles(kind));
        }
    }

    /// Waits until every replica serves a certificate that this CA signed.
    #[track_caller]
    fn served_under(&self, ca: &str) {
        for address in &self.addresses {
            let right = || handshake(address, ca).is_ok();
            assert!(eventually(right), "{address}: {:?}", handshake(address, ca));
        }
    }

    /// Asks for a Deployment with this container; nothing is stored.
    fn create(&self, container: &Value) -> Answer {
        let path = format!("{}?dryRun=All", self.namespace.path("apis/apps/v1", "deployments"));
        self.namespace.cluster.call("POST", &path, &deployment(container))
    }

    /// Waits until the API server reaches all replicas, and checks that they judge.
    #[track_caller]
    fn works(&self) {
        assert!(eventually(|| self.create(&complete()).code == 201), "{:?}", self.create(&complete()));
        let denied = self.create(&hair_trigger());
        assert!(denied.message().contains("liveness"), "{denied:?}");
        assert_eq!(denied.code, 403, "{denied:?}");
    }

    /// Runs `change` while calls come without a pause, none of which may fail; and while new clients come that trust what is published, and nothing
    /// else. What they read is `fresh` for so long.
    #[track_caller]
    fn unnoticed(&self, fresh: Duration, change: impl FnOnce()) {
        let (over, calls, connections) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            // Also when `change` fails: nobody would end the others.
            let _end = OnDrop(&over);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        let answer = self.create(&complete());
                        if answer.code != 201 {
                            failures.lock().expect("failures").push(format!("{:?}: {}", SystemTime::now(), answer.message()));
                        }
                        calls.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let read = Instant::now();
                    for (address, bundle) in self.addresses.iter().zip(self.bundles(CONFIGURATIONS[0].0)) {
                        let connected = handshake(address, &bundle);
                        // On a busy machine the bundle may be older than any that an API server goes by.
                        if let (Err(error), true) = (connected, read.elapsed() < fresh) {
                            failures.lock().expect("failures").push(format!("{:?}: {address}: {error}", SystemTime::now()));
                        }
                        connections.fetch_add(1, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            change();
        });
        let failures = failures.into_inner().expect("failures");
        assert!(failures.is_empty(), "{} of {} calls failed: {failures:#?}", failures.len(), calls.into_inner());
        assert!(calls.into_inner() > 10 && connections.into_inner() > 10, "hardly anything was asked");
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        for (kind, _) in CONFIGURATIONS {
            let path = format!("{}/{}", collection(kind), self.namespace.name);
            self.namespace.cluster.call("DELETE", &path, &Value::Null);
        }
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn decoded(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("UTF-8")
}

/// Connects as a client that trusts `bundle`, under the address.
fn handshake(address: &str, bundle: &str) -> Result<(), String> {
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let mut client =
        rustls::ClientConnection::new(Arc::clone(&http::client_config(bundle.as_bytes())), name).expect("TLS client");
    let mut tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("read timeout");
    while client.is_handshaking() {
        client.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    Ok(())
}

const RIGHTS: &str = "templates/rbac.yaml";
const SECRET: &str = "templates/certificates.yaml";

/// From a fresh installation through everything that somebody may do to it.
#[test]
fn replicas_agree_on_one_ca_and_keep_it() {
    let release = Release::new("certificates");
    let quick = ["--rotation-overlap=2s", "--certificate-check=1s"];
    let forbidden = release.start(0, &quick);
    let expected = "[-]certificate: cannot read the validating webhook configuration certificates: validatingwebhookconfigurations.admissionregistration.k8s.io \"certificates\" is forbidden: User \"system:serviceaccount:certificates:certificates\" cannot get resource";
    assert!(eventually(|| forbidden.readiness().contains(expected)), "{}", forbidden.readiness());
    drop(forbidden);

    release.install(&[RIGHTS, SECRET]);
    assert_eq!(release.secret("ca.crt"), None);
    let mut replicas = release.start_all(&quick);
    replicas.iter().for_each(Server::wait_ready);
    let ca = release.secret("ca.crt").expect("a CA");
    assert_eq!((release.secret("next.crt"), release.secret("previous.crt")), (None, None));
    let sum = |replicas: &[Server], start: &str| replicas.iter().map(|replica| replica.sum(start)).sum::<f64>();
    let found = "probekeeper_certificate_actions_total{action=\"found\",result=\"ok\"}";
    assert!((sum(&replicas, found) - 1.0).abs() < 0.1, "one has made it, the others have taken it over");
    release.published(&ca);
    release.served_under(&ca);
    release.works();
    for replica in &replicas {
        assert!(replica.sum("probekeeper_admission_requests_total{") > 0.0);
        assert!(
            eventually(|| replica.counts("probekeeper_ca_bundle_in_sync{configuration=\"mutating\"} 1")),
            "{}",
            replica.log()
        );
    }

    // Somebody renders the configurations with a field that is not theirs, empty or with something else in it.
    let patch = |kind: &str, patch: &Value| {
        let path = format!("{}/{}", collection(kind), release.namespace.name);
        let answer = release.namespace.cluster.call_as("PATCH", &path, "application/json-patch+json", &patch.to_string());
        assert_eq!(answer.code, 200, "{answer:?}");
    };
    patch("ValidatingWebhookConfiguration", &json!([{ "op": "remove", "path": "/webhooks/1/clientConfig/caBundle" }]));
    patch(
        "MutatingWebhookConfiguration",
        &json!(
            [0, 1, 2]
                .map(|n| json!({ "op": "replace", "path": format!("/webhooks/{n}/clientConfig/caBundle"), "value": "Cg==" }))
        ),
    );
    release.published(&ca);
    release.works();

    // The Secret is lost, key and all: there has to be a new CA, and what is served under the old one stays good.
    let secret = format!("{}-ca", release.namespace.name);
    release.unnoticed(Duration::from_secs(1), || {
        release.namespace.kubectl(&["delete", "secret", &secret]).ok();
        assert!(eventually(|| release.secret("ca.crt").is_some_and(|new| new != ca)), "{}", replicas[0].log());
        let new = release.secret("ca.crt").expect("a CA");
        assert_eq!(release.secret("previous.crt"), Some(ca.clone()));
        release.published(&[ca.as_str(), &new].concat());
        release.served_under(&new);
        assert!(replicas.iter().all(|replica| replica.readiness().starts_with("HTTP/1.1 200")));
    });
    assert!((sum(&replicas, found) - 2.0).abs() < 0.1);
    let ca = release.secret("ca.crt").expect("a CA");
    let both = [release.secret("previous.crt").expect("the old one"), ca.clone()].concat();

    // Disarmed, which is nobody's fault: replicas stay ready, and new ones get ready.
    for (kind, _) in CONFIGURATIONS {
        release.unregister(kind);
    }
    for which in ["validating", "mutating"] {
        let line = format!("probekeeper_webhook_configuration_present{{configuration=\"{which}\"}} 0");
        assert!(replicas.iter().all(|replica| eventually(|| replica.counts(&line))), "{}", replicas[0].log());
    }
    drop(replicas.remove(0));
    replicas.insert(0, release.start(0, &quick));
    replicas.iter().for_each(Server::wait_ready);
    release.served_under(&ca);
    for (kind, _) in CONFIGURATIONS {
        release.register(kind);
    }
    release.works();
    for (kind, _) in CONFIGURATIONS {
        let bundles = release.bundles(kind);
        // The old one comes back too: it is kept for as long as a leaf under it may be alive.
        assert_eq!(bundles, [both.as_str(); REPLICAS], "{kind}");
    }
    let user = format!("--as=system:serviceaccount:{0}:{0}", release.namespace.name);
    let said = release.namespace.kubectl(&["get", "secrets", &user]).refused();
    assert!(said.contains("cannot list resource \"secrets\""), "{said}");
}

/// Two thirds of the CA's life are over: the next one is made, published, takes over, and the old one goes.
#[test]
fn a_rotation_fails_no_call() {
    let release = Release::new("rotation");
    let (life, overlap) = (Duration::from_mins(10), Duration::from_secs(3));
    // Due in a few seconds.
    let made = SystemTime::now() - life * 2 / 3 + Duration::from_secs(4);
    let old = issue::authority(life, made).expect("an authority");
    let old_pem = to_pem(&[old.certificate().clone()]);
    let data = json!({ "ca.crt": STANDARD.encode(&old_pem), "ca.key": STANDARD.encode(old.key()) });
    release
        .namespace
        .kubectl_with(
            &["create", "-f", "-"],
            &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "rotation-ca" }, "data": data }),
        )
        .ok();
    release.install(&[RIGHTS]);
    let short = ["--ca-lifetime=10m", "--leaf-lifetime=9s", "--rotation-overlap=3s", "--certificate-check=1s"];
    let replicas = release.start_all(&short);
    replicas.iter().for_each(Server::wait_ready);
    release.works();
    release.unnoticed(overlap / 2, || {
        assert!(eventually(|| release.secret("ca.crt").is_some_and(|ca| ca != old_pem)), "{}", replicas[0].log());
        let new = release.secret("ca.crt").expect("a CA");
        assert_eq!((release.secret("next.crt"), release.secret("previous.crt")), (None, Some(old_pem.clone())));
        release.published(&[old_pem.as_str(), &new].concat());
        release.served_under(&new);
        for replica in &replicas {
            replica.calls_only(release.namespace.cluster.address());
        }
        // After the life of a leaf and the overlap, twice.
        assert!(eventually(|| release.secret("previous.crt").is_none()), "{}", replicas[0].log());
        release.published(&new);
        release.served_under(&new);
    });
    for replica in &replicas {
        assert!(replica.sum("probekeeper_certificate_actions_total{action=\"issue\",result=\"ok\"}") >= 3.0, "{}", replica.log());
        assert!(
            eventually(|| replica.counts("probekeeper_ca_bundle_in_sync{configuration=\"validating\"} 1")),
            "{}",
            replica.log()
        );
        let failed = replica.sum("probekeeper_certificate_actions_total{action=\"publish\",result=\"failed\"}");
        assert!(failed < 0.1, "{}", replica.log());
    }
}

/// Somebody else's CA and pair, all three files replaced at once, as a kubelet does with a Secret.
#[test]
fn a_pair_of_another_ca_waits_until_that_ca_is_known() {
    let release = Release::new("files");
    release.install(&[RIGHTS]);
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |issued: &issue::Issued| {
        for (name, text) in [("ca.crt", &issued.authority), ("tls.crt", &issued.certificate), ("tls.key", &issued.key)] {
            std::fs::write(path(name), text).expect("file");
        }
    };
    let now = SystemTime::now();
    let [old, new] = [now - Duration::from_mins(1), now].map(|made| issue::development(None, made).expect("a pair"));
    write(&old);
    let flags = [
        format!("--tls=files:{},{}", path("tls.crt"), path("tls.key")),
        format!("--publish-ca={}", path("ca.crt")),
        "--rotation-overlap=3s".to_owned(),
        "--certificate-check=500ms".to_owned(),
    ];
    let replicas = release.start_all(&flags.each_ref().map(String::as_str));
    replicas.iter().for_each(Server::wait_ready);
    release.published(&old.authority);
    release.works();
    release.unnoticed(Duration::from_millis(1500), || {
        write(&new);
        release.published(&[old.authority.as_str(), &new.authority].concat());
        release.served_under(&new.authority);
        release.published(&new.authority);
        release.served_under(&new.authority);
    });
    let logged: Vec<Value> = replicas
        .iter()
        .flat_map(|replica| replica.log().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<_>>())
        .collect();
    let times = |message: &str, certificates: &Value| {
        let lines = logged.iter().filter(|line| line["message"] == message && line["certificates"] == *certificates);
        let mut times: Vec<jiff::Timestamp> =
            lines.map(|line| line["timestamp"].as_str().expect("a time").parse().expect("a time")).collect();
        times.sort();
        times
    };
    let (published, served) = (times("published the CA", &json!(2)), times("serving a new certificate", &Value::Null));
    assert_eq!(served.len(), REPLICAS, "{logged:#?}");
    let waited = served[0].duration_since(published[0]).as_secs_f64();
    assert!(waited >= 3.0, "served {waited} s after its CA was published: {logged:#?}");
    for (kind, _) in CONFIGURATIONS {
        release.unregister(kind);
    }
    // Disarmed, which is nobody's fault.
    drop(replicas);
    let late = release.start(0, &flags.each_ref().map(String::as_str));
    late.wait_ready();
}
