//! Finds the few matchers that may fit an object, without asking the others.

use std::collections::BTreeMap;

// Some twenty look-ups are made for an object. Whoever sends one chooses what is looked up, but only the policy puts anything in: it takes no hash that
// withstands an attacker.
use foldhash::HashMap;

use super::{
    choices::Operator,
    matching::{Matcher, Pattern, Patterns, kind_index},
};
use crate::model::Workload;

/// Every matcher stands under the keys of one of the things that it asks for: that one under which the fewest others stand.
#[derive(Debug, Default)]
pub(super) struct Index {
    namespaces: Names,
    containers: Names,
    images: Names,
    /// Key, value, matchers.
    labels: HashMap<Box<str>, HashMap<Box<str>, Vec<usize>>>,
    /// By [`kind_index`].
    kinds: Vec<Vec<usize>>,
    /// Those that ask for nothing that could be looked up.
    always: Vec<usize>,
}

/// Where a matcher may stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key<'m> {
    Namespace(Part<'m>),
    Container(Part<'m>),
    Image(Part<'m>),
    Label(&'m str, &'m str),
    Kind(usize),
}

/// The part of a name that a pattern fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part<'m> {
    Whole(&'m str),
    Start(&'m str),
    End(&'m str),
}

impl Index {
    pub(super) fn new<'m>(matchers: impl Iterator<Item = &'m Matcher> + Clone) -> Self {
        let mut crowd: HashMap<Key<'m>, usize> = HashMap::default();
        for key in matchers.clone().flat_map(places).flatten() {
            *crowd.entry(key).or_default() += 1;
        }
        let mut index = Self::default();
        for (at, matcher) in matchers.enumerate() {
            let most = |keys: &Vec<Key<'m>>| keys.iter().filter_map(|key| crowd.get(key)).max().copied();
            match places(matcher).into_iter().min_by_key(most) {
                Some(keys) => keys.iter().for_each(|key| index.insert(key, at)),
                None => index.always.push(at),
            }
        }
        index
    }

    fn insert(&mut self, key: &Key<'_>, at: usize) {
        let list = match *key {
            Key::Namespace(part) => self.namespaces.list(part),
            Key::Container(part) => self.containers.list(part),
            Key::Image(part) => self.images.list(part),
            Key::Label(key, value) => self.labels.entry(key.into()).or_default().entry(value.into()).or_default(),
            Key::Kind(kind) => {
                if self.kinds.len() <= kind {
                    self.kinds.resize_with(kind + 1, Vec::new);
                }
                &mut self.kinds[kind]
            }
        };
        if list.last() != Some(&at) {
            list.push(at);
        }
    }

    /// The matchers that may fit, each once and in their order. Nothing is allocated where there are none.
    pub(super) fn candidates(&self, workload: &Workload<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        found.extend_from_slice(&self.always);
        found.extend(self.kinds.get(kind_index(workload)).into_iter().flatten());
        if let Some(namespace) = workload.namespace() {
            self.namespaces.find(namespace, &mut found);
        }
        if !self.labels.is_empty() {
            for (key, value) in workload.metadata.labels.0.iter().chain(&workload.template_metadata.labels.0) {
                found.extend(self.labels.get(&**key).and_then(|values| values.get(&**value)).into_iter().flatten());
            }
        }
        for container in &workload.containers {
            self.containers.find(&container.name, &mut found);
            if let Some(image) = container.image.as_deref() {
                self.images.find(image, &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The keys under which a matcher may stand, once for each thing that it asks for. It stands under all keys of a list, because one of them may be the right one.
fn places(matcher: &Matcher) -> Vec<Vec<Key<'_>>> {
    let mut places = Vec::new();
    places.extend(parts(&matcher.namespaces).map(|parts| parts.into_iter().map(Key::Namespace).collect()));
    places.extend(parts(&matcher.containers).map(|parts| parts.into_iter().map(Key::Container).collect()));
    places.extend(parts(&matcher.images).map(|parts| parts.into_iter().map(Key::Image).collect()));
    for requirement in matcher.labels.iter().filter(|requirement| requirement.operator == Operator::In) {
        places.push(requirement.values.iter().map(|value| Key::Label(&requirement.key, value)).collect());
    }
    places.extend(matcher.kinds.as_ref().map(|kinds| kinds.iter().copied().map(Key::Kind).collect()));
    places
}

/// `None` where a pattern fixes neither start nor end.
fn parts(patterns: &Patterns) -> Option<Vec<Part<'_>>> {
    if patterns.is_unlimited() {
        return None;
    }
    patterns
        .0
        .iter()
        .map(|pattern| match pattern {
            Pattern::Exact(text) => Some(Part::Whole(text)),
            Pattern::Prefix(text) => Some(Part::Start(text)),
            Pattern::Suffix(text) => Some(Part::End(text)),
            Pattern::Any | Pattern::Glob(_) => None,
        })
        .collect()
}

/// Matchers by the part of a name that they fix.
#[derive(Debug, Default)]
struct Names {
    whole: HashMap<Box<str>, Vec<usize>>,
    /// By length.
    starts: BTreeMap<usize, HashMap<Box<str>, Vec<usize>>>,
    ends: BTreeMap<usize, HashMap<Box<str>, Vec<usize>>>,
}

impl Names {
    fn list(&mut self, part: Part<'_>) -> &mut Vec<usize> {
        match part {
            Part::Whole(text) => self.whole.entry(text.into()).or_default(),
            Part::Start(text) => self.starts.entry(text.len()).or_default().entry(text.into()).or_default(),
            Part::End(text) => self.ends.entry(text.len()).or_default().entry(text.into()).or_default(),
        }
    }

    fn find(&self, name: &str, found: &mut Vec<usize>) {
        if !self.whole.is_empty() {
            found.extend(self.whole.get(name).into_iter().flatten());
        }
        for (length, starts) in self.starts.range(..=name.len()) {
            found.extend(name.get(..*length).and_then(|start| starts.get(start)).into_iter().flatten());
        }
        for (length, ends) in self.ends.range(..=name.len()) {
            found.extend(name.get(name.len() - length..).and_then(|end| ends.get(end)).into_iter().flatten());
        }
    }
}
