//! Values as YAML text.

use crate::model::{Leaf, Scalar};
use crate::yaml::{Value, json, scalar};

/// A scalar as text, in the quotes that are asked for, or in those that it needs.
pub(super) fn written(value: &Scalar, quote: Option<char>) -> String {
    let text = match value {
        Scalar::Integer(number) => return number.to_string(),
        Scalar::Text(text) => text,
    };
    match quote {
        Some('\'') if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
        None if is_plain(text) => text.clone(),
        _ => {
            let mut quoted = String::new();
            json::write_string(text, &mut quoted);
            quoted
        }
    }
}

/// What follows the colon behind which a value stands: mappings with one entry per line, everything else on one. `line`: newline and indentation of the key.
pub(super) fn in_lines(value: &serde_json::Value, line: &str, quote: Option<char>) -> String {
    let Some(entries) = value.as_object().filter(|entries| !entries.is_empty()) else {
        return format!(" {}", in_brackets(value, quote));
    };
    let line = format!("{line}  ");
    let entry = |(key, value): (&String, &serde_json::Value)| {
        [&line, &written(&Scalar::Text(key.clone()), quote), ":", &in_lines(value, &line, quote)].concat()
    };
    in_order(entries).map(entry).collect()
}

/// A value on one line, with its collections in brackets.
pub(super) fn in_brackets(value: &serde_json::Value, quote: Option<char>) -> String {
    use serde_json::Value as Json;
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entry = |(key, value): (&String, &Json)| {
                format!("{}: {}", written(&Scalar::Text(key.clone()), quote), in_brackets(value, quote))
            };
            format!("{{ {} }}", list(in_order(entries).map(entry).collect()))
        }
        Json::Array(items) => format!("[{}]", list(items.iter().map(|item| in_brackets(item, quote)).collect())),
        Json::String(text) => written(&Scalar::Text(text.clone()), quote),
        other => other.to_string(),
    }
}

/// What a probe asks stands before its numbers, and those in the order in which people write them.
fn in_order(entries: &serde_json::Map<String, serde_json::Value>) -> impl Iterator<Item = (&String, &serde_json::Value)> {
    let rank = |(key, value): &(&String, &serde_json::Value)| {
        (!value.is_object(), Leaf::ALL.into_iter().position(|leaf| leaf.field() == **key))
    };
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(rank);
    entries.into_iter()
}

/// Whether a text can stand without quotes, in brackets too, and is still a text.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/');
    let clean =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '?' | '=' | '&' | '%' | '+' | '~'));
    let scalar = scalar::Scalar { text: text.into(), plain: true, tag: None };
    begins && clean && matches!(scalar::resolve(scalar), Ok(Value::String(_)))
}
