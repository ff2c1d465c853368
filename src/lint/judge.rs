//! What is asked of the core for one object.

use jiff::civil::Date;

use super::report::ObjectRef;
use super::rewrite;
use crate::clock;
use crate::engine::{Exempted, defaults, evaluate_in};
use crate::graph::Around;
use crate::model::{Course, DecodeError, Edit, Kinds, Owner, WitnessTexts, Witnesses, Workload};
use crate::policy::{Action, OwnedObjects, Policy};
use crate::rules::Finding;

/// A policy, and how it is applied.
#[derive(Debug)]
pub struct Judge {
    policy: Policy,
    /// The date in UTC.
    today: Date,
    fill: bool,
    courses: bool,
}

/// Where an object comes from, which decides what an absent value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// As its author wrote it.
    File,
    /// As the API server sends it to webhooks: defaults are already in it.
    Review {
        /// The object is new.
        create: bool,
    },
}

pub(super) enum Judgement {
    /// No pod template, or not judged by this policy.
    NoWorkload,
    /// The API server would refuse it: a kustomize patch, not a workload.
    Incomplete,
    Judged(Box<Judged>),
}

pub(super) struct Judged {
    pub(super) object: ObjectRef,
    /// A controller made it whose own object is judged, so nothing is denied here.
    pub(super) owned: bool,
    /// In the order of containers, probes and rules.
    pub(super) findings: Vec<Finding>,
    /// What is right there, in the same order.
    pub(super) exempted: Vec<Exempted>,
    pub(super) fills: Vec<Fill>,
    /// Of each container; empty where nobody asked.
    pub(super) courses: Option<Vec<Course>>,
    /// What is filled in, as changes of the object.
    pub(super) fill_edits: Vec<Edit>,
    /// What could be written better, whatever the rules say.
    pub(super) proposals: Vec<Edit>,
    /// Rules that failed on this object.
    pub(super) rule_errors: Vec<&'static str>,
}

pub(super) struct Fill {
    /// From the object's root.
    pub(super) pointer: String,
    pub(super) value: i64,
}

impl Judge {
    /// `fill`: judge the object as the webhook would store it, with what was left out filled in.
    pub fn new(policy: Policy, fill: bool) -> Self {
        Self { policy, today: clock::today(), fill, courses: false }
    }

    /// Also reports every workload that was judged, with the course of its probes.
    #[must_use]
    pub fn with_courses(self) -> Self {
        Self { courses: true, ..self }
    }

    /// Judges as on another day: exemptions end.
    #[must_use]
    pub fn on(self, today: Date) -> Self {
        Self { today, ..self }
    }

    /// The kinds that are judged.
    pub(super) const fn kinds(&self) -> &Kinds {
        &self.policy.kinds
    }

    pub(super) fn judge(&self, json: &str, origin: Origin, around: Option<Around<'_>>) -> Result<Judgement, DecodeError> {
        let Some(mut workload) = Workload::read(json, &self.policy.kinds)? else { return Ok(Judgement::NoWorkload) };
        if workload.is_incomplete() {
            return Ok(Judgement::Incomplete);
        }
        let owned = workload.owner() == Owner::Judged;
        if workload.owner() == Owner::Node || (owned && self.policy.owned_objects == OwnedObjects::Skip) {
            return Ok(Judgement::NoWorkload);
        }
        let proposals = rewrite::proposals(&workload);
        let plan = self.plan(&workload, origin);
        let filled =
            plan.iter().flat_map(|plan| plan.values(&workload)).map(|(pointer, value)| Fill { pointer, value }).collect();
        let fill_edits = plan.iter().flat_map(|plan| rewrite::fills(&workload, plan, json)).collect();
        if let Some(plan) = &plan {
            defaults::apply(&mut workload, plan);
        }

        let mut evaluation = evaluate_in(&self.policy, &workload, around, self.today);
        let owned = owned && self.policy.owned_objects == OwnedObjects::Warn;
        if owned {
            for finding in &mut evaluation.findings {
                finding.at_most(Action::Warn);
            }
        }
        Ok(Judgement::Judged(Box::new(Judged {
            object: ObjectRef {
                api_version: workload.api_version.clone(),
                kind: workload.kind_name().to_owned(),
                namespace: workload.namespace().map(str::to_owned),
                name: workload.name().to_owned(),
            },
            owned,
            findings: evaluation.findings,
            exempted: evaluation.exempted,
            fills: filled,
            courses: self.courses.then(|| workload.containers.iter().map(|container| Course::of(&workload, container)).collect()),
            fill_edits,
            proposals,
            rule_errors: evaluation.rule_errors,
        })))
    }

    fn plan(&self, workload: &Workload<'_>, origin: Origin) -> Option<defaults::Plan> {
        match origin {
            _ if !self.fill => None,
            Origin::File => Some(defaults::plan(&self.policy, workload, &Witnesses::File, true)),
            Origin::Review { create: true } => {
                let texts = WitnessTexts::of(workload, None);
                Some(defaults::plan(&self.policy, workload, &Witnesses::live(workload, None, &texts), true))
            }
            // What an update fills in depends on the old object, which is not judged here.
            Origin::Review { create: false } => None,
        }
    }
}
