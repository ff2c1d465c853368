//! `probekeeper lint`

use std::fs;

use insta::assert_snapshot;
use serde_json::json;

use super::{anywhere, folder, run};

pub(super) const BAD: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: web:1
          ports:
            - { name: http, containerPort: 8080 }
          livenessProbe:
            # the process itself
            httpGet:
              path: /healthz
              port: web # a typo
          readinessProbe:
            httpGet: { path: /readyz, port: http }
";

/// A Deployment that needs nothing but defaults, on one line each.
pub(super) fn good(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: a }} }}\n  template:\n    metadata: {{ labels: {{ app: a }} }}\n    spec:\n      containers:\n      - name: app\n        image: app:1\n        readinessProbe: {{ httpGet: {{ path: /readyz, port: 80 }}, timeoutSeconds: 3 }}\n"
    )
}

/// As `good`, with a hair trigger: the finding is on line 12.
pub(super) fn bad(name: &str) -> String {
    good(name).replace("        readinessProbe", "        livenessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1, initialDelaySeconds: 60 }\n        readinessProbe")
}

/// Rule, file, document, line, column and pointer of each finding.
fn places(report: &serde_json::Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let place = |finding: &serde_json::Value| {
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}:{}:{}:{} {}",
            text("rule"),
            text("file"),
            finding["document"],
            finding["line"],
            finding["column"],
            text("pointer")
        )
    };
    findings.iter().map(place).collect()
}

#[test]
fn text() {
    let folder = folder(&[("a.yaml", BAD)]);
    assert_snapshot!(run(folder.path(), &["lint", "a.yaml"], "").all(), @r#"
    deny[unknown-port-name]: port "web" is not declared by this container (declared: http): it never
                             acts
      --> a.yaml:25:15
       |
    21 |           livenessProbe:
    ...
    25 |               port: web # a typo
       |               ^^^^^^^^^
       |
       = in: Deployment shop/web, container "web", livenessProbe
       = why: the kubelet cannot look the name up, and Kubernetes checks it nowhere
       = help: write
               livenessProbe:
                 httpGet:
                   port: http

    1 file, 1 workload: 1 denied; 3 values would be filled in
    --- stderr
    --- exit code 1
    "#);
}

#[test]
fn json() {
    let folder = folder(&[("a.yaml", BAD)]);
    assert_snapshot!(run(folder.path(), &["lint", "--format", "json", "a.yaml"], "").all(), @r#"
    {
      "version": 1,
      "findings": [
        {
          "rule": "unknown-port-name",
          "action": "deny",
          "message": "port \"web\" is not declared by this container (declared: http): it never acts",
          "help": "livenessProbe:\n  httpGet:\n    port: http",
          "url": "https://probekeeper.dev/rules/unknown-port-name",
          "file": "a.yaml",
          "document": 1,
          "line": 25,
          "column": 15,
          "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web"
          },
          "container": "web",
          "probe": "livenessProbe",
          "pointer": "/spec/template/spec/containers/0/livenessProbe/httpGet/port"
        }
      ],
      "exempted": [],
      "filled": [
        {
          "file": "a.yaml",
          "document": 1,
          "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web"
          },
          "pointer": "/spec/template/spec/containers/0/livenessProbe/timeoutSeconds",
          "value": 5
        },
        {
          "file": "a.yaml",
          "document": 1,
          "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web"
          },
          "pointer": "/spec/template/spec/containers/0/livenessProbe/initialDelaySeconds",
          "value": 10
        },
        {
          "file": "a.yaml",
          "document": 1,
          "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web"
          },
          "pointer": "/spec/template/spec/containers/0/readinessProbe/timeoutSeconds",
          "value": 3
        }
      ],
      "errors": [],
      "summary": {
        "files": 1,
        "workloads": 1,
        "ignored": 1,
        "skipped": 0,
        "deny": 1,
        "warn": 0,
        "audit": 0,
        "exempted": 0
      }
    }
    --- stderr
    --- exit code 1
    "#);
}

