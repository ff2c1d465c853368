//! What makes two findings the same from one commit to the next: not their line, which moves with every edit above it.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::Found;
use crate::model::ProbeKind;

/// Identifies a finding in baselines and SARIF: 32 hexadecimal digits over rule, object, container, probe, place in the container and the text at fault.
///
/// Neither line nor file counts, nor the container's position in its list: a finding stays the same when lines are added above it, its file is renamed or
/// another container comes before its own. It becomes another one when the text at fault changes.
pub fn fingerprint(found: &Found) -> String {
    let finding = &found.finding;
    let object = &found.object;
    let at_fault = found.excerpt.text.get(found.excerpt.primary.clone()).unwrap_or_default();
    let content = at_fault.split_whitespace().collect::<Vec<_>>().join(" ");
    // The version of the API may change without the finding changing; its group does not.
    let group = object.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let parts = [
        finding.rule.id,
        group,
        &object.kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
        finding.container.as_deref().unwrap_or_default(),
        finding.probe.map_or("", ProbeKind::field),
        below_container(&finding.pointer),
        &content,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths keep ("a", "bc") apart from ("ab", "c").
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The part of a pointer below the container, whose position in its list may change; the whole pointer where it goes through no container.
fn below_container(pointer: &str) -> &str {
    ["/containers/", "/initContainers/"]
        .iter()
        .find_map(|list| {
            let (_, rest) = pointer.split_once(list)?;
            Some(rest.find('/').map_or("", |slash| &rest[slash..]))
        })
        .unwrap_or(pointer)
}

/// A file as seen from a folder: what a repository calls it, wherever the repository is checked out.
pub fn relative<'f>(file: &'f str, root: Option<&Path>) -> &'f str {
    let below = root.and_then(|root| Path::new(file).strip_prefix(root).ok()).and_then(Path::to_str).unwrap_or(file);
    let mut name = below;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.trim_start_matches('/');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_container() {
        for (pointer, below) in [
            ("/spec/template/spec/containers/0/livenessProbe/httpGet/port", "/livenessProbe/httpGet/port"),
            ("/spec/initContainers/12", ""),
            ("/spec/progressDeadlineSeconds", "/spec/progressDeadlineSeconds"),
        ] {
            assert_eq!(below_container(pointer), below);
        }
    }

    #[test]
    fn files_from_a_folder() {
        for (file, name) in
            [("./a.yaml", "a.yaml"), ("/r/b/a.yaml", "b/a.yaml"), ("../a.yaml", "../a.yaml"), ("-", "-"), ("././/a", "a")]
        {
            assert_eq!(relative(file, Some(Path::new("/r"))), name);
        }
    }
}
