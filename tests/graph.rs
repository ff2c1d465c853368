//! Objects related to each other: selectors, namespaces, ports, and what an arbitrary set may not do to the drawings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use probekeeper::graph::{Fact, Fall, Graph, Member, draw};
use probekeeper::model::Workload;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The graph of these objects.
fn graph(objects: &[Value]) -> Graph {
    let fact = |object: &Value| {
        let json = object.to_string();
        let workload = Workload::from_json(&json).unwrap();
        workload
            .as_ref()
            .and_then(Member::of)
            .map(Fact::Member)
            .or_else(|| Fact::from_json(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap(), &json))
    };
    Graph::new(objects.iter().filter_map(fact))
}

fn deployment(name: &str, labels: &Value, containers: &Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name }, "spec": {
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } },
    } })
}

fn asking(name: &str, probe: &str, host: &str) -> Value {
    let mut container = json!({ "name": "app", "image": "app:1" });
    container[probe] = json!({ "httpGet": { "host": host, "path": "/ready", "port": 80 } });
    deployment(name, &json!({ "app": name }), &json!([container]))
}

fn service(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

fn service_of(name: &str) -> Value {
    service(name, &json!({ "selector": { "app": name }, "ports": [{ "port": 80 }] }))
}

#[test]
fn ports_are_resolved_in_the_pod() {
    let containers = json!([
        { "name": "a", "image": "a:1", "ports": [{ "name": "http", "containerPort": 8080 }, { "name": "dns", "containerPort": 53, "protocol": "UDP" }] },
        { "name": "b", "image": "b:1", "ports": [{ "name": "http", "containerPort": 9080 }] },
    ]);
    let graph = graph(&[
        deployment("web", &json!({ "app": "web" }), &containers),
        service(
            "web",
            &json!({ "selector": { "app": "web" }, "ports": [
            { "port": 80, "targetPort": "http", "appProtocol": "grpc" },
            { "port": 53, "targetPort": "dns" },
            { "port": 443, "targetPort": 0 },
            { "port": 9000, "targetPort": 9001, "appProtocol": "http" },
        ] }),
        ),
        service("outside", &json!({ "type": "ExternalName", "externalName": "x.example", "selector": { "app": "web" } })),
        service("none", &json!({ "ports": [{ "port": 80 }] })),
    ]);
    let around = graph.around(0).unwrap();
    let services: Vec<_> = around.services().collect();
    assert_eq!(services.iter().map(|service| &*service.name).collect::<Vec<_>>(), ["web"]);
    assert_eq!(around.targets(services[0]), [443, 8080, 9001, 9080], "the UDP port is not the Service's");
    assert_eq!(around.app_protocol(8080), Some("grpc"));
    assert_eq!(around.app_protocol(9001), Some("http"));
    assert_eq!(around.app_protocol(9002), None);
    assert!(graph.around(1).is_none());
}

/// Who falls when a node of this name is down: name, step and how.
fn falls(graph: &Graph, name: &str) -> Vec<(String, usize, Fall)> {
    let node = (0..graph.nodes().len()).find(|node| graph.name(*node) == name).unwrap();
    graph.cascade(&[node]).into_iter().map(|fallen| (graph.name(fallen.node).to_owned(), fallen.step, fallen.fall)).collect()
}

#[test]
fn cascades_follow_readiness_and_liveness_but_not_startup() {
    let graph = graph(&[
        asking("a", "readinessProbe", "b"),
        asking("b", "livenessProbe", "c"),
        service_of("b"),
        asking("c", "startupProbe", "d"),
        service_of("c"),
        asking("d", "readinessProbe", ""),
        service_of("d"),
    ]);
    assert_eq!(falls(&graph, "c"), [("b".to_owned(), 1, Fall::Restarted), ("a".to_owned(), 2, Fall::Unready)]);
    assert_eq!(falls(&graph, "d"), []);
    assert!(graph.cycles().is_empty());
}

#[test]
fn a_service_answers_while_one_of_its_workloads_stands() {
    let colour =
        |name: &str| deployment(name, &json!({ "app": "b", "colour": name }), &json!([{ "name": "app", "image": "app:1" }]));
    let graph = graph(&[asking("a", "readinessProbe", "b"), colour("blue"), colour("green"), service_of("b")]);
    assert_eq!(graph.edges()[0].to.len(), 2);
    assert_eq!(falls(&graph, "blue"), []);
    assert_eq!(graph.cascade(&graph.edges()[0].to).len(), 1);
}

#[test]
fn the_same_object_in_two_files_is_one() {
    let twice = [asking("a", "readinessProbe", "b"), asking("b", "readinessProbe", ""), service_of("b")];
    let once = graph(&twice);
    let both = graph(&[twice.clone(), twice].concat());
    assert_eq!(draw::text(&once), draw::text(&both));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any set can be drawn, and is drawn the same way again.
    #[test]
    fn any_set_can_be_drawn(asks in prop::collection::vec((0_usize..7, 0_usize..9, 0_usize..3), 0..20)) {
        let probes = ["readinessProbe", "livenessProbe", "startupProbe"];
        let mut objects: Vec<Value> = (0..7).map(|number| service_of(&format!("s{number}"))).collect();
        for number in 0..7 {
            let containers: Vec<Value> = asks.iter().filter(|(from, _, _)| *from == number).enumerate().map(|(at, (_, to, probe))| {
                let mut container = json!({ "name": format!("c{at}"), "image": "app:1" });
                container[probes[*probe]] = json!({ "tcpSocket": { "host": format!("s{to}"), "port": 80 } });
                container
            }).chain([json!({ "name": "app", "image": "app:1" })]).collect();
            let name = format!("s{number}");
            objects.push(deployment(&name, &json!({ "app": name }), &json!(containers)));
        }
        let (one, other) = (graph(&objects), graph(&objects));
        prop_assert_eq!(draw::svg(&one), draw::svg(&other));
        prop_assert_eq!(draw::text(&one), draw::text(&other));
        prop_assert!(!draw::svg(&one).contains("NaN"));
        let drawn = draw::svg(&one);
        prop_assert_eq!(drawn.matches("<rect class=\"box").count(), draw::dot(&one).lines().filter(|line| line.contains("[label=") && !line.contains("->")).count());
        for cycle in one.cycles() {
            let closes = |from: usize, to: usize| one.edges_from(from).any(|edge| edge.to.contains(&to) && one.is_circular(edge));
            for (at, from) in cycle.iter().enumerate() {
                prop_assert!(closes(*from, cycle[(at + 1) % cycle.len()]));
            }
        }
    }
}
