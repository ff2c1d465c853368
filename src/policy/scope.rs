//! What holds for one object and for each of its containers: the policy's own settings, with overrides over them.
//!
//! Of the overrides that fit, the first that says something about a setting gives it. Settings are: of each rule its action, its parameters, and
//! whether the allow annotation counts; each number of the defaults. An override that is limited to containers or images says nothing about the object
//! as a whole.

use serde_json::Value;

use super::{
    Action, Choices, Defaults, DefaultsChoice, Policy, Profile, RuleChoice,
    compile::{BuiltRule, Refused, build},
    index::Index,
    matching::Matcher,
};
use crate::{
    model::{Container, Kinds, Workload},
    rules::{Needs, RULES, Rule, RuleDef},
};

/// What holds for one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) action: Action,
    /// Place among the built rules.
    built: u32,
    allow_annotation: bool,
}

/// The overrides of a policy, and the settings that they lie over.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    index: Index,
    list: Vec<Override>,
    /// By place in [`RULES`].
    base: Vec<Setting>,
    /// Of each rule in `base`: whether the operator chose its action, and what is built for a chosen one.
    chosen: Vec<(bool, u32)>,
    built: Vec<BuiltRule>,
}

#[derive(Debug)]
struct Override {
    matcher: Matcher,
    rules: Vec<Patch>,
    defaults: DefaultsChoice,
}

/// What an override says of one rule.
#[derive(Debug)]
struct Patch {
    /// Place in [`RULES`].
    rule: usize,
    action: Option<Action>,
    /// What is built for the profile's action, and for a chosen one.
    built: Option<[u32; 2]>,
    allow_annotation: Option<bool>,
}

impl Overrides {
    pub(super) fn new(choices: &Choices, kinds: &Kinds) -> Result<Self, Vec<Refused>> {
        let mut overrides = Self::default();
        let mut refused = Vec::new();
        let profile = choices.profile;
        let base_choice = |def: &RuleDef| choices.rules.iter().find(|(rule, _)| *rule == def).map(|(_, choice)| choice);
        for def in RULES.iter().copied() {
            let choice = base_choice(def);
            let action = choice.and_then(|choice| choice.action);
            match overrides.build_both(def, profile, &[choice]) {
                Ok(built) => {
                    overrides.base.push(Setting {
                        action: action.unwrap_or_else(|| def.action(profile)),
                        built: built[usize::from(action.is_some())],
                        allow_annotation: choice.and_then(|choice| choice.allow_annotation).unwrap_or(true),
                    });
                    overrides.chosen.push((action.is_some(), built[1]));
                }
                Err(message) => refused.push(Refused { rule: def, in_override: None, message }),
            }
        }
        for (at, written) in choices.overrides.iter().enumerate() {
            let mut rules = Vec::with_capacity(written.rules.len());
            for (def, choice) in &written.rules {
                let built = match &choice.params {
                    None => None,
                    Some(_) => match overrides.build_both(def, profile, &[base_choice(def), Some(choice)]) {
                        Ok(built) => Some(built),
                        Err(message) => {
                            refused.push(Refused { rule: def, in_override: Some(at), message });
                            continue;
                        }
                    },
                };
                let (action, allow_annotation) = (choice.action, choice.allow_annotation);
                rules.extend(place_of(def).map(|rule| Patch { rule, action, built, allow_annotation }));
            }
            let matcher = Matcher::new(&written.matching, kinds);
            overrides.list.push(Override { matcher, rules, defaults: written.defaults });
        }
        overrides.index = Index::new(overrides.list.iter().map(|over| &over.matcher));
        if refused.is_empty() { Ok(overrides) } else { Err(refused) }
    }

    /// The rule for the profile's action, and for one that the operator chose; the same, where the profile sets no parameters.
    fn build_both(
        &mut self,
        def: &'static RuleDef,
        profile: Profile,
        choices: &[Option<&RuleChoice>],
    ) -> Result<[u32; 2], String> {
        let chosen = self.place(build(def, None, choices)?);
        if def.profile_params[profile.column()].is_empty() {
            return Ok([chosen; 2]);
        }
        Ok([self.place(build(def, Some(profile), choices)?), chosen])
    }

