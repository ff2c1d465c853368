//! The least HTTPS client that shows what kubectl hides: status code, headers and body of one request.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// How long one request may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// The texts of the `Warning` headers, in order, without their `299 -` and quotes.
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

impl Answer {
    /// `message` of a `Status`, empty for anything else.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Trusts what the PEM text holds and nothing else.
pub(crate) fn client_config(ca_pem: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.expect("PEM certificate")).expect("certificate as trust anchor");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Sends one request on a connection of its own and reads the whole answer. Fails the test when there is none.
pub(crate) fn request(
    config: &Arc<ClientConfig>,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    try_request(config, address, method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

/// As `request`, for servers that may be away.
pub(crate) fn try_request(
    config: &Arc<ClientConfig>,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let (host, _) = address.rsplit_once(':').expect("host:port");
    let name = ServerName::try_from(host.to_owned()).expect("server name");
    let tls = ClientConnection::new(Arc::clone(config), name).expect("TLS client");
    let mut stream = StreamOwned::new(tls, tcp);
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&[name, ": ", value, "\r\n"].concat());
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    // Go ends a connection without close_notify now and then; the length of the body tells whether anything is missing.
    if let Err(e) = stream.read_to_end(&mut bytes)
        && e.kind() != ErrorKind::UnexpectedEof
    {
        return Err(e);
    }
    parse(&bytes).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        std::io::Error::new(ErrorKind::InvalidData, format!("not an HTTP answer: {text:?}"))
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let code = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut warnings = Vec::new();
    let mut chunked = false;
    for (name, value) in lines.filter_map(|l| l.split_once(": ")) {
        if name.eq_ignore_ascii_case("warning") {
            let text = value.strip_prefix("299 - \"")?.strip_suffix('"')?;
            warnings.push(text.replace("\\\"", "\"").replace("\\\\", "\\"));
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked");
    }
    let raw = if chunked { unchunk(&bytes[end + 4..])? } else { bytes[end + 4..].to_vec() };
    let body = serde_json::from_slice(&raw).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&raw).into_owned()));
    Some(Answer { code, warnings, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}
