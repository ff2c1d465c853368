//! The operations port.

use std::net::SocketAddr;
use std::sync::Arc;

use probekeeper::lifecycle::Gates;
use probekeeper::server::{Limits, bind, ops};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::fixture::Fixture;

#[tokio::test]
async fn readiness_is_a_set_of_gates() {
    let gates = Gates::new();
    let (policy, running) = (gates.add("policy", "not loaded"), gates.add("running", "starting"));
    let fixture = Fixture::start(Limits::default());
    let address = operate(&fixture, &gates);
    assert_eq!(get(address, "/livez").await, (200, "ok\n".to_owned()));
    let (status, body) = get(address, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body, "[-]policy: not loaded\n[-]running: starting\nnot ready\n");
    policy.open();
    running.open();
    assert_eq!(get(address, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz?verbose").await.1, "[+]policy ok\n[+]running ok\nok\n");
    running.close("ending");
    assert_eq!(get(address, "/readyz").await.0, 503);
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/nowhere").await.0, 404);
    assert!(get(address, "/").await.1.contains("/metrics"));
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let fixture = Fixture::start(Limits::default());
    let address = operate(&fixture, &Gates::new());
    let mut client = Client::connect(&fixture).await;
    for _ in 0..2 {
        client.post("/validate", "{}").await;
    }
    client.post("/mutate", &"x".repeat(5000)).await;
    fixture.metrics.policy_in_force("abc", "recommended");
    fixture.metrics.policy_reload("ok");
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"probekeeper_admission_requests_total{path="/validate",operation="CREATE",kind="Deployment",verdict="denied"} 2"#,
        r#"probekeeper_admission_requests_total{path="/mutate",operation="CREATE",kind="Deployment",verdict="denied"} 1"#,
        r#"probekeeper_admission_duration_seconds_count{path="/validate"} 2"#,
        r#"probekeeper_admission_duration_seconds_bucket{le="2.5",path="/mutate"} 1"#,
        "probekeeper_admission_in_flight 0",
        r#"probekeeper_admission_body_bytes_bucket{le="1024.0"} 2"#,
        r#"probekeeper_admission_body_bytes_bucket{le="16384.0"} 3"#,
        r#"probekeeper_findings_total{rule="unknown-port-name",action="deny"} 3"#,
        r#"probekeeper_filled_total{field="livenessProbe.timeoutSeconds"} 3"#,
        r#"probekeeper_rule_errors_total{rule="hair-trigger-liveness"} 3"#,
        r#"probekeeper_policy_info{hash="abc",profile="recommended"} 1"#,
        r#"probekeeper_policy_reload_total{result="ok"} 1"#,
        "probekeeper_policy_stale 0",
        r#"probekeeper_tls_handshakes_total{result="ok"} 1"#,
        "probekeeper_connections 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    for name in
        ["probekeeper_certificate_not_after_seconds{which=\"leaf\"} ", "process_resident_memory_bytes ", "process_open_fds "]
    {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(value.parse::<f64>().unwrap() > 1.0, "{name}{value}");
    }
    assert!(text.ends_with("# EOF\n"));
}

fn operate(fixture: &Fixture, gates: &Gates) -> SocketAddr {
    let listener = TcpListener::from_std(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(ops::run(listener, gates.clone(), Arc::clone(&fixture.metrics)));
    address
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
