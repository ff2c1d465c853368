//! What becomes of new content of a policy's source: it takes over when it is good; when it is not, the last good policy stays in force.

use sha2::{Digest, Sha256};

use super::{Policy, PolicyErrors, load};

/// What a source holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The text of a policy file, valid or not.
    Text(String),
    /// No text, and why not.
    Missing(String),
}

/// What new content changes.
#[derive(Debug)]
pub enum Change {
    /// This policy is in force from now on.
    Accepted(Box<Policy>),
    /// Whatever is in force stays.
    Rejected(Rejected),
}

/// Why content does not take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// It is no valid policy.
    Invalid(PolicyErrors),
    /// There is none.
    Missing(String),
}

/// Follows one source. The same content, seen again, changes nothing: it is compiled, counted and reported once.
#[derive(Debug, Default)]
pub struct Reload {
    seen: Option<Seen>,
}

/// Enough of the content to know it again; the text itself may be large.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text([u8; 32]),
    Missing(String),
}

impl Reload {
    /// What to do about what the source holds now; `None` when it held the same before.
    pub fn next(&mut self, content: &Content) -> Option<Change> {
        let seen = match content {
            Content::Text(text) => Seen::Text(Sha256::digest(text).into()),
            Content::Missing(why) => Seen::Missing(why.clone()),
        };
        if self.seen.as_ref() == Some(&seen) {
            return None;
        }
        self.seen = Some(seen);
        Some(match content {
            Content::Missing(why) => Change::Rejected(Rejected::Missing(why.clone())),
            Content::Text(text) => match load(text) {
                Ok(policy) => Change::Accepted(Box::new(policy)),
                Err(errors) => Change::Rejected(Rejected::Invalid(errors)),
            },
        })
    }
}

impl Change {
    /// Label value of the metric that counts attempts to load a policy.
    pub const fn result(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "ok",
            Self::Rejected(Rejected::Invalid(_)) => "invalid",
            Self::Rejected(Rejected::Missing(_)) => "missing",
        }
    }
}

impl Rejected {
    /// In one line: what is wrong, how much of it, and what is in force instead (the hash of that policy). `place` stands before line and
    /// column, as editors and compilers write it.
    pub fn describe(&self, place: &str, in_force: Option<&str>) -> String {
        let wrong = match self {
            Self::Missing(why) => why.clone(),
            Self::Invalid(PolicyErrors(errors)) => match errors.split_first() {
                None => format!("{place} is invalid"),
                Some((only, [])) => format!("{place}:{only}"),
                Some((first, more)) => format!("{} errors, the first: {place}:{first}", more.len() + 1),
            },
        };
        match in_force {
            Some(hash) => format!("{wrong}; policy {hash} stays in force"),
            None => format!("{wrong}; no policy is in force yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

    /// Content by content: what follows from it, after all that came before.
    #[test]
    fn the_last_good_policy_stays() {
        let strict = format!("{GOOD}profile: strict\n");
        let one_error = format!("{GOOD}profile: strickt\n");
        let two_errors = format!("{GOOD}profile: strickt\nrules: {{ nope: deny }}\n");
        let text = |text: &str| Content::Text(text.to_owned());
        let mut reload = Reload::default();
        let mut in_force: Option<String> = None;
        for (content, expected) in [
            (Content::Missing("gone".to_owned()), Some(("missing", "gone; no policy is in force yet"))),
            (Content::Missing("gone".to_owned()), None),
            (
                text(&one_error),
                Some(("invalid", "p:3:10: profile: unknown value `strickt`, did you mean `strict`?; no policy is in force yet")),
            ),
            (text(GOOD), Some(("ok", "recommended"))),
            (text(GOOD), None),
            (
                text(&two_errors),
                Some((
                    "invalid",
                    "2 errors, the first: p:3:10: profile: unknown value `strickt`, did you mean `strict`?; policy RECOMMENDED stays in force",
                )),
            ),
            (text(&two_errors), None),
            (text(GOOD), Some(("ok", "recommended"))),
            (text(&strict), Some(("ok", "strict"))),
            (Content::Missing("gone".to_owned()), Some(("missing", "gone; policy STRICT stays in force"))),
            (text(&strict), Some(("ok", "strict"))),
            (
                text(""),
                Some((
                    "invalid",
                    "p:1:1: the policy is empty; it needs at least apiVersion and kind; policy STRICT stays in force",
                )),
            ),
        ] {
            let change = reload.next(&content);
            let said = change.map(|change| {
                let result = change.result();
                match change {
                    Change::Accepted(policy) => {
                        let profile = policy.profile.name().to_owned();
                        in_force = Some(profile.to_uppercase());
                        (result, profile)
                    }
                    Change::Rejected(rejected) => (result, rejected.describe("p", in_force.as_deref())),
                }
            });
            assert_eq!(said, expected.map(|(result, text)| (result, text.to_owned())), "{content:?}");
        }
    }
}
