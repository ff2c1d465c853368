//! Clients that do what no API server does: each is answered, refused or cut, and leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probekeeper::server::Limits;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{Client, config, post_head};
use crate::fixture::Fixture;
use crate::process::{Process, REVIEW};

const SHORT: Duration = Duration::from_millis(400);
const DRIP: Duration = Duration::from_millis(30);
/// No test waits longer than this for the end of a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a byte every now and then, until the other side has had enough. What it said until then.
async fn drip(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), bytes: &[u8]) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            // It hung up while bytes were on their way to it. What it said before that is still to be read.
            while let Ok(length @ 1..) = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("no end") {
                answer.extend_from_slice(&buffer[..length]);
            }
            return answer;
        }
        match timeout(DRIP, stream.read(&mut buffer)).await {
            Err(_) => {}
            Ok(Ok(0) | Err(_)) => return answer,
            Ok(Ok(length)) => answer.extend_from_slice(&buffer[..length]),
        }
    }
    panic!("it would have waited for all {} bytes", bytes.len());
}

#[tokio::test]
async fn bytes_that_trickle_in_win_no_time() {
    let limits = Limits { handshake: SHORT, first_head: SHORT, body: SHORT, ..Limits::default() };
    let fixture = Fixture::start(limits);
    let config = config(&fixture.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut hello).unwrap();
    let mut shaking = TcpStream::connect(fixture.address).await.unwrap();
    assert_eq!(drip(&mut shaking, &hello).await, b"");
    fixture.counted("probekeeper_connections_closed_total{reason=\"handshake_timeout\"} 1").await;

    let mut head = Client::connect(&fixture).await;
    assert_eq!(drip(&mut head.stream, post_head("/validate", 2).as_bytes()).await, b"");
    fixture.counted("probekeeper_connections_closed_total{reason=\"head_timeout\"} 1").await;

    let mut body = Client::connect(&fixture).await;
    body.send(&post_head("/validate", 1000)).await;
    let answer = String::from_utf8(drip(&mut body.stream, &[b'x'; 1000]).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    fixture.counted("probekeeper_connections_closed_total{reason=\"body\"} 1").await;
    fixture.counted("probekeeper_connections 0").await;
}

#[tokio::test]
async fn the_largest_body_is_judged_and_one_byte_more_is_not() {
    let fixture = Fixture::start(Limits::default());
    let most = 8 << 20;
    let mut client = Client::connect(&fixture).await;
    assert_eq!(client.post("/validate", &"x".repeat(most)).await.body, format!("/validate {most}"));
    // Chunks of one MiB and one of a byte.
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head).await;
    client.send(&chunk.repeat(8)).await;
    client.send("0\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().body, format!("/mutate {most}"));

    let mut announced = Client::connect(&fixture).await;
    announced.send(&post_head("/validate", most + 1)).await;
    let mut chunked = Client::connect(&fixture).await;
    chunked.send(head).await;
    chunked.send(&chunk.repeat(8)).await;
    chunked.send("1\r\nx\r\n").await;
    for client in [&mut announced, &mut chunked] {
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (413, None));
        assert!(reply.closes());
        client.closed().await;
    }
    fixture.counted("probekeeper_requests_refused_total{reason=\"too_large\"} 2").await;
    fixture.counted("probekeeper_admission_in_flight 0").await;
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Client::connect(&fixture).await;
    let requests: String = (0..50).map(|length| post_head("/validate", length) + &"x".repeat(length)).collect();
    client.send(&(requests + &post_head("/nowhere", 2) + "{}" + &post_head("/mutate", 1) + "x")).await;
    for length in 0..50 {
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status, reply.body), (200, format!("/validate {length}")));
    }
    assert_eq!(client.reply().await.unwrap().status, 404);
    assert_eq!(client.reply().await.unwrap().body, "/mutate 1");
    fixture.counted("probekeeper_admission_in_flight 0").await;
}

