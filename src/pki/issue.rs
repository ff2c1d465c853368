//! Issues a certificate authority and its leaves. Pure: the time is given, and nothing is stored.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// Certificates are valid from an hour before they are made: an API server's clock may be behind.
const BACKDATED: Duration = Duration::from_hours(1);

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

/// A fresh authority and a leaf for loopback and, if given, one more DNS name (as `probekeeper.probekeeper-system.svc`), valid for a year.
pub fn development(service: Option<&str>, now: SystemTime) -> Result<Issued, rcgen::Error> {
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut authority = parameters("probekeeper development CA", Vec::new(), now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let names = LOOPBACK.iter().copied().chain(service).map(str::to_owned).collect();
    let mut leaf = parameters("probekeeper", names, now)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(Issued { authority: authority_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Without a serial number of its own, rcgen takes 159 bits of the hash of the public key. Every key here is new, so that is random.
fn parameters(name: &str, names: Vec<String>, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = (now - BACKDATED).into();
    parameters.not_after = (now + DEVELOPMENT).into();
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
}
