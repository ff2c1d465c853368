//! Certificates and authorities as values: parsed once, compared by their bytes, printed without secrets.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::pem::Pem;

/// Certificates are valid from an hour before they are made: an API server's clock may be behind.
pub(super) const BACKDATED: Duration = Duration::from_hours(1);

/// Characters of base64 on a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// One certificate. Two are equal when their bytes are; the older one sorts first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate {
    not_before: SystemTime,
    not_after: SystemTime,
    der: Arc<[u8]>,
}

impl Certificate {
    /// Reads a DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let validity = certificate.validity();
        Ok(Self {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            der: der.into(),
        })
    }

    /// First moment at which it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Moment from which on it is no longer valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether `now` lies within its validity.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When two thirds of its life are over, counted from when it was made.
    pub fn due(&self) -> SystemTime {
        let made = self.not_before + BACKDATED;
        let life = self.not_after.duration_since(made).unwrap_or_default();
        made + life * 2 / 3
    }

    /// Its bytes.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether its key signed the DER certificate `other`.
    pub(super) fn signed(&self, other: &[u8]) -> bool {
        let parsed = (x509_parser::parse_x509_certificate(&self.der), x509_parser::parse_x509_certificate(other));
        let (Ok((_, own)), Ok((_, other))) = parsed else { return false };
        own.subject() == other.issuer() && other.verify_signature(Some(own.public_key())).is_ok()
    }

    fn is_authority(&self) -> Result<bool, String> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.der).map_err(|error| error.to_string())?;
        Ok(certificate.is_ca())
    }
}

/// Seconds since 1970; a certificate from before then ended or began at its start, which is all the same today.
fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(&self.der);
        digest.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a PEM text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Its certificates, each once, oldest first.
    pub certificates: Vec<Certificate>,
    /// Whether it holds anything else: another kind of block, a certificate that cannot be read, or stray text.
    pub littered: bool,
}

impl Bundle {
    /// Reads a PEM text, and leaves out what is no certificate.
    pub fn from_pem(text: &[u8]) -> Self {
        let blocks = Pem::iter_from_buffer(text).map_while(Result::ok).filter(|block| block.label == "CERTIFICATE");
        let found: Vec<Certificate> = blocks.filter_map(|block| Certificate::from_der(&block.contents).ok()).collect();
        let bare = |text: &[u8]| text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
        let littered = bare(text) != bare(to_pem(&found).as_bytes());
        Self { certificates: sorted(found), littered }
    }
}

/// Each once, oldest first: what replicas write does not depend on the order in which they found it.
pub(super) fn sorted(certificates: impl IntoIterator<Item = Certificate>) -> Vec<Certificate> {
    let mut certificates: Vec<_> = certificates.into_iter().collect();
    certificates.sort();
    certificates.dedup();
    certificates
}

/// PEM text of all of them.
pub fn to_pem(certificates: &[Certificate]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = STANDARD.encode(&certificate.der);
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(PEM_LINE));
            text.push_str(&rest);
            text.push('\n');
            rest = tail;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// A certificate that may sign others, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    certificate: Certificate,
    key: Arc<str>,
}

impl Authority {
    /// Takes PEM texts that belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let certificate = match Bundle::from_pem(certificate).certificates.as_slice() {
            [certificate] => certificate.clone(),
            found => return Err(format!("one PEM certificate is needed, {} can be read", found.len())),
        };
        if !certificate.is_authority()? {
            return Err("the certificate is not that of an authority (basicConstraints CA:TRUE)".to_owned());
        }
        let key = std::str::from_utf8(key).map_err(|_| "the key is not PEM text".to_owned())?;
        let pair = KeyPair::from_pem(key).map_err(|error| format!("the key cannot be used: {error}"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate.der).map_err(|error| error.to_string())?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return Err("the key does not belong to the certificate".to_owned());
        }
        Ok(Self { certificate, key: key.into() })
    }

    /// Of a certificate and the key that was made for it.
    pub(super) fn new(certificate: Certificate, key: String) -> Self {
        Self { certificate, key: key.into() }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// PEM of its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn issuer(&self) -> Result<rcgen::Issuer<'static, KeyPair>, rcgen::Error> {
        rcgen::Issuer::from_ca_cert_der(&self.certificate.der.to_vec().into(), KeyPair::from_pem(&self.key)?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?})", self.certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::issue;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn a_bundle_is_read_and_written_back_byte_for_byte() {
        let made = [(); 2].map(|()| issue::authority(Duration::from_hours(9), NOW + Duration::from_hours(9)).unwrap());
        let certificates = sorted(made.iter().map(|authority| authority.certificate().clone()));
        let text = to_pem(&certificates);
        assert_eq!(Bundle::from_pem(text.as_bytes()), Bundle { certificates: certificates.clone(), littered: false });
        // rcgen writes PEM too.
        let twice = [text.replace('\n', "\r\n"), text.clone()].concat();
        assert!(Bundle::from_pem(twice.as_bytes()).certificates == certificates);
        for litter in
            [text.clone() + "x", "# a comment\n".to_owned() + &text, text.clone() + made[0].key(), text.replacen("MII", "MIJ", 1)]
        {
            let bundle = Bundle::from_pem(litter.as_bytes());
            assert!(bundle.littered, "{litter}");
        }
        assert_eq!(Bundle::from_pem(b""), Bundle::default());
        assert_eq!(Bundle::from_pem(b"Cg=="), Bundle { certificates: vec![], littered: true });
    }

    #[test]
    fn an_authority_is_a_whole_pair_or_nothing() {
        let now = NOW + Duration::from_hours(9);
        let [one, other] = [(); 2].map(|()| issue::authority(Duration::from_hours(9), now).unwrap());
        let (certificate, key) = (to_pem(&[one.certificate().clone()]), one.key().to_owned());
        let read = |certificate: &str, key: &str| Authority::from_pem(certificate.as_bytes(), key.as_bytes());
        assert_eq!(read(&certificate, &key), Ok(one.clone()));
        let leaf = issue::leaf(&one, &["x".to_owned()], now + Duration::from_hours(1), now).unwrap();
        let two = to_pem(&[one.certificate().clone(), other.certificate().clone()]);
        for (certificate, key, expected) in [
            ("", key.as_str(), "one PEM certificate is needed, 0 can be read"),
            (&two, &key, "one PEM certificate is needed, 2 can be read"),
            (&certificate, other.key(), "the key does not belong to the certificate"),
            (&certificate, &certificate, "the key cannot be used: "),
            (&leaf.certificate, &leaf.key, "the certificate is not that of an authority (basicConstraints CA:TRUE)"),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(!format!("{one:?}").contains("KEY"));
    }

    #[test]
    fn two_thirds_of_a_life_count_from_when_it_was_made() {
        let now = NOW + Duration::from_hours(100);
        let made = issue::authority(Duration::from_hours(9), now).unwrap();
        assert_eq!(made.certificate().due(), now + Duration::from_hours(6));
        assert!(made.certificate().is_valid(now - BACKDATED));
        assert!(!made.certificate().is_valid(now + Duration::from_hours(9)));
    }
}
