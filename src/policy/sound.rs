//! The part of a policy file that its schema accepts: so that contradictions in it are told together with what the schema refuses.

use serde_json::{Map, Value as Json};

use super::{API_VERSION, KIND, validate::validate};
use crate::yaml::{Node, Value};

/// A file without the parts that the schema refuses, in the form of a whole one. Where everything is accepted it is the file.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) file: Json,
    pub(super) places: Places,
    pub(super) whole: Whole,
}

/// Of which sections everything is there. Of others, what depends on all their entries cannot be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) overrides: bool,
    pub(super) workloads: bool,
}

/// Where the entries of the lists at the top stand in the file.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<(String, Vec<usize>)>);

impl Places {
    /// The place in the file of an entry that was accepted.
    pub(super) fn of(&self, list: &str, at: usize) -> usize {
        let found = self.0.iter().find(|(name, _)| name == list).and_then(|(_, places)| places.get(at));
        found.copied().unwrap_or(at)
    }

    /// Takes out the other entries of a list; whether there were none.
    fn keep(&mut self, list: &str, file: &mut Map<String, Json>, right: impl Fn(&Json) -> bool) -> bool {
        let (Some(Json::Array(items)), Some((_, places))) =
            (file.get_mut(list), self.0.iter_mut().find(|(name, _)| name == list))
        else {
            return true;
        };
        let before = items.len();
        let kept = std::mem::take(items).into_iter().zip(std::mem::take(places)).filter(|(item, _)| right(item));
        (*items, *places) = kept.unzip();
        items.len() == before
    }
}

impl Sound {
    /// `None` where the file is no map.
    pub(super) fn of(schema: &Json, root: &Node<'_>) -> Option<Self> {
        let Value::Map(entries) = &root.value else { return None };
        let mut file = Map::new();
        let mut places = Places::default();
        let mut whole = Whole { overrides: true, workloads: true };
        for (key, node) in entries {
            let schema = &schema["properties"][&*key.text];
            let value = match &*key.text {
                "rules" | "defaults" => members(schema, node),
                "overrides" | "exemptions" | "workloads" => {
                    let (items, found) = list(schema, node);
                    let all = node.as_seq().is_some_and(|items| items.len() == found.len());
                    match &*key.text {
                        "overrides" => whole.overrides &= all,
                        "workloads" => whole.workloads &= all,
                        _ => {}
                    }
                    places.0.push((key.text.to_string(), found));
                    Some(Json::Array(items))
                }
                _ => accepted(schema, node),
            };
            if let Some(value) = value {
                file.insert(key.text.to_string(), value);
            }
        }
        // Overrides lie over the rules: of one whose rule is refused nobody knows what it comes to.
        let accepted = |rule: &str| file.get("rules").is_some_and(|rules| rules.get(rule).is_some());
        let refused: Vec<String> = root.get("rules").and_then(Node::as_map).map_or_else(Vec::new, |rules| {
            rules.iter().filter(|(rule, _)| !accepted(&rule.text)).map(|(rule, _)| rule.text.to_string()).collect()
        });
        whole.overrides &= places
            .keep("overrides", &mut file, |over| refused.iter().all(|rule| over.pointer(&format!("/rules/{rule}")).is_none()));
        file.insert("apiVersion".to_owned(), API_VERSION.into());
        file.insert("kind".to_owned(), KIND.into());
        Some(Self { file: Json::Object(file), places, whole })
    }
}

/// The value, if the schema accepts it. What has no schema is an unknown key.
fn accepted(schema: &Json, node: &Node<'_>) -> Option<Json> {
    let mut errors = Vec::new();
    validate(schema, node, "", &mut errors);
    if !schema.is_object() || !errors.is_empty() {
        return None;
    }
    let mut json = String::new();
    node.to_json(&mut json);
    serde_json::from_str(&json).ok()
}

/// A map of independent members: those that the schema accepts.
fn members(schema: &Json, node: &Node<'_>) -> Option<Json> {
    let members = node.as_map()?.iter().filter_map(|(key, node)| {
        let value = accepted(&schema["properties"][&*key.text], node)?;
        Some((key.text.to_string(), value))
    });
    Some(Json::Object(members.collect()))
}

/// The entries that the schema accepts, and their places.
fn list(schema: &Json, node: &Node<'_>) -> (Vec<Json>, Vec<usize>) {
    let items = node.as_seq().unwrap_or_default().iter().enumerate();
    items.filter_map(|(at, item)| Some((accepted(&schema["items"], item)?, at))).unzip()
}
