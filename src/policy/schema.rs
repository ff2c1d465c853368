//! What the user writes: the policy file as Rust types, from which the JSON schema is generated. The schema is also what a file is checked against, so
//! the two cannot differ.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    API_VERSION, Action, Defaults, DefaultsChoice, FillWith, KIND, OnInternalError, Operator, OwnedObjects, ProbeDefaultsChoice,
    Profile, Startup,
};
use crate::rules::RULES;

/// A policy for probekeeper. Everything but `apiVersion` and `kind` may be left out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PolicyFile {
    /// Version of the format.
    #[schemars(schema_with = "api_version")]
    #[serde(rename = "apiVersion")]
    _api_version: String,
    /// Kind of the file.
    #[schemars(schema_with = "kind")]
    #[serde(rename = "kind")]
    _kind: String,
    /// Where to start from; `rules` says what differs.
    #[serde(default)]
    pub(super) profile: Profile,
    /// Rules that differ from the profile: an action, or an action with parameters.
    #[serde(default)]
    #[schemars(schema_with = "rules")]
    pub(super) rules: BTreeMap<String, RuleEntry>,
    /// What the mutating webhook fills in where the author left it out.
    #[serde(default)]
    pub(super) defaults: DefaultsFile,
    /// What is different for some objects or containers. For each setting the first entry counts that fits and says something about it.
    #[serde(default)]
    pub(super) overrides: Vec<OverrideFile>,
    /// What is right to break somewhere, with the reason.
    #[serde(default)]
    pub(super) exemptions: Vec<ExemptionFile>,
    /// Further kinds that carry a pod template. The webhook has to be registered for them too.
    #[serde(default)]
    pub(super) workloads: Vec<WorkloadFile>,
    /// Time to start.
    #[serde(default)]
    pub(super) startup: StartupFile,
    /// What happens to Pods, ReplicaSets and Jobs made by a controller whose own object is judged. They are never filled in.
    #[serde(default)]
    pub(super) owned_objects: OwnedObjects,
    /// What happens when an object cannot be judged for a fault of probekeeper's: `allow` answers with a warning, `fail` answers HTTP 500 and leaves the
    /// decision to the webhook's failurePolicy.
    #[serde(default)]
    pub(super) on_internal_error: OnInternalError,
}

/// An action, or an action with parameters.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RuleEntry {
    /// `rule: deny`. YAML reads an unquoted `off` as `false`, which therefore means the same.
    Action(ActionWord),
    /// `rule: { action: deny, params: {...} }`.
    Full {
        /// `None`: the profile's.
        action: Option<ActionWord>,
        /// `None`: the profile's.
        params: Option<Value>,
        /// `None`: it counts.
        #[serde(rename = "allowAnnotation")]
        allow_annotation: Option<bool>,
    },
}

/// An action as written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ActionWord {
    Name(String),
    Off(#[allow(dead_code, reason = "only `false` passes the schema")] bool),
}

impl ActionWord {
    pub(super) fn action(&self) -> Option<Action> {
        match self {
            Self::Name(name) => Action::from_name(name),
            Self::Off(_) => Some(Action::Off),
        }
    }
}

/// What is filled in, per probe.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DefaultsFile {
    /// Liveness probes.
    pub(super) liveness_probe: LivenessDefaultsFile,
    /// Readiness probes.
    pub(super) readiness_probe: ProbeDefaultsFile,
    /// Startup probes.
    pub(super) startup_probe: ProbeDefaultsFile,
    /// Adds a startup probe where there is a liveness probe and no startup probe: the same handler, with numbers that give the container time to start.
    #[schemars(with = "bool")]
    pub(super) add_startup_probe: Option<bool>,
    /// Adds `lifecycle.preStop.sleep` with so many seconds to containers of long-running workloads that declare a port and have no preStop hook. At most
    /// half of the grace period is taken. 0 adds nothing. Needs Kubernetes 1.30 or newer.
    #[schemars(with = "i64", range(min = 0, max = 300))]
    pub(super) add_pre_stop_sleep_seconds: Option<i64>,
    /// On CREATE by a client that leaves no trace of what its user wrote (Helm 3, client libraries): whether a value that equals Kubernetes' default
    /// counts as left out (`fill`) or as meant (`leave`).
    #[schemars(with = "UnknownIntent")]
    pub(super) unknown_intent: Option<UnknownIntent>,
}

/// See [`DefaultsFile::unknown_intent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnknownIntent {
    Fill,
    Leave,
}

