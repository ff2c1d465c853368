//! Actions and the three profiles.

use std::fmt;

/// What happens when a rule fires. Ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The rule does not run.
    Off,
    /// Only counted and reported.
    Audit,
    /// A warning that kubectl prints.
    Warn,
    /// The request is rejected.
    Deny,
}

impl Action {
    /// From strict to lenient, as in documentation.
    pub const ALL: [Self; 4] = [Self::Deny, Self::Warn, Self::Audit, Self::Off];

    /// The word in a policy file, in reports and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }

    /// The action of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A built-in set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Denies only what cannot work.
    Baseline,
    /// Denies what is known to cause outages; the default.
    #[default]
    Recommended,
    /// For teams that have cleaned up.
    Strict,
}

impl Profile {
    /// From lenient to strict; the order of the columns in the catalogue.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Recommended, Self::Strict];

    /// The word in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Recommended => "recommended",
            Self::Strict => "strict",
        }
    }

    /// The profile of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The profile's column in a rule's table.
    pub const fn column(self) -> usize {
        match self {
            Self::Baseline => 0,
            Self::Recommended => 1,
            Self::Strict => 2,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
