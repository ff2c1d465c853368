//! Values of headers and environment variables are secrets more often than their authors know: nothing that we write down may hold them. Marked strings
//! are put into everything that a review holds, and looked for in answers, metrics and the log.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probekeeper::admission::{Admission, Route};
use probekeeper::policy::{self, PolicyStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::client::{Client, config};
use crate::operations::get;

/// What no value of the fixtures holds, and no escaping changes.
const MARK: &str = "zq7canary";

/// Mappings and lists of which a single string is a value that somebody may have to keep secret.
const SECRET: [&str; 5] = ["env", "envFrom", "httpHeaders", "managedFields", "userInfo"];

/// Strings by which the program finds its way in a review: marked, nothing would be judged.
const STRUCTURE: [&str; 12] = [
    "apiVersion",
    "kind",
    "operation",
    "group",
    "version",
    "resource",
    "subResource",
    "scheme",
    "protocol",
    "restartPolicy",
    "type",
    "fieldsType",
];

/// The fields whose text an answer may quote: what names a thing, and where a probe goes. A command is read, and what is read in it may be named.
const QUOTED: [&str; 8] = ["uid", "name", "generateName", "namespace", "port", "path", "host", "command"];

/// What the log may quote of a review.
const LOGGED: [&str; 3] = ["uid", "name", "namespace"];

const POLICIES: [&str; 2] = [
    "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: recommended\nonInternalError: fail\n",
    "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strict\ndefaults: { addStartupProbe: true, addPreStopSleepSeconds: 5 }\n",
];

/// Puts a mark with a number into strings of a review, and remembers the field that each number stands for.
#[derive(Default)]
struct Marks {
    fields: Vec<String>,
    only_secrets: bool,
    /// Whether the string itself goes; else the mark is appended, so that what is recognised stays recognised.
    replace: bool,
}

impl Marks {
    fn mark(&mut self, value: &mut Value) {
        self.walk(value, "", false);
    }

    fn walk(&mut self, value: &mut Value, field: &str, secret: bool) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if key == "annotations" {
                        self.annotations(value);
                    } else if !STRUCTURE.contains(&key.as_str()) {
                        self.walk(value, key, secret || SECRET.contains(&key.as_str()));
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, field, secret)),
            // Names of headers and variables are said: they are how a reader finds them.
            Value::String(text) if secret && field != "name" => self.put(text, "a secret"),
            Value::String(text) if !self.only_secrets => self.put(text, field),
            _ => {}
        }
    }

    /// Our own are read and answered; kubectl's holds the whole object once more, as text.
    fn annotations(&mut self, annotations: &mut Value) {
        for (key, value) in annotations.as_object_mut().into_iter().flatten() {
            let Value::String(text) = value else { continue };
            match serde_json::from_str::<Value>(text) {
                Ok(mut applied) if key.starts_with("kubectl.") => {
                    self.mark(&mut applied);
                    *text = applied.to_string();
                }
                _ if !key.starts_with("probekeeper.dev/") => self.put(text, "a secret"),
                _ => {}
            }
        }
    }

    fn put(&mut self, text: &mut String, field: &str) {
        let mark = format!("{MARK}{}x", self.fields.len());
        self.fields.push(field.to_owned());
        if self.replace { *text = mark } else { *text += &mark }
    }

    /// The fields whose marks stand in a text.
    fn found_in<'m>(&'m self, text: &str) -> BTreeSet<&'m str> {
        let numbers = text.split(MARK).skip(1).map(|rest| rest.split('x').next().unwrap().parse::<usize>());
        // A text that was shortened within a mark still quotes it.
        numbers.map(|number| number.ok().and_then(|number| self.fields.get(number)).map_or("cut", String::as_str)).collect()
    }
}

