//! Whether an object or a container is meant.

use super::choices::{Match, Operator, Requirement};
use crate::model::{Container, Kind, Kinds, Labels, Workload};

/// A [`Match`] ready for questions. None of them allocates.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) namespaces: Patterns,
    /// Places in [`kind_index`]; `None`: any.
    pub(super) kinds: Option<Box<[usize]>>,
    pub(super) labels: Box<[Requirement]>,
    pub(super) containers: Patterns,
    pub(super) images: Patterns,
}

impl Matcher {
    pub(super) fn new(matching: &Match, kinds: &Kinds) -> Self {
        let patterns = Patterns::new(&matching.kinds);
        let chosen = kinds.names().enumerate().filter(|(_, name)| patterns.matches(name)).map(|(index, _)| index);
        let equalities = matching.labels.labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        });
        Self {
            namespaces: Patterns::new(&matching.namespaces),
            kinds: (!matching.kinds.is_empty()).then(|| chosen.collect()),
            labels: equalities.chain(matching.labels.expressions.iter().cloned()).collect(),
            containers: Patterns::new(&matching.containers),
            images: Patterns::new(&matching.images),
        }
    }

    /// Whether the object fits, its containers aside.
    pub(super) fn fits(&self, workload: &Workload<'_>) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind_index(workload)))
            && self.namespaces.matches_known(workload.namespace())
            && self.labels.iter().all(|requirement| holds(requirement, label(workload, &requirement.key)))
    }

    /// Whether it is about the object as a whole, not about some containers.
    pub(super) fn is_about_objects(&self) -> bool {
        self.containers.is_unlimited() && self.images.is_unlimited()
    }

    /// Whether a container of an object that fits is meant.
    pub(super) fn fits_container(&self, container: &Container<'_>) -> bool {
        self.containers.matches(&container.name) && self.images.matches_known(container.image.as_deref())
    }

    /// Whether it certainly means everything that `other` means.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let kinds = match (&self.kinds, &other.kinds) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(these), Some(others)) => others.iter().all(|kind| these.contains(kind)),
        };
        kinds
            && self.namespaces.covers(&other.namespaces)
            && self.containers.covers(&other.containers)
            && self.images.covers(&other.images)
            && self.labels.iter().all(|requirement| other.labels.contains(requirement))
    }
}

/// The place of a workload's kind among [`Kinds::names`].
pub(super) fn kind_index(workload: &Workload<'_>) -> usize {
    workload.custom.as_ref().map_or(workload.kind as usize, |custom| Kind::ALL.len() + custom.index)
}

/// A label of the object, else of its template.
pub(super) fn label<'w>(workload: &'w Workload<'_>, key: &str) -> Option<&'w str> {
    // The last of two equal keys counts, as in JSON.
    let find =
        |labels: &'w Labels<'_>| labels.0.iter().rev().find(|(candidate, _)| &**candidate == key).map(|(_, value)| &**value);
    find(&workload.metadata.labels).or_else(|| find(&workload.template_metadata.labels))
}

fn holds(requirement: &Requirement, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| requirement.values.iter().any(|listed| listed == value));
    match requirement.operator {
        Operator::In => listed(),
        Operator::NotIn => !listed(),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

/// Patterns of which one must match; none at all: anything does.
#[derive(Debug)]
pub(super) struct Patterns(pub(super) Box<[Pattern]>);

impl Patterns {
    fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Pattern::new(text)).collect())
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.0.is_empty()
    }

    fn matches(&self, text: &str) -> bool {
        self.is_unlimited() || self.0.iter().any(|pattern| pattern.matches(text))
    }

    /// What is not known is matched only by what matches anything.
    fn matches_known(&self, text: Option<&str>) -> bool {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => self.matches(text),
            None => self.is_unlimited() || self.0.contains(&Pattern::Any),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.is_unlimited()
            || (!other.is_unlimited() && other.0.iter().all(|theirs| self.0.iter().any(|ours| ours.covers(theirs))))
    }
}

/// One pattern, by its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*`
    Any,
    /// No wildcard.
    Exact(Box<str>),
    /// `text*`
    Prefix(Box<str>),
    /// `*text`
    Suffix(Box<str>),
    /// Everything else.
    Glob(Box<str>),
}

impl Pattern {
    fn new(text: &str) -> Self {
        let plain = |text: &str| !text.contains(['*', '?']);
        if plain(text) {
            return Self::Exact(text.into());
        }
        if text.bytes().all(|byte| byte == b'*') {
            return Self::Any;
        }
        match (text.strip_suffix('*').filter(|prefix| plain(prefix)), text.strip_prefix('*').filter(|suffix| plain(suffix))) {
            (Some(prefix), _) => Self::Prefix(prefix.into()),
            (_, Some(suffix)) => Self::Suffix(suffix.into()),
            _ => Self::Glob(text.into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Glob(glob) => glob_matches(glob.as_bytes(), text.as_bytes()),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Exact(text)) => self.matches(text),
            (Self::Prefix(ours), Self::Prefix(theirs)) => theirs.starts_with(&**ours),
            (Self::Suffix(ours), Self::Suffix(theirs)) => theirs.ends_with(&**ours),
            _ => self == other,
        }
    }
}

/// Names and images are ASCII, so bytes are characters. Goes back only to the last `*`: quadratic at worst, in texts of at most a few hundred bytes.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut last_star = None;
    while from < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                last_star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                at = star + 1;
                from = taken + 1;
            }
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, matching, others) in [
            ("*", &["", "a", "a/b"][..], &[][..]),
            ("team-*", &["team-", "team-a"], &["team", "a-team-a"]),
            ("*-prod", &["a-prod", "-prod"], &["prod", "a-prod-b"]),
            ("a?c", &["abc", "a/c"], &["ac", "abbc"]),
            (
                "*.example.com/*/app:*",
                &["r.example.com/x/app:1", "r.example.com/x/y/app:1"],
                &["example.com/x/app:1", "r.example.com/app:1"],
            ),
            ("a*b*c", &["abc", "aXbYbZc", "abcbc"], &["ab", "acb", "abcd"]),
            ("**a", &["a", "ba"], &["ab"]),
            ("exact", &["exact"], &["exactly", "inexact"]),
        ] {
            for text in matching {
                assert!(Pattern::new(pattern).matches(text), "{pattern} {text}");
            }
            for text in others {
                assert!(!Pattern::new(pattern).matches(text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_covers_what() {
        for (ours, theirs, expected) in [
            ("*", "a?b", true),
            ("team-*", "team-a", true),
            ("team-*", "team-a-*", true),
            ("team-a-*", "team-*", false),
            ("*-prod", "*-eu-prod", true),
            ("*-prod", "team-*", false),
            ("a?b", "a?b", true),
            ("a?b", "axb", true),
            ("a", "*", false),
        ] {
            assert_eq!(Pattern::new(ours).covers(&Pattern::new(theirs)), expected, "{ours} {theirs}");
        }
    }
}
