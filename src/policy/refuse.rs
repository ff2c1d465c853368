//! What a policy may not say although its schema allows it: contradictions, demands that nothing can meet, and entries without effect. Each is most likely
//! not what its author meant.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::sound::Places;
use super::{
    Choices, DefaultsChoice, FillWith, Operator, Override, PolicyError, RuleChoice,
    choices::Match,
    matching::Matcher,
    schema::{DefaultsFile, ExemptionFile, MatchFile, OverrideFile, RequirementFile, SelectorFile, StartupFile, WorkloadFile},
};
use crate::{
    model::{CustomKind, Kind, Kinds},
    rules::{RuleDef, closest},
    yaml::Node,
};

/// Collects what is wrong, with its place.
pub(super) struct Refusals<'n, 'e> {
    pub(super) root: &'n Node<'n>,
    pub(super) errors: &'e mut Vec<PolicyError>,
    /// Where entries of lists stand in the file: those that the schema refuses are not among the ones that are looked at here.
    pub(super) places: Places,
}

impl Refusals<'_, '_> {
    /// Refuses what stands at a path of keys and indices.
    pub(super) fn at(&mut self, path: &[&dyn Step], message: impl Into<String>) {
        let (mut pointer, mut words) = (String::new(), String::new());
        for (depth, step) in path.iter().enumerate() {
            // Lists stand at the top: an index after a first key is one of an entry.
            match step.index().filter(|_| depth == 1) {
                Some(at) => self.places.of(&words, at).add(&mut pointer, &mut words),
                None => step.add(&mut pointer, &mut words),
            }
        }
        self.errors.push(PolicyError::at(self.root.nearest(&pointer).span().start, &words, message.into()));
    }

    /// What the defaults say against themselves.
    pub(super) fn defaults(&mut self, path: &[&dyn Step], defaults: &DefaultsFile) {
        let choice = defaults.choice();
        for (field, probe) in
            [("livenessProbe", choice.liveness), ("readinessProbe", choice.readiness), ("startupProbe", choice.startup)]
        {
            if let (Some(FillWith::Value(timeout)), Some(FillWith::Value(period))) = (probe.timeout, probe.period)
                && timeout > period
            {
                let message = format!("{timeout} contradicts periodSeconds {period}: it is never filled in above the period");
                self.at(&[path, &[&"defaults", &field, &"timeoutSeconds"]].concat(), message);
            }
        }
    }

    pub(super) fn startup(&mut self, startup: &StartupFile) {
        let found = startup.compile();
        let (allowance, least, most) = (found.allowance_seconds, found.min_seconds, found.max_seconds);
        let default = |written: bool| if written { "" } else { " (the default)" };
        let written = |key: &str| self.root.get("startup").and_then(|startup| startup.get(key)).is_some();
        let (least_note, most_note) = (default(written("minSeconds")), default(written("maxSeconds")));
        if least > most {
            let key = if written("minSeconds") { "minSeconds" } else { "maxSeconds" };
            let message = format!("minSeconds {least}{least_note} is greater than maxSeconds {most}{most_note}");
            self.at(&[&"startup", &key], message);
        } else if allowance < least {
            let message = format!("{allowance} is below minSeconds {least}{least_note}: lower minSeconds too");
            self.at(&[&"startup", &"allowanceSeconds"], message);
        } else if allowance > most {
            let message = format!("{allowance} is above maxSeconds {most}{most_note}: raise maxSeconds too");
            self.at(&[&"startup", &"allowanceSeconds"], message);
        }
    }

    pub(super) fn workloads(&mut self, workloads: &[WorkloadFile]) {
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (at, workload) in workloads.iter().enumerate() {
            let WorkloadFile { api_version, kind, resource, template } = workload;
            let group = api_version
                .split_once('/')
                .filter(|(group, version)| is_subdomain(group) && version.starts_with('v') && is_label(version));
            let Some((group, _)) = group else {
                let message = format!("`{api_version}` is no group and version: write it as example.com/v1");
                self.at(&[&"workloads", &at, &"apiVersion"], message);
                continue;
            };
            if !kind.starts_with(|first: char| first.is_ascii_uppercase())
                || !kind.chars().all(|rune| rune.is_ascii_alphanumeric())
            {
                self.at(&[&"workloads", &at, &"kind"], format!("`{kind}` is no kind: write it as in manifests, like `Rollout`"));
            } else if kind.ends_with("List") {
                self.at(&[&"workloads", &at, &"kind"], format!("`{kind}` names a list of objects: name the kind of its items"));
            }
            if !is_label(resource) {
                let hint = if resource.contains('/') {
                    "subresources are never judged"
                } else {
                    "write the plural in lower case, like `rollouts`"
                };
                self.at(&[&"workloads", &at, &"resource"], format!("`{resource}` is no resource: {hint}"));
            }
            if let Some(problem) = bad_pointer(template) {
                self.at(&[&"workloads", &at, &"template"], format!("`{template}` is no pointer to a pod template: {problem}"));
            }
            if Kind::of(api_version, kind).is_some() {
                self.at(&[&"workloads", &at], format!("{kind} of {group} is always judged: leave this entry out"));
            } else if let Some(first) = seen.get(&(group, kind)) {
                let message = format!(
                    "{kind} of {group} is there already as workloads[{}]; one entry is for all versions of the group",
                    self.places.of("workloads", *first)
                );
                self.at(&[&"workloads", &at], message);
            } else {
                seen.insert((group, kind), at);
            }
        }
    }

