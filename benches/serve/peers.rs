//! What a real API server sees of probekeeper, of a webhook that does nothing, and of the ValidatingAdmissionPolicies that `probekeeper export vap` writes.
//!
//! Each subject is registered for a namespace of its own, for CREATE of Deployments. One client sends dry runs, one after the other, to each namespace in
//! turn; figures are differences of the API server's own histograms around each turn. A dry run passes all of admission and writes nothing.

use std::time::SystemTime;

use probekeeper::export;
use probekeeper::pki::issue::development;
use probekeeper::policy::{Policy, Profile};
use probekeeper::yaml;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::compare::{median, start_noop, start_product};
use crate::start::Running;

/// How much.
pub(crate) struct Options {
    /// Of each subject, in each round, for each object.
    pub(crate) requests: usize,
    /// Turns of all subjects.
    pub(crate) rounds: usize,
}

const API: &str = "/apis/admissionregistration.k8s.io/v1";
const SUBJECTS: [&str; 4] = ["nothing", "no-op", "probekeeper", "policies"];
const NOTHING: usize = 0;
const NOOP: usize = 1;
const PROBEKEEPER: usize = 2;
const POLICIES: usize = 3;
/// Containers, and bytes of JSON.
const OBJECTS: [(usize, usize); 4] = [(1, 5_000), (3, 5_000), (1, 20_000), (3, 20_000)];

/// Seconds and how often, of a histogram.
#[derive(Clone, Copy)]
struct Sum {
    seconds: f64,
    count: f64,
}

/// Mean milliseconds of one turn.
struct Sample {
    /// The whole request.
    request: f64,
    /// The plugin of the API server that asks webhooks.
    webhooks: f64,
    /// The plugin that evaluates policies.
    policies: f64,
    /// The webhook itself, as the API server sees it; 0 where there is none.
    webhook: f64,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let issued = development(None, SystemTime::now()).unwrap();
    for (name, text) in [("ca.crt", &issued.authority), ("tls.crt", &issued.certificate), ("tls.key", &issued.key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let (noop, product) = (start_noop(folder.path(), 0), start_product(folder.path()));
    let cluster = Cluster::of_its_own();
    let namespaces = SUBJECTS.map(|subject| cluster.namespace(subject));
    register_webhook(&namespaces[NOOP], &noop, &issued.authority);
    register_webhook(&namespaces[PROBEKEEPER], &product, &issued.authority);
    register_policies(&namespaces[POLICIES]);

    // Both judge: what is wrong is denied, and what will be measured is not even warned about.
    let wrong = deployment(1, 0, &json!({ "httpGet": { "path": "/", "port": 8080 }, "failureThreshold": 1, "periodSeconds": 1 }));
    for namespace in [&namespaces[PROBEKEEPER], &namespaces[POLICIES]] {
        let denied = (0..600).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            matches!(create(namespace, &wrong).0, 400..500)
        });
        assert!(denied, "{}: not in force", namespace.name);
    }
    let objects = OBJECTS.map(|(containers, size)| padded(containers, size));
    for (namespace, object) in namespaces.iter().flat_map(|namespace| objects.iter().map(move |object| (namespace, object))) {
        for _ in 0..20 {
            assert_eq!(create(namespace, object), (201, Vec::new()), "{}", namespace.name);
        }
    }

    println!("{} rounds of {} dry runs for each subject and object, one after the other", options.rounds, options.requests);
    // samples[object][subject][round]
    let mut samples: Vec<[Vec<Sample>; SUBJECTS.len()]> = OBJECTS.iter().map(|_| [const { Vec::new() }; 4]).collect();
    for round in 0..options.rounds {
        for (object, samples) in objects.iter().zip(&mut samples) {
            for at in 0..SUBJECTS.len() {
                // Nobody always runs first.
                let subject = (at + round) % SUBJECTS.len();
                samples[subject].push(turn(&namespaces[subject], object, options.requests));
            }
        }
        eprintln!("round {} of {} done", round + 1, options.rounds);
    }
    print(&objects, &samples);
}

fn print(objects: &[Value], samples: &[[Vec<Sample>; SUBJECTS.len()]]) {
    println!();
    println!("| containers | object | subject | webhook ms | of no-op | all webhooks ms | policies ms | both ms | request ms |");
    println!("|--:|--:|:--|--:|--:|--:|--:|--:|--:|");
    for (((containers, _), object), samples) in OBJECTS.iter().zip(objects).zip(samples) {
        for (subject, of_subject) in SUBJECTS.iter().zip(samples) {
            let figure = |get: fn(&Sample) -> f64| median(of_subject.iter().map(get));
            // Each round against its own no-op: what else the machine did in that minute concerns both.
            let ratio = median(of_subject.iter().zip(&samples[NOOP]).map(|(one, noop)| one.webhook / noop.webhook));
            println!(
                "| {containers} | {} B | {subject} | {:.3} | {ratio:.2} | {:.3} | {:.3} | {:.3} | {:.2} |",
                object.to_string().len(),
                figure(|sample| sample.webhook),
                figure(|sample| sample.webhooks),
                figure(|sample| sample.policies),
                figure(|sample| sample.webhooks + sample.policies),
                figure(|sample| sample.request),
            );
        }
        let added = |subject: usize| {
            let over = |(one, nothing): (&Sample, &Sample)| one.webhooks + one.policies - nothing.webhooks - nothing.policies;
            median(samples[subject].iter().zip(&samples[NOTHING]).map(over))
        };
        println!(
            "added to admission, ms: no-op {:.3}, probekeeper {:.3}, policies {:.3}; probekeeper of policies {:.2}",
            added(NOOP),
            added(PROBEKEEPER),
            added(POLICIES),
            added(PROBEKEEPER) / added(POLICIES)
        );
    }
}

