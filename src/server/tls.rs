//! TLS of the webhook port: which certificate is served, from where it comes, and how it is replaced.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, InconsistentKeys, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::clients::Clients;
use crate::lifecycle::Gate;
use crate::pki;
use crate::telemetry::metrics::Metrics;

/// Longest that the server may take to answer its own handshake: on loopback it takes a millisecond.
const SELF_PROBE: Duration = Duration::from_secs(5);

/// Pause between attempts to reach our own port.
const SELF_PROBE_PAUSE: Duration = Duration::from_millis(200);

/// A certificate chain and its key, known to belong together.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    not_after: SystemTime,
}

impl Pair {
    /// Takes a PEM chain, leaf first, and its PEM key. `certificate` and `key` name the places in errors.
    pub fn from_pem(chain: &[u8], key: &[u8], places: (&str, &str)) -> Result<Self, PairError> {
        let (certificate_place, key_place) = (places.0.to_owned(), places.1.to_owned());
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PairError::Certificate { place: certificate_place.clone(), error: error.to_string() })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => PairError::NoKey { place: key_place.clone() },
            error => PairError::Key { place: key_place.clone(), error: error.to_string() },
        })?;
        Self::from_der(chain, &key, certificate_place, key_place)
    }

    /// Reads both files. They are taken as they are at this moment: during a rotation they may not match yet.
    pub fn from_files(files: &PairFiles) -> Result<Self, PairError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| PairError::Read { place: path.display().to_string(), error });
        let (chain, key) = (read(&files.certificate)?, read(&files.key)?);
        Self::from_pem(&chain, &key, (&files.certificate.display().to_string(), &files.key.display().to_string()))
    }

    /// DER of the leaf certificate.
    pub fn leaf(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |leaf| leaf.as_ref())
    }

    /// DER of every certificate of the chain, leaf first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.key.cert.iter().map(AsRef::as_ref)
    }

    /// Moment from which on the leaf is no longer valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        certificate_place: String,
        key_place: String,
    ) -> Result<Self, PairError> {
        let signer = ring::sign::any_supported_type(key)
            .map_err(|error| PairError::Key { place: key_place.clone(), error: error.to_string() })?;
        let unusable = |error| PairError::Certificate { place: certificate_place.clone(), error };
        let leaf = chain.first().ok_or_else(|| PairError::NoCertificate { place: certificate_place.clone() })?;
        let not_after = pki::not_after(leaf).map_err(unusable)?;
        let pair = CertifiedKey::new(chain, signer);
        match pair.keys_match() {
            Ok(()) => Ok(Self { key: Arc::new(pair), not_after }),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(PairError::Mismatch { certificate: certificate_place, key: key_place })
            }
            Err(error) => Err(unusable(error.to_string())),
        }
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Where a pair is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM key of the leaf.
    pub key: PathBuf,
}

/// Why a certificate and a key cannot be served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each message says what its fields are
pub enum PairError {
    #[error("cannot read {place}: {error}; mount the file or correct --tls files:CERT,KEY")]
    Read { place: String, error: io::Error },
    #[error("{place} holds no PEM certificate; it must hold the leaf, followed by its intermediates")]
    NoCertificate { place: String },
    #[error("{place} holds no PEM private key; it must hold the key of the leaf certificate (PKCS#8, PKCS#1 or SEC1)")]
    NoKey { place: String },
    #[error("{place} is not a usable certificate: {error}; write the leaf as PEM, followed by its intermediates")]
    Certificate { place: String, error: String },
    #[error("{place} is not a usable private key: {error}; write an RSA, ECDSA or Ed25519 key as PEM")]
    Key { place: String, error: String },
    #[error("the key in {key} does not belong to the certificate in {certificate}; write both files from the same issue")]
    Mismatch { certificate: String, key: String },
}

/// Why the old pair is still served though the files hold something else.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// The new one is good, and not yet known to API servers.
    Waits(String),
    /// The new one cannot be served.
    Refuses(String),
}

