//! Certificates: what they say, issuing them, and keeping a webhook's authority, its leaf and the published bundles in step.

use std::time::SystemTime;

pub mod assess;
pub mod certificate;
pub mod inject;
pub mod issue;
pub mod keep;
pub mod memory;
pub mod publish;
pub mod secret;

/// When the DER certificate ceases to be valid.
pub fn not_after(der: &[u8]) -> Result<SystemTime, String> {
    certificate::Certificate::from_der(der).map(|certificate| certificate.not_after())
}

/// The common name of the DER certificate's subject; none if there is not exactly one, for then each reader would take another.
pub fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().map(str::to_owned),
        _ => None,
    }
}
