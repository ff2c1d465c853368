//! The end of a process: nobody who was promised an answer goes without.

use std::time::{Duration, Instant};

use probekeeper::server::Limits;
use tokio::time::sleep;

use crate::client::{Client, post_head};
use crate::fixture::Fixture;

#[tokio::test]
async fn while_draining_every_answer_closes_its_connection() {
    let fixture = Fixture::start(Limits::default());
    let (mut kept, mut idle) = (Client::connect(&fixture).await, Client::connect(&fixture).await);
    assert!(!kept.post("/validate", "{}").await.closes());
    fixture.server.drain();
    let reply = kept.post("/validate", "{}").await;
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    kept.closed().await;
    assert!(idle.stands().await, "an idle connection may carry a request at any moment");
    let mut new = Client::connect(&fixture).await;
    assert!(new.post("/nowhere", "{}").await.closes(), "refusals too");
    fixture.counted("probekeeper_connections_closed_total{reason=\"shutdown\"} 2").await;
}

#[tokio::test]
async fn shutdown_waits_for_requests_in_flight_and_for_nothing_else() {
    let fixture = Fixture::start(Limits::default());
    let (mut busy, mut used, mut fresh) =
        (Client::connect(&fixture).await, Client::connect(&fixture).await, Client::connect(&fixture).await);
    assert_eq!(used.post("/validate", "{}").await.status, 200);
    busy.send(&post_head("/validate", 2)).await;
    fixture.counted("probekeeper_admission_in_flight 1").await;

    let server = fixture.server.clone();
    let ending = tokio::spawn(async move { server.shutdown(Duration::from_secs(10)).await });
    used.closed().await;
    fresh.closed().await;
    assert!(Client::try_connect(&fixture).await.is_err(), "nothing new is taken");
    sleep(Duration::from_millis(50)).await;
    assert!(!ending.is_finished());

    busy.send("{}").await;
    let reply = busy.reply().await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    assert_eq!(ending.await.unwrap(), 0);
}

#[tokio::test]
async fn shutdown_waits_longer_for_a_first_request() {
    let fixture = Fixture::start(Limits::default());
    let (mut used, mut fresh) = (Client::connect(&fixture).await, Client::connect(&fixture).await);
    assert_eq!(used.post("/validate", "{}").await.status, 200);
    let server = fixture.server.clone();
    let ending = tokio::spawn(async move { server.shutdown(Duration::from_secs(10)).await });
    used.closed().await;
    let reply = fresh.post("/validate", "{}").await;
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    assert_eq!(ending.await.unwrap(), 0);
}

#[tokio::test]
async fn shutdown_has_an_end() {
    let fixture = Fixture::start(Limits::default());
    let mut stuck = Client::connect(&fixture).await;
    stuck.send(&post_head("/validate", 2)).await;
    fixture.counted("probekeeper_admission_in_flight 1").await;
    let started = Instant::now();
    assert_eq!(fixture.server.shutdown(Duration::from_millis(300)).await, 1);
    assert!(started.elapsed() < Duration::from_secs(5));
}
