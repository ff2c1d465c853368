//! TLS 1.2 lets a client ask for a new handshake within a connection, which costs the server far more than the client.

use std::sync::Arc;

use probekeeper::server::Limits;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use rustls::crypto::ring::{cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as SUITE, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::post_head;
use crate::fixture::Fixture;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const DATA: u8 = 23;

/// A TLS 1.2 connection whose records we write ourselves: no client library renegotiates.
struct Records {
    stream: TcpStream,
    send: (u64, LessSafeKey, [u8; 12]),
    receive: (u64, LessSafeKey, [u8; 12]),
}

impl Records {
    async fn connect(fixture: &Fixture) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(fixture.authority.as_bytes()).unwrap()).unwrap();
        let mut provider = default_provider();
        provider.cipher_suites = vec![SUITE];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let stream = TcpStream::connect(fixture.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let (stream, session) = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap().into_inner();
        let secrets = session.dangerous_extract_secrets().unwrap();
        let key = |(sequence, secrets): (u64, ConnectionTrafficSecrets)| {
            let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else { panic!("another suite") };
            let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).unwrap());
            (sequence, key, iv.as_ref().try_into().unwrap())
        };
        Self { stream, send: key(secrets.tx), receive: key(secrets.rx) }
    }

    async fn send(&mut self, kind: u8, content: &[u8]) {
        let (sequence, key, iv) = &mut self.send;
        let mut sealed = content.to_vec();
        key.seal_in_place_append_tag(nonce(*sequence, iv), aad(*sequence, kind, content.len()), &mut sealed).unwrap();
        *sequence += 1;
        let length = u16::try_from(sealed.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&[kind, 3, 3], &length[..], &sealed].concat()).await.unwrap();
    }

    /// The next record, or none at the end.
    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.ok()?;
        let mut sealed = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        self.stream.read_exact(&mut sealed).await.ok()?;
        let (sequence, key, iv) = &mut self.receive;
        let length = sealed.len() - CHACHA20_POLY1305.tag_len();
        let opened = key.open_in_place(nonce(*sequence, iv), aad(*sequence, head[0], length), &mut sealed).unwrap().to_vec();
        *sequence += 1;
        Some((head[0], opened))
    }
}

fn nonce(sequence: u64, iv: &[u8; 12]) -> Nonce {
    let mut nonce = *iv;
    for (byte, add) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
        *byte ^= add;
    }
    Nonce::assume_unique_for_key(nonce)
}

fn aad(sequence: u64, kind: u8, length: usize) -> Aad<[u8; 13]> {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&sequence.to_be_bytes());
    aad[8..11].copy_from_slice(&[kind, 3, 3]);
    aad[11..].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    Aad::from(aad)
}

#[tokio::test]
async fn renegotiation_is_declined_once_and_then_ends_the_connection() {
    let fixture = Fixture::start(Limits::default());
    let mut client = Records::connect(&fixture).await;
    let mut hello = vec![1, 0, 0, 43, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xcc, 0xa9, 1, 0, 0, 0]);
    hello[3] = u8::try_from(hello.len() - 4).unwrap();
    client.send(HANDSHAKE, &hello).await;
    assert_eq!(client.receive().await, Some((ALERT, vec![1, 100])), "a warning: no renegotiation");

    client.send(DATA, (post_head("/validate", 2) + "{}").as_bytes()).await;
    let (kind, answer) = client.receive().await.unwrap();
    assert!(kind == DATA && answer.starts_with(b"HTTP/1.1 200 "), "the connection goes on");

    for _ in 0..1000 {
        client.send(HANDSHAKE, &hello).await;
        match client.receive().await {
            Some((ALERT, alert)) if alert == [1, 100] => {}
            Some((ALERT, _)) | None => break,
            other => panic!("{other:?}"),
        }
    }
    fixture.counted("probekeeper_connections 0").await;
    fixture.counted("probekeeper_tls_handshakes_total{result=\"ok\"} 1").await;
}