    fn place(&mut self, built: BuiltRule) -> u32 {
        self.built.push(built);
        u32::try_from(self.built.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn base(&self) -> impl Iterator<Item = Setting> {
        self.base.iter().copied()
    }

    /// Whether any override says something about a rule.
    pub(super) fn speak_of(&self, def: &RuleDef) -> bool {
        place_of(def).is_some_and(|place| self.list.iter().any(|over| over.rules.iter().any(|patch| patch.rule == place)))
    }

    pub(super) fn built(&self, setting: Setting) -> &BuiltRule {
        &self.built[setting.built as usize]
    }

    /// Lays overrides over the base; the first that says something counts.
    fn lay(&self, base: Defaults, over: Vec<usize>) -> Layers {
        let mut rules: Vec<Laid> = vec![Laid::default(); self.base.len()];
        let mut defaults = DefaultsChoice::default();
        for over in over.iter().map(|at| &self.list[*at]) {
            for patch in &over.rules {
                let laid = &mut rules[patch.rule];
                laid.action = laid.action.or(patch.action);
                laid.built = laid.built.or(patch.built);
                laid.allow_annotation = laid.allow_annotation.or(patch.allow_annotation);
            }
            defaults.or(&over.defaults);
        }
        let settings = self.base.iter().zip(&self.chosen).zip(rules).map(|((base, (was_chosen, for_chosen)), laid)| Setting {
            action: laid.action.unwrap_or(base.action),
            built: match (laid.built, laid.action) {
                (Some([_, chosen]), Some(_)) => chosen,
                (Some(built), None) => built[usize::from(*was_chosen)],
                (None, Some(_)) => *for_chosen,
                (None, None) => base.built,
            },
            allow_annotation: laid.allow_annotation.unwrap_or(base.allow_annotation),
        });
        Layers { settings: settings.collect(), defaults: defaults.over(base), over }
    }
}

/// What overrides say of one rule.
#[derive(Debug, Clone, Default)]
struct Laid {
    action: Option<Action>,
    built: Option<[u32; 2]>,
    allow_annotation: Option<bool>,
}

/// What results from the overrides that fit.
#[derive(Debug)]
struct Layers {
    over: Vec<usize>,
    /// By place in [`RULES`].
    settings: Vec<Setting>,
    defaults: Defaults,
}

/// Of whom a setting is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object as a whole.
    Object,
    /// The container at this place in [`Workload::containers`].
    Container(usize),
}

/// What holds for one object and each of its containers. Where no override fits, it holds nothing of its own.
#[derive(Debug)]
pub struct Scope<'p> {
    policy: &'p Policy,
    layers: Vec<Layers>,
    /// Place in `layers`; `None`: the policy's own.
    object: Option<usize>,
    /// By container; empty: as the object.
    containers: Vec<Option<usize>>,
}

/// One rule to run.
#[derive(Clone, Copy)]
pub struct Run<'s> {
    /// Its metadata.
    pub def: &'static RuleDef,
    /// Its action, never [`Action::Off`].
    pub action: Action,
    /// What it needs.
    pub needs: Needs,
    /// Its check.
    pub rule: &'s dyn Rule,
    /// `None`: what it says counts for the whole object. Else only what it says of parts for which this holds.
    limited: Option<(usize, Setting)>,
}

impl<'p> Scope<'p> {
    pub(super) fn new(policy: &'p Policy, workload: &Workload<'_>) -> Self {
        let mut scope = Self { policy, layers: Vec::new(), object: None, containers: Vec::new() };
        let overrides = &policy.overrides;
        if overrides.list.is_empty() {
            return scope;
        }
        let mut fitting = overrides.index.candidates(workload);
        fitting.retain(|at| overrides.list[*at].matcher.fits(workload));
        if fitting.is_empty() {
            return scope;
        }
        let matcher = |at: usize| &overrides.list[at].matcher;
        let about_objects = fitting.iter().copied().filter(|at| matcher(*at).is_about_objects()).collect();
        scope.object = scope.layers_of(about_objects);
        if fitting.iter().any(|at| !matcher(*at).is_about_objects()) {
            scope.containers = workload
                .containers
                .iter()
                .map(|container| {
                    let over = fitting.iter().copied().filter(|at| matcher(*at).fits_container(container)).collect();
                    scope.layers_of(over)
                })
                .collect();
            if scope.containers.iter().all(|layers| *layers == scope.object) {
                scope.containers.clear();
            }
        }
        scope
    }

