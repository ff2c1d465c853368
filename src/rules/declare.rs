//! How a rule is declared: its documentation, metadata, parameters and check in one place.

use std::fmt;

use serde_json::Value;

use super::{Context, Findings, Needs};
use crate::policy::{Action, Profile};

/// A rule with its parameters, ready to judge.
pub trait Rule: Send + Sync {
    /// Reports what is wrong with the workload.
    fn check(&self, cx: &Context<'_>, out: &mut Findings);

    /// What is wrong with the parameters, beyond their types.
    fn refuse(&self) -> Option<String> {
        None
    }
}

/// A rule ready to judge, and its parameters spelt out.
pub type Built = (Box<dyn Rule>, Value);

/// What is known about a rule without running it.
pub struct RuleDef {
    /// Names the bad thing in kebab case, so that "allow hair-trigger-liveness" reads well.
    pub id: &'static str,
    /// Markdown: a summary line, then the headings What it does, Why it is bad, Instead, with executed examples.
    pub doc: &'static str,
    /// Why it matters, as a clause that can stand in a denial.
    pub why: &'static str,
    /// Action under baseline, recommended and strict.
    pub actions: [Action; 3],
    /// Parameters that a profile sets apart from the defaults, as JSON, in the same order; empty where there are none.
    pub profile_params: [&'static str; 3],
    /// Rules that say the same better: where one of them fires at the same place with at least this action, this one is silent.
    pub covered_by: &'static [&'static str],
    /// What an object must have for the rule to have anything to say: without it the rule is not asked.
    pub needs: Needs,
    /// What `probekeeper fix --unsafe` does about it, as a clause; empty where it does nothing.
    pub rewrite: &'static str,
    /// Makes the rule from parameters; the error says which one is wrong.
    pub build: fn(Value) -> Result<Built, String>,
    /// JSON schema of the parameters.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Name of the file under `src/rules/`, without its ending.
    pub file: &'static str,
}

impl RuleDef {
    /// The first line of the documentation.
    pub fn summary(&self) -> &'static str {
        self.doc.trim_start().lines().next().unwrap_or_default().trim()
    }

    /// The action under a profile.
    pub const fn action(&self, profile: Profile) -> Action {
        self.actions[profile.column()]
    }

    /// The rule's page.
    pub fn url(&self) -> String {
        format!("https://probekeeper.dev/rules/{}", self.id)
    }
}

impl fmt::Debug for RuleDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for RuleDef {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for RuleDef {}

/// Declares a rule: documentation and a parameter struct (each field with its default), then metadata. The struct implements [`Rule`].
macro_rules! declare_rule {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty = $default:expr, )*
        }
        id: $id:literal,
        why: $why:literal,
        actions: [$baseline:ident, $recommended:ident, $strict:ident],
        $( profile_params: [$baseline_params:literal, $recommended_params:literal, $strict_params:literal], )?
        $( covered_by: $( $covered_by:literal )|+, )?
        $( needs: $( $all:ident )&+, )?
        $( needs_any: $( $any:ident )|+, )?
        $( rewrite: $rewrite:literal, )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        pub(crate) struct $name {
            $( $(#[doc = $field_doc])+ pub(crate) $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        pub(super) static DEF: $crate::rules::RuleDef = $crate::rules::RuleDef {
            id: $id,
            doc: concat!($($doc, "\n"),+),
            why: $why,
            actions: [
                $crate::policy::Action::$baseline,
                $crate::policy::Action::$recommended,
                $crate::policy::Action::$strict,
            ],
            profile_params: declare_rule!(@params $($baseline_params, $recommended_params, $strict_params)?),
            covered_by: &[$( $( $covered_by ),+ )?],
            needs: $crate::rules::Needs {
                all: $crate::rules::Parts::NONE$($( .and($crate::rules::Parts::$all) )+)?,
                any: $crate::rules::Parts::NONE$($( .and($crate::rules::Parts::$any) )+)?,
            },
            rewrite: concat!($($rewrite)?),
            build: |params| {
                let rule: $name = serde_json::from_value(params).map_err(|error| $crate::model::explain(&error))?;
                if let Some(problem) = $crate::rules::Rule::refuse(&rule) {
                    return Err(problem);
                }
                let params = serde_json::to_value(&rule).map_err(|error| error.to_string())?;
                Ok((Box::new(rule), params))
            },
            schema: |generator| generator.subschema_for::<$name>(),
            file: module_path!(),
        };
    };
    (@params) => { ["", "", ""] };
    (@params $baseline:literal, $recommended:literal, $strict:literal) => { [$baseline, $recommended, $strict] };
}
