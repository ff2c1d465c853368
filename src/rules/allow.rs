//! The annotation by which the author of a workload says that breaking a rule is right there: `rule-id: why; other-rule: why`.
//!
//! Entries are separated by `;` or line breaks. A reason may hold both, and colons too: a part starts a new entry only where it begins with the name of a
//! rule and a colon (or with a word in the form of one, a colon and a blank, so that a mistyped name is noticed), or is the name of a rule and nothing else.

use super::find;
use crate::model::{Annotations, Metadata, Workload};

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow<'a> {
    /// As written: perhaps no rule's name.
    pub rule: &'a str,
    /// Empty where nothing is said.
    pub reason: &'a str,
}

impl<'a> Allow<'a> {
    /// The entries of an annotation.
    pub fn parse(text: &'a str) -> Vec<Self> {
        let mut starts: Vec<usize> = Vec::new();
        let mut at = 0;
        for part in text.split_inclusive([';', '\n']) {
            let bare = part.trim_end_matches([';', '\n']).trim();
            if !bare.is_empty() && (starts.is_empty() || starts_entry(bare)) {
                starts.push(at);
            }
            at += part.len();
        }
        let ends = starts.iter().copied().skip(1).chain([text.len()]);
        starts
            .iter()
            .zip(ends)
            .filter_map(|(start, end)| text.get(*start..end))
            .map(|entry| {
                let entry = entry.trim().trim_end_matches(';');
                let (rule, reason) = entry.split_once(':').unwrap_or((entry, ""));
                Self { rule: rule.trim(), reason: reason.trim() }
            })
            .collect()
    }

    /// Whether the reason says anything.
    pub fn has_reason(&self) -> bool {
        self.reason.chars().any(char::is_alphanumeric)
    }

    /// The entries of a workload and of its template, with the pointer of the metadata they stand in. What stands in both is told once.
    pub fn of<'w>(workload: &'w Workload<'_>) -> Vec<(String, Allow<'w>)> {
        let text =
            |metadata: &'w Metadata<'_>| metadata.annotations.as_ref().and_then(|annotations| annotations.allow.as_deref());
        let (own, template) = (text(&workload.metadata), text(&workload.template_metadata));
        let entries = |text: Option<&'w str>| text.map(Allow::parse).unwrap_or_default();
        let own = entries(own);
        let template: Vec<_> = entries(template).into_iter().filter(|entry| !own.contains(entry)).collect();
        let own = own.into_iter().map(|entry| ("/metadata".to_owned(), entry));
        own.chain(template.into_iter().map(|entry| (workload.pod_metadata_pointer(), entry))).collect()
    }
}

/// The pointer of the annotation below an object's or a template's metadata.
pub(super) fn pointer(metadata: &str) -> String {
    format!("{metadata}/annotations/{}", Annotations::ALLOW.replace('/', "~1"))
}

fn starts_entry(part: &str) -> bool {
    match part.split_once(':') {
        None => find(part).is_some(),
        Some((head, rest)) => {
            let head = head.trim();
            let form =
                head.contains('-') && head.chars().all(|rune| rune.is_ascii_lowercase() || rune.is_ascii_digit() || rune == '-');
            find(head).is_some() || (form && (rest.is_empty() || rest.starts_with(char::is_whitespace)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Allow;

    #[test]
    fn entries_and_their_reasons() {
        let cases: [(&str, &[(&str, &str)]); 9] = [
            ("no-probes: a batch of its own", &[("no-probes", "a batch of its own")]),
            ("no-probes: a; missing-readiness: b;", &[("no-probes", "a"), ("missing-readiness", "b")]),
            ("no-probes: see https://x/y; it says why: really", &[("no-probes", "see https://x/y; it says why: really")]),
            ("no-probes: a\nmissing-readiness:b\n", &[("no-probes", "a"), ("missing-readiness", "b")]),
            ("no-probes: a; mising-readiness: b", &[("no-probes", "a"), ("mising-readiness", "b")]),
            ("no-probes: a; missing-readiness", &[("no-probes", "a"), ("missing-readiness", "")]),
            ("no-probes: asks my-host:8080; my-host:9090", &[("no-probes", "asks my-host:8080; my-host:9090")]),
            ("because I say so", &[("because I say so", "")]),
            (" ; \n ", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<(&str, &str)> = Allow::parse(text).iter().map(|entry| (entry.rule, entry.reason)).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
