//! What to fill in: only what the author left out, and only in probes that exist and have exactly one handler; on request, a startup probe and a preStop
//! sleep where there are none.
//!
//! Here is what a plan is, of what, and how it is applied; `draft.rs` computes the numbers.

use std::borrow::Cow;

use super::draft::{Draft, FILLABLE};
use crate::{
    model::{Author, Container, Leaf, Origin, Owner, Probe, ProbeKind, Record, Witnesses, Workload},
    policy::{Part, Policy},
};

/// One number to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Index in [`Workload::containers`].
    pub container: usize,
    /// Which probe.
    pub probe: ProbeKind,
    /// Which number.
    pub leaf: Leaf,
    /// What it becomes; 0 where a grace period is taken away again.
    pub value: i64,
    /// What stands there now, if anything.
    pub present: Option<i64>,
    /// Nothing tells whether the author set it: it equals the API default.
    pub unknown: bool,
}

impl Fill {
    /// Field path for metrics and people: `livenessProbe.timeoutSeconds`.
    pub const fn field(&self) -> &'static str {
        macro_rules! name {
            ($($probe:ident $prefix:literal),+) => {
                match (self.probe, self.leaf) {
                    $(
                        (ProbeKind::$probe, Leaf::InitialDelaySeconds) => concat!($prefix, ".initialDelaySeconds"),
                        (ProbeKind::$probe, Leaf::TimeoutSeconds) => concat!($prefix, ".timeoutSeconds"),
                        (ProbeKind::$probe, Leaf::PeriodSeconds) => concat!($prefix, ".periodSeconds"),
                        (ProbeKind::$probe, Leaf::SuccessThreshold) => concat!($prefix, ".successThreshold"),
                        (ProbeKind::$probe, Leaf::FailureThreshold) => concat!($prefix, ".failureThreshold"),
                        (ProbeKind::$probe, Leaf::TerminationGracePeriodSeconds) => concat!($prefix, ".terminationGracePeriodSeconds"),
                    )+
                }
            };
        }
        name!(Liveness "livenessProbe", Readiness "readinessProbe", Startup "startupProbe")
    }

    /// JSON pointer of the leaf.
    pub fn pointer(&self, workload: &Workload<'_>) -> String {
        let container = &workload.containers[self.container];
        format!("{}/{}", workload.probe_pointer(container, self.probe), self.leaf.field())
    }

    /// Whether it is a grace period of ours that is taken away again.
    pub fn takes_away(&self) -> bool {
        self.leaf == Leaf::TerminationGracePeriodSeconds && self.value == 0
    }

    /// Whether the number changes what is there (after API defaulting).
    fn changes(&self) -> bool {
        self.present.filter(|present| *present != 0).or(self.leaf.api_default()) != Some(self.value)
    }
}

/// Something that is added, or that was added earlier and is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// A startup probe with the handler of the liveness probe.
    Startup {
        /// Index in [`Workload::containers`].
        container: usize,
        /// Its numbers.
        numbers: Vec<(Leaf, i64)>,
        /// An earlier one of ours stands there.
        replace: bool,
    },
    /// `lifecycle.preStop.sleep`.
    PreStopSleep {
        /// Index in [`Workload::containers`].
        container: usize,
        /// How long.
        seconds: i64,
        /// An earlier one of ours stands there.
        replace: bool,
    },
    /// What is ours no longer belongs there: the policy or the author wants it otherwise.
    TakenAway {
        /// Index in [`Workload::containers`].
        container: usize,
        /// Which of the two it was part of.
        part: &'static str,
        /// Pointer within that part (`httpGet/scheme`), or empty for all of it.
        place: &'static str,
    },
}

/// Pointers from a container to what may be added.
pub(super) const STARTUP: &str = "startupProbe";
pub(super) const PRE_STOP: &str = "lifecycle/preStop";

