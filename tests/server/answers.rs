//! What comes back for one request.

use std::sync::Arc;

use probekeeper::server::Limits;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::client::{Client, config};
use crate::fixture::{Fixture, POISON};

#[tokio::test]
async fn every_kind_of_client_is_served() {
    let fixture = Fixture::start(Limits::default());
    for (version, alpn, negotiated) in [
        (&TLS12, &["http/1.1"][..], true),
        (&TLS13, &["http/1.1"], true),
        (&TLS13, &["h2", "http/1.1"], true),
        (&TLS13, &[], false),
    ] {
        for sni in [true, false] {
            let mut config = config(&fixture.authority, &[version], alpn);
            config.enable_sni = sni;
            let mut client = Client::connect_with(&fixture, config).await.unwrap();
            let (_, session) = client.stream.get_ref();
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), negotiated.then_some(&b"http/1.1"[..]));
            let reply = client.post("/validate?timeout=10s", "{}").await;
            assert_eq!((reply.status, reply.body.as_str()), (200, "/validate 2"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
    }
    fixture.counted("probekeeper_tls_handshakes_total{result=\"ok\"} 8").await;
}

#[tokio::test]
async fn another_server_name_is_served() {
    let fixture = Fixture::start(Limits::default());
    let mut config = config(&fixture.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    // Whether the certificate is good for that name is the client's to judge.
    let strict = Client::connect_as(fixture.address, "other.example", config.clone()).await;
    let error = strict.err().unwrap().to_string();
    assert!(error.contains("certificate not valid for name"), "{error}");
    config.dangerous().set_certificate_verifier(AnyName::new(&fixture.authority));
    let mut lenient = Client::connect_as(fixture.address, "other.example", config).await.unwrap();
    assert_eq!(lenient.post("/validate?timeout=10s", "{}").await.status, 200);
}

/// Checks a certificate as for `localhost`, whatever the client asked for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl AnyName {
    fn new(authority: &str) -> Arc<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        Arc::new(Self(builder.build().unwrap()))
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify_server_cert(leaf, others, &ServerName::try_from("localhost").unwrap(), ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[tokio::test]
async fn a_client_that_speaks_only_http2_is_refused() {
    let fixture = Fixture::start(Limits::default());
    let config = config(&fixture.authority, rustls::ALL_VERSIONS, &["h2"]);
    assert!(Client::connect_with(&fixture, config).await.is_err());
    fixture.counted("probekeeper_tls_handshakes_total{result=\"failed\"} 1").await;
    fixture.counted("probekeeper_connections_closed_total{reason=\"handshake_failed\"} 1").await;
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Client::connect(&fixture).await;
    let large = "x".repeat(300_000);
    for (target, body, expected) in [
        ("/validate", "{}", "/validate 2"),
        ("/mutate", "", "/mutate 0"),
        ("/validate", large.as_str(), "/validate 300000"),
        ("/mutate?timeout=3s&x=y", "[]", "/mutate 2"),
    ] {
        let reply = client.post(target, body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, expected));
        assert!(!reply.closes());
    }
    client.send("POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().body, "/mutate 7");
}

#[tokio::test]
async fn refusals() {
    let fixture = Fixture::start(Limits { body_bytes: 1000, ..Limits::default() });
    let large = "x".repeat(2000);
    let chunk = format!("7d0\r\n{large}\r\n0\r\n\r\n");
    let json = "Content-Type: application/json\r\n";
    for (line, headers, body, status, reason, closes) in [
        ("POST /", json, "{}", 404, "not_found", false),
        ("POST /validate/", json, "{}", 404, "not_found", false),
        ("GET /validate", "", "", 405, "method", false),
        ("PUT /mutate", json, "{}", 405, "method", false),
        ("POST /validate", "", "{}", 415, "media_type", false),
        ("POST /validate", "Content-Type: text/yaml\r\n", "{}", 415, "media_type", false),
        // Refused on its announcement: the body is never sent.
        ("POST /validate", "Content-Type: application/json\r\nContent-Length: 1001\r\n", "", 413, "too_large", true),
        (
            "POST /validate",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
            chunk.as_str(),
            413,
            "too_large",
            true,
        ),
        ("POST /validate", json, POISON, 500, "panic", false),
    ] {
        let mut client = Client::connect(&fixture).await;
        let length = if headers.contains("Length") || headers.contains("Encoding") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        client.send(&format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n{body}")).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, status, "{line} {headers}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("retry-after"), None);
        assert_eq!(reply.header("allow"), (status == 405).then_some("post"));
        assert!(serde_json::from_str::<serde_json::Value>(&reply.body).unwrap()["error"].is_string());
        assert_eq!(reply.closes(), closes, "{line} {headers}");
        if closes {
            client.closed().await;
        } else {
            assert_eq!(client.post("/validate", "{}").await.status, 200, "the connection goes on after {line}");
        }
        let text = fixture.metrics.encode();
        assert!(text.contains(&format!("probekeeper_requests_refused_total{{reason=\"{reason}\"}}")), "{reason} in\n{text}");
    }
    fixture.counted("probekeeper_connections_closed_total{reason=\"body\"} 2").await;
    fixture.counted("probekeeper_admission_in_flight 0").await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_and_counted() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Client::connect(&fixture).await;
    client.send("\0\0 nonsense\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().status, 400);
    client.closed().await;
    fixture.counted("probekeeper_connections_closed_total{reason=\"bad_request\"} 1").await;
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Client::connect(&fixture).await;
    client.send(&format!("POST /validate HTTP/1.1\r\nX-Long: {}", "x".repeat(70_000))).await;
    assert_eq!(client.reply().await.unwrap().status, 431);
    client.closed().await;
}
