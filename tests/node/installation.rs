//! The chart of the working tree, installed on the node.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::Output;
use crate::image;
use crate::node::{Node, eventually};
use crate::stream;

/// Release and namespace, and with it the name of the Deployment, the Service and both webhook configurations.
pub(crate) const NAME: &str = "probekeeper";
const CHART: &str = "charts/probekeeper";
pub(crate) const VALIDATING: &str = "validatingwebhookconfiguration";
pub(crate) const MUTATING: &str = "mutatingwebhookconfiguration";

/// The one installation of the node.
#[derive(Clone, Copy)]
pub(crate) struct Installation {
    pub(crate) node: &'static Node,
}

impl Installation {
    /// Three replicas, both webhooks with failurePolicy Fail, every call judged.
    #[track_caller]
    pub(crate) fn enforcing() -> Self {
        Self::with(&json!({}))
    }

    /// As `enforcing`, with further values of the chart on top.
    #[track_caller]
    pub(crate) fn with(values: &Value) -> Self {
        let this = Self { node: Node::shared() };
        // The very first time there is no caBundle yet: with Fail from the start, what is not ours would be refused until there is.
        this.upgrade(values).ok();
        this.await_enforcement();
        this
    }

    /// `helm upgrade --install --wait`.
    pub(crate) fn upgrade(self, values: &Value) -> Output {
        self.upgrade_to(CHART, values)
    }

    /// As `upgrade`, to the chart in this folder.
    pub(crate) fn upgrade_to(self, chart: &str, values: &Value) -> Output {
        let file = self.values(values);
        self.helm_wait(&["upgrade", "--install", NAME, chart, "--create-namespace", "--values", &file])
    }

    /// A helm command on the release that waits until all replicas are ready.
    pub(crate) fn helm_wait(self, args: &[&str]) -> Output {
        self.node.helm(&[args, &["--namespace", NAME, "--wait", "--timeout", "180s"]].concat())
    }

    /// What `helm template` makes of the values.
    pub(crate) fn rendered(self, values: &Value, file: &str) -> String {
        let values = self.values(values);
        self.node.helm(&["template", NAME, CHART, "--namespace", NAME, "--values", &values, "--show-only", file]).ok().stdout
    }

