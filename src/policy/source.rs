//! Where a policy comes from.

use std::path::PathBuf;

use super::{Policy, PolicyErrors, load};

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// A file.
    File(PathBuf),
}

/// Why a source gives no policy.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read the policy {}: {error}", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The file is no valid policy.
    #[error("{}", located(path, errors))]
    Invalid {
        /// As given.
        path: PathBuf,
        /// Everything that is wrong with it.
        errors: PolicyErrors,
    },
}

impl PolicySource {
    /// Reads `file:PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("write it as file:PATH".to_owned()),
        }
    }

    /// Reads the source once.
    pub fn load(&self) -> Result<Policy, SourceError> {
        let Self::File(path) = self;
        let text = std::fs::read_to_string(path).map_err(|error| SourceError::Unreadable { path: path.clone(), error })?;
        load(&text).map_err(|errors| SourceError::Invalid { path: path.clone(), errors })
    }
}

/// Each error with the file in front, as editors and compilers write it.
fn located(path: &std::path::Path, errors: &PolicyErrors) -> String {
    errors.0.iter().map(|error| format!("{}:{error}", path.display())).collect::<Vec<_>>().join("\n")
}
