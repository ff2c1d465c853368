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
