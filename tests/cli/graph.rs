//! `probekeeper graph`, and `probekeeper lint` over a set of files.

use std::fmt::Write as _;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::json;

use super::{folder, run};

/// A Deployment whose readiness asks these hosts, one container for each, and its Service.
fn application(name: &str, asks: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec:\n      containers:\n        - {{ name: {name}, image: \"app:1\" }}\n"
    );
    for (number, host) in asks.iter().enumerate() {
        let _ = writeln!(
            text,
            "        - name: gate-{number}\n          image: gate:1\n          readinessProbe: {{ httpGet: {{ host: {}, path: /ready, port: 80 }}, timeoutSeconds: 3 }}",
            json!(host)
        );
    }
    text + &format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80 }}] }}\n"
    )
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_shop() {
    assert_snapshot!(run(root(), &["graph", "examples/shop"], "").all(), @r#"
    current-orders
      readiness of container "current-orders" asks shipping  http://shipping:80/health/ready
      readiness of container "history-gate" asks order-history  http://order-history:80/health/ready

    shipping
      readiness of container "shipping" asks order-history  http://order-history:80/health/ready

    If order-history is down
      unready: current-orders, shipping

    If shipping is down
      unready: current-orders

    3 workloads: the probes of 2 ask others, no cycle
    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn cycles_are_marked() {
    let set = [
        application("cart", &["orders"]),
        application("orders", &["payments"]),
        application("payments", &["cart", "api.bank.example"]),
        application("search", &["search"]),
    ]
    .join("---\n");
    assert_snapshot!(run(root(), &["graph", "-"], &set).all(), @r#"
    cart
      readiness of container "gate-0" asks orders  http://orders:80/ready  [cycle]

    orders
      readiness of container "gate-0" asks payments  http://payments:80/ready  [cycle]

    payments
      readiness of container "gate-0" asks cart  http://cart:80/ready  [cycle]
      readiness of container "gate-1" asks api.bank.example  http://api.bank.example:80/ready  [not in this set]

    search
      readiness of container "gate-0" asks search  http://search:80/ready  [cycle]

    Cycles: once all of them are unready, none becomes ready again
      cart -> orders -> payments -> cart
      search asks its own Service

    If api.bank.example is down
      unready: payments
      then unready: orders
      then unready: cart

    If cart is down
      unready: payments
      then unready: orders

    If orders is down
      unready: cart
      then unready: payments

    If payments is down
      unready: orders
      then unready: cart

    4 workloads: the probes of 4 ask others, 2 cycles
    --- stderr
    --- exit code 0
    "#);
    assert_snapshot!(run(root(), &["graph", "--format", "dot", "-"], &set).all(), @r#"
    digraph probes {
      rankdir=TB
      node [shape=box, style=rounded, fontname="sans-serif"]
      edge [fontname="sans-serif", fontsize=10]
      n0 [label="cart"]
      n1 [label="orders"]
      n2 [label="payments"]
      n3 [label="search"]
      n4 [label="api.bank.example", style=dashed]
      n0 -> n1 [label="readiness", tooltip="http://orders:80/ready", color=red, fontcolor=red]
      n1 -> n2 [label="readiness", tooltip="http://payments:80/ready", color=red, fontcolor=red]
      n2 -> n0 [label="readiness", tooltip="http://cart:80/ready", color=red, fontcolor=red]
      n2 -> n4 [label="readiness", tooltip="http://api.bank.example:80/ready"]
      n3 -> n3 [label="readiness", tooltip="http://search:80/ready", color=red, fontcolor=red]
    }
    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn json_names_nodes_by_number() {
    let folder = folder(&[("a.yaml", &application("a", &["b", "c.example"])), ("b.yaml", &application("b", &[]))]);
    let graph = run(folder.path(), &["graph", "--format", "json", "."], "").json();
    assert_eq!(
        graph,
        json!({
            "version": 1,
            "nodes": [
                { "id": 0, "kind": "Deployment", "name": "a" },
                { "id": 1, "kind": "Deployment", "name": "b" },
                { "id": 2, "host": "c.example" },
            ],
            "edges": [
                { "from": 0, "to": [1], "probe": "readinessProbe", "container": "gate-0", "question": "http://b:80/ready", "cycle": false },
                { "from": 0, "to": [2], "probe": "readinessProbe", "container": "gate-1", "question": "http://c.example:80/ready", "cycle": false },
            ],
            "cycles": [],
            "cascades": [
                { "down": 1, "fallen": [{ "id": 0, "step": 1, "fall": "unready" }] },
                { "down": 2, "fallen": [{ "id": 0, "step": 1, "fall": "unready" }] },
            ],
        })
    );
}

#[test]
fn names_are_escaped_everywhere() {
    let set = application("a", &["x\"]<b>&\u{7}"]);
    let dot = run(root(), &["graph", "--format", "dot", "-"], &set).stdout;
    assert!(dot.contains(r#"label="x\"]<b>&"#), "{dot}");
    let svg = run(root(), &["graph", "--format", "svg", "-"], &set).stdout;
    assert!(svg.contains("x&quot;]&lt;b&gt;&amp;") && !svg.contains("<b>") && !svg.contains('\u{7}'), "{svg}");
    let text = run(root(), &["graph", "-"], &set).stdout;
    assert!(!text.contains('\u{7}'), "{text}");
}

#[test]
fn what_cannot_be_read_does_not_hide_the_rest() {
    let folder = folder(&[("a.yaml", &application("a", &["b"])), ("b.yaml", "a: [\n")]);
    let shown = run(folder.path(), &["graph", "."], "");
    assert_eq!(shown.code, 2);
    assert!(shown.stdout.contains("asks b") && shown.stderr.starts_with("b.yaml:"), "{}", shown.all());
}

#[test]
fn nobody_asks_anybody() {
    assert_snapshot!(run(root(), &["graph", "-"], &application("a", &[])).all(), @"
    1 workload: no probe asks others
    --- stderr
    --- exit code 0
    ");
    let svg = run(root(), &["graph", "--format", "svg", "-"], &application("a", &[])).stdout;
    assert!(svg.contains("No probe asks another"), "{svg}");
}

/// Services and workloads of one run belong together, whichever files they are in.
#[test]
fn lint_knows_the_other_files() {
    let folder = folder(&[
        ("a/web.yaml", &application("web", &["orders"])),
        ("b/orders.yaml", &application("orders", &["web"])),
        ("b/broken.yaml", "a: [\n"),
    ]);
    let messages = |paths: &[&str]| {
        let report = run(folder.path(), &[&["lint", "--format", "json"], paths].concat(), "").json();
        let findings = report["findings"].as_array().unwrap().clone();
        let message = |finding: &serde_json::Value| {
            format!(
                "{} {}:{} {}",
                finding["rule"].as_str().unwrap(),
                finding["file"].as_str().unwrap(),
                finding["line"],
                finding["message"].as_str().unwrap()
            )
        };
        findings.iter().map(message).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(messages(&["."]), @"
    readiness-calls-other-service a/web.yaml:13 calls the readiness of orders, which is in this set: when it is down, so is web
    readiness-cycle a/web.yaml:13 readiness waits for itself: web asks orders asks web
    readiness-calls-other-service b/orders.yaml:13 calls the readiness of web, which is in this set: when it is down, so is orders
    readiness-cycle b/orders.yaml:13 readiness waits for itself: orders asks web asks orders
    ");
    assert_snapshot!(messages(&["a"]), @r#"readiness-calls-other-service a/web.yaml:13 readiness asks for the readiness of another service, "orders": one outage cascades"#);
}

/// Lists and recorded reviews are part of the set like single objects; what another workload made is judged, but is not asked in its own name.
#[test]
fn lists_are_sets_too() {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Service", "metadata": { "name": "b", "namespace": "shop" }, "spec": { "selector": { "app": "b" }, "ports": [{ "port": 80 }] } },
        workload("Deployment", "a", "b.shop.svc", false),
        workload("Deployment", "b", "", false),
        workload("ReplicaSet", "b-5f7", "", true),
    ] });
    assert_snapshot!(run(root(), &["graph", "-"], &list.to_string()).all(), @r#"
    shop/a
      readiness of container "app" asks shop/b  http://b.shop.svc:80/ready

    If shop/b is down
      unready: shop/a

    2 workloads: the probes of 1 ask others, no cycle
    --- stderr
    --- exit code 0
    "#);
}

fn workload(kind: &str, name: &str, host: &str, owned: bool) -> serde_json::Value {
    let app = name.split('-').next();
    let mut object = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": "shop" }, "spec": {
        "selector": { "matchLabels": { "app": app } },
        "template": { "metadata": { "labels": { "app": app } }, "spec": { "containers": [
            { "name": "app", "image": "app:1", "readinessProbe": { "httpGet": { "host": host, "path": "/ready", "port": 80 } } },
        ] } },
    } });
    if owned {
        object["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": app, "controller": true }]);
    }
    object
}
