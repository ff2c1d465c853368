//! YAML and JSON text as a tree that remembers where everything stands.
//!
//! Text is read as `kubectl` reads it (`sigs.k8s.io/yaml` over go-yaml 2, a YAML 1.1 reader): `yes`, `off` and `y` are booleans, `017` is
//! octal, `1_000` is a number, a merge key counts at its place, the last of two equal keys wins, keys become strings, and a line that
//! begins with `---` ends a document whatever surrounds it. This is the only module that names the YAML crate.

mod compose;
pub mod edit;
mod json;
mod scalar;

use std::borrow::Cow;
use std::fmt::Write as _;

pub use serde_json::Number;

/// How deep a document may nest. `serde_json`, which decodes the result, stops at the same depth; real objects stay below 40.
pub const MAX_DEPTH: usize = 120;

/// How many nodes of one document may come from aliases and merge keys. go-yaml allows about 400,000; an object of this many nodes is
/// already larger than etcd stores (1.5 MiB).
pub const MAX_ALIASED_NODES: usize = 100_000;

/// Reads all documents of a text. Empty documents (nothing, or comments only) are left out and not counted.
///
/// An error in one document does not hide the others, before or after it.
pub fn parse(text: &str) -> Vec<Document<'_>> {
    let (text, base) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, Pos { line: 1, column: 1, offset: '\u{feff}'.len_utf8() }),
        None => (text, Pos::START),
    };
    if let Some(documents) = json::stream(text, base) {
        return documents;
    }
    let mut documents = Vec::new();
    for chunk in chunks(text, base) {
        let document = match chunk {
            Err(error) => Some(Document { root: Err(error), duplicates: Vec::new() }),
            Ok((text, base)) => json::single(text, base).or_else(|| compose::document(text, base)),
        };
        documents.extend(document);
    }
    documents
}

/// One document of a stream.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The content, or why it cannot be read.
    pub root: Result<Node<'a>, Error>,
    /// Keys that stand more than once in one mapping. The last one counts, as for `kubectl`, which says nothing about it.
    pub duplicates: Vec<Duplicate>,
}

impl Document<'_> {
    fn into_owned(self) -> Document<'static> {
        Document { root: self.root.map(Node::into_owned), duplicates: self.duplicates }
    }
}

/// A key that was given again in the same mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// The occurrence that is ignored.
    pub first: Span,
    /// The occurrence that counts.
    pub last: Span,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// What was written, with plain scalars resolved.
    pub value: Value<'a>,
    /// Where. A value that came by an alias or a merge key has the place where it was anchored; an omitted value has the end of its key.
    pub span: Span,
    /// Whether a scalar was written in quotes or as a block (`|`, `>`), so that its text was not resolved.
    pub quoted: bool,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// An integer (`as_i64`), or a finite float. Integral floats (`1e1`) are integers, as in the JSON that kubectl sends.
    Number(Number),
    /// Anything else that is a scalar; timestamps too.
    String(Cow<'a, str>),
    /// A sequence.
    Seq(Vec<Node<'a>>),
    /// A mapping in the order of the text, each key once.
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// The key of a mapping entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    /// The key as a string: `yes` is `true`, `0x10` is `16`.
    pub text: Cow<'a, str>,
    /// Where it stands.
    pub span: Span,
}

/// From `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First character.
    pub start: Pos,
    /// Just behind the last character.
    pub end: Pos,
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Counted from 0, in bytes.
    pub offset: usize,
}

impl Pos {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1, offset: 0 };
}

/// Why a document cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what to do about it.
    pub message: String,
    /// The line has `{{` in it: the text is a template rather than YAML that went wrong.
    pub template: bool,
}

impl Error {
    fn at(pos: Pos, message: impl Into<String>) -> Self {
        Self { line: pos.line, column: pos.column, message: message.into(), template: false }
    }
}

/// Where a JSON pointer leads: the node, or the deepest part of the way that exists.
#[derive(Debug, Clone, Copy)]
pub struct Place<'n, 'a> {
    /// The node that was reached.
    pub node: &'n Node<'a>,
    /// Its key, where it is the value of a mapping entry.
    pub key: Option<&'n Key<'a>>,
    /// Whether the pointer was followed to its end.
    pub exact: bool,
}

impl Place<'_, '_> {
    /// What to underline: the key of a mapping or sequence, key and value of a scalar, the name of a list's element.
    pub fn span(&self) -> Span {
        match (self.key, self.node.entry("name")) {
            (Some(key), _) => entry_span(key, self.node),
            (None, Some((key, name))) => entry_span(key, name),
            (None, None) => self.node.span,
        }
    }
}