    pub(super) fn over(&mut self, at: usize, file: &OverrideFile, kinds: Option<&Kinds>) {
        self.matching(
            &[&"overrides", &at],
            &file.matching,
            kinds,
            "write what holds for everything under `rules` and `defaults`",
        );
        self.defaults(&[&"overrides", &at], &file.defaults);
        if file.rules.is_empty() && file.defaults.choice() == DefaultsChoice::default() {
            self.at(&[&"overrides", &at], "sets nothing: give it `rules` or `defaults`");
        }
    }

    /// Overrides of which nothing is left by those before them.
    pub(super) fn unreachable(&mut self, choices: &Choices, kinds: &Kinds) {
        let matchers: Vec<Matcher> = choices.overrides.iter().map(|over| Matcher::new(&over.matching, kinds)).collect();
        for (at, over) in choices.overrides.iter().enumerate() {
            let before: Vec<usize> = (0..at).filter(|before| matchers[*before].covers(&matchers[at])).collect();
            let earlier: Vec<&Override> = before.iter().map(|before| &choices.overrides[*before]).collect();
            if !earlier.is_empty() && says_nothing_new(over, &earlier) {
                let names: Vec<String> =
                    before.iter().map(|before| format!("overrides[{}]", self.places.of("overrides", *before))).collect();
                let verb = if names.len() == 1 { "fits" } else { "fit" };
                let message = format!(
                    "is never reached: {} {verb} all that this one fits and already set what it sets; the first that fits counts, so put the narrower one first",
                    names.join(", ")
                );
                let message = if names.len() == 1 { message.replace("already set ", "already sets ") } else { message };
                self.at(&[&"overrides", &at], message);
            }
        }
    }

    /// The last day of an exemption, if it says a right one.
    pub(super) fn exemption(&mut self, at: usize, file: &ExemptionFile, kinds: Option<&Kinds>) -> Option<Date> {
        self.matching(&[&"exemptions", &at], &file.matching, kinds, "switch a rule off where nobody is to follow it");
        if file.rules.is_empty() {
            self.at(&[&"exemptions", &at, &"rules"], "an empty list exempts from nothing: name the rules, or \"*\" for all");
        }
        if !file.reason.chars().any(char::is_alphanumeric) {
            self.at(&[&"exemptions", &at, &"reason"], "says nothing: write why this is right there");
        }
        let until = file.until.as_deref()?;
        let date = Date::strptime("%Y-%m-%d", until).ok().filter(|date| date.to_string() == until);
        if date.is_none() {
            self.at(&[&"exemptions", &at, &"until"], format!("`{until}` is no date: write the last day as 2027-03-31"));
        }
        date
    }

    fn matching(&mut self, path: &[&dyn Step], file: &MatchFile, kinds: Option<&Kinds>, instead: &str) {
        let before = self.errors.len();
        let lists = [
            ("namespaces", &file.namespaces, NAMESPACE),
            ("kinds", &file.kinds, KIND),
            ("containers", &file.containers, CONTAINER),
            ("images", &file.images, IMAGE),
        ];
        for (key, list, name) in lists {
            let Some(list) = list else { continue };
            if list.is_empty() {
                self.at(&[path, &[&"match", &key]].concat(), "an empty list fits nothing: leave the key out where any will do");
            }
            for (index, pattern) in list.iter().enumerate() {
                let problem = name
                    .problem(pattern)
                    .or_else(|| kinds.filter(|_| key == "kinds").and_then(|kinds| unknown_kind(pattern, kinds)));
                if let Some(problem) = problem {
                    self.at(&[path, &[&"match", &key, &index]].concat(), problem);
                }
            }
        }
        if let Some(labels) = &file.labels {
            self.selector(&[path, &[&"match", &"labels"]].concat(), labels);
        }
        if before == self.errors.len() && file.compile() == Match::default() {
            self.at(&[path, &[&"match"]].concat(), format!("fits everything: {instead}"));
        }
    }