/// Recorded reviews, and one of every fixture of every rule.
fn reviews() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let mut reviews: Vec<Value> = files(&root.join("fixtures/admission-reviews"))
        .into_iter()
        .map(|path| serde_json::from_str(&read(path)).unwrap())
        .collect();
    let recorded = reviews.len();
    for path in files(&root.join("rules/fixtures")) {
        for document in probekeeper::yaml::parse(&read(path)) {
            let Ok(root) = document.root else { continue };
            let mut text = String::new();
            root.to_json(&mut text);
            let object: Value = serde_json::from_str(&text).unwrap();
            if object["spec"].is_object() {
                reviews.push(json!({
                    "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                    "request": {
                        "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "web",
                        "userInfo": { "username": "alice", "groups": ["shop"] }, "object": object,
                    },
                }));
            }
        }
    }
    assert!(recorded > 10 && reviews.len() > recorded + 100, "{recorded} of {}", reviews.len());
    reviews
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// Whether a field is struck.
type Field = fn(&str) -> bool;

/// The same reviews with headers, variables and numbers that are not what they must be, so that errors are about them.
fn damaged(review: &Value) -> Vec<Value> {
    let lists = |key: &str| key == "httpHeaders" || key == "env";
    let numbers = |key: &str| key.ends_with("Seconds") || key.ends_with("Threshold");
    let damages: [(Field, Value); 6] = [
        (lists, json!(MARK)),
        (lists, json!([MARK, { "name": 5, "value": MARK }])),
        (lists, json!([{ "name": "X", "value": [{ (MARK): MARK }] }])),
        (numbers, json!(MARK)),
        (|key| key == "annotations", json!({ "probekeeper.dev/filled": MARK, "x": [MARK] })),
        (|key| key == "containers", json!(MARK)),
    ];
    let strike = |(hits, with): &(Field, Value)| {
        let mut review = review.clone();
        put_everywhere(&mut review["request"]["object"], *hits, with);
        review
    };
    damages.iter().map(strike).filter(|damaged| damaged != review).collect()
}

fn put_everywhere(value: &mut Value, hits: Field, with: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if hits(key) { value.clone_from(with) } else { put_everywhere(value, hits, with) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_everywhere(item, hits, with)),
        _ => {}
    }
}

/// What a webhook's caller reads: the answer, and the patch in it. A startup probe that is added asks what the liveness probe asks, with its headers:
/// they stay in the object that they came from.
fn said(answer: &str) -> String {
    let parsed: Value = serde_json::from_str(answer).unwrap();
    let Some(patch) = parsed["response"]["patch"].as_str() else { return answer.to_owned() };
    let mut patch: Value = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    for operation in patch.as_array_mut().unwrap() {
        if operation["path"].as_str().unwrap().ends_with("/startupProbe") && operation["op"] == "add" {
            operation["value"]["httpGet"]["httpHeaders"].take();
        }
    }
    format!("{answer}{patch}")
}

/// A process of its own for each level, whose log goes to a file.
struct Logged {
    child: Child,
    listen: SocketAddr,
    ops: SocketAddr,
    folder: tempfile::TempDir,
}

