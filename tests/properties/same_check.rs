//! `same_check` against brute force: of every pair among some thousand small probes, what the kubelet would put on the wire is written down and compared.

use probekeeper::model::{Container, Probe, same_check};
use serde_json::{Value, json};

/// What reaches the target, written independently of the library (kubelet 1.33: `pkg/probe/http/request.go`, `pkg/kubelet/prober`). `None`: the probe is
/// no probe.
#[derive(Debug, PartialEq, Eq)]
enum Wire {
    Http { tls: bool, address: (String, Port), request: String, headers: Vec<(String, Vec<String>)> },
    Tcp((String, Port)),
    Grpc(Option<i64>, String),
    Exec(Vec<String>),
}

#[derive(Debug, PartialEq, Eq)]
enum Port {
    Number(i64),
    /// Nothing is sent: the kubelet reports that it cannot find this port.
    Missing(Value),
}

fn container() -> Value {
    json!({
        "name": "app", "image": "i",
        "ports": [
            { "name": "http", "containerPort": 8080 },
            { "name": "alt", "containerPort": 8080 },
            { "name": "twice", "containerPort": 1 },
            { "name": "twice", "containerPort": 8081 },
            { "name": "dns", "containerPort": 53, "protocol": "UDP" },
            { "name": "Http", "containerPort": 83 },
            { "containerPort": 7000 },
        ],
    })
}

fn wire(probe: &Value) -> Option<Wire> {
    let probe = probe.as_object().unwrap();
    let mut handlers = probe.iter().filter(|(_, handler)| !handler.is_null());
    let (Some((kind, handler)), None) = (handlers.next(), handlers.next()) else { return None };
    let text = |field: &str| handler[field].as_str().unwrap_or_default().to_owned();
    Some(match kind.as_str() {
        "httpGet" => Wire::Http {
            tls: text("scheme").to_lowercase() == "https",
            address: (host(&text("host")), port(&handler["port"])),
            request: request(&text("path")),
            headers: headers(&handler["httpHeaders"]),
        },
        "tcpSocket" => Wire::Tcp((host(&text("host")), port(&handler["port"]))),
        "grpc" => Wire::Grpc(handler["port"].as_i64(), text("service")),
        "exec" => Wire::Exec(
            handler["command"].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect(),
        ),
        other => panic!("{other}"),
    })
}

/// Names are looked up without regard to case.
fn host(host: &str) -> String {
    if host.is_empty() { "the pod's address".to_owned() } else { host.to_lowercase() }
}

/// The first port of that name, whatever its protocol.
fn port(port: &Value) -> Port {
    let container = container();
    let mut declared = container["ports"].as_array().unwrap().iter();
    let number = port
        .as_i64()
        .or_else(|| declared.find(|declared| port.is_string() && declared["name"] == *port)?["containerPort"].as_i64());
    number.map_or_else(|| Port::Missing(port.clone()), Port::Number)
}