    fn selector(&mut self, path: &[&dyn Step], selector: &SelectorFile) {
        for (key, value) in selector.match_labels.iter().flatten() {
            let here: Vec<&dyn Step> = [path, &[&"matchLabels", key]].concat();
            if let Some(problem) = bad_label_key(key).or_else(|| bad_label_value(value)) {
                self.at(&here, problem);
            }
        }
        for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
            let here: Vec<&dyn Step> = [path, &[&"matchExpressions", &index]].concat();
            let RequirementFile { key, operator, values } = requirement;
            if let Some(problem) = bad_label_key(key) {
                self.at(&[&here[..], &[&"key"]].concat(), problem);
            }
            if operator.takes_values() && values.is_empty() {
                self.at(&here, format!("{} needs `values`", operator.name()));
            }
            if !operator.takes_values() && !values.is_empty() {
                self.at(&[&here[..], &[&"values"]].concat(), format!("{} takes no values", operator.name()));
            }
            for (at, value) in values.iter().enumerate() {
                if let Some(problem) = bad_label_value(value) {
                    self.at(&[&here[..], &[&"values", &at]].concat(), problem);
                }
            }
        }
        if let Some(key) = impossible(&selector.compile()) {
            self.at(path, format!("what is asked of the label `{key}` contradicts itself: nothing fits"));
        }
    }
}

/// The first label of which too much is asked.
fn impossible(selector: &super::Selector) -> Option<&str> {
    let mut keys: Vec<&str> = selector.labels.keys().map(String::as_str).collect();
    keys.extend(selector.expressions.iter().map(|requirement| &*requirement.key));
    keys.into_iter().find(|key| {
        let of_key = || selector.expressions.iter().filter(|requirement| requirement.key == **key);
        let has = |operator: Operator| of_key().any(|requirement| requirement.operator == operator);
        let equal = selector.labels.get(*key);
        let asked_for = equal.is_some() || has(Operator::In) || has(Operator::Exists);
        let mut candidates: Option<Vec<&String>> = equal.map(|value| vec![value]);
        for requirement in of_key() {
            match (requirement.operator, &mut candidates) {
                (Operator::In, Some(candidates)) => candidates.retain(|value| requirement.values.contains(value)),
                (Operator::In, none) => *none = Some(requirement.values.iter().collect()),
                _ => {}
            }
        }
        for requirement in of_key().filter(|requirement| requirement.operator == Operator::NotIn) {
            if let Some(candidates) = &mut candidates {
                candidates.retain(|value| !requirement.values.contains(value));
            }
        }
        (asked_for && has(Operator::DoesNotExist)) || candidates.is_some_and(|candidates| candidates.is_empty())
    })
}

fn says_nothing_new(over: &Override, earlier: &[&Override]) -> bool {
    let mut defaults = DefaultsChoice::default();
    for before in earlier {
        defaults.or(&before.defaults);
    }
    let said = |def: &RuleDef, says: &dyn Fn(&RuleChoice) -> bool| {
        earlier.iter().flat_map(|before| &before.rules).any(|(rule, choice)| *rule == def && says(choice))
    };
    over.defaults.is_said_by(&defaults)
        && over.rules.iter().all(|(def, choice)| {
            (choice.action.is_none() || said(def, &|before| before.action.is_some()))
                && (choice.params.is_none() || said(def, &|before| before.params.is_some()))
                && (choice.allow_annotation.is_none() || said(def, &|before| before.allow_annotation.is_some()))
        })
}

impl MatchFile {
    pub(super) fn compile(&self) -> Match {
        let list = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
        Match {
            namespaces: list(&self.namespaces),
            kinds: list(&self.kinds),
            labels: self.labels.as_ref().map(SelectorFile::compile).unwrap_or_default(),
            containers: list(&self.containers),
            images: list(&self.images),
        }
    }
}

impl SelectorFile {
    fn compile(&self) -> super::Selector {
        super::Selector {
            labels: self.match_labels.clone().unwrap_or_default(),
            expressions: self
                .match_expressions
                .iter()
                .flatten()
                .map(|RequirementFile { key, operator, values }| super::Requirement {
                    key: key.clone(),
                    operator: *operator,
                    values: values.clone(),
                })
                .collect(),
        }
    }
}

impl WorkloadFile {
    pub(super) fn compile(&self) -> CustomKind {
        CustomKind {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            resource: self.resource.clone(),
            template: self.template.clone(),
        }
    }
}

/// What a pattern is of, and of which characters such names are made.
#[derive(Clone, Copy)]
struct Named {
    what: &'static str,
    made_of: &'static str,
    allows: fn(char) -> bool,
    most: usize,
}