impl Logged {
    async fn start(level: &str, format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (listen, ops) = (free(), free());
        let policy = folder.path().join("policy.yaml");
        fs::write(&policy, POLICIES[1]).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
        command.args(["serve", "--log-format", format, "--drain-delay", "100ms", "--log-level", level]);
        command.arg("--listen").arg(listen.to_string()).arg("--ops-listen").arg(ops.to_string());
        command.arg("--ca-out").arg(folder.path().join("ca.pem")).arg("--policy").arg(format!("file:{}", policy.display()));
        // Libraries' own switch for more.
        command.env("RUST_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(folder.path().join("log")).unwrap()).spawn().unwrap();
        let process = Self { child, listen, ops, folder };
        for _ in 0..1000 {
            if TcpStream::connect(ops).await.is_ok() && get(ops, "/readyz").await.0 == 200 {
                return process;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {}", process.log());
    }

    fn config(&self) -> rustls::ClientConfig {
        let authority = fs::read_to_string(self.folder.path().join("ca.pem")).unwrap();
        config(&authority, rustls::ALL_VERSIONS, &["http/1.1"])
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The whole log, after an orderly end.
    async fn end(mut self) -> String {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        for _ in 0..1000 {
            if self.child.try_wait().unwrap().is_some() {
                return self.log();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not end");
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn answers_quote_names_and_places_and_no_values() {
    let judges = POLICIES.map(|text| Admission::new(Arc::new(PolicyStore::new(policy::load(text).unwrap()))));
    let mut quoted = BTreeSet::new();
    for original in reviews() {
        for (only_secrets, replace) in [(true, false), (true, true), (false, false)] {
            let mut marks = Marks { only_secrets, replace, ..Marks::default() };
            let mut review = original.clone();
            marks.mark(&mut review["request"]);
            let body = review.to_string();
            for (admission, route) in judges.iter().flat_map(|judge| [(judge, Route::Validate), (judge, Route::Mutate)]) {
                let answer = admission.answer(route, body.as_bytes());
                let text = said(&String::from_utf8(answer.body).unwrap());
                let found = marks.found_in(&text);
                assert!(found.iter().all(|field| QUOTED.contains(field)), "{found:?} in {text}\nof {body}");
                let outcome = format!("{:?}", answer.outcome);
                let logged = marks.found_in(&outcome);
                assert!(logged.iter().all(|field| LOGGED.contains(field)), "{logged:?} in {outcome}\nof {body}");
                quoted.extend(found.into_iter().map(str::to_owned));
            }
        }
        for review in damaged(&original) {
            for (admission, route) in judges.iter().flat_map(|judge| [(judge, Route::Validate), (judge, Route::Mutate)]) {
                let answer = admission.answer(route, review.to_string().as_bytes());
                let (text, outcome) = (said(&String::from_utf8(answer.body).unwrap()), format!("{:?}", answer.outcome));
                assert!(!text.contains(MARK) && !outcome.contains(MARK), "{text}\n{outcome}\nof {review}");
            }
        }
    }
    // What is never found would not be looked for well.
    for field in ["uid", "name", "generateName", "namespace", "port", "path", "host", "command"] {
        assert!(quoted.contains(field), "{field} is not among {quoted:?}");
    }
}

#[tokio::test]
async fn the_log_says_which_object_and_nothing_of_what_is_in_it() {
    // One fixture per rule is enough here: what the judge hands to the log is looked at above.
    let mut reviews = reviews();
    let mut at = 0;
    reviews.retain(|_| {
        at += 1;
        at <= 14 || at % 4 == 0
    });
    let mut marks = Marks::default();
    let mut bodies = Vec::new();
    for mut review in reviews {
        bodies.extend(damaged(&review).into_iter().take(2));
        marks.mark(&mut review["request"]);
        bodies.push(review);
    }
    for level in ["error", "warn", "info", "debug", "trace"] {
        let process = Logged::start(level, "json").await;
        let mut client = Client::connect_to(process.listen, process.config()).await.unwrap();
        for body in &bodies {
            for path in ["/validate", "/mutate"] {
                let body = body.to_string();
                client
                    .send(&format!(
                        "POST {path}?timeout=10s&x={MARK} HTTP/1.1\r\nHost: {MARK}\r\nAuthorization: Bearer {MARK}\r\nCookie: {MARK}\r\nUser-Agent: {MARK}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ))
                    .await;
                let reply = client.reply().await.unwrap();
                assert_eq!(reply.status, 200, "{}", reply.body);
            }
        }
        odd_requests(&process).await;
        let metrics = get(process.ops, "/metrics").await.1;
        assert!(metrics.contains("probekeeper_admission_requests_total{") && !metrics.contains(MARK), "{level}: {metrics}");
        let log = process.end().await;
        let found = marks.found_in(&log);
        assert!(found.iter().all(|field| LOGGED.contains(field)), "{level}: {found:?}");
        assert!(!log.contains("log lines dropped"), "{level}");
        if ["debug", "trace"].contains(&level) {
            assert_eq!(found, BTreeSet::from(LOGGED), "{level}: every judged object is named");
            assert!(log.contains("request refused") && log.contains("TLS handshake failed"), "{level}");
        }
    }
}

/// A caller chooses uid, name and namespace: they must not end a line, colour it, or make up metrics.
#[tokio::test]
async fn a_forged_review_forges_no_line() {
    let forged =
        "x\n2026-01-01T00:00:00Z  INFO forged: \u{1b}[31mred\u{1b}[0m\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\u{2028}";
    for format in ["text", "json"] {
        let process = Logged::start("debug", format).await;
        let mut client = Client::connect_to(process.listen, process.config()).await.unwrap();
        for at in 0..40 {
            let review = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {
                    "uid": format!("{at}{forged}"), "operation": format!("{at}{forged}"), "namespace": forged, "name": forged,
                    "object": { "apiVersion": format!("v{at}"), "kind": format!("{at}{forged}"), "metadata": {}, "spec": {} },
                },
            });
            assert_eq!(client.post("/validate", &review.to_string()).await.status, 200);
        }
        let metrics = get(process.ops, "/metrics").await.1;
        let series = metrics.lines().filter(|line| line.starts_with("probekeeper_admission_requests_total{"));
        assert_eq!(series.count(), 1, "{metrics}");
        let log = process.end().await;
        assert!(log.contains("forged") && !log.contains('\u{1b}') && !log.contains('\r'), "{log}");
        let judged = log.lines().filter(|line| line.contains("request judged")).count();
        assert_eq!(judged, 40, "{log}");
        for line in log.lines() {
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_ne!(line["message"], "forged");
            } else {
                assert!(line.contains(" probekeeper"), "{line}");
                assert!(!line.starts_with("2026-01-01"), "{line}");
            }
        }
    }
}

/// Requests that are refused before anything is judged, with marks in all that a caller can choose.
async fn odd_requests(process: &Logged) {
    let json = "Content-Type: application/json\r\n";
    let broken = format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{MARK}""#);
    let other = format!(r#"{{"apiVersion":"{MARK}","kind":"{MARK}","request":{{"uid":"{MARK}"}}}}"#);
    for (line, headers, body, status) in [
        (format!("POST /{MARK}"), json.to_owned(), "{}".to_owned(), 404),
        (format!("{MARK} /validate"), json.to_owned(), "{}".to_owned(), 405),
        ("POST /validate".to_owned(), format!("Content-Type: text/{MARK}\r\n"), MARK.to_owned(), 415),
        ("POST /validate".to_owned(), json.to_owned(), MARK.to_owned(), 400),
        ("POST /mutate".to_owned(), json.to_owned(), broken, 400),
        ("POST /mutate".to_owned(), json.to_owned(), other, 400),
        (format!("POST /validate?timeout={MARK}"), format!("{json}{MARK}: {MARK}\r\n"), "[]".to_owned(), 400),
        (format!("POST /validate {MARK}"), json.to_owned(), String::new(), 400),
    ] {
        let mut client = Client::connect_to(process.listen, process.config()).await.unwrap();
        client.send(&format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, status, "{line}: {}", reply.body);
        assert!(!reply.body.contains(MARK), "{line}: {}", reply.body);
    }
    // A server name that is not ours: the client hangs up.
    let stream = TcpStream::connect(process.listen).await.unwrap();
    let name = format!("{MARK}.example").try_into().unwrap();
    assert!(TlsConnector::from(Arc::new(process.config())).connect(name, stream).await.is_err());
    for path in [format!("/{MARK}"), format!("/metrics?{MARK}")] {
        assert!(!get(process.ops, &path).await.1.contains(MARK));
    }
}