/// Each number that may be filled in: a number, `auto` (computed) or `leave` (Kubernetes' default stays).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ProbeDefaultsFile {
    /// Seconds before the first run.
    #[schemars(schema_with = "from_zero")]
    pub(super) initial_delay_seconds: FillWord,
    /// Seconds until a run counts as failed; never filled in above the period.
    #[schemars(schema_with = "from_one")]
    pub(super) timeout_seconds: FillWord,
    /// Seconds between two runs. There is no computed value: `auto` leaves it.
    #[schemars(schema_with = "from_one")]
    pub(super) period_seconds: FillWord,
    /// Failures in a row that count.
    #[schemars(schema_with = "from_one")]
    pub(super) failure_threshold: FillWord,
}

/// As for the other probes, and the grace period, which only liveness has filled in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LivenessDefaultsFile {
    /// Seconds before the first run.
    #[schemars(schema_with = "from_zero")]
    initial_delay_seconds: FillWord,
    /// Seconds until a run counts as failed; never filled in above the period.
    #[schemars(schema_with = "from_one")]
    timeout_seconds: FillWord,
    /// Seconds between two runs. There is no computed value: `auto` leaves it.
    #[schemars(schema_with = "from_one")]
    period_seconds: FillWord,
    /// Failures in a row that count.
    #[schemars(schema_with = "from_one")]
    failure_threshold: FillWord,
    /// Seconds between signal and kill after liveness failed. Left out means `leave`: the pod's, which may be long on purpose. `auto` gives 30 where the
    /// pod's exceeds 120 and the preStop hook is known to be shorter.
    #[schemars(schema_with = "from_one")]
    termination_grace_period_seconds: FillWord,
}

/// A number, `auto` or `leave`.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum FillWord {
    Number(i64),
    Word(String),
    #[default]
    Absent,
}

impl FillWord {
    fn fill(&self) -> Option<FillWith> {
        match self {
            Self::Number(number) => Some(FillWith::Value(*number)),
            Self::Word(word) if word == "leave" => Some(FillWith::Leave),
            Self::Word(_) => Some(FillWith::Auto),
            Self::Absent => None,
        }
    }
}

impl DefaultsFile {
    pub(super) fn choice(&self) -> DefaultsChoice {
        DefaultsChoice {
            liveness: self.liveness_probe.choice(),
            liveness_grace: self.liveness_probe.termination_grace_period_seconds.fill(),
            readiness: self.readiness_probe.choice(),
            startup: self.startup_probe.choice(),
            add_startup_probe: self.add_startup_probe,
            pre_stop_sleep_seconds: self.add_pre_stop_sleep_seconds,
            fill_unknown: self.unknown_intent.map(|intent| intent == UnknownIntent::Fill),
        }
    }

    pub(super) fn compile(&self) -> Defaults {
        self.choice().over(Defaults::default())
    }
}

impl ProbeDefaultsFile {
    fn choice(&self) -> ProbeDefaultsChoice {
        choice(&self.initial_delay_seconds, &self.timeout_seconds, &self.period_seconds, &self.failure_threshold)
    }
}

impl LivenessDefaultsFile {
    fn choice(&self) -> ProbeDefaultsChoice {
        choice(&self.initial_delay_seconds, &self.timeout_seconds, &self.period_seconds, &self.failure_threshold)
    }
}

fn choice(initial_delay: &FillWord, timeout: &FillWord, period: &FillWord, failure_threshold: &FillWord) -> ProbeDefaultsChoice {
    // There is no computed period.
    let period = match period.fill() {
        Some(FillWith::Auto) => Some(FillWith::Leave),
        other => other,
    };
    ProbeDefaultsChoice {
        initial_delay: initial_delay.fill(),
        timeout: timeout.fill(),
        period,
        failure_threshold: failure_threshold.fill(),
    }
}

/// Settings for some objects or containers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OverrideFile {
    /// Which objects or containers.
    #[serde(rename = "match")]
    pub(super) matching: MatchFile,
    /// Rules that differ there: an action, or an action with parameters.
    #[serde(default)]
    #[schemars(schema_with = "rules")]
    pub(super) rules: BTreeMap<String, RuleEntry>,
    /// What is filled in there.
    #[serde(default)]
    pub(super) defaults: DefaultsFile,
}

/// Rules that are right to break somewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExemptionFile {
    /// Which objects or containers.
    #[serde(rename = "match")]
    pub(super) matching: MatchFile,
    /// Which rules; `"*"` for all.
    #[schemars(schema_with = "rule_names")]
    pub(super) rules: Vec<String>,
    /// Why, for whoever reads the report.
    pub(super) reason: String,
    /// The last day on which it applies, in UTC, as 2027-03-31. Afterwards it no longer applies and is reported.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) until: Option<String>,
}