/// Everything that is ours in one object.
#[derive(Debug, Default)]
pub struct Plan {
    /// Numbers that change something, by container, probe and leaf.
    pub fills: Vec<Fill>,
    /// What changes beyond numbers, by container.
    pub additions: Vec<Addition>,
    /// All that is ours afterwards, also what stands already, and numbers that were ours before somebody edited them by hand.
    pub record: Record,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.fills.is_empty() && self.additions.is_empty()
    }

    /// The name of each field that changes, for metrics and people.
    pub fn fields(&self) -> Vec<&'static str> {
        let additions = self.additions.iter().map(|addition| match addition {
            Addition::Startup { .. } | Addition::TakenAway { part: STARTUP, .. } => "startupProbe",
            Addition::PreStopSleep { .. } | Addition::TakenAway { .. } => "lifecycle.preStop.sleep",
        });
        self.fills.iter().map(Fill::field).chain(additions).collect()
    }

    /// Pointer and value of each number that is filled in, those of added probes and hooks included.
    pub fn values(&self, workload: &Workload<'_>) -> Vec<(String, i64)> {
        let mut values: Vec<(String, i64)> =
            self.fills.iter().filter(|fill| !fill.takes_away()).map(|fill| (fill.pointer(workload), fill.value)).collect();
        for addition in &self.additions {
            match addition {
                Addition::Startup { container, numbers, .. } => {
                    let probe = workload.probe_pointer(&workload.containers[*container], ProbeKind::Startup);
                    values.extend(numbers.iter().map(|(leaf, value)| (format!("{probe}/{}", leaf.field()), *value)));
                }
                Addition::PreStopSleep { container, seconds, .. } => {
                    let container = workload.container_pointer(&workload.containers[*container]);
                    values.push((format!("{container}/{PRE_STOP}/sleep/seconds"), *seconds));
                }
                Addition::TakenAway { .. } => {}
            }
        }
        values
    }
}

/// The record and every witness of who set what go by the names of containers. The API server refuses an object in which one stands twice, but only after
/// it was patched.
fn has_unique_names(workload: &Workload<'_>) -> bool {
    let mut names: Vec<&str> = workload.containers.iter().map(|container| &*container.name).collect();
    names.sort_unstable();
    names.array_windows().all(|[one, next]| one != next)
}

/// Computes what to fill in. `create`: on UPDATE nothing is filled in of which it is unknown who set it.
///
/// Nothing is filled in where the author declined, and nothing in what a controller made: patching it sets the two fighting (H9).
pub fn plan(policy: &Policy, workload: &Workload<'_>, witnesses: &Witnesses<'_>, create: bool) -> Plan {
    let mut plan = Plan::default();
    if workload.owner() != Owner::None || workload.declines_defaults() || !has_unique_names(workload) {
        return plan;
    }
    let scope = policy.scope(workload);
    for (index, container) in workload.containers.iter().enumerate() {
        let wanted = scope.defaults(Part::Container(index));
        let origins = [witnesses.startup(container), witnesses.pre_stop(container)];
        let view = without_ours(container, &origins);
        let draft = Draft::of(wanted, policy.startup, workload, &view, witnesses, create);
        plan.add_numbers(index, container, &draft);
        plan.add_startup(index, container, &draft, &origins[0]);
        plan.add_pre_stop(index, container, &draft, &origins[1]);
    }
    plan
}

/// The container as its author left it, where what we added stands in it as a whole.
fn without_ours<'c, 'a>(container: &'c Container<'a>, [startup, pre_stop]: &[Origin; 2]) -> Cow<'c, Container<'a>> {
    if *startup == Origin::Author && *pre_stop == Origin::Author {
        return Cow::Borrowed(container);
    }
    let mut view = container.clone();
    match startup {
        Origin::Author => {}
        Origin::Ours => view.startup_probe = None,
        Origin::Mixed(places) => places.iter().for_each(|place| {
            if let Some(probe) = &mut view.startup_probe {
                probe.take_away(place);
            }
        }),
    }
    match pre_stop {
        Origin::Author => {}
        Origin::Ours => view.set_pre_stop_sleep(None),
        Origin::Mixed(_) => {
            if let Some(hook) = view.lifecycle.as_mut().and_then(|lifecycle| lifecycle.pre_stop.as_mut()) {
                hook.sleep = None;
            }
        }
    }
    Cow::Owned(view)
}

impl Plan {
    fn add_numbers(&mut self, index: usize, container: &Container<'_>, draft: &Draft<'_>) {
        for (kind, slot) in ProbeKind::ALL.into_iter().zip(draft.probes) {
            let (Some(slot), Some(probe)) = (slot, container.probe(kind)) else { continue };
            for leaf in FILLABLE {
                let (value, Some(author)) = (slot.value(leaf), slot.author(leaf)) else {
                    if let Some(recorded) = draft.witnesses.edited_by_hand(container, kind, leaf) {
                        self.record.insert(&container.name, kind, leaf, recorded);
                    }
                    continue;
                };
                if value == leaf.api_default() && author != Author::Ours {
                    continue;
                }
                let fill = Fill {
                    container: index,
                    probe: kind,
                    leaf,
                    value: value.unwrap_or_default(),
                    present: probe.leaf(leaf),
                    unknown: author == Author::Unknown,
                };
                if let (Some(value), true) = (value, value != leaf.api_default()) {
                    self.record.insert(&container.name, kind, leaf, value);
                }
                if fill.changes() {
                    self.fills.push(fill);
                }
            }
        }
    }

