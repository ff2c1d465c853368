//! Exemptions of the policy.

use jiff::civil::Date;

use super::{Policy, choices::Exemption as Written, index::Index, matching::Matcher};
use crate::{
    model::{Container, Kinds, Workload},
    rules::RuleDef,
};

/// The exemptions of a policy.
#[derive(Debug, Default)]
pub(super) struct Exemptions {
    index: Index,
    list: Vec<Exemption>,
}

/// Rules that are right to break somewhere.
#[derive(Debug)]
pub struct Exemption {
    matcher: Matcher,
    /// Empty: all.
    rules: Vec<&'static RuleDef>,
    /// Why.
    pub reason: String,
    /// The last day, in UTC, on which it applies.
    pub until: Option<Date>,
    /// Its place in the policy file, counted from 0.
    pub place: usize,
}

impl Exemptions {
    pub(super) fn new(written: &[Written], kinds: &Kinds) -> Self {
        let list: Vec<Exemption> = written
            .iter()
            .enumerate()
            .map(|(place, exemption)| Exemption {
                matcher: Matcher::new(&exemption.matching, kinds),
                rules: exemption.rules.clone(),
                reason: exemption.reason.clone(),
                until: exemption.until,
                place,
            })
            .collect();
        Self { index: Index::new(list.iter().map(|exemption| &exemption.matcher)), list }
    }
}

impl Exemption {
    /// Whether it no longer applies.
    pub fn has_ended(&self, today: Date) -> bool {
        self.until.is_some_and(|until| today > until)
    }

    /// What is said of it once it has ended: no error, for it was right when it was written.
    pub fn ending(&self) -> String {
        let until = self.until.map(|until| until.to_string()).unwrap_or_default();
        format!("exemptions[{}] ended after {until} and no longer applies: {}", self.place, self.reason)
    }

    /// Whether it is about what a rule says of a container, or with `None` of the object as a whole, of an object that it fits.
    pub fn is_about(&self, rule: &RuleDef, container: Option<&Container<'_>>) -> bool {
        (self.rules.is_empty() || self.rules.contains(&rule))
            && container.map_or(self.matcher.is_about_objects(), |container| self.matcher.fits_container(container))
    }
}

impl Policy {
    /// The exemptions that fit an object, ended ones among them, in their order.
    pub fn exemptions_of(&self, workload: &Workload<'_>) -> Vec<&Exemption> {
        if self.exemptions.list.is_empty() {
            return Vec::new();
        }
        let candidates = self.exemptions.index.candidates(workload).into_iter();
        candidates.map(|at| &self.exemptions.list[at]).filter(|exemption| exemption.matcher.fits(workload)).collect()
    }

    /// Whether an exemption is about a rule, for some object, on some day.
    pub fn is_exempted_somewhere(&self, rule: &RuleDef) -> bool {
        self.exemptions.list.iter().any(|exemption| exemption.rules.is_empty() || exemption.rules.contains(&rule))
    }

    /// The exemptions that no longer apply.
    pub fn ended_exemptions(&self, today: Date) -> impl Iterator<Item = &Exemption> {
        self.exemptions.list.iter().filter(move |exemption| exemption.has_ended(today))
    }
}