/// Which objects and containers are meant. All that is said must fit; of each list one entry must. In patterns `*` stands for any number of characters, `?`
/// for one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MatchFile {
    /// Patterns of namespaces.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) namespaces: Option<Vec<String>>,
    /// Patterns of kinds, as `Deployment` or `*Set`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) kinds: Option<Vec<String>>,
    /// A label selector. It is asked of the object's labels and those of its pod template; where both have a key, the object's own counts.
    #[serde(default)]
    #[schemars(with = "SelectorFile")]
    pub(super) labels: Option<SelectorFile>,
    /// Patterns of container names. With these or `images` nothing is said of findings about the object as a whole.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) containers: Option<Vec<String>>,
    /// Patterns of images, as written in the container. `*` stands for slashes too.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) images: Option<Vec<String>>,
}

/// A label selector, as Kubernetes has them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SelectorFile {
    /// Labels and the values they must have.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) match_labels: Option<BTreeMap<String, String>>,
    /// Further requirements.
    #[serde(default)]
    #[schemars(with = "Vec<RequirementFile>")]
    pub(super) match_expressions: Option<Vec<RequirementFile>>,
}

/// A requirement on one label.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequirementFile {
    /// The label.
    pub(super) key: String,
    /// What is asked of it.
    pub(super) operator: Operator,
    /// For `In` and `NotIn`.
    #[serde(default)]
    pub(super) values: Vec<String>,
}

/// A kind that carries a pod template.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WorkloadFile {
    /// Group and version, as `argoproj.io/v1alpha1`. Objects of any version of the group are judged.
    pub(super) api_version: String,
    /// As in manifests: `Rollout`.
    pub(super) kind: String,
    /// The plural, as in access rules: `rollouts`.
    pub(super) resource: String,
    /// JSON pointer to the pod template.
    #[serde(default = "usual_template")]
    pub(super) template: String,
}

fn usual_template() -> String {
    "/spec/template".to_owned()
}

/// Time to start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct StartupFile {
    /// Seconds that a container gets to start where nothing better is known.
    #[schemars(range(min = 0, max = 3600))]
    allowance_seconds: i64,
    /// Whether the allowance of a container is learned from how long it took to start before.
    learning: bool,
    /// Least allowance, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    min_seconds: i64,
    /// Most allowance, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    max_seconds: i64,
}

impl Default for StartupFile {
    fn default() -> Self {
        let Startup { allowance_seconds, learning, min_seconds, max_seconds } = Startup::default();
        Self { allowance_seconds, learning, min_seconds, max_seconds }
    }
}

impl StartupFile {
    pub(super) const fn compile(&self) -> Startup {
        Startup {
            allowance_seconds: self.allowance_seconds,
            learning: self.learning,
            min_seconds: self.min_seconds,
            max_seconds: self.max_seconds,
        }
    }
}

/// The JSON schema (draft 2020-12) of a policy file.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<PolicyFile>();
    schema.insert("title".to_owned(), json!("probekeeper policy"));
    schema.to_value()
}

fn api_version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [API_VERSION] })
}

fn kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [KIND] })
}

fn rules(generator: &mut SchemaGenerator) -> Schema {
    let actions: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    let action = json!({ "enum": actions.into_iter().map(Value::from).chain([json!(false)]).collect::<Vec<_>>() });
    let properties: serde_json::Map<String, Value> = RULES
        .iter()
        .map(|rule| {
            let params = (rule.schema)(generator).to_value();
            let full = json!({
                "type": "object",
                "properties": {
                    "action": action,
                    "params": params,
                    "allowAnnotation": {
                        "description": "Whether the annotation probekeeper.dev/allow counts for this rule; true where nothing is said.",
                        "type": "boolean",
                    },
                },
                "additionalProperties": false,
            });
            (rule.id.to_owned(), json!({ "description": rule.summary(), "anyOf": [action, full] }))
        })
        .collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn rule_names(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.id).chain([ALL_RULES]).collect();
    json_schema!({ "type": "array", "items": { "type": "string", "enum": names } })
}

/// In an exemption: every rule.
pub(super) const ALL_RULES: &str = "*";

/// The API accepts no more than a 32-bit signed integer (docs/probe-semantics.md 1).
const MOST: i32 = i32::MAX;

fn from_zero(_: &mut SchemaGenerator) -> Schema {
    fill_schema(0)
}

fn from_one(_: &mut SchemaGenerator) -> Schema {
    fill_schema(1)
}

fn fill_schema(least: i32) -> Schema {
    json_schema!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": MOST }, { "enum": ["auto", "leave"] }] })
}
