//! Issues a certificate authority and its leaves. Pure: the time is given, and nothing is stored.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use super::certificate::{Authority, BACKDATED, Certificate, to_pem};

/// How long a development authority and its leaf last. They live in one process's memory and are never renewed.
const DEVELOPMENT: Duration = Duration::from_hours(365 * 24);

/// Names under which a development server is reached.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// An authority and one leaf that it signed.
pub struct Issued {
    /// PEM certificate of the authority, to be trusted by the clients. Its key is gone.
    pub authority: String,
    /// PEM certificate of the leaf.
    pub certificate: String,
    /// PEM key of the leaf (PKCS#8).
    pub key: String,
}

/// A leaf and its key.
pub struct Leaf {
    /// PEM certificate.
    pub certificate: String,
    /// PEM key (PKCS#8).
    pub key: String,
}

/// A fresh authority and a leaf for loopback and, if given, one more DNS name (as `probekeeper.probekeeper-system.svc`), valid for a year.
pub fn development(service: Option<&str>, now: SystemTime) -> Result<Issued, rcgen::Error> {
    let authority = made("probekeeper development CA", DEVELOPMENT, now)?;
    let names: Vec<String> = LOOPBACK.iter().copied().chain(service).map(str::to_owned).collect();
    let Leaf { certificate, key } = leaf(&authority, &names, now + DEVELOPMENT, now)?;
    Ok(Issued { authority: to_pem(&[authority.certificate().clone()]), certificate, key })
}

/// A fresh authority that is valid for `lifetime` from `now`: P-256, may sign leaves but no further authorities.
pub fn authority(lifetime: Duration, now: SystemTime) -> Result<Authority, rcgen::Error> {
    made("probekeeper CA", lifetime, now)
}

/// A fresh key, and a serving certificate for it under each of `names` (DNS names or addresses), valid until `until`.
pub fn leaf(authority: &Authority, names: &[String], until: SystemTime, now: SystemTime) -> Result<Leaf, rcgen::Error> {
    let mut leaf = parameters("probekeeper", names.to_vec(), until, now)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = leaf.signed_by(&key, &authority.issuer()?)?;
    Ok(Leaf { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The names under which a Service is reached from within the cluster. An API server asks for the third.
pub fn service_names(namespace: &str, service: &str) -> Vec<String> {
    ["", &format!(".{namespace}"), &format!(".{namespace}.svc"), &format!(".{namespace}.svc.cluster.local")]
        .map(|suffix| format!("{service}{suffix}"))
        .to_vec()
}

fn made(name: &str, lifetime: Duration, now: SystemTime) -> Result<Authority, rcgen::Error> {
    let mut authority = parameters(name, Vec::new(), now + lifetime, now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = authority.self_signed(&key)?;
    // The validity as it is in the certificate: whole seconds.
    let certificate = Certificate::from_der(certificate.der()).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    Ok(Authority::new(certificate, key.serialize_pem()))
}

/// Without a serial number of its own, rcgen takes 159 bits of the hash of the public key. Every key here is new, so that is random.
fn parameters(name: &str, names: Vec<String>, until: SystemTime, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = (now - BACKDATED).into();
    parameters.not_after = until.into();
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::*;

    #[test]
    fn a_development_leaf_says_what_it_is_for() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let issued = development(Some("probekeeper.probekeeper-system.svc"), now).unwrap();
        let (_, pem) = parse_x509_pem(issued.certificate.as_bytes()).unwrap();
        let leaf = pem.parse_x509().unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(ToString::to_string);
        insta::assert_snapshot!(names.collect::<Vec<_>>().join("\n"), @r"
        DNSName(localhost)
        IPAddress(7f:00:00:01)
        IPAddress(00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:01)
        DNSName(probekeeper.probekeeper-system.svc)
        ");
        assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
        assert_eq!(leaf.validity().not_before.timestamp(), 499_999 * 3600);
        assert!(!leaf.is_ca());
        let (_, other) = parse_x509_pem(development(None, now).unwrap().certificate.as_bytes()).unwrap();
        assert_ne!(leaf.raw_serial(), other.parse_x509().unwrap().raw_serial());
        assert_eq!(crate::pki::not_after(&pem.contents), Ok(now + DEVELOPMENT));
    }

    #[test]
    fn a_leaf_is_signed_by_its_authority_under_the_service_s_names() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let authority = authority(Duration::from_hours(100), now).unwrap();
        let until = now + Duration::from_hours(7);
        let issued = leaf(&authority, &service_names("probekeeper-system", "probekeeper"), until, now).unwrap();
        let (_, pem) = parse_x509_pem(issued.certificate.as_bytes()).unwrap();
        let leaf = pem.parse_x509().unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(ToString::to_string);
        insta::assert_snapshot!(names.collect::<Vec<_>>().join("\n"), @r"
        DNSName(probekeeper)
        DNSName(probekeeper.probekeeper-system)
        DNSName(probekeeper.probekeeper-system.svc)
        DNSName(probekeeper.probekeeper-system.svc.cluster.local)
        ");
        let der = parse_x509_pem(to_pem(&[authority.certificate().clone()]).as_bytes()).unwrap().1;
        let signer = der.parse_x509().unwrap();
        leaf.verify_signature(Some(signer.public_key())).unwrap();
        assert_eq!(leaf.issuer(), signer.subject());
        assert_eq!(leaf.validity().not_before.timestamp(), 499_999 * 3600);
        assert_eq!(crate::pki::not_after(&pem.contents), Ok(until));
        assert!(signer.is_ca());
        let usage = signer.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && !leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
    }
}
