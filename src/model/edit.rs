//! What to change in an object, leaf by leaf: what a rule proposes, and what `probekeeper fix` carries out in the author's file.

use serde_json::Value;

/// One change at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// RFC 6901 pointer to a member of a mapping.
    pub pointer: String,
    /// What happens there.
    pub change: Change,
}

/// What happens to a member of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets this value; where it is missing, it is added.
    Set(Scalar),
    /// It is added with this whole value, a mapping; only `null` may stand there before.
    Insert(Value),
    /// It goes, key and value.
    Remove,
    /// Another member takes its place: key, and the entries of its value.
    Replace(&'static str, Vec<(&'static str, Scalar)>),
}

/// A value that is not a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl Edit {
    /// Gives a member a value.
    pub fn set(pointer: impl Into<String>, value: impl Into<Scalar>) -> Self {
        Self { pointer: pointer.into(), change: Change::Set(value.into()) }
    }

    /// Adds a member that is a mapping.
    pub fn insert(pointer: impl Into<String>, value: Value) -> Self {
        Self { pointer: pointer.into(), change: Change::Insert(value) }
    }

    /// Takes a member away.
    pub fn remove(pointer: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), change: Change::Remove }
    }

    /// Puts another member in the place of one.
    pub fn replace(pointer: impl Into<String>, key: &'static str, entries: Vec<(&'static str, Scalar)>) -> Self {
        Self { pointer: pointer.into(), change: Change::Replace(key, entries) }
    }

    /// The pointer of the mapping, and the key of the member as it stands there.
    pub fn split(&self) -> (&str, String) {
        let (parent, key) = self.pointer.rsplit_once('/').unwrap_or_default();
        (parent, key.replace("~1", "/").replace("~0", "~"))
    }

    /// Carries the change out; `None` where there is no such mapping, or nothing to remove.
    pub fn apply(&self, object: &mut Value) -> Option<()> {
        let (parent, key) = self.split();
        let members = object.pointer_mut(parent)?.as_object_mut()?;
        match &self.change {
            Change::Set(value) => drop(members.insert(key, value.clone().into())),
            Change::Insert(value) => drop(members.insert(key, value.clone())),
            Change::Remove => drop(members.remove(&key)?),
            Change::Replace(with, entries) => {
                members.remove(&key)?;
                let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into()));
                members.insert((*with).to_owned(), Value::Object(entries.collect()));
            }
        }
        Some(())
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Integer(number) => number.into(),
            Scalar::Text(text) => text.into(),
        }
    }
}
