//! Values written as people write YAML: block and flow, comments, quotes, indentations, line endings. Every choice comes from a list of bytes.

use std::cell::Cell;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Where choices come from; without end, because the bytes come around again.
pub(crate) struct Choices {
    bytes: Vec<u8>,
    at: Cell<usize>,
    /// Comments within lists and mappings.
    comments: bool,
}

impl Choices {
    pub(crate) fn new(bytes: Vec<u8>, comments: bool) -> Self {
        Self { bytes, at: Cell::new(0), comments }
    }

    /// One of `0..of`.
    fn pick(&self, of: usize) -> usize {
        let at = self.at.get();
        self.at.set(at + 1);
        let byte = self.bytes.get(at % self.bytes.len().max(1)).copied().unwrap_or(0);
        (usize::from(byte) + at / 7) % of
    }

    fn one_in(&self, of: usize) -> bool {
        self.pick(of) == of - 1
    }

    fn comment(&self) -> &'static str {
        if self.comments { ["", "", "", " # a comment", "  # it's, {odd}: [yes"][self.pick(5)] } else { "" }
    }
}

/// A whole document, which begins and ends as documents do.
pub(crate) fn document(value: &Value, choices: &Choices) -> String {
    let object = value.as_object().unwrap();
    let text = match choices.pick(8) {
        0 => serde_json::to_string_pretty(value).unwrap() + "\n",
        1 => serde_json::to_string(value).unwrap() + "\n",
        2 => flow(value, 0, choices) + "\n",
        _ => {
            let mut out = String::new();
            block(object, 0, false, choices, &mut out);
            out
        }
    };
    let text = match choices.pick(4) {
        0 => format!("# first\n{text}"),
        1 => format!("{text}\n\n"),
        2 => text.trim_end().to_owned(),
        _ => text,
    };
    if choices.one_in(4) { text.replace('\n', "\r\n") } else { text }
}

/// A mapping in block style. `inline`: its first line has begun, behind a dash.
fn block(object: &Map<String, Value>, indent: usize, inline: bool, choices: &Choices, out: &mut String) {
    let quoted = choices.one_in(6);
    for (at, (key, value)) in object.iter().enumerate() {
        if at > 0 || !inline {
            if choices.comments && choices.one_in(8) {
                writeln!(out, "{:indent$}# about {key}", "").unwrap();
            } else if choices.one_in(10) {
                *out += "\n";
            }
            *out += &" ".repeat(indent);
        }
        *out += &if quoted || !plain(key) { serde_json::to_string(key).unwrap() } else { key.clone() };
        out.push(':');
        below(value, indent, choices, out);
    }
}

/// What follows a colon.
fn below(value: &Value, indent: usize, choices: &Choices, out: &mut String) {
    match value {
        Value::Object(object) if !object.is_empty() && !choices.one_in(4) => {
            *out += choices.comment();
            out.push('\n');
            block(object, indent + [2, 2, 2, 4, 1][choices.pick(5)], false, choices, out);
        }
        Value::Array(items) if !items.is_empty() && !choices.one_in(4) => {
            *out += choices.comment();
            out.push('\n');
            let indent = indent + [0, 2, 2, 4][choices.pick(4)];
            for item in items {
                let gap = [1, 1, 1, 3][choices.pick(4)];
                write!(out, "{:indent$}-{:gap$}", "", "").unwrap();
                match item {
                    Value::Object(object) if !object.is_empty() && !choices.one_in(4) => {
                        block(object, indent + 1 + gap, true, choices, out);
                    }
                    item => writeln!(out, "{}{}", flow(item, indent + 4, choices), choices.comment()).unwrap(),
                }
            }
        }
        Value::String(text) if choices.one_in(5) && text.chars().all(|c| c.is_ascii_graphic()) && !text.is_empty() => {
            let style = ["|-", ">-", "|-  # text"][choices.pick(3)];
            write!(out, " {style}\n{:indent$}  {text}\n", "").unwrap();
            if choices.one_in(3) {
                out.push('\n');
            }
        }
        value => {
            writeln!(out, "{}{}{}", [" ", " ", "  "][choices.pick(3)], flow(value, indent + 4, choices), choices.comment())
                .unwrap();
        }
    }
}

/// A value in brackets, or a scalar.
fn flow(value: &Value, indent: usize, choices: &Choices) -> String {
    let (open, close, parts): (_, _, Vec<String>) = match value {
        Value::Object(object) => {
            let quoted = choices.one_in(3);
            let entry = |(key, value): (&String, &Value)| {
                let key = if quoted || !plain(key) { serde_json::to_string(key).unwrap() } else { key.clone() };
                format!("{key}: {}", flow(value, indent + 2, choices))
            };
            ('{', '}', object.iter().map(entry).collect())
        }
        Value::Array(items) => ('[', ']', items.iter().map(|item| flow(item, indent + 2, choices)).collect()),
        scalar => return scalar_text(scalar, choices),
    };
    if parts.is_empty() {
        return format!("{open}{}{close}", ["", " "][choices.pick(2)]);
    }
    let comma = if choices.one_in(4) { "," } else { "" };
    match choices.pick(5) {
        0 => {
            // Comments may follow a comma, and the last entry.
            let lines: Vec<_> = parts.iter().map(|part| format!("\n{:indent$}  {part}", "")).collect();
            let between = format!(",{}", choices.comment());
            format!("{open}{}{comma}{}\n{:indent$}{close}", lines.join(&between), choices.comment(), "")
        }
        1 => format!("{open}{}{comma}{close}", parts.join(&format!(",\n{:indent$}", ""))),
        2 => format!("{open}{}{comma}{close}", parts.join(", ")),
        _ => format!("{open} {}{comma} {close}", parts.join(", ")),
    }
}

fn scalar_text(value: &Value, choices: &Choices) -> String {
    match value {
        Value::Null => ["null", "~"][choices.pick(2)].to_owned(),
        Value::String(text) => match choices.pick(4) {
            0 => format!("'{}'", text.replace('\'', "''")),
            1 => serde_json::to_string(text).unwrap(),
            _ if plain(text) => text.clone(),
            _ => serde_json::to_string(text).unwrap(),
        },
        other => other.to_string(),
    }
}

/// Certainly a text, in brackets and outside.
fn plain(text: &str) -> bool {
    let word = text.len() > 3 && text.chars().all(|c| c.is_ascii_alphabetic());
    word && !["true", "false", "null", "none", "True", "False", "Null", "TRUE", "FALSE", "NULL"].contains(&text)
}
