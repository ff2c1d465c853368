//! Time, room and number: what is cut, when, and under which name it is counted.

use std::time::{Duration, Instant};

use probekeeper::server::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::client::{Client, post_head};
use crate::fixture::Fixture;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_silent_handshake_ends() {
    let fixture = Fixture::start(Limits { handshake: SHORT, ..Limits::default() });
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert!(started.elapsed() >= SHORT / 2);
    fixture.counted("probekeeper_connections_closed_total{reason=\"handshake_timeout\"} 1").await;
    fixture.counted("probekeeper_tls_handshakes_total{result=\"timeout\"} 1").await;
    fixture.counted("probekeeper_connections 0").await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_or_half_a_question_ends() {
    let fixture = Fixture::start(Limits { first_head: SHORT, ..Limits::default() });
    let mut silent = Client::connect(&fixture).await;
    let mut slow = Client::connect(&fixture).await;
    slow.send("POST /validate HT").await;
    silent.closed().await;
    slow.closed().await;
    fixture.counted("probekeeper_connections_closed_total{reason=\"head_timeout\"} 2").await;
}

#[tokio::test]
async fn an_idle_connection_is_answered_until_the_idle_timeout() {
    let limits = Limits { first_head: SHORT, idle: 4 * SHORT, ..Limits::default() };
    let fixture = Fixture::start(limits);
    let mut client = Client::connect(&fixture).await;
    assert_eq!(client.post("/validate", "{}").await.status, 200);
    for _ in 0..3 {
        sleep(2 * SHORT).await;
        assert_eq!(client.post("/validate", "{}").await.status, 200, "each request starts the time anew");
    }
    let started = Instant::now();
    client.closed().await;
    assert!(started.elapsed() >= 3 * SHORT, "{:?}", started.elapsed());
    fixture.counted("probekeeper_connections_closed_total{reason=\"idle\"} 1").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let fixture = Fixture::start(Limits { body: SHORT, ..Limits::default() });
    let mut client = Client::connect(&fixture).await;
    client.send(&post_head("/validate", 100)).await;
    client.send("{").await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.status, 408);
    assert!(reply.closes());
    client.closed().await;
    fixture.counted("probekeeper_requests_refused_total{reason=\"body_timeout\"} 1").await;
    fixture.counted("probekeeper_connections_closed_total{reason=\"body\"} 1").await;
}

#[tokio::test]
async fn what_would_come_too_late_is_refused_in_time() {
    let fixture = Fixture::start(Limits { answer: Duration::from_secs(1), ..Limits::default() });
    for (named, least, most) in [("1s", 500, 1000), ("10s", 1000, 1900)] {
        let mut client = Client::connect(&fixture).await;
        let started = Instant::now();
        client.send(&post_head(&format!("/validate?timeout={named}"), 100)).await;
        let reply = client.reply().await.unwrap();
        let took = started.elapsed();
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("retry-after"), None);
        assert!((Duration::from_millis(least)..Duration::from_millis(most)).contains(&took), "{named}: {took:?}");
    }
    fixture.counted("probekeeper_requests_refused_total{reason=\"deadline\"} 2").await;
}

#[tokio::test]
async fn too_much_in_flight_is_refused_at_once() {
    for (limits, reason) in [
        (Limits { in_flight_requests: 1, ..Limits::default() }, "in_flight_requests"),
        (Limits { in_flight_bytes: 150, ..Limits::default() }, "in_flight_bytes"),
    ] {
        let fixture = Fixture::start(limits);
        let (mut first, mut second) = (Client::connect(&fixture).await, Client::connect(&fixture).await);
        first.send(&post_head("/validate", 100)).await;
        fixture.counted("probekeeper_admission_in_flight 1").await;
        let reply = second.post("/validate", &"x".repeat(100)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, None), "{reason}");
        first.send(&"x".repeat(100)).await;
        assert_eq!(first.reply().await.unwrap().status, 200);
        let mut third = Client::connect(&fixture).await;
        assert_eq!(third.post("/validate", &"x".repeat(100)).await.status, 200, "the room is given back");
        fixture.counted(&format!("probekeeper_requests_refused_total{{reason=\"{reason}\"}} 1")).await;
        fixture.counted("probekeeper_admission_in_flight 0").await;
    }
}

#[tokio::test]
async fn at_the_cap_the_least_useful_connection_makes_room() {
    let fixture = Fixture::start(Limits { connections: 3, ..Limits::default() });
    let mut shaking = TcpStream::connect(fixture.address).await.unwrap();
    fixture.counted("probekeeper_connections 1").await;
    let mut old = Client::connect(&fixture).await;
    assert_eq!(old.post("/validate", "{}").await.status, 200);
    sleep(Duration::from_millis(20)).await;
    let mut busy = Client::connect(&fixture).await;
    busy.send(&post_head("/validate", 2)).await;
    fixture.counted("probekeeper_admission_in_flight 1").await;

    let mut young = Client::connect(&fixture).await;
    assert_eq!(shaking.read(&mut [0; 16]).await.unwrap_or(0), 0, "the unfinished handshake goes first");
    assert_eq!(young.post("/validate", "{}").await.status, 200);

    let mut newer = Client::connect(&fixture).await;
    old.closed().await;
    newer.send(&post_head("/validate", 2)).await;
    fixture.counted("probekeeper_admission_in_flight 2").await;

    let mut newest = Client::connect(&fixture).await;
    young.closed().await;
    newest.send(&post_head("/validate", 2)).await;
    fixture.counted("probekeeper_admission_in_flight 3").await;

    assert!(Client::try_connect(&fixture).await.is_err(), "all are busy: the new one is refused");
    for client in [&mut busy, &mut newer, &mut newest] {
        assert!(client.stands().await, "a connection with a request in flight is never closed");
        client.send("{}").await;
        assert_eq!(client.reply().await.unwrap().status, 200);
    }
    fixture.counted("probekeeper_connections_closed_total{reason=\"evicted\"} 3").await;
    fixture.counted("probekeeper_connections_closed_total{reason=\"refused\"} 1").await;
}

#[tokio::test]
async fn clients_that_leave_give_their_room_back() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Client::connect(&fixture).await;
    client.send(&post_head("/validate", 100)).await;
    fixture.counted("probekeeper_admission_in_flight 1").await;
    drop(client);
    fixture.counted("probekeeper_admission_in_flight 0").await;
    fixture.counted("probekeeper_connections 0").await;
    let mut client = Client::connect(&fixture).await;
    assert_eq!(client.post("/validate", "{}").await.status, 200);
    drop(client);
    fixture.counted("probekeeper_connections 0").await;
}