    fn add_startup(&mut self, index: usize, container: &Container<'_>, draft: &Draft<'_>, origin: &Origin) {
        let taken_away = |place| Addition::TakenAway { container: index, part: STARTUP, place };
        let Some(slot) = draft.probes[2].filter(|_| draft.added) else {
            match origin {
                Origin::Author => {}
                Origin::Ours => self.additions.push(taken_away("")),
                Origin::Mixed(places) => self.additions.extend(places.iter().copied().map(taken_away)),
            }
            return;
        };
        let mut numbers: Vec<(Leaf, i64)> = [Leaf::PeriodSeconds, Leaf::TimeoutSeconds, Leaf::FailureThreshold]
            .into_iter()
            .filter_map(|leaf| Some((leaf, slot.value(leaf)?)))
            .collect();
        numbers.extend((slot.timing.initial_delay != 0).then_some((Leaf::InitialDelaySeconds, slot.timing.initial_delay)));
        numbers.extend(slot.grace.map(|grace| (Leaf::TerminationGracePeriodSeconds, grace)));
        self.record.insert_startup(&container.name);
        for (leaf, value) in &numbers {
            self.record.insert(&container.name, ProbeKind::Startup, *leaf, *value);
        }
        let stands = container.startup_probe.as_ref();
        let same = stands.zip(container.liveness_probe.as_ref()).is_some_and(|(stands, liveness)| {
            stands.has_handlers_of(liveness)
                && Leaf::ALL.into_iter().all(|leaf| {
                    let number = numbers.iter().find(|(number, _)| *number == leaf).map(|(_, value)| *value);
                    number.or(leaf.api_default()) == stands.defaulted(leaf)
                })
        });
        if !same {
            self.additions.push(Addition::Startup { container: index, numbers, replace: stands.is_some() });
        }
    }

    fn add_pre_stop(&mut self, index: usize, container: &Container<'_>, draft: &Draft<'_>, origin: &Origin) {
        let taken_away = |place| Addition::TakenAway { container: index, part: PRE_STOP, place };
        let stands = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        match (draft.pre_stop_sleep(), origin) {
            (Some(seconds), Origin::Author | Origin::Ours) => {
                self.record.insert_pre_stop_sleep(&container.name, seconds);
                if stands.and_then(|hook| hook.sleep.as_ref()?.seconds) != Some(seconds) {
                    self.additions.push(Addition::PreStopSleep { container: index, seconds, replace: stands.is_some() });
                }
            }
            (_, Origin::Author) => {}
            (_, Origin::Ours) => self.additions.push(taken_away("")),
            (_, Origin::Mixed(places)) => self.additions.extend(places.iter().copied().map(taken_away)),
        }
    }
}

/// Makes the planned changes in the model, as the API server will when it applies the patch.
pub fn apply(workload: &mut Workload<'_>, plan: &Plan) {
    for fill in &plan.fills {
        let container = workload.containers.get_mut(fill.container);
        let Some(probe) = container.and_then(|container| container.probe_place(fill.probe).as_mut()) else { continue };
        if fill.takes_away() {
            probe.clear_leaf(fill.leaf);
        } else {
            probe.set_leaf(fill.leaf, fill.value);
        }
    }
    for addition in &plan.additions {
        let (Addition::Startup { container, .. }
        | Addition::PreStopSleep { container, .. }
        | Addition::TakenAway { container, .. }) = addition;
        let Some(container) = workload.containers.get_mut(*container) else { continue };
        match addition {
            Addition::Startup { numbers, .. } => {
                let mut probe = container.liveness_probe.as_deref().map(Probe::with_handler_only).unwrap_or_default();
                for (leaf, value) in numbers {
                    probe.set_leaf(*leaf, *value);
                }
                container.startup_probe = Some(Box::new(probe));
            }
            Addition::PreStopSleep { seconds, .. } => container.set_pre_stop_sleep(Some(*seconds)),
            Addition::TakenAway { part: STARTUP, place, .. } => {
                workload.filled.forget_startup(&container.name);
                if place.is_empty() {
                    container.startup_probe = None;
                } else if let Some(probe) = &mut container.startup_probe {
                    probe.take_away(place);
                }
            }
            Addition::TakenAway { place: "", .. } => container.set_pre_stop_sleep(None),
            Addition::TakenAway { .. } => {
                if let Some(hook) = container.lifecycle.as_mut().and_then(|lifecycle| lifecycle.pre_stop.as_mut()) {
                    hook.sleep = None;
                }
            }
        }
    }
    workload.filled.absorb(&plan.record);
}
