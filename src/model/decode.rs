//! One permissive view that fits every kind, decoded in one borrowed pass. Unknown fields are skipped and never built: what is not read here cannot
//! be lost, because patches are leaf operations on the original bytes.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    ops::Deref,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

use super::{
    Container, Json,
    json::{Reader, Verbatim},
    read,
};

/// A string that borrows from the input where it has no escapes. (`Option<Cow<str>>` would always be copied by serde.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Reads `null` as the type's default, as the API server does.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Any object that may carry a pod template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<'a> {
    /// `group/version`, or `v1`.
    #[serde(borrow, default)]
    pub api_version: Option<Text<'a>>,
    /// As in the manifest.
    #[serde(borrow, default)]
    pub kind: Option<Text<'a>>,
    /// Absent only in broken files.
    #[serde(borrow, default)]
    pub metadata: Option<Metadata<'a>>,
    /// Pod spec or workload spec, in one permissive shape.
    #[serde(borrow, default)]
    pub(super) spec: Option<Spec<'a>>,
}

/// The metadata of an object or of a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Empty when only `generateName` is given.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// Prefix of a generated name.
    #[serde(borrow, default)]
    pub generate_name: Option<Text<'a>>,
    /// Absent in files that leave the namespace to the command line.
    #[serde(borrow, default)]
    pub namespace: Option<Text<'a>>,
    /// Labels in the order of the input.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub labels: Labels<'a>,
    /// Only the annotations that the product reads; `None` when there is no annotations object (a patch must then create it).
    #[serde(borrow, default)]
    pub annotations: Option<Annotations<'a>>,
    /// Who created the object.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// Present while the object is being deleted.
    #[serde(default)]
    pub deletion_timestamp: Option<IgnoredAny>,
    /// Left raw: only `/mutate` reads it, and of it only field ownership.
    #[serde(borrow, default)]
    pub managed_fields: Option<Json<'a>>,
}

impl Metadata<'_> {
    /// The owner that manages this object, if any.
    pub fn controller(&self) -> Option<&OwnerReference<'_>> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

/// Label pairs in the order of the input.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Labels<'a>(pub Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;

        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut labels = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    labels.push((key, value.unwrap_or_default()));
                }
                Ok(Labels(labels))
            }
        }

        deserializer.deserialize_map(LabelsVisitor)
    }
}

/// The annotations that the product reads; all others are skipped.
#[derive(Debug, Default, Deserialize)]
pub struct Annotations<'a> {
    /// `kubectl apply`'s copy of the author's file: a JSON string that holds JSON. Raw, because unescaping it costs as much as reading the object.
    #[serde(rename = "kubectl.kubernetes.io/last-applied-configuration", borrow, default)]
    pub last_applied: Option<Json<'a>>,
    /// Our record of what was filled in.
    #[serde(rename = "probekeeper.dev/filled", borrow, default)]
    pub filled: Option<Text<'a>>,
    /// Rules that are right to break here, each with a reason.
    #[serde(rename = "probekeeper.dev/allow", borrow, default)]
    pub allow: Option<Text<'a>>,
    /// `off` (or `false`): nothing is filled in.
    #[serde(rename = "probekeeper.dev/defaults", borrow, default)]
    pub defaults: Option<Text<'a>>,
    /// `false`: Istio leaves HTTP and TCP probes as they are.
    #[serde(rename = "sidecar.istio.io/rewriteAppHTTPProbers", borrow, default)]
    pub rewrite_probes: Option<Text<'a>>,
    /// `false`: no Istio sidecar.
    #[serde(rename = "sidecar.istio.io/inject", borrow, default)]
    pub inject: Option<Text<'a>>,
    /// All of them.
    #[serde(skip)]
    pub(crate) text: Verbatim<'a>,
}

impl Annotations<'_> {
    /// Turns filling in off.
    pub const DEFAULTS: &'static str = "probekeeper.dev/defaults";
    /// Allows findings, each with a reason.
    pub const ALLOW: &'static str = "probekeeper.dev/allow";
}

