//! Checks a parsed file against the schema generated from our own types, and reports everything that is wrong with its place.
//!
//! This is the part of JSON Schema that those types need (`type`, `enum`, `oneOf` of constants, `properties`, `required`, `additionalProperties`, `anyOf`, `minimum`,
//! `maximum`), not a general validator: a general one reports no positions and no "did you mean".

use serde_json::Value as Json;

use super::PolicyError;
use crate::{
    rules::closest,
    yaml::{Node, Pos, Value},
};

/// Appends everything that is wrong with `node`.
pub(super) fn validate(schema: &Json, node: &Node<'_>, path: &str, errors: &mut Vec<PolicyError>) {
    if let Some(branches) = schema["anyOf"].as_array() {
        let before = errors.len();
        match branches.iter().find(|branch| accepts_type(branch, node)) {
            Some(branch) => validate(branch, node, path, errors),
            None => errors.push(mismatch(schema, node, path)),
        }
        // Of a scalar the reader is told all that would have done, not only what the nearest branch takes.
        let scalar = !matches!(node.value, Value::Map(_) | Value::Seq(_));
        if scalar && errors.get(before).is_some_and(|error| error.message.starts_with("found")) {
            errors.truncate(before);
            errors.push(mismatch(schema, node, path));
        }
        return;
    }
    if !accepts_type(schema, node) {
        errors.push(mismatch(schema, node, path));
        return;
    }
    if let Some(allowed) = allowed(schema) {
        if !allowed.iter().any(|allowed| same(allowed, node)) {
            errors.push(not_allowed(schema, &allowed, node, path));
        }
        return;
    }
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let inner = join(path, &key.text);
                match schema["properties"].get(&*key.text) {
                    Some(property) => validate(property, value, &inner, errors),
                    None if schema["additionalProperties"] == Json::Bool(false) => {
                        errors.push(unknown_key(schema, &key.text, path, key.span.start));
                    }
                    None if schema["additionalProperties"].is_object() => {
                        validate(&schema["additionalProperties"], value, &inner, errors);
                    }
                    None => {}
                }
            }
            for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                if !entries.iter().any(|(key, _)| key.text == required) {
                    let wanted = expectation(&schema["properties"][required]);
                    errors.push(PolicyError::at(node.span.start, path, format!("`{required}` is missing: it must be {wanted}")));
                }
            }
        }
        Value::Seq(items) => {
            for (at, item) in items.iter().enumerate() {
                validate(&schema["items"], item, &format!("{path}[{at}]"), errors);
            }
        }
        _ => {
            let number = node.as_i64();
            let below = number.zip(schema["minimum"].as_i64()).is_some_and(|(number, least)| number < least);
            let above = number.zip(schema["maximum"].as_i64()).is_some_and(|(number, most)| number > most);
            if below || above {
                let shown = number.unwrap_or_default();
                errors.push(PolicyError::at(
                    node.span.start,
                    path,
                    format!("{shown} is out of range: it must be {}", expectation(schema)),
                ));
            }
        }
    }
}

fn accepts_type(schema: &Json, node: &Node<'_>) -> bool {
    let matches = |name: &str| match (name, &node.value) {
        ("object", Value::Map(_))
        | ("array", Value::Seq(_))
        | ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null) => true,
        ("integer", _) => node.as_i64().is_some(),
        _ => false,
    };
    match &schema["type"] {
        Json::String(name) => matches(name),
        Json::Array(names) => names.iter().filter_map(Json::as_str).any(matches),
        // An enum alone takes any scalar: which of them is a question of its values.
        _ => allowed(schema).is_none() || matches!(node.value, Value::String(_) | Value::Bool(_)),
    }
}

fn same(allowed: &Json, node: &Node<'_>) -> bool {
    match allowed {
        Json::String(text) => node.as_str() == Some(text),
        Json::Bool(value) => node.as_bool() == Some(*value),
        Json::Number(_) => allowed.as_i64().is_some() && allowed.as_i64() == node.as_i64(),
        _ => false,
    }
}

fn mismatch(schema: &Json, node: &Node<'_>, path: &str) -> PolicyError {
    let found = match (&node.value, node.as_i64()) {
        (Value::Null, _) => "nothing".to_owned(),
        (Value::String(text), _) => format!("\"{}\"", text.chars().take(40).collect::<String>()),
        (_, Some(number)) => number.to_string(),
        _ => node.describe().to_owned(),
    };
    let wanted = expectation(schema);
    let quoted = wanted.contains("a whole number") && node.as_str().is_some_and(|text| text.parse::<i64>().is_ok());
    let hint = match path {
        _ if quoted => ": write it without quotes",
        "kind" if node.as_str() == Some("ConfigMap") => ": the policy is the text under its `data`",
        _ => "",
    };
    PolicyError::at(node.span.start, path, format!("found {found}, expected {wanted}{hint}"))
}