const NAMESPACE: Named = Named {
    what: "namespace",
    made_of: "lower-case letters, digits and `-`",
    allows: |rune| rune.is_ascii_lowercase() || rune.is_ascii_digit() || rune == '-',
    most: 63,
};
const CONTAINER: Named = Named { what: "container", ..NAMESPACE };
const KIND: Named = Named { what: "kind", made_of: "letters and digits", allows: |rune| rune.is_ascii_alphanumeric(), most: 63 };
const IMAGE: Named = Named {
    what: "image",
    made_of: "letters, digits and `-._/:@`",
    allows: |rune| rune.is_ascii_alphanumeric() || "-._/:@".contains(rune),
    most: 512,
};

impl Named {
    fn problem(self, pattern: &str) -> Option<String> {
        let Self { what, made_of, allows, most } = self;
        if pattern.is_empty() {
            return Some(format!("an empty pattern fits no {what}: write \"*\" for any"));
        }
        if let Some(wrong) = pattern.chars().find(|rune| !allows(*rune) && !matches!(rune, '*' | '?')) {
            return Some(format!(
                "`{pattern}` fits no {what} because of `{wrong}`: names have {made_of}, and only `*` and `?` are special; write alternatives as entries of the list"
            ));
        }
        (pattern.chars().filter(|rune| *rune != '*').count() > most)
            .then(|| format!("fits no {what}: names have at most {most} characters"))
    }
}

fn unknown_kind(pattern: &str, kinds: &Kinds) -> Option<String> {
    let matching = Match { kinds: vec![pattern.to_owned()], ..Match::default() };
    if Matcher::new(&matching, kinds).kinds.is_some_and(|kinds| !kinds.is_empty()) {
        return None;
    }
    if let Some(same) = kinds.names().find(|name| name.eq_ignore_ascii_case(pattern.trim_end_matches('s'))) {
        return Some(format!("unknown kind `{pattern}`, did you mean `{same}`?"));
    }
    Some(match closest(pattern, kinds.names()) {
        Some(near) => format!("unknown kind `{pattern}`, did you mean `{near}`?"),
        None => {
            format!("unknown kind `{pattern}`; known are {}, and what `workloads` adds", Kind::ALL.map(Kind::name).join(", "))
        }
    })
}

fn bad_label_key(key: &str) -> Option<String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let fine = prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_text(name);
    (!fine).then(|| format!("`{key}` is no key of a label: write it as `app` or `example.com/app`"))
}

fn bad_label_value(value: &str) -> Option<String> {
    if value.contains(['*', '?']) {
        return Some(format!(
            "`{value}`: labels are compared as they are, without patterns; list the values with the operator In"
        ));
    }
    (!is_label_text(value)).then(|| format!("`{value}` is no value of a label: at most 63 letters, digits and `-._`"))
}

/// What a label's name or value may be.
fn is_label_text(text: &str) -> bool {
    let ends = |rune: char| rune.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= 63
            && text.starts_with(ends)
            && text.ends_with(ends)
            && text.chars().all(|rune| rune.is_ascii_alphanumeric() || "-._".contains(rune)))
}

/// RFC 1123.
fn is_label(text: &str) -> bool {
    let ends = |rune: char| rune.is_ascii_lowercase() || rune.is_ascii_digit();
    text.len() <= 63 && text.starts_with(ends) && text.ends_with(ends) && text.chars().all(|rune| ends(rune) || rune == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn bad_pointer(template: &str) -> Option<&'static str> {
    if !template.starts_with('/') {
        return Some("it starts with `/`, like /spec/template");
    }
    let token = |token: &str| !token.is_empty() && token.chars().all(|rune| rune.is_ascii_alphanumeric() || "-._".contains(rune));
    if !template.split('/').skip(1).all(token) {
        return Some("between slashes stand names of fields or indices of lists");
    }
    template.ends_with("/template/spec").then_some("the template is what has `metadata` and `spec` in it; leave off `/spec`")
}

/// A key or an index on the way to a value.
pub(super) trait Step {
    fn add(&self, pointer: &mut String, words: &mut String);

    fn index(&self) -> Option<usize> {
        None
    }
}

impl Step for &str {
    fn add(&self, pointer: &mut String, words: &mut String) {
        *pointer += &["/", &self.replace('~', "~0").replace('/', "~1")].concat();
        if !words.is_empty() {
            words.push('.');
        }
        words.push_str(self);
    }
}

impl Step for String {
    fn add(&self, pointer: &mut String, words: &mut String) {
        Step::add(&&**self, pointer, words);
    }
}

impl Step for usize {
    fn index(&self) -> Option<usize> {
        Some(*self)
    }

    fn add(&self, pointer: &mut String, words: &mut String) {
        *pointer += &["/", &self.to_string()].concat();
        *words += &["[", &self.to_string(), "]"].concat();
    }
}
