//! A policy file to a compiled policy: strict, with every error at its line and column.

use std::{collections::BTreeMap, fmt};

use super::{
    Choices, Override, Policy, Refused, RuleChoice,
    choices::Exemption,
    refuse::Refusals,
    schema,
    schema::{ALL_RULES, PolicyFile, RuleEntry, WorkloadFile},
    sound::Sound,
    validate::validate,
};
use crate::{
    model::Kinds,
    rules::{self, RuleDef},
    yaml::{self, Node, Pos},
};

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// Keys from the top, joined by dots; empty at the top.
    pub path: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl PolicyError {
    pub(super) fn at(place: Pos, path: &str, message: String) -> Self {
        Self { line: place.line, column: place.column, path: path.to_owned(), message }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a policy, by position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads and compiles a policy file. On any error nothing of it is used.
pub fn load(text: &str) -> Result<Policy, PolicyErrors> {
    let mut errors = Vec::new();
    let policy = read(text, &mut errors);
    errors.sort_by_key(|error| (error.line, error.column));
    match policy {
        Some(policy) if errors.is_empty() => Ok(policy),
        _ => Err(PolicyErrors(errors)),
    }
}

fn read(text: &str, errors: &mut Vec<PolicyError>) -> Option<Policy> {
    let mut documents = yaml::parse(text).into_iter();
    let Some(document) = documents.next() else {
        errors.push(PolicyError::at(Pos::START, "", "the policy is empty; it needs at least apiVersion and kind".to_owned()));
        return None;
    };
    for duplicate in &document.duplicates {
        let message = format!("`{}` stands here a second time; first on line {}", duplicate.key, duplicate.first.start.line);
        errors.push(PolicyError::at(duplicate.last.start, "", message));
    }
    let root = match document.root {
        Ok(root) => root,
        Err(error) => {
            errors.push(PolicyError { line: error.line, column: error.column, path: String::new(), message: error.message });
            return None;
        }
    };
    if let Some(second) = documents.next() {
        let place =
            second.root.map_or_else(|error| (error.line, error.column), |root| (root.span.start.line, root.span.start.column));
        let message = "a second document; a policy is one".to_owned();
        errors.push(PolicyError { line: place.0, column: place.1, path: String::new(), message });
    }
    let schema = schema();
    validate(&schema, &root, "", errors);
    // What is wrong elsewhere is told too: whoever repairs a policy wants to do it once.
    let sound = Sound::of(&schema, &root)?;
    compile(&root, sound, errors)
}

fn compile(root: &Node<'_>, sound: Sound, errors: &mut Vec<PolicyError>) -> Option<Policy> {
    let Sound { file, places, whole } = sound;
    let file: PolicyFile = match serde_json::from_value(file) {
        Ok(file) => file,
        Err(error) => {
            // The schema let through what the types refuse.
            errors.push(PolicyError::at(root.span.start, "", crate::model::explain(&error)));
            return None;
        }
    };
    let mut refusals = Refusals { root, errors, places };
    refusals.workloads(&file.workloads);
    refusals.startup(&file.startup);
    refusals.defaults(&[], &file.defaults);
    let workloads: Vec<_> = file.workloads.iter().map(WorkloadFile::compile).collect();
    let kinds = whole.workloads.then(|| Kinds::with(&workloads));
    let kinds = kinds.as_ref();
    let mut choices = Choices {
        profile: file.profile,
        rules: rule_choices(file.rules),
        defaults: file.defaults.compile(),
        startup: file.startup.compile(),
        workloads,
        owned_objects: file.owned_objects,
        on_internal_error: file.on_internal_error,
        ..Choices::default()
    };
    for (at, over) in file.overrides.into_iter().enumerate() {
        refusals.over(at, &over, kinds);
        let (matching, defaults) = (over.matching.compile(), over.defaults.choice());
        choices.overrides.push(Override { matching, rules: rule_choices(over.rules), defaults });
    }
    for (at, exemption) in file.exemptions.into_iter().enumerate() {
        let until = refusals.exemption(at, &exemption, kinds);
        let all = exemption.rules.iter().any(|rule| rule == ALL_RULES);
        choices.exemptions.push(Exemption {
            matching: exemption.matching.compile(),
            rules: exemption.rules.iter().filter(|_| !all).filter_map(|id| rules::find(id)).collect(),
            reason: exemption.reason.trim().to_owned(),
            until,
        });
    }
    if let Some(kinds) = kinds.filter(|_| whole.overrides) {
        refusals.unreachable(&choices, kinds);
    }
    let compiled = Policy::compile(&choices);
    for Refused { rule, in_override, message } in compiled.as_ref().err().into_iter().flatten() {
        match in_override {
            None => refusals.at(&[&"rules", &rule.id, &"params"], message.as_str()),
            Some(at) => refusals.at(&[&"overrides", at, &"rules", &rule.id, &"params"], message.as_str()),
        }
    }
    compiled.ok()
}

fn rule_choices(written: BTreeMap<String, RuleEntry>) -> Vec<(&'static RuleDef, RuleChoice)> {
    let choice = |entry| match entry {
        RuleEntry::Action(word) => RuleChoice { action: word.action(), ..RuleChoice::default() },
        RuleEntry::Full { action, params, allow_annotation } => {
            RuleChoice { action: action.and_then(|word| word.action()), params, allow_annotation }
        }
    };
    written.into_iter().filter_map(|(id, entry)| Some((rules::find(&id)?, choice(entry)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, FillWith, Profile};

    const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

    #[test]
    fn reads_what_is_written() {
        let text = format!(
            "{HEAD}profile: strict\nrules:\n  aggressive-liveness: {{ action: deny, params: {{ minToleranceSeconds: 15 }} }}\n  missing-readiness: off\n  \
             no-startup-allowance:\n    params: {{ minSeconds: 60 }}\ndefaults:\n  livenessProbe: {{ initialDelaySeconds: 60, timeoutSeconds: leave, terminationGracePeriodSeconds: auto }}\n  \
             addStartupProbe: true\n  addPreStopSleepSeconds: 5\n  unknownIntent: leave\nownedObjects: skip\nonInternalError: fail\n"
        );
        let policy = load(&text).expect("a valid policy");
        assert_eq!(policy.profile, Profile::Strict);
        let rule = |id: &str| policy.rules.iter().find(|rule| rule.def.id == id);
        let aggressive = rule("aggressive-liveness").expect("active");
        assert_eq!(aggressive.action, Action::Deny);
        // The operator's action lifts what the profile had attached to its own.
        assert_eq!(aggressive.params.to_string(), r#"{"denyBelowSeconds":null,"minToleranceSeconds":15}"#);
        assert!(rule("missing-readiness").is_none(), "an unquoted off is off");
        let startup = rule("no-startup-allowance").expect("active");
        assert_eq!((startup.action, startup.params.to_string()), (Action::Warn, r#"{"minSeconds":60}"#.to_owned()));
        assert_eq!(policy.defaults.liveness.initial_delay, FillWith::Value(60));
        assert_eq!(policy.defaults.liveness.timeout, FillWith::Leave);
        assert_eq!(policy.defaults.liveness.failure_threshold, FillWith::Auto);
        assert_eq!(policy.defaults.liveness_grace, FillWith::Auto);
        assert!(policy.defaults.add_startup_probe);
        assert_eq!(policy.defaults.pre_stop_sleep_seconds, 5);
        assert!(!policy.defaults.fill_unknown);
    }

    #[test]
    fn the_smallest_policy_is_the_recommended_profile() {
        assert_eq!(load(HEAD).expect("valid").hash, Policy::builtin(Profile::Recommended).hash);
    }

    #[test]
    fn every_error_is_reported_with_its_place() {
        let check = |text: &str, expected: &[&str]| {
            let errors: Vec<String> = load(text).expect_err(text).0.iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{text}");
        };
        check("", &["1:1: the policy is empty; it needs at least apiVersion and kind"]);
        check(
            "kind: ProbePolicies\nprofil: strict\n",
            &[
                "1:1: `apiVersion` is missing: it must be `probekeeper.dev/v1`",
                "1:7: kind: unknown value `ProbePolicies`, did you mean `ProbePolicy`?",
                "2:1: unknown key `profil`, did you mean `profile`?",
            ],
        );
        check(
            &format!(
                "{HEAD}rules:\n  agressive-liveness: deny\n  hair-trigger-liveness: dney\n  unusable-path: true\n  no-such-thing: warn\n"
            ),
            &[
                "4:3: rules: unknown rule `agressive-liveness`, did you mean `aggressive-liveness`?",
                "5:26: rules.hair-trigger-liveness: unknown value `dney`, did you mean `deny`?",
                "6:18: rules.unusable-path: found a boolean, expected `deny`, `warn`, `audit` or `off`, or a map with action, allowAnnotation, params",
                "7:3: rules: unknown rule `no-such-thing`; `probekeeper rules list` shows all",
            ],
        );
        check(
            &format!(
                "{HEAD}rules:\n  hair-trigger-liveness: {{ action: deny, params: {{ minToleranceSeconds: many, max: 3 }} }}\n"
            ),
            &[
                "4:73: rules.hair-trigger-liveness.params.minToleranceSeconds: found \"many\", expected a whole number, at least 0",
                "4:79: rules.hair-trigger-liveness.params: unknown key `max`; known here: minToleranceSeconds",
            ],
        );
        check(
            &format!(
                "{HEAD}defaults:\n  livenessProbe: {{ timeoutSeconds: 0, periodSeconds: later }}\n  readinessProbe: {{ timeoutSeconds: 9, periodSeconds: 5 }}\n"
            ),
            &[
                "4:36: defaults.livenessProbe.timeoutSeconds: 0 is out of range: it must be a whole number from 1 to 2147483647",
                "4:54: defaults.livenessProbe.periodSeconds: found \"later\", expected a whole number from 1 to 2147483647, or `auto` or `leave`",
                "5:21: defaults.readinessProbe.timeoutSeconds: 9 contradicts periodSeconds 5: it is never filled in above the period",
            ],
        );
        check(
            &format!("{HEAD}defaults:\n  readinessProbe: {{ timeoutSeconds: 9, periodSeconds: 5 }}\n"),
            &[
                "4:21: defaults.readinessProbe.timeoutSeconds: 9 contradicts periodSeconds 5: it is never filled in above the period",
            ],
        );
        check(
            &format!(
                "{HEAD}defaults:\n  addStartupProbe: maybe\n  addPreStopSleepSeconds: 301\n  readinessProbe: {{ terminationGracePeriodSeconds: 5 }}\n  livenessProbe: {{ terminationGracePeriodSeconds: 0 }}\n"
            ),
            &[
                "4:20: defaults.addStartupProbe: found \"maybe\", expected `true` or `false`",
                "5:27: defaults.addPreStopSleepSeconds: 301 is out of range: it must be a whole number from 0 to 300",
                "6:21: defaults.readinessProbe: unknown key `terminationGracePeriodSeconds`; known here: failureThreshold, initialDelaySeconds, periodSeconds, timeoutSeconds",
                "7:51: defaults.livenessProbe.terminationGracePeriodSeconds: 0 is out of range: it must be a whole number from 1 to 2147483647",
            ],
        );
        check(
            &format!("{HEAD}profile: strict\nprofile: baseline\n"),
            &["4:1: `profile` stands here a second time; first on line 3"],
        );
        check(&format!("{HEAD}---\n{HEAD}"), &["4:1: a second document; a policy is one"]);
        check(
            &format!("{HEAD}profile: strickt\nownedObjects: 3\nonInternalError: never\nstartup: {{ allowanceSeconds: 9999 }}\n"),
            &[
                "3:10: profile: unknown value `strickt`, did you mean `strict`?",
                "4:15: ownedObjects: found 3, expected `warn`, `skip` or `deny`",
                "5:18: onInternalError: found \"never\", expected `allow` or `fail`",
                "6:30: startup.allowanceSeconds: 9999 is out of range: it must be a whole number from 0 to 3600",
            ],
        );
        check("- 1\n", &["1:1: found a list, expected a map"]);
    }
}