/// The values of an enumeration: `enum`, or one `const` for each documented variant.
fn allowed(schema: &Json) -> Option<Vec<&Json>> {
    let listed = schema["enum"].as_array().map(|values| values.iter().collect());
    listed.or_else(|| schema["oneOf"].as_array()?.iter().map(|variant| variant.get("const")).collect())
}

fn not_allowed(schema: &Json, allowed: &[&Json], node: &Node<'_>, path: &str) -> PolicyError {
    let found = node.as_str().unwrap_or_default();
    let rule = path.ends_with(']') && path.contains(".rules[");
    let what = if rule { "rule" } else { "value" };
    match closest(found, allowed.iter().filter_map(|value| value.as_str())) {
        Some(near) => PolicyError::at(node.span.start, path, format!("unknown {what} `{found}`, did you mean `{near}`?")),
        None if rule => PolicyError::at(node.span.start, path, format!("unknown rule `{found}`; {ALL_RULES_HINT}")),
        None => mismatch(schema, node, path),
    }
}

fn unknown_key(schema: &Json, key: &str, path: &str, at: Pos) -> PolicyError {
    let what = if path == "rules" || path.ends_with("].rules") { "rule" } else { "key" };
    let known = || schema["properties"].as_object().into_iter().flatten().map(|(key, _)| &**key);
    let deeper = |fits: fn(&Json, &str) -> bool| {
        let mut properties = schema["properties"].as_object().into_iter().flatten();
        properties.find(|(_, property)| fits(property, key)).map(|(name, _)| format!(": it belongs under `{name}`"))
    };
    let near = closest(key, known());
    let hint = if path.is_empty() && key == "spec" {
        ": what stands in it belongs at the top".to_owned()
    } else if let Some(place) = deeper(has_property).or_else(|| deeper(takes_any_key).filter(|_| near.is_none())) {
        place
    } else {
        match near {
            Some(near) => format!(", did you mean `{near}`?"),
            None if what == "rule" => format!("; {ALL_RULES_HINT}"),
            None if known().next().is_none() => "; there are none here".to_owned(),
            None => format!("; known here: {}", known().collect::<Vec<_>>().join(", ")),
        }
    };
    PolicyError::at(at, path, format!("unknown {what} `{key}`{hint}"))
}

fn has_property(schema: &Json, key: &str) -> bool {
    schema["properties"].get(key).is_some()
}

fn takes_any_key(schema: &Json, _: &str) -> bool {
    schema["additionalProperties"].is_object()
}

const ALL_RULES_HINT: &str = "`probekeeper rules list` shows all";

/// What a schema wants, in words.
fn expectation(schema: &Json) -> String {
    if let Some(branches) = schema["anyOf"].as_array() {
        return branches.iter().map(expectation).collect::<Vec<_>>().join(", or ");
    }
    if let Some(allowed) = allowed(schema) {
        let words: Vec<String> = allowed.iter().filter_map(|value| value.as_str()).map(|word| format!("`{word}`")).collect();
        return match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        };
    }
    match (&schema["type"], schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Json::String(name), Some(least), Some(most)) if name == "integer" => format!("a whole number from {least} to {most}"),
        (Json::String(name), Some(least), None) if name == "integer" => format!("a whole number, at least {least}"),
        (Json::String(name), ..) if name == "integer" => "a whole number".to_owned(),
        (Json::String(name), ..) if name == "object" => {
            let keys: Vec<&str> = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
            if keys.is_empty() || keys.len() > 6 { "a map".to_owned() } else { format!("a map with {}", keys.join(", ")) }
        }
        (Json::String(name), ..) if name == "boolean" => "`true` or `false`".to_owned(),
        (Json::String(name), ..) if name == "array" => match schema["items"]["type"].as_str() {
            Some("string") => "a list of strings".to_owned(),
            _ => "a list".to_owned(),
        },
        (Json::String(name), ..) => format!("a {name}"),
        (Json::Array(names), least, _) if names.iter().any(|name| name == "integer") => match least {
            Some(least) => format!("a whole number, at least {least}"),
            None => "a whole number".to_owned(),
        },
        _ => "another value".to_owned(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