/// Dry runs, and what the API server's histograms say of them.
fn turn(namespace: &Namespace, object: &Value, requests: usize) -> Sample {
    let before = scrape(namespace.cluster);
    for _ in 0..requests {
        assert_eq!(create(namespace, object).0, 201);
    }
    let after = scrape(namespace.cluster);
    let mean = |metric: &str, labels: &[&str]| {
        let (before, after) = (sum(&before, metric, labels), sum(&after, metric, labels));
        let count = after.count - before.count;
        if count < 1.0 { 0.0 } else { (after.seconds - before.seconds) / count * 1e3 }
    };
    let plugin = |name: &str| {
        mean("apiserver_admission_controller_admission_duration_seconds", &[&format!("name=\"{name}\""), "operation=\"CREATE\""])
    };
    let webhook = format!("name=\"{}\"", webhook_name(namespace));
    Sample {
        request: mean("apiserver_request_duration_seconds", &["resource=\"deployments\"", "verb=\"POST\""]),
        webhooks: plugin("ValidatingAdmissionWebhook"),
        policies: plugin("ValidatingAdmissionPolicy"),
        webhook: mean("apiserver_admission_webhook_admission_duration_seconds", &[&webhook, "operation=\"CREATE\""]),
    }
}

fn scrape(cluster: &Cluster) -> String {
    let answer = cluster.call("GET", "/metrics", &Value::Null);
    assert_eq!(answer.code, 200);
    answer.body.as_str().unwrap().to_owned()
}

/// All series of a histogram that have these labels.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> Sum {
    let of = |suffix: &str| {
        let head = format!("{name}_{suffix}{{");
        let lines = metrics.lines().filter(|line| line.starts_with(&head) && labels.iter().all(|label| line.contains(label)));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    Sum { seconds: of("sum"), count: of("count") }
}

/// Code and warnings.
fn create(namespace: &Namespace, object: &Value) -> (u16, Vec<String>) {
    let path = namespace.path("apis/apps/v1", "deployments") + "?dryRun=All";
    let answer = namespace.cluster.call("POST", &path, object);
    (answer.code, answer.warnings)
}

fn webhook_name(namespace: &Namespace) -> String {
    format!("{}.peers.test", namespace.name)
}

fn selector(namespace: &Namespace) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace.name } })
}

fn register_webhook(namespace: &Namespace, server: &Running, authority: &str) {
    use base64::Engine as _;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": namespace.name },
        "webhooks": [{
            "name": webhook_name(namespace), "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": {
                "url": format!("https://{}/validate", server.address),
                "caBundle": base64::engine::general_purpose::STANDARD.encode(authority),
            },
            "rules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"] }],
            "namespaceSelector": selector(namespace),
        }],
    });
    let answer = namespace.cluster.call("POST", &format!("{API}/validatingwebhookconfigurations"), &configuration);
    assert_eq!(answer.code, 201, "{}", answer.message());
}

/// The export of the policy that the product has in force.
fn register_policies(namespace: &Namespace) {
    for document in yaml::parse(&export::vap(&Policy::builtin(Profile::default())).to_yaml()) {
        let mut json = String::new();
        document.root.unwrap().to_json(&mut json);
        let mut object: Value = serde_json::from_str(&json).unwrap();
        let binding = object["kind"] == "ValidatingAdmissionPolicyBinding";
        if binding {
            object["spec"]["matchResources"]["namespaceSelector"] = selector(namespace);
        }
        let path = if binding { "validatingadmissionpolicybindings" } else { "validatingadmissionpolicies" };
        let answer = namespace.cluster.call("POST", &format!("{API}/{path}"), &object);
        assert_eq!(answer.code, 201, "{}", answer.message());
    }
}

/// A Deployment with nothing wrong, of at least so many bytes.
fn padded(containers: usize, size: usize) -> Value {
    let probe = json!({ "httpGet": { "path": "/livez", "port": "http" }, "timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6 });
    let settings = (0..size).find(|settings| deployment(containers, *settings, &probe).to_string().len() >= size);
    deployment(containers, settings.unwrap_or_default(), &probe)
}

/// `settings` are environment variables of the first container.
fn deployment(containers: usize, settings: usize, liveness: &Value) -> Value {
    let container = |at: usize| {
        let name = if at == 0 { "http".to_owned() } else { format!("http-{at}") };
        let mut liveness = liveness.clone();
        liveness["httpGet"]["port"] = json!(name);
        let env: Vec<Value> = (0..if at == 0 { settings } else { 0 })
            .map(|at| json!({ "name": format!("SETTING_{at}"), "value": format!("value of setting {at}") }))
            .collect();
        json!({
            "name": format!("app-{at}"), "image": "example.com/app:1", "env": env,
            "ports": [{ "name": name, "containerPort": 8080 + at }],
            "livenessProbe": liveness,
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": name }, "timeoutSeconds": 3, "periodSeconds": 5, "failureThreshold": 3 },
            "startupProbe": { "httpGet": { "path": "/livez", "port": name }, "timeoutSeconds": 2, "periodSeconds": 2, "failureThreshold": 30 },
            "lifecycle": { "preStop": { "sleep": { "seconds": 5 } } },
        })
    };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": (0..containers).map(container).collect::<Vec<_>>() },
            },
        },
    })
}
