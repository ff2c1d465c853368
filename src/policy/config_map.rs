//! The ConfigMap that holds a policy: its name, and the key in it.

use std::fmt;

/// The key whose value is the policy file.
pub const KEY: &str = "policy.yaml";

/// Most that a policy may have, in bytes: what a ConfigMap holds. A larger file is a mistake, and would be read on every look.
pub const MOST_BYTES: usize = 1 << 20;

/// Keys of a ConfigMap that a message names before it only counts.
const NAMED_KEYS: usize = 5;

/// From here on, two words are taken for the same one misspelt.
const ALIKE: f64 = 0.85;

/// Which ConfigMap holds the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl ConfigMapName {
    /// Reads `NAMESPACE/NAME`. `None` for what no API server would take: such an object will never be there.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let label = |text: &str, more: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            text.len() <= 253 && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
        };
        (label(namespace, "-") && label(name, "-.")).then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// Why a ConfigMap with these keys, none of which is [`KEY`], holds no policy, and what to do.
pub fn without_key<'a>(keys: impl IntoIterator<Item = &'a str>, binary_keys: impl IntoIterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = keys.into_iter().collect();
    let binary: Vec<&str> = binary_keys.into_iter().collect();
    if binary.contains(&KEY) {
        return format!("the key `{KEY}` stands under binaryData: a policy is UTF-8 text under data");
    }
    let all = keys.iter().chain(&binary);
    let alike =
        all.clone().map(|key| (strsim::jaro_winkler(&key.to_lowercase(), KEY), *key)).filter(|(alike, _)| *alike >= ALIKE);
    if let Some((_, key)) = alike.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        return format!("there is no key `{KEY}`; rename `{key}` to it");
    }
    let named = all.take(NAMED_KEYS).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    match (keys.len() + binary.len()).checked_sub(NAMED_KEYS).filter(|more| *more > 0) {
        Some(more) => format!("there is no key `{KEY}`, only {named} and {more} more"),
        None if named.is_empty() => format!("there is no key `{KEY}`, nor any other"),
        None => format!("there is no key `{KEY}`, only {named}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, valid) in [
            ("probekeeper/policy", true),
            ("a/b.c-d", true),
            ("a/b", true),
            ("policy", false),
            ("/policy", false),
            ("ns/", false),
            ("ns/a/b", false),
            ("NS/a", false),
            ("n.s/a", false),
            ("ns/-a", false),
            ("ns/a b", false),
        ] {
            assert_eq!(ConfigMapName::parse(text).map(|name| name.to_string()), valid.then(|| text.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_missing_key_is_said_in_words_that_help() {
        for (keys, binary, expected) in [
            (&[][..], &[][..], "there is no key `policy.yaml`, nor any other"),
            (&["policy.yml"], &[], "there is no key `policy.yaml`; rename `policy.yml` to it"),
            (&["x", "Policy.yaml"], &[], "there is no key `policy.yaml`; rename `Policy.yaml` to it"),
            (&["policy"], &[], "there is no key `policy.yaml`; rename `policy` to it"),
            (&["logo", "readme"], &[], "there is no key `policy.yaml`, only `logo`, `readme`"),
            (&["1", "2", "3", "4", "5", "6", "7"], &[], "there is no key `policy.yaml`, only `1`, `2`, `3`, `4`, `5` and 2 more"),
            (
                &["policy.yml"],
                &["policy.yaml"],
                "the key `policy.yaml` stands under binaryData: a policy is UTF-8 text under data",
            ),
        ] {
            assert_eq!(without_key(keys.iter().copied(), binary.iter().copied()), expected);
        }
    }
}