/// A value that stands elsewhere (an alias) or on another line is not part of the underlined entry.
fn entry_span(key: &Key<'_>, node: &Node<'_>) -> Span {
    let scalar = !matches!(node.value, Value::Map(_) | Value::Seq(_));
    if scalar && node.span.start.line == key.span.start.line && node.span.end >= key.span.end {
        Span { start: key.span.start, end: node.span.end }
    } else {
        key.span
    }
}

impl<'a> Node<'a> {
    /// The value of a key, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node)
    }

    /// The entry of a key, where this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&(Key<'a>, Self)> {
        self.as_map()?.iter().find(|(candidate, _)| candidate.text == key)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer in range.
    pub fn as_i64(&self) -> Option<i64> {
        match &self.value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The elements of a sequence.
    pub fn as_seq(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn as_map(&self) -> Option<&[(Key<'a>, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What this is, for messages: `a number`, `a mapping`.
    pub fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The node that a JSON pointer (RFC 6901) names; the empty pointer is this node.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        let place = self.nearest(pointer);
        place.exact.then_some(place.node)
    }

    /// As [`Node::pointer`], but where the way ends early (an omitted leaf), the deepest node on it.
    pub fn nearest(&self, pointer: &str) -> Place<'_, 'a> {
        let mut place = Place { node: self, key: None, exact: true };
        let Some(path) = pointer.strip_prefix('/') else {
            return Place { exact: pointer.is_empty(), ..place };
        };
        for token in path.split('/') {
            let token = unescape_token(token);
            let next = match &place.node.value {
                Value::Map(_) => place.node.entry(&token).map(|(key, node)| (Some(key), node)),
                Value::Seq(items) => token.parse().ok().and_then(|index: usize| items.get(index)).map(|node| (None, node)),
                _ => None,
            };
            match next {
                Some((key, node)) => place = Place { node, key, exact: true },
                None => return Place { exact: false, ..place },
            }
        }
        place
    }

    /// Empties the lists and mappings under these keys, wherever they stand, and gives back the memory: for a tree that is kept for its places.
    pub fn thin(&mut self, keys: &[&str]) {
        match &mut self.value {
            Value::Map(entries) => {
                for (key, node) in entries.iter_mut() {
                    match &mut node.value {
                        Value::Map(below) if keys.contains(&&*key.text) => *below = Vec::new(),
                        Value::Seq(below) if keys.contains(&&*key.text) => *below = Vec::new(),
                        _ => node.thin(keys),
                    }
                }
                entries.shrink_to_fit();
            }
            Value::Seq(items) => {
                for item in items.iter_mut() {
                    item.thin(keys);
                }
                items.shrink_to_fit();
            }
            _ => {}
        }
    }

    /// The same node, independent of the text.
    pub fn into_owned(self) -> Node<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let value = match self.value {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(number) => Value::Number(number),
            Value::String(text) => Value::String(owned(text)),
            Value::Seq(items) => Value::Seq(items.into_iter().map(Self::into_owned).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| (Key { text: owned(key.text), span: key.span }, node.into_owned()))
                    .collect(),
            ),
        };
        Node { value, span: self.span, quoted: self.quoted }
    }

    /// Appends this node as JSON text.
    pub fn to_json(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            // Writing to a String cannot fail.
            Value::Number(number) => drop(write!(out, "{number}")),
            Value::String(text) => json::write_string(text, out),
            Value::Seq(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.to_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (index, (key, node)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json::write_string(&key.text, out);
                    out.push(':');
                    node.to_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn unescape_token(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}

/// Cuts a stream at lines that begin with `---`, as `kubectl` does before it looks at YAML at all. Behind the dashes only a comment may stand.
fn chunks(text: &str, base: Pos) -> Vec<Result<(&str, Pos), Error>> {
    let mut chunks = Vec::new();
    let mut start = base;
    let mut offset = 0;
    let slice = |start: Pos, end: usize| text.get(start.offset - base.offset..end).unwrap_or_default();
    for (line, content) in (base.line..).zip(text.split_inclusive('\n')) {
        if let Some(rest) = content.strip_prefix("---") {
            chunks.push(Ok((slice(start, offset), start)));
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let message = "only a comment may follow `---` on its line: put the document on the next line";
                chunks.push(Err(Error::at(Pos { line, ..start }, message)));
            }
            start = Pos { line: line + 1, column: 1, offset: base.offset + offset + content.len() };
        }
        offset += content.len();
    }
    chunks.push(Ok((slice(start, text.len()), start)));
    chunks.retain(|chunk| !matches!(chunk, Ok((text, _)) if is_empty(text)));
    chunks
}

/// Whether a document has no content. A `%YAML` directive before the first `---` says nothing that we read differently.
fn is_empty(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with('#') || line.starts_with('%')
    })
}

#[cfg(test)]
mod tests;