/// Whether `next` may take the place of `current`. One that has ended is worth nothing: whatever is new is no worse.
fn may_replace(current: &Pair, next: &Pair, admissible: &Admissible) -> Result<(), String> {
    if SystemTime::now() >= current.not_after {
        return Ok(());
    }
    let good = admissible(current, Instead::OfNothing).is_ok();
    admissible(next, if good { Instead::OfGood } else { Instead::OfNothing })
}

/// The pair that new handshakes are served. Running connections keep theirs.
#[derive(Debug, Clone)]
pub struct Served {
    pair: Arc<ArcSwapOption<Pair>>,
    clients: Option<Clients>,
    metrics: Arc<Metrics>,
}

/// Whether a pair may be served in this case, or why not yet. An API server must know who signed it.
pub type Admissible = Arc<dyn Fn(&Pair, Instead) -> Result<(), String> + Send + Sync>;

/// In the place of what a pair is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// A good one: there is time until every API server knows who signed the new one.
    OfGood,
    /// Nothing, or one that no API server can trust.
    OfNothing,
}

/// Files whose content is served as it changes.
pub struct Follow {
    /// The files.
    pub files: PairFiles,
    /// How often they are compared.
    pub interval: Duration,
    /// What a new pair has to wait for.
    pub admissible: Admissible,
    /// Closed while the served certificate has ended or is not admissible.
    pub certificate: Gate,
}

impl Served {
    /// Starts with `pair`.
    pub fn new(pair: Pair, metrics: Arc<Metrics>) -> Self {
        let served = Self::empty(metrics);
        served.swap(pair);
        served
    }

    /// Starts with nothing: handshakes fail until there is a pair.
    pub fn empty(metrics: Arc<Metrics>) -> Self {
        Self { pair: Arc::default(), clients: None, metrics }
    }

    /// Lets in only these clients.
    #[must_use]
    pub fn only_to(self, clients: Clients) -> Self {
        Self { clients: Some(clients), ..self }
    }

    /// Whom it is served to, if not to everybody.
    pub fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    /// Serves `pair` from the next handshake on.
    pub fn swap(&self, pair: Pair) {
        self.metrics.certificate_not_after("leaf", pair.not_after);
        self.pair.store(Some(Arc::new(pair)));
    }

    /// Opens `gate` once the port at `listening` serves this certificate. With `follow`, then looks at the files again and again, and serves
    /// what they hold as soon as it is a pair that may be served; a bad one is reported once, and the last good one kept.
    pub async fn keep(self, listening: SocketAddr, gate: Gate, follow: Option<Follow>) {
        self.confirm(listening, &gate).await;
        let Some(Follow { files, interval, admissible, certificate }) = follow else { return };
        let mut reported = None;
        self.metrics.file_refused("certificate", false);
        loop {
            let current = self.current();
            let valid = |pair: &Pair| SystemTime::now() < pair.not_after;
            match current.as_deref() {
                Some(pair) if !valid(pair) => certificate.close("the certificate has ended; renew it"),
                Some(pair) => match admissible(pair, Instead::OfNothing) {
                    Ok(()) => certificate.open(),
                    // Once open it stays so: what troubles the publication troubles every replica.
                    Err(reason) if !certificate.has_opened() => certificate.close(&reason),
                    Err(_) => {}
                },
                None => {}
            }
            sleep(if certificate.has_opened() { interval } else { interval.min(SELF_PROBE_PAUSE) }).await;
            let reading = files.clone();
            // A network file system may keep a read waiting; the serving threads must not.
            let Ok(read) = tokio::task::spawn_blocking(move || Pair::from_files(&reading)).await else { continue };
            let kept = match read {
                Ok(pair) if current.as_ref().is_some_and(|current| pair.key.cert == current.key.cert) => None,
                Ok(pair) => {
                    let waits = current.as_deref().and_then(|current| may_replace(current, &pair, &admissible).err());
                    if waits.is_none() {
                        self.swap(pair);
                        self.metrics.certificate_reload("ok");
                        tracing::info!(certificate = %files.certificate.display(), "serving a new certificate");
                        self.confirm(listening, &gate).await;
                    }
                    waits.map(Kept::Waits)
                }
                Err(error) => Some(Kept::Refuses(error.to_string())),
            };
            self.metrics.file_refused("certificate", matches!(kept, Some(Kept::Refuses(_))));
            if kept != reported {
                match &kept {
                    None => {}
                    Some(Kept::Waits(reason)) => tracing::info!(reason, "a new certificate waits; serving the old one"),
                    Some(Kept::Refuses(error)) => {
                        self.metrics.certificate_reload("failed");
                        tracing::warn!(error, "the new certificate is refused; serving the last good one");
                    }
                }
            }
            reported = kept;
        }
    }