#[test]
fn a_secret_beside_a_finding_is_not_shown() {
    let header =
        "livenessProbe: { httpGet: { port: 80, httpHeaders: [{ value: s3cr3t, name: Authorization }] } }\n        readinessProbe";
    let folder = folder(&[("a.yaml", &good("a").replace("readinessProbe", header))]);
    for format in ["text", "json"] {
        let shown = run(folder.path(), &["lint", "--format", format, "a.yaml"], "").all();
        assert!(shown.contains("Authorization") && shown.contains("credential-in-header"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

#[test]
fn clean() {
    let run = run(folder(&[("a.yaml", &good("a"))]).path(), &["lint", "."], "");
    assert_snapshot!(run.all(), @r#"
    1 file, 1 workload: nothing wrong
    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn exit_codes_and_what_is_shown() {
    // missing-readiness is a warning under the recommended profile.
    let text = good("a")
        .replace("readinessProbe", "startupProbe")
        .replace("image: app:1", "image: app:1\n        ports: [{ containerPort: 80 }]");
    let folder = folder(&[("a.yaml", &text), ("bad.yaml", &bad("b"))]);
    let code = |args: &[&str]| run(folder.path(), args, "").code;
    assert_eq!(code(&["lint", "a.yaml"]), 0);
    assert_eq!(code(&["lint", "a.yaml", "--fail-on", "warn"]), 1);
    assert_eq!(code(&["lint", "a.yaml", "--fail-on", "warn", "--min-action", "deny"]), 2);
    assert_eq!(code(&["lint", "bad.yaml"]), 1);
    assert_eq!(code(&["lint", "bad.yaml", "missing.yaml"]), 2);
    let shown = |action| run(folder.path(), &["lint", ".", "--format", "json", "--min-action", action], "").json();
    let (deny, audit) = (shown("deny"), shown("audit"));
    assert!(deny["findings"].as_array().unwrap().len() < audit["findings"].as_array().unwrap().len());
    assert_eq!(deny["summary"], audit["summary"]);
}

#[test]
fn errors_do_not_hide_findings() {
    let text = good("one") + "---\n" + "spec: [\n" + "---\n" + &bad("three");
    let folder = folder(&[("a.yaml", &text), ("b.yaml", "a: b: c\n"), ("c.yaml", &bad("c"))]);
    fs::write(folder.path().join("d.yaml"), b"a: \"\xff\"\n").unwrap();
    let run = run(folder.path(), &["lint", "--format", "json", "a.yaml", "b.yaml", "c.yaml", "d.yaml", "nowhere"], "");
    assert_snapshot!(run.stderr, @r#"
    nowhere: no such file or folder
    a.yaml:15:1: a value is missing here, or a bracket above is not closed
    b.yaml:1:5: a second `: ` on this line, or a mapping where none can be: quote the value or correct the indentation
    d.yaml:1:5: not UTF-8 text: save the file as UTF-8
    "#);
    assert_eq!(run.code, 2);
    let report = run.json();
    assert_eq!(report["errors"][0], json!({ "file": "nowhere", "message": "no such file or folder" }));
    assert_eq!(
        places(&report),
        [
            "hair-trigger-liveness a.yaml:2:27:9 /spec/template/spec/containers/0/livenessProbe",
            "hair-trigger-liveness c.yaml:0:12:9 /spec/template/spec/containers/0/livenessProbe",
        ]
    );
    assert_eq!(report["summary"]["files"], 4);
}

#[test]
fn wrong_types_are_errors_with_a_place() {
    let text = good("a").replace("timeoutSeconds: 3", "timeoutSeconds: soon");
    let run = run(folder(&[("a.yaml", &text)]).path(), &["lint", "a.yaml"], "");
    assert_snapshot!(run.all(), @r#"
    1 file, 0 workloads: no findings; 1 error
    --- stderr
    a.yaml:12:65: the API server would refuse this: invalid type: a string, expected a whole number
    --- exit code 2
    "#);
}

#[test]
fn folders() {
    let bad = bad("x");
    let folder = folder(&[
        (".gitignore", "ignored/\n"),
        ("b/one.yml", &bad),
        ("a/two.json", &serde_json::to_string(&json!({ "kind": "List", "apiVersion": "v1", "items": [] })).unwrap()),
        ("a/three.yaml", &bad),
        ("ignored/four.yaml", &bad),
        (".hidden/five.yaml", &bad),
        ("notes.txt", &bad),
        ("chart/Chart.yaml", "name: chart\n"),
        ("chart/values.yaml", "a: 1\n"),
        ("chart/templates/six.yaml", "{{ if }}\n"),
        ("chart/templates/deep/seven.yaml", "{{ if }}\n"),
        ("templates/eight.yaml", &bad),
        ("files/nine.yaml", "a: {{ .Values.a }}\n"),
        ("files/array.json", "[1, {}]\n"),
    ]);
    let all = run(folder.path(), &["lint", ".", "--format", "json"], "");
    let files: Vec<_> = places(&all.json()).iter().map(|place| place.split([' ', ':']).nth(1).unwrap().to_owned()).collect();
    assert_eq!(files, ["a/three.yaml", "b/one.yml", "templates/eight.yaml"]);
    assert_eq!(all.json()["summary"]["skipped"], 3);
    assert_eq!(all.stderr, "probekeeper: skipped 3 templates (lint the output of `helm template`)\n");
    assert_eq!(all.code, 1);

    // Twice is once, and the order is that of the command line.
    let some = run(folder.path(), &["lint", "b", "a", "./b", "--format", "json"], "").json();
    assert_eq!(some["summary"]["files"], 3);
    let template = run(folder.path(), &["lint", "files/nine.yaml"], "");
    assert_eq!(template.code, 2);
    assert!(template.stderr.starts_with("files/nine.yaml:1:5: this looks like a template"), "{}", template.stderr);
    for named in ["chart/templates/six.yaml", "chart/templates", "chart/templates/deep"] {
        let run = run(folder.path(), &["lint", named], "");
        assert_eq!(run.code, 2);
        assert!(run.stderr.starts_with(&format!("{named}: this is a chart template")), "{}", run.stderr);
    }
}

#[test]
fn standard_input() {
    let run = anywhere(&["lint", "-", "--format", "json"], &bad("x"));
    assert_eq!(places(&run.json()), ["hair-trigger-liveness -:0:12:9 /spec/template/spec/containers/0/livenessProbe"]);
    assert_eq!(anywhere(&["lint", "-"], "").code, 0);
}

#[test]
fn lists_reviews_and_json() {
    let object: serde_json::Value = serde_json::from_str(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","livenessProbe":{"tcpSocket":{"port":"db"}}}]}}"#,
    )
    .unwrap();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [{ "kind": "Service" }, object] });
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": { "uid": "1", "operation": "CREATE", "object": object } });
    let folder = folder(&[
        ("list.json", &serde_json::to_string_pretty(&list).unwrap()),
        ("review.json", &serde_json::to_string(&review).unwrap()),
        (
            "list.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n  spec:\n    containers:\n    - name: c\n      image: i\n      livenessProbe:\n        tcpSocket:\n          port: db\n",
        ),
    ]);
    let report = run(folder.path(), &["lint", ".", "--format", "json", "--min-action", "deny"], "").json();
    assert_eq!(
        places(&report),
        [
            "unknown-port-name list.json:0:19:17 /items/1/spec/containers/0/livenessProbe/tcpSocket/port",
            "unknown-port-name list.yaml:0:13:11 /items/0/spec/containers/0/livenessProbe/tcpSocket/port",
            "unknown-port-name review.json:0:1:203 /request/object/spec/containers/0/livenessProbe/tcpSocket/port",
        ]
    );
    assert_eq!(report["summary"]["ignored"], 1);
}

#[test]
fn patches_are_skipped() {
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        livenessProbe: { periodSeconds: 1, failureThreshold: 1 }\n";
    let run = run(folder(&[("patch.yaml", patch)]).path(), &["lint", "."], "");
    assert_snapshot!(run.all(), @r#"
    1 file, 0 workloads: nothing wrong
    --- stderr
    probekeeper: skipped 1 incomplete (patches: lint the output of `kustomize build`)
    --- exit code 0
    "#);
}

#[test]
fn keys_given_twice_are_warned_about() {
    let text = good("a").replace("image: app:1\n", "image: app:1\n        image: app:2\n");
    let run = run(folder(&[("a.yaml", &text)]).path(), &["lint", "a.yaml"], "");
    assert_snapshot!(run.all(), @r#"
    1 file, 1 workload: nothing wrong
    --- stderr
    a.yaml:12:9: warning: key `image` is given again, and the one on line 11 no longer counts
    --- exit code 0
    "#);
}

#[test]
fn output_goes_to_a_file_in_one_step() {
    let folder = folder(&[("a.yaml", &bad("a"))]);
    let run = run(folder.path(), &["lint", "a.yaml", "--format", "json", "--output", "report.json"], "");
    assert_eq!((run.code, &*run.stdout), (1, ""));
    let report = fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert!(report.starts_with("{\n  \"version\": 1,"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let failed = super::run(folder.path(), &["lint", "a.yaml", "--output", "no/such/report.json"], "");
    assert_snapshot!(failed.all(), @r#"
    --- stderr
    probekeeper: no/such/report.json: cannot be written: No such file or directory
    --- exit code 2
    "#);
}

#[test]
fn defaults_are_filled_in_before_judging() {
    let text = good("a").replace(
        "readinessProbe: { httpGet: { path: /readyz, port: 80 }, timeoutSeconds: 3 }",
        "livenessProbe: { httpGet: { path: /healthz, port: 80 }, periodSeconds: 5 }",
    );
    let folder = folder(&[("a.yaml", &text)]);
    let with = run(folder.path(), &["lint", "a.yaml", "--format", "json"], "").json();
    let without = run(folder.path(), &["lint", "a.yaml", "--format", "json", "--no-defaults"], "").json();
    assert_eq!(
        with["filled"][0],
        json!({ "file": "a.yaml", "document": 0, "object": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "a" },
                "pointer": "/spec/template/spec/containers/0/livenessProbe/timeoutSeconds", "value": 5 })
    );
    assert_eq!(without["filled"], json!([]));
    let rules = |report: &serde_json::Value| {
        places(report).iter().map(|place| place.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(!rules(&with).contains(&"no-startup-allowance".to_owned()), "{:?}", rules(&with));
    assert!(rules(&without).contains(&"no-startup-allowance".to_owned()), "{:?}", rules(&without));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let files: Vec<_> =
        (0..60).map(|number| (format!("{number:02}.yaml"), if number % 3 == 0 { bad("b") } else { good("g") })).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let folder = folder(&files);
    let first = run(folder.path(), &["lint", ".", "--format", "json"], "").stdout;
    for _ in 0..5 {
        assert_eq!(run(folder.path(), &["lint", ".", "--format", "json"], "").stdout, first);
    }
}

#[test]
fn a_policy_decides() {
    let folder = folder(&[
        ("a.yaml", &bad("a")),
        ("policy.yaml", "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { hair-trigger-liveness: warn }\n"),
    ]);
    let run = run(folder.path(), &["lint", "--policy", "policy.yaml", "a.yaml", "--format", "json"], "");
    assert_eq!(run.code, 0);
    assert_eq!(run.json()["findings"][0]["action"], "warn");
}