/// One entry of `ownerReferences`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// Group and version of the owner.
    #[serde(borrow, default)]
    pub api_version: Option<Text<'a>>,
    /// Kind of the owner.
    #[serde(borrow, default)]
    pub kind: Option<Text<'a>>,
    /// True for the one owner that manages the object.
    #[serde(default)]
    pub controller: Option<bool>,
}

/// Pod spec, workload spec and job spec in one: each kind fills its part.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) containers: Vec<Container<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) init_containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    pub(super) restart_policy: Option<Text<'a>>,
    #[serde(default)]
    pub(super) termination_grace_period_seconds: Option<i64>,
    #[serde(default)]
    pub(super) host_network: Option<bool>,
    #[serde(borrow, default)]
    pub(super) hostname: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) host_aliases: Vec<HostAlias<'a>>,
    #[serde(borrow, default)]
    pub(super) template: Option<Box<Template<'a>>>,
    #[serde(borrow, default)]
    pub(super) job_template: Option<Box<Template<'a>>>,
    #[serde(default)]
    pub(super) selector: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) progress_deadline_seconds: Option<i64>,
    #[serde(default)]
    pub(super) min_ready_seconds: Option<i64>,
}

/// An entry of the pod's `/etc/hosts`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HostAlias<'a> {
    #[serde(borrow, default)]
    pub(super) ip: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) hostnames: Vec<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Template<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub(super) spec: Spec<'a>,
}

impl<'a> Template<'a> {
    /// Decodes a template that stands at `pointer` in its object.
    pub(super) fn from_json(json: &'a str, pointer: &str) -> Result<Self, DecodeError> {
        if let Ok(template) = Reader::whole(json, read::reading(read::template)) {
            return Ok(template);
        }
        bounded(json).map_err(|message| DecodeError { pointer: pointer.to_owned(), message })?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| DecodeError {
            pointer: format!("{pointer}{}", pointer_of(error.path())),
            message: explain(error.inner()),
        })
    }
}

/// Longest text that serde_json reads in the place of [`Reader`], in bytes. It knows no bound for what the items of lists take.
const MOST_NOT_PLAIN: usize = 256 << 10;

/// Whether serde_json may read a text that the reader did not take; else what is wrong.
pub(crate) fn bounded(json: &str) -> Result<(), String> {
    if json.len() <= MOST_NOT_PLAIN {
        return Ok(());
    }
    Err(format!(
        "of {} bytes, which is too long to be read with lists this long, or with a fault or escapes in its keys",
        json.len()
    ))
}

/// Why an object could not be read as its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct DecodeError {
    /// RFC 6901 pointer to the value of the wrong type (as deep as is known).
    pub pointer: String,
    /// What was found and what was expected. Never the value of a string.
    pub message: String,
}

impl<'a> Object<'a> {
    /// Decodes one object from JSON text.
    pub fn from_json(json: &'a str) -> Result<Self, DecodeError> {
        if let Ok(object) = Reader::whole(json, read::reading(read::object)) {
            return Ok(object);
        }
        bounded(json).map_err(|message| DecodeError { pointer: String::new(), message })?;
        // The path is tracked only when there is something to explain.
        serde_json::from_str(json).or_else(|_| {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            serde_path_to_error::deserialize(&mut deserializer)
                .map_err(|error| DecodeError { pointer: pointer_of(error.path()), message: explain(error.inner()) })
        })
    }
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => {
                pointer.pop();
            }
        }
    }
    pointer
}

/// serde_json's words without the position in JSON that nobody wrote, and without any string value: it may be a secret.
pub(crate) fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(words, _)| words);
    let text = match text.split_once("string \"") {
        Some((before, rest)) => match rest.rsplit_once("\", expected") {
            Some((_, after)) => format!("{before}a string, expected{after}"),
            None => format!("{before}a string"),
        },
        None => text.to_owned(),
    };
    // The names of our own types say nothing to a reader.
    let Some((found, expected)) = text.rsplit_once("expected ") else { return text };
    let expected = match expected {
        "i64" | "u32" | "i32" => "a whole number",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    format!("{found}expected {expected}")
}