#[tokio::test]
async fn who_waits_to_be_asked_for_the_body_is_asked() {
    let fixture = Fixture::start(Limits { body_bytes: 100, ..Limits::default() });
    let mut client = Client::connect(&fixture).await;
    let head = |length: usize| {
        format!(
            "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    client.send(&head(2)).await;
    assert_eq!(client.reply().await.unwrap().status, 100);
    client.send("{}").await;
    assert_eq!(client.reply().await.unwrap().body, "/mutate 2");
    client.send(&head(101)).await;
    assert_eq!(client.reply().await.unwrap().status, 413, "and told at once where the body is not wanted");
}

#[tokio::test]
async fn who_says_goodbye_right_after_asking_leaves_nothing_behind() {
    let fixture = Fixture::start(Limits::default());
    for body in ["{}", "nap 50"] {
        let mut client = Client::connect(&fixture).await;
        client.send(&(post_head("/validate", body.len()) + body)).await;
        client.stream.shutdown().await.unwrap();
        // An answer may still come; that is all.
        if let Some(reply) = client.reply().await {
            assert_eq!(reply.status, 200);
            client.closed().await;
        }
        fixture.counted("probekeeper_connections 0").await;
        fixture.counted("probekeeper_admission_in_flight 0").await;
    }
    // With half a body there is nothing to answer.
    let mut client = Client::connect(&fixture).await;
    client.send(&post_head("/validate", 100)).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.reply().await.is_none_or(|reply| reply.status == 400));
    fixture.counted("probekeeper_connections 0").await;
    fixture.counted("probekeeper_admission_in_flight 0").await;
}

/// More than what a socket buffers on both sides.
const LONG: &str = "long 33554432";

#[tokio::test]
async fn who_leaves_within_the_answer_or_never_reads_it_is_forgotten() {
    let fixture = Fixture::start(Limits { first_head: SHORT, idle: SHORT, ..Limits::default() });
    let mut leaving = Client::connect(&fixture).await;
    leaving.send(&(post_head("/validate", LONG.len()) + LONG)).await;
    leaving.stream.read_exact(&mut [0; 100]).await.unwrap();
    drop(leaving);
    fixture.counted("probekeeper_connections 0").await;

    let mut stuck = Client::connect(&fixture).await;
    let started = Instant::now();
    stuck.send(&(post_head("/validate", LONG.len()) + LONG)).await;
    fixture.counted("probekeeper_connections 0").await;
    assert!(started.elapsed() >= SHORT / 2);
    fixture.counted("probekeeper_connections_closed_total{reason=\"idle\"} 1").await;
    fixture.counted("probekeeper_admission_in_flight 0").await;
}

#[tokio::test]
async fn old_tls_and_no_tls_are_refused() {
    let fixture = Fixture::start(Limits::default());
    let mut refused = 0;
    for minor in [0, 1, 2] {
        // SSL 3.0, TLS 1.0 and 1.1: a ClientHello as clients of their time sent it, without extensions.
        let mut hello = vec![3, minor];
        hello.extend([7; 32]); // random
        hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]); // no session, two suites, no compression
        let length = u8::try_from(hello.len()).unwrap();
        let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        record.extend(hello);
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        // An end by reset is an end too.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no end");
        // A fatal alert: protocol version, or no common parameters.
        assert!(matches!(answer[..], [21, _, _, 0, 2, 2, 70 | 40]), "{answer:?}");
        refused += 1;
        fixture.counted(&format!("probekeeper_tls_handshakes_total{{result=\"failed\"}} {refused}")).await;
    }
    for plain in [&b"GET /validate HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 600]] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(plain).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no end");
        assert!(answer.len() <= 7, "nothing but an alert: {answer:?}");
        refused += 1;
        fixture.counted(&format!("probekeeper_connections_closed_total{{reason=\"handshake_failed\"}} {refused}")).await;
    }
    let mut client = Client::connect(&fixture).await;
    assert_eq!(client.post("/validate", "{}").await.status, 200);
}

/// In earnest, with the limits as they are: the pause is as long as an API server's may be, and longer than all other limits.
#[tokio::test]
async fn after_120_s_of_silence_a_call_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let mut client = process.connect().await;
    assert_eq!(client.post("/validate?timeout=10s", REVIEW).await.status, 200);
    sleep(Duration::from_mins(2)).await;
    let reply = client.post("/mutate?timeout=10s", REVIEW).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.closes());
}
