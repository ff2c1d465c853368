//! An HTTP/1.1 client that can be told to misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::Fixture;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    pub(crate) stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Lower-case, one per line.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

pub(crate) fn config(authority: &str, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

impl Client {
    /// Connects as an API server does.
    pub(crate) async fn connect(fixture: &Fixture) -> Self {
        Self::try_connect(fixture).await.unwrap()
    }

    pub(crate) async fn try_connect(fixture: &Fixture) -> std::io::Result<Self> {
        Self::connect_with(fixture, config(&fixture.authority, rustls::ALL_VERSIONS, &["http/1.1"])).await
    }

    pub(crate) async fn connect_with(fixture: &Fixture, config: ClientConfig) -> std::io::Result<Self> {
        Self::connect_to(fixture.address, config).await
    }

    pub(crate) async fn connect_to(address: SocketAddr, config: ClientConfig) -> std::io::Result<Self> {
        Self::connect_as(address, "localhost", config).await
    }

    /// Asks for a server of this name.
    pub(crate) async fn connect_as(address: SocketAddr, name: &'static str, config: ClientConfig) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name).unwrap();
        let connected =
            timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("no handshake");
        Ok(Self { stream: connected?, unread: Vec::new() })
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.try_send(text).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    /// One whole request with a JSON body.
    pub(crate) async fn post(&mut self, target: &str, body: &str) -> Reply {
        self.send(&post_head(target, body.len())).await;
        self.send(body).await;
        self.reply().await.expect("no answer")
    }

    /// The next reply, or none if the connection ends first.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..head_end + 4).collect()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        while self.unread.len() < length {
            assert!(self.fill().await, "the connection ended within the body");
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Some(Reply { status, head, body })
    }

    /// Waits for the end of the connection; nothing else may come.
    pub(crate) async fn closed(&mut self) {
        assert!(!self.fill().await, "more came: {}", String::from_utf8_lossy(&self.unread));
    }

    /// Whether the connection still stands after a moment.
    pub(crate) async fn stands(&mut self) -> bool {
        let mut byte = [0];
        timeout(Duration::from_millis(100), self.stream.read(&mut byte)).await.is_err()
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("nothing came, and no end") {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }
}

pub(crate) fn post_head(target: &str, length: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}
