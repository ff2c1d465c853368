//! Where a policy comes from.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Content, MOST_BYTES, PolicyErrors};
use crate::policy::ConfigMapName;

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// A file.
    File(PathBuf),
    /// A ConfigMap of the cluster.
    ConfigMap(ConfigMapName),
}

/// Why a file gives no policy.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
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
    /// Reads `file:PATH` or `configmap:NAMESPACE/NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Ok(Self::File(path.into()));
        }
        if let Some(name) = text.strip_prefix("configmap:").and_then(ConfigMapName::parse) {
            return Ok(Self::ConfigMap(name));
        }
        Err("write it as file:PATH or configmap:NAMESPACE/NAME".to_owned())
    }
}

/// What the file holds now.
pub fn read(path: &Path) -> Content {
    let mut text = String::new();
    let limit = MOST_BYTES as u64 + 1;
    match std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
        Ok(length) if length > MOST_BYTES => Content::Missing(unreadable(path, &io::ErrorKind::FileTooLarge.into())),
        Ok(_) => Content::Text(text),
        Err(error) => Content::Missing(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read the policy {}: {error}", path.display())
}

/// Each error with the file in front, as editors and compilers write it.
fn located(path: &Path, errors: &PolicyErrors) -> String {
    errors.0.iter().map(|error| format!("{}:{error}", path.display())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let config_map = |namespace: &str, name: &str| {
            PolicySource::ConfigMap(ConfigMapName { namespace: namespace.to_owned(), name: name.to_owned() })
        };
        for (text, expected) in [
            ("file:a/b.yaml", Some(PolicySource::File("a/b.yaml".into()))),
            ("configmap:probekeeper/policy", Some(config_map("probekeeper", "policy"))),
            ("file:", None),
            ("configmap:policy", None),
            ("configmap:a/b/c", None),
            ("a/b.yaml", None),
            ("", None),
        ] {
            assert_eq!(PolicySource::parse(text).ok(), expected, "{text}");
        }
    }
}
