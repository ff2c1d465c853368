//! Who may connect to the webhook port: clients with a certificate of a given CA, and of a given subject. Checked in the handshake, so that nobody
//! else gets to send a request.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tokio::time::sleep;

use super::tls::provider;
use crate::pki::{self, issue};
use crate::telemetry::metrics::Metrics;

/// The clients that are let in.
#[derive(Clone)]
pub struct Clients {
    file: PathBuf,
    /// Common names; every certificate of the CA is good if there are none.
    subjects: Vec<String>,
    accepted: Arc<ArcSwap<Accepted>>,
    /// What this process shows when it looks at its own port. Nobody else has its key.
    own: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

/// A file's text, and what follows from it.
struct Accepted {
    text: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Why the CA of the clients cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each message says what its fields are
pub enum ClientsError {
    #[error("cannot read {place}: {error}; mount the file or correct --client-ca FILE")]
    Read { place: String, error: io::Error },
    #[error("{place} holds no PEM certificate; it must hold the CA that signs the clients' certificates")]
    Empty { place: String },
    #[error("{place} is not a usable CA: {error}; write its certificates as PEM")]
    Unusable { place: String, error: String },
    #[error("cannot make the certificate with which to look at our own port: {0}")]
    Own(String),
}

impl Clients {
    /// Those with a certificate that a CA in `file` signed and whose only common name is one of `subjects`; any, if there are no subjects.
    pub fn from_file(file: PathBuf, subjects: Vec<String>) -> Result<Self, ClientsError> {
        let provider = provider();
        let accepted = Arc::new(ArcSwap::from_pointee(Accepted::read(&file, &provider)?));
        let own = Arc::new(own(&provider).map_err(ClientsError::Own)?);
        Ok(Self { file, subjects, accepted, own, provider })
    }

    /// Looks at the file again and again, and goes by what it holds; what cannot be used is reported once, and the last good CA kept.
    pub async fn follow(self, interval: Duration, metrics: Arc<Metrics>) {
        let mut reported = None;
        metrics.file_refused("client_ca", false);
        loop {
            sleep(interval).await;
            let (file, provider) = (self.file.clone(), Arc::clone(&self.provider));
            // A network file system may keep a read waiting; the serving threads must not.
            let Ok(read) = tokio::task::spawn_blocking(move || Accepted::read(&file, &provider)).await else { continue };
            let refused = match read {
                Ok(accepted) if accepted.text == self.accepted.load().text => None,
                Ok(accepted) => {
                    self.accepted.store(Arc::new(accepted));
                    metrics.client_ca_reload("ok");
                    tracing::info!(file = %self.file.display(), "clients are checked against a new CA");
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            if refused.is_some() && refused != reported {
                metrics.client_ca_reload("failed");
                tracing::warn!(error = refused, "the new CA of the clients is refused; going by the last good one");
            }
            metrics.file_refused("client_ca", refused.is_some());
            reported = refused;
        }
    }

    /// What this process shows at its own port.
    pub(super) fn own(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&self.own)))
    }
}

/// Whether a handshake failed because of what the client showed, or did not show.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    matches!(error, Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)))
}

impl Accepted {
    fn read(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, ClientsError> {
        let place = || file.display().to_string();
        let text = std::fs::read(file).map_err(|error| ClientsError::Read { place: place(), error })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let added = certificate.map_err(|error| error.to_string()).and_then(|certificate| {
                roots.add(certificate).map_err(|error| error.to_string())?;
                Ok(())
            });
            added.map_err(|error| ClientsError::Unusable { place: place(), error })?;
        }
        if roots.is_empty() {
            return Err(ClientsError::Empty { place: place() });
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| ClientsError::Unusable { place: place(), error: error.to_string() })?;
        Ok(Self { text, verifier })
    }
}

/// A certificate that is good by its bytes alone: who signed it and for what does not matter.
fn own(provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let issued = issue::development(None, SystemTime::now()).map_err(|error| error.to_string())?;
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(|error| error.to_string())?;
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(|error| error.to_string())
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("file", &self.file).field("subjects", &self.subjects).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Clients {
    /// None: whoever has a certificate shows it, and a hint would outlive the CA that it names.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.own.cert.first().is_some_and(|own| own == end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.accepted.load().verifier.verify_client_cert(end_entity, intermediates, now)?;
        let named = pki::common_name(end_entity).is_some_and(|name| self.subjects.contains(&name));
        if named || self.subjects.is_empty() {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.accepted.load().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.accepted.load().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.accepted.load().verifier.supported_verify_schemes()
    }
}
