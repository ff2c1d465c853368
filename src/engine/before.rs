//! What was wrong with an object before a change.

use std::collections::{HashMap, HashSet};

use super::evaluate::raw_findings_of;
use crate::{
    model::{Container, Leaf, ProbeKind, Workload, same_check},
    policy::Policy,
    rules::Finding,
};

/// Everything that the rules say of an object as it was, judged as what it is now is judged: by the settings that hold for the new namespace, labels,
/// container names and images. So a finding is new only where the probes, or what bears on them, are new; not because a label led into a stricter
/// override, an annotation went or a container got another name. Containers in the result have the names that they have now.
///
/// Nothing is taken out: what another rule's finding covered, or an annotation or the policy allowed, was there all the same.
///
/// # Errors
/// The first rule that panicked: without it nobody knows what was there.
pub fn findings_before<'a>(policy: &Policy, mut old: Workload<'a>, new: &Workload<'a>) -> Result<Vec<Finding>, &'static str> {
    old.metadata.namespace.clone_from(&new.metadata.namespace);
    old.metadata.labels.clone_from(&new.metadata.labels);
    old.template_metadata.labels.clone_from(&new.template_metadata.labels);
    for (was, is) in same_containers(&old, new) {
        let (was, is) = (&mut old.containers[was], &new.containers[is]);
        if was.name != is.name {
            old.filled.rename(&was.name, &is.name);
            was.name.clone_from(&is.name);
        }
        was.image.clone_from(&is.image);
    }
    let (findings, rule_errors) = raw_findings_of(policy, &old);
    rule_errors.first().map_or(Ok(findings), |rule| Err(*rule))
}

/// Which old container is which new one, as places in their lists. The name tells; only where a name is gone and another is new, they are the same if two of
/// three agree: image, place, probes.
fn same_containers(old: &Workload<'_>, new: &Workload<'_>) -> Vec<(usize, usize)> {
    let names: HashSet<&str> = new.containers.iter().map(|container| &*container.name).collect();
    let places: HashMap<&str, usize> = old.containers.iter().enumerate().rev().map(|(at, was)| (&*was.name, at)).collect();
    let mut pairs: Vec<(usize, usize)> = Vec::with_capacity(new.containers.len());
    let mut strangers = Vec::new();
    for (at, container) in new.containers.iter().enumerate() {
        match places.get(&*container.name) {
            Some(was) => pairs.push((*was, at)),
            None => strangers.push(at),
        }
    }
    let mut gone: Vec<(usize, &Container<'_>)> =
        old.containers.iter().enumerate().filter(|(_, was)| !names.contains(&*was.name)).collect();
    for evidence in [Evidence::ImageAndProbes, Evidence::PlaceAndProbes, Evidence::ImageAndPlace] {
        strangers.retain(|at| {
            let found = gone.iter().position(|(_, was)| evidence.holds(was, &new.containers[*at]));
            if let Some(found) = found {
                pairs.push((gone.remove(found).0, *at));
            }
            found.is_none()
        });
    }
    pairs
}

/// Two of three that agree, the strongest first: the probes are what is judged.
#[derive(Debug, Clone, Copy)]
enum Evidence {
    ImageAndProbes,
    PlaceAndProbes,
    ImageAndPlace,
}

impl Evidence {
    fn holds(self, was: &Container<'_>, is: &Container<'_>) -> bool {
        let image = || was.image == is.image;
        let place = || (was.list, was.index) == (is.list, is.index);
        match self {
            Self::ImageAndProbes => image() && same_probes(was, is),
            Self::PlaceAndProbes => place() && same_probes(was, is),
            Self::ImageAndPlace => image() && place(),
        }
    }
}

fn same_probes(was: &Container<'_>, is: &Container<'_>) -> bool {
    is.has_probe()
        && ProbeKind::ALL.into_iter().all(|kind| match (was.probe(kind), is.probe(kind)) {
            (Some(was), Some(now)) => {
                same_check(is, was, now) && Leaf::ALL.into_iter().all(|leaf| was.defaulted(leaf) == now.defaulted(leaf))
            }
            (None, None) => true,
            _ => false,
        })
}
