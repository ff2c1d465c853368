//! Certificates: issuing them, and reading what one says.

use std::time::{Duration, SystemTime};

pub mod issue;

/// When the DER certificate ceases to be valid.
pub fn not_after(der: &[u8]) -> Result<SystemTime, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).map_err(|_| "it ended before 1970".to_owned())?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