    /// Opens the gate once our own port serves our own leaf. A gate that is open stays so: being busy is no reason to go out of service.
    pub async fn confirm(&self, listening: SocketAddr, gate: &Gate) {
        loop {
            let current = self.current();
            let leaf = current.as_ref().map_or(&[][..], |pair| pair.leaf());
            match shown(listening, leaf, self.clients.as_ref()).await {
                Ok(()) => return gate.open(),
                Err(error) => tracing::warn!(error, "the TLS port does not serve the certificate yet"),
            }
            sleep(SELF_PROBE_PAUSE).await;
        }
    }

    /// Where what happens to certificates is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The pair as it is now.
    pub fn current(&self) -> Option<Arc<Pair>> {
        self.pair.load_full()
    }

    /// Ends TLS with whatever is served at that moment: TLS 1.2 and 1.3, HTTP/1.1, with or without ALPN, under any name.
    pub fn acceptor(&self) -> Result<Acceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(clients.clone())),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.clients.is_some() {
            // A resumed session would be let in by a CA that may have been replaced since: every connection shows its certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Resumption without keeping sessions: an API server opens up to 25 connections at once, and a resumed one skips the signature.
            config.ticketer = ring::Ticketer::new()?;
            config.send_tls13_tickets = 1;
        }
        Ok(Acceptor { inner: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pair.load().as_ref().map(|pair| Arc::clone(&pair.key))
    }
}

/// Ends TLS on accepted sockets.
#[derive(Clone)]
pub struct Acceptor {
    inner: TlsAcceptor,
}

impl Acceptor {
    /// With the error of a failed handshake comes the stream, on which the client has been told of it.
    pub(super) fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> impl Future<Output = Result<TlsStream<S>, (io::Error, S)>> + use<S> {
        self.inner.accept(stream).into_fallible()
    }
}

/// Connects to the server at `listening` as a client and says whether it serves `leaf`. Ends after the handshake.
pub async fn serves(listening: SocketAddr, leaf: &[u8]) -> Result<(), String> {
    shown(listening, leaf, None).await
}

/// The same, as somebody whom `clients` lets in.
async fn shown(listening: SocketAddr, leaf: &[u8], clients: Option<&Clients>) -> Result<(), String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Exactly { leaf: leaf.to_vec(), provider }));
    let config = match clients {
        Some(clients) => builder.with_client_cert_resolver(clients.own()),
        None => builder.with_no_client_auth(),
    };
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // An unspecified IPv6 socket takes IPv4 too, and 127.0.0.1 exists where ::1 may not.
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let handshake = async {
        let stream = TcpStream::connect((ip, listening.port())).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(ip.into()), stream).await
    };
    match tokio::time::timeout(SELF_PROBE, handshake).await {
        Err(_) => Err(format!("no handshake within {} s", SELF_PROBE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) => Ok(()),
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Accepts one leaf, by its bytes, and proof of its key. Who signed it and for which name is the API server's concern.
#[derive(Debug)]
struct Exactly {
    leaf: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.leaf {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate is served".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