    fn layers_of(&mut self, over: Vec<usize>) -> Option<usize> {
        if over.is_empty() {
            return None;
        }
        if let Some(known) = self.layers.iter().position(|layers| layers.over == over) {
            return Some(known);
        }
        self.layers.push(self.policy.overrides.lay(self.policy.defaults, over));
        Some(self.layers.len() - 1)
    }

    fn layers(&self, part: Part) -> Option<&Layers> {
        let at = match part {
            Part::Object => self.object,
            Part::Container(at) => self.containers.get(at).copied().unwrap_or(self.object),
        };
        self.layers.get(at?)
    }

    fn setting(&self, part: Part, rule: usize) -> Setting {
        self.layers(part).map_or(self.policy.overrides.base[rule], |layers| layers.settings[rule])
    }

    /// What is filled in.
    pub fn defaults(&self, part: Part) -> &Defaults {
        self.layers(part).map_or(&self.policy.defaults, |layers| &layers.defaults)
    }

    /// Action and parameters of a rule. They are there also for a rule that is off.
    pub fn rule(&self, part: Part, def: &RuleDef) -> Option<(Action, &Value)> {
        let setting = self.setting(part, place_of(def)?);
        Some((setting.action, &self.policy.overrides.built(setting).params))
    }

    /// Whether the allow annotation counts for a rule.
    pub fn allows_annotation(&self, part: Part, def: &RuleDef) -> bool {
        place_of(def).is_some_and(|rule| self.setting(part, rule).allow_annotation)
    }

    /// Shows every rule that runs, in the order of the catalogue: where parts of the object differ, once for each way in which it holds.
    pub fn each_run<'s>(&'s self, mut see: impl FnMut(Run<'s>)) {
        if self.layers.is_empty() {
            for active in &self.policy.rules {
                see(Run { def: active.def, action: active.action, needs: active.needs, rule: &*active.rule, limited: None });
            }
            return;
        }
        let mut distinct: Vec<Setting> = Vec::new();
        for (at, def) in RULES.iter().copied().enumerate() {
            distinct.clear();
            for part in self.parts() {
                let setting = self.setting(part, at);
                if !distinct.iter().any(|known| known.runs_as(setting)) {
                    distinct.push(setting);
                }
            }
            let alike = distinct.len() == 1;
            for setting in distinct.iter().filter(|setting| setting.action != Action::Off) {
                let rule = &*self.policy.overrides.built(*setting).rule;
                see(Run { def, action: setting.action, needs: def.needs, rule, limited: (!alike).then_some((at, *setting)) });
            }
        }
    }

    /// Whether what a rule says of a container, or with `None` of the object as a whole, counts in this run.
    pub fn counts(&self, run: Run<'_>, workload: &Workload<'_>, container: Option<&str>) -> bool {
        run.limited.is_none_or(|(rule, setting)| self.setting(part_of(workload, container), rule).runs_as(setting))
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        std::iter::once(Part::Object).chain((0..self.containers.len()).map(Part::Container))
    }
}

impl Run<'_> {
    /// Whether what it says counts only for some parts of the object: see [`Scope::counts`].
    pub const fn is_limited(&self) -> bool {
        self.limited.is_some()
    }
}

impl Setting {
    pub(super) const fn allow_annotation(self) -> bool {
        self.allow_annotation
    }

    fn runs_as(self, other: Self) -> bool {
        (self.action, self.built) == (other.action, other.built)
    }
}

/// The part that a finding is about.
pub fn part_of(workload: &Workload<'_>, container: Option<&str>) -> Part {
    let place = |name: &str| workload.containers.iter().position(|container: &Container<'_>| *container.name == *name);
    container.and_then(place).map_or(Part::Object, Part::Container)
}

pub(super) fn place_of(def: &RuleDef) -> Option<usize> {
    RULES.iter().position(|rule| std::ptr::eq(*rule, def))
}