    /// A file with the values that all tests need and these on top.
    pub(crate) fn values(self, more: &Value) -> String {
        let mut values = json!({
            "image": { "registry": "localhost", "repository": NAME, "tag": image::TAG, "pullPolicy": "Never" },
            "webhook": { "validating": { "failurePolicy": "Fail" }, "mutating": { "failurePolicy": "Fail" } },
        });
        merge(&mut values, more);
        let path = self.node.folder().join("values.json");
        std::fs::write(&path, values.to_string()).expect("values.json");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Waits until a good workload is filled in and a bad one is rejected.
    #[track_caller]
    pub(crate) fn await_enforcement(self) -> Duration {
        if !self.node.kubectl(&["get", "namespace", "probe"]).succeeded() {
            self.node.namespace("probe");
        }
        let mut said = String::new();
        let start = Instant::now();
        loop {
            let good = stream::apply(self.node, "probe", true);
            let bad = stream::apply(self.node, "probe", false);
            if good.as_ref().is_ok_and(stream::is_filled) && bad.as_ref().is_ok_and(stream::is_rejected) {
                return start.elapsed();
            }
            let now = format!("{} / {}", stream::describe(&good), stream::describe(&bad));
            if now != said {
                said = now;
            }
            assert!(start.elapsed() < Duration::from_mins(2), "not enforced within 2 minutes: {said}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pods that are not ending.
    pub(crate) fn pods(self) -> Vec<Value> {
        let mut pods = self.node.list(&["pods", "-n", NAME, "-l", SELECTOR]);
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    pub(crate) fn pod_names(self) -> Vec<String> {
        self.pods().iter().map(|pod| pod["metadata"]["name"].as_str().expect("name").to_owned()).collect()
    }

    /// Waits until exactly as many pods as wanted run, all ready, all of the newest template.
    #[track_caller]
    pub(crate) fn await_rollout(self) {
        let status = ["rollout", "status", "deployment/probekeeper", "-n", NAME, "--timeout=180s"];
        self.node.kubectl(&status).ok();
    }

    /// caBundle of every webhook in both configurations, base64, empty where there is none.
    pub(crate) fn bundles(self) -> Vec<String> {
        let text = |webhook: &Value| webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
        let webhooks = |kind: &str| {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}s/{NAME}");
            let answer = self.node.call("GET", &path, "application/json", "").expect("an answer");
            answer.body["webhooks"].as_array().cloned().unwrap_or_default()
        };
        [VALIDATING, MUTATING].iter().flat_map(|kind| webhooks(kind)).map(|webhook| text(&webhook)).collect()
    }

    /// What each ready replica shows on its operations port, by pod. A replica that does not answer is left out.
    pub(crate) fn ops(self, path: &str) -> BTreeMap<String, String> {
        let answer = |pod: &Value| {
            let address = pod["status"]["podIP"].as_str()?;
            let name = pod["metadata"]["name"].as_str()?;
            Some((name.to_owned(), ops_get(&format!("{address}:8081"), path)?))
        };
        self.pods().iter().filter_map(answer).collect()
    }

    /// The value of a metric without labels in every replica.
    pub(crate) fn metric(self, name: &str) -> Vec<f64> {
        let value = |text: &String| {
            let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        self.ops("/metrics").values().filter_map(value).collect()
    }

    /// The value of a metric with exactly these labels in every replica that has it.
    pub(crate) fn labelled(self, name: &str, labels: &str) -> Vec<f64> {
        let series = format!("{name}{{{labels}}} ");
        let value = |text: &String| text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
        self.ops("/metrics").values().filter_map(value).collect()
    }

    /// Waits until the replaced pods are gone: they answer calls until then.
    #[track_caller]
    pub(crate) fn await_departures(self) {
        eventually("the replaced pods are gone", 90, || {
            self.node.list(&["pods", "-n", NAME, "-l", SELECTOR]).len() == self.pods().len()
        });
    }

    /// `helm test`: a Pod of the image asks for verdicts, and leaves with it everything that it needed.
    #[track_caller]
    pub(crate) fn assert_helm_test_passes(self) {
        let tested = self.helm_test().ok().stdout;
        for line in
            ["works: validate.probekeeper.dev rejected", "works: mutate.probekeeper.dev filled in", "Phase:          Succeeded"]
        {
            assert!(tested.contains(line), "{line:?} is not in {tested}");
        }
        let left = self.node.list(&[
            "pods,serviceaccounts,roles,rolebindings",
            "--all-namespaces",
            "-l",
            "app.kubernetes.io/component=test",
        ]);
        assert!(left.is_empty(), "helm test left {left:#?}");
    }

    pub(crate) fn helm_test(self) -> Output {
        self.node.helm(&["test", NAME, "-n", NAME, "--logs", "--timeout", "120s"])
    }

    /// The last lines of all replicas' logs, for messages of failed tests.
    pub(crate) fn log(self) -> String {
        let args = ["logs", "-n", NAME, "-l", "app.kubernetes.io/name=probekeeper", "--tail=15", "--prefix"];
        let logs = self.node.kubectl(&args).stdout;
        let pods = self.node.kubectl(&["get", "pods", "-n", NAME, "-o", "wide"]).stdout;
        let events = self.node.kubectl(&["get", "events", "-n", NAME, "--sort-by=.lastTimestamp"]).stdout;
        let events: Vec<&str> = events.lines().rev().take(15).collect();
        format!("{pods}\n{}\n{logs}", events.join("\n"))
    }

    /// Resident memory of every replica in bytes, as the kernel counts it.
    pub(crate) fn resident(self) -> Vec<u64> {
        let script = "grep -l '^Name:.probekeeper$' /proc/[0-9]*/status | xargs grep -h '^VmRSS:'";
        let lines = self.node.inside(&["sh", "-c", script]).ok().stdout;
        lines.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map(|kib| kib * 1024).collect()
    }

    /// `helm uninstall`; waits until the replicas are gone.
    #[track_caller]
    pub(crate) fn uninstall(self) {
        self.node.helm(&["uninstall", NAME, "--namespace", NAME, "--ignore-not-found", "--wait", "--timeout", "120s"]).ok();
        eventually("the replicas are gone", 120, || {
            self.node.list(&["pods", "-n", NAME, "-l", "app.kubernetes.io/name=probekeeper"]).is_empty()
        });
    }
}

/// What selects the replicas, and not the Pod of `helm test`.
const SELECTOR: &str = "app.kubernetes.io/name=probekeeper,app.kubernetes.io/component!=test";

/// Maps are merged, anything else is replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The whole answer to a GET, `None` while nobody answers.
fn ops_get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