/// The request's target: what Go's URL has behind the host, without the fragment.
fn request(path: &str) -> String {
    let path = path.split('#').next().unwrap();
    let path = path.strip_prefix("http:").unwrap_or(path);
    // Three slashes begin no host.
    let path = match path.strip_prefix("//").filter(|rest| !rest.starts_with('/')) {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => path,
    };
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// By name, without regard to case; the values of one name in their order.
fn headers(headers: &Value) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for header in headers.as_array().into_iter().flatten() {
        let (name, value) = (header["name"].as_str().unwrap().to_lowercase(), header["value"].as_str().unwrap().to_owned());
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all.sort();
    all
}

/// Paths of which something else is sent than they say: `unusable-path` tells so, and two of them may count as different though they are not.
const ODD: [&str; 5] = ["//a", "//h/a", "http://h/a", "/a#f", "#f"];

fn probes() -> Vec<Value> {
    let choices = |values: &[Value]| -> Vec<Value> { std::iter::once(Value::Null).chain(values.iter().cloned()).collect() };
    let ports = choices(&["http", "alt", "twice", "dns", "HTTP", "Http", "nope", ""].map(Value::from));
    let ports: Vec<Value> = ports.into_iter().chain([json!(8080), json!(8081), json!(1), json!(53)]).collect();
    let hosts = choices(&["", "localhost", "LocalHost", "127.0.0.1"].map(Value::from));
    let schemes = choices(&["", "HTTP", "HTTPS", "http"].map(Value::from));
    let paths: Vec<Value> = choices(&["", "/", "a", "/a", "/A", "/a/", "a?q", "/a?q", "?q", "/?q", "///a"].map(Value::from))
        .into_iter()
        .chain(ODD.map(Value::from))
        .collect();
    let header = |name: &str, value: &str| json!({ "name": name, "value": value });
    let headers = choices(&[
        json!([]),
        json!([header("X", "1")]),
        json!([header("x", "1")]),
        json!([header("X", "2")]),
        json!([header("X", "")]),
        json!([header("X", "1"), header("Y", "2")]),
        json!([header("Y", "2"), header("x", "1")]),
        json!([header("X", "1"), header("x", "2")]),
        json!([header("x", "2"), header("X", "1")]),
        json!([header("X", "1"), header("X", "1")]),
        json!([header("X", "1"), header("Y", "2"), header("X", "2")]),
        json!([header("X", "1"), header("X", "2"), header("y", "2")]),
    ]);
    let mut all = Vec::new();
    let mut http = |port: &Value, host: &Value, scheme: &Value, path: &Value, headers: &Value| {
        let mut get = json!({ "port": port, "host": host, "scheme": scheme, "path": path, "httpHeaders": headers });
        get.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        all.push(json!({ "httpGet": get }));
    };
    let none = Value::Null;
    for port in &ports {
        for host in &hosts {
            for scheme in &schemes {
                http(port, host, scheme, &none, &none);
            }
        }
    }
    for path in &paths {
        for headers in &headers {
            http(&json!(8080), &none, &none, path, headers);
        }
        http(&json!("http"), &json!(""), &json!("HTTP"), path, &none);
        http(&json!(8080), &none, &json!("HTTPS"), path, &none);
    }
    for port in &ports {
        for host in &hosts {
            all.push(json!({ "tcpSocket": { "port": port, "host": host } }));
        }
    }
    for port in [json!(8080), json!(8081)] {
        for service in [json!(null), json!(""), json!("a"), json!("A")] {
            all.push(json!({ "grpc": { "port": port, "service": service } }));
        }
    }
    for command in
        [json!(null), json!([]), json!([""]), json!(["a"]), json!(["a", ""]), json!(["a", "b"]), json!(["a b"]), json!(["A"])]
    {
        all.push(json!({ "exec": { "command": command } }));
    }
    all.push(json!({}));
    all.push(json!({ "exec": { "command": ["a"] }, "tcpSocket": { "port": 8080 } }));
    all
}

fn is_odd(probe: &Value) -> bool {
    probe["httpGet"]["path"].as_str().is_some_and(|path| ODD.contains(&path))
}

#[test]
fn two_probes_are_the_same_check_when_the_same_is_sent() {
    let container = container().to_string();
    let container: Container<'_> = serde_json::from_str(&container).unwrap();
    let written = probes();
    let texts: Vec<String> = written.iter().map(Value::to_string).collect();
    let read: Vec<Probe<'_>> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let sent: Vec<Option<Wire>> = written.iter().map(wire).collect();
    let (mut same, mut pairs) = (0, 0);
    for one in 0..read.len() {
        for other in 0..=one {
            let says = same_check(&container, &read[one], &read[other]);
            let is = sent[one].is_some() && sent[one] == sent[other];
            let odd = is_odd(&written[one]) || is_odd(&written[other]);
            assert!(says == is || (odd && is), "said {says}, is {is}: {} and {}", texts[one], texts[other]);
            assert_eq!(says, same_check(&container, &read[other], &read[one]), "{} and {}", texts[one], texts[other]);
            same += usize::from(is && one != other);
            pairs += 1;
        }
    }
    assert!(pairs > 200_000 && same > 2_000, "{same} of {pairs}");
}
