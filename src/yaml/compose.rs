//! From the events of the YAML crate to a tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::scalar::{self, Scalar};
use super::{Document, Duplicate, Error, Key, MAX_ALIASED_NODES, MAX_DEPTH, Node, Pos, Span, Value};

/// Reads a text that holds one document; `None` where it holds nothing.
pub(super) fn document(text: &str, base: Pos) -> Option<Document<'_>> {
    let mut relaxed = match attempt(text, base, &[]) {
        Attempt::Done(document) => return document,
        Attempt::Again(source) => source,
    };
    for _ in 0..MAX_RELAXATIONS {
        relaxed = match attempt(&relaxed.text, base, &relaxed.added) {
            Attempt::Done(document) => return document.map(Document::into_owned),
            Attempt::Again(source) => source,
        };
    }
    let message = "too many lists or texts that continue left of where they begin: indent them";
    Some(Document { root: Err(Error::at(base, message)), duplicates: Vec::new() })
}

enum Attempt<'a> {
    Done(Option<Document<'a>>),
    /// Read this instead.
    Again(Source),
}

fn attempt<'a>(text: &'a str, base: Pos, added: &[(usize, usize)]) -> Attempt<'a> {
    let mut composer = Composer::new(text, base, added);
    let root = match composer.run() {
        Ok(root) => Ok(root),
        Err(Stop::Known(error)) => Err(composer.places.marked(error)),
        Err(Stop::Scan(error)) => {
            if let Some(source) = composer.relax(&error) {
                return Attempt::Again(source);
            }
            let error = composer.places.explain(&error);
            Err(composer.places.marked(error))
        }
    };
    let duplicates = composer.duplicates;
    Attempt::Done(root.transpose().map(|root| Document { root, duplicates }))
}

/// Offset of the last bracket that is still open at the end of a text. Quotes are not looked at: a wrong guess only fails again.
fn open_bracket(text: &str) -> Option<usize> {
    let mut closed = 0_usize;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b']' | b'}' => closed += 1,
            b'[' | b'{' if closed == 0 => return Some(at),
            b'[' | b'{' => closed -= 1,
            _ => {}
        }
    }
    None
}

/// Each one reads the document again. Real files that need any need one to three.
const MAX_RELAXATIONS: usize = 32;

/// A document as the crate is given it. YAML 1.2 wants flow collections and quoted text that span lines to be indented more than what they stand in;
/// `kubectl` does not, and a `]` below its key is common. So such lines are moved to the right, and the places moved back.
struct Source {
    text: String,
    /// Line (from 1) and number of spaces added at its beginning, in the order of lines.
    added: Vec<(usize, usize)>,
}

impl Source {
    /// Moves the lines that begin within a range of bytes.
    fn indented(text: &str, added: &[(usize, usize)], range: RangeInclusive<usize>) -> Option<Self> {
        let (before, rest) = text.split_at_checked(*range.start())?;
        let (within, after) = rest.split_at_checked(range.end() + 1 - range.start())?;
        let width = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        let first = before.matches('\n').count() + 1;
        let lines = within.matches('\n').count();
        let mut added = added.to_vec();
        for line in first + 1..=first + lines {
            match added.iter_mut().find(|(known, _)| *known == line) {
                Some((_, spaces)) => *spaces += width,
                None => added.push((line, width)),
            }
        }
        added.sort_unstable();
        let within = within.replace('\n', &format!("\n{:width$}", ""));
        (lines > 0).then(|| Self { text: [before, &within, after].concat(), added })
    }

    /// Replaces the tabs just before a byte, where only a space would separate.
    fn untabbed(text: &str, added: &[(usize, usize)], end: usize) -> Option<Self> {
        let (before, after) = text.split_at_checked(end)?;
        let clean = before.trim_end_matches('\t');
        let spaces = " ".repeat(before.len() - clean.len());
        (!spaces.is_empty()).then(|| Self { text: [clean, &spaces, after].concat(), added: added.to_vec() })
    }
}

/// Why composing stopped.
enum Stop {
    Known(Error),
    Scan(ScanError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

/// The entries of one mapping, each key once, in the order of the text.
#[derive(Default)]
pub(super) struct Entries<'a> {
    entries: Vec<(Key<'a>, Node<'a>)>,
    /// Where each key is, once there are too many to look through.
    index: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Entries<'a> {
    /// Up to this many entries, looking at each is faster than hashing.
    const SCANNED: usize = 24;

    /// Adds an entry, or replaces the one of the same key.
    pub(super) fn insert(&mut self, key: Key<'a>, node: Node<'a>) -> Option<Duplicate> {
        let known = if self.entries.len() <= Self::SCANNED {
            self.entries.iter().position(|(candidate, _)| candidate.text == key.text)
        } else {
            if self.index.is_empty() {
                self.index = self.entries.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at)).collect();
            }
            self.index.get(&key.text).copied()
        };
        if let Some(slot) = known.and_then(|at| self.entries.get_mut(at)) {
            let duplicate = Duplicate { key: key.text.to_string(), first: slot.0.span, last: key.span };
            *slot = (key, node);
            return Some(duplicate);
        }
        if !self.index.is_empty() {
            self.index.insert(key.text.clone(), self.entries.len());
        }
        self.entries.push((key, node));
        None
    }

    pub(super) fn into_vec(self) -> Vec<(Key<'a>, Node<'a>)> {
        self.entries
    }
}

struct Composer<'a, 'p> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    places: Places<'p>,
    /// The byte of the bracket of the collection that is about to be opened.
    bracket: Option<usize>,
    stack: Vec<Frame<'a>>,
    root: Option<Node<'a>>,
    anchors: HashMap<usize, Anchored<'a>>,
    aliased: usize,
    duplicates: Vec<Duplicate>,
}

/// A collection whose end has not been seen.
struct Frame<'a> {
    start: Pos,
    /// The byte of its bracket, where it has one.
    bracket: Option<usize>,
    anchor: usize,
    content: Content<'a>,
}

enum Content<'a> {
    Seq(Vec<Node<'a>>),
    Map { entries: Entries<'a>, key: Option<PendingKey<'a>> },
}

/// A key whose value has not been seen.
enum PendingKey<'a> {
    Named(Key<'a>),
    Merge(Pos),
}

struct Anchored<'a> {
    node: Node<'a>,
    nodes: usize,
    depth: usize,
}

impl<'a: 'p, 'p> Composer<'a, 'p> {
    fn new(text: &'a str, base: Pos, added: &'p [(usize, usize)]) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            places: Places { text, base, added, ascii: text.is_ascii(), index: 0, offset: 0 },
            bracket: None,
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            aliased: 0,
            duplicates: Vec::new(),
        }
    }

    /// A source that the crate reads on, where `kubectl` would.
    fn relax(&mut self, error: &ScanError) -> Option<Source> {
        let at = self.places.byte(error.marker().index());
        let Places { text, added, .. } = self.places;
        match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => {
                // The crate may complain before it has said that the collection began.
                let start = self.stack.iter().find_map(|frame| frame.bracket).or_else(|| open_bracket(text.get(..at)?))?;
                Source::indented(text, added, start..=flow_end(text, start)?)
            }
            "invalid indentation in quoted scalar" => Source::indented(text, added, at..=quoted_end(text, at)?),
            "':' must be followed by a valid YAML whitespace" => Source::untabbed(text, added, at),
            _ => None,
        }
    }

    fn run(&mut self) -> Result<Option<Node<'a>>, Stop> {
        let mut documents = 0;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(Stop::Scan)?;
            self.bracket = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..))
                .then(|| self.places.bracket_before(span.end))
                .flatten();
            let span = Span { start: self.places.pos(span.start), end: self.places.pos(span.end) };
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "kubectl reads nothing behind this point: separate documents with `---`";
                        return Err(Error::at(span.start, message).into());
                    }
                }
                Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), span)?,
                Event::SequenceStart(anchor, _) => self.open(anchor, span, Content::Seq(Vec::new()))?,
                Event::MappingStart(anchor, _) => {
                    self.open(anchor, span, Content::Map { entries: Entries::default(), key: None })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.take())
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Error> {
        let plain = style == ScalarStyle::Plain;
        let tag = tag.map(short_tag);
        if plain && text == "<<" && self.awaits_key() && matches!(tag.as_deref(), None | Some("!!merge")) {
            self.set_key(PendingKey::Merge(span.start));
            return Ok(());
        }
        let value = scalar::resolve(Scalar { text, plain, tag }).map_err(|message| Error::at(span.start, message))?;
        self.add(Node { value, span, quoted: !plain }, anchor)
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content<'a>) -> Result<(), Error> {
        if self.awaits_key() {
            return Err(Error::at(span.start, scalar::KEY_IS_COLLECTION));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(span.start));
        }
        self.stack.push(Frame { start: span.start, bracket: self.bracket, anchor, content });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Error> {
        let Some(Frame { start, anchor, content, .. }) = self.stack.pop() else { return Ok(()) };
        let (value, last) = match content {
            Content::Seq(items) => {
                let last = items.last().map(|item| item.span.end);
                (Value::Seq(items), last)
            }
            Content::Map { entries, .. } => {
                let entries = entries.into_vec();
                let last = entries.last().map(|(_, node)| node.span.end);
                (Value::Map(entries), last)
            }
        };
        // A block ends where its last entry ends; the event stands behind the white space and comments that follow.
        let end = if span.start == span.end { last.filter(|last| *last > start).unwrap_or(start) } else { span.end };
        self.add(Node { value, span: Span { start, end }, quoted: false }, anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Error> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Error::at(span.start, "the anchor that this alias names contains the alias: write the value out"));
        };
        if self.stack.len() + anchored.depth > MAX_DEPTH {
            return Err(too_deep(span.start));
        }
        self.aliased += anchored.nodes;
        if self.aliased > MAX_ALIASED_NODES {
            return Err(too_many_aliases(span.start));
        }
        let node = anchored.node.clone();
        self.add(node, 0)
    }

    /// Puts a finished node where it belongs: a key, a value, an element, or the whole document.
    fn add(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Error> {
        if anchor != 0 {
            self.remember(anchor, &node)?;
        }
        let Some(Frame { content, .. }) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match content {
            Content::Seq(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                None => {
                    let Node { value, span, .. } = node;
                    let text = scalar::key(value).map_err(|message| Error::at(span.start, message))?;
                    *key = Some(PendingKey::Named(Key { text, span }));
                }
                Some(PendingKey::Named(named)) => {
                    let mut node = node;
                    if node.value == Value::Null {
                        node.span = self.places.omitted(named.span, node.span);
                    }
                    self.duplicates.extend(entries.insert(named, node));
                }
                Some(PendingKey::Merge(at)) => merge(entries, node).map_err(|()| {
                    Error::at(at, "only a mapping, or a list of mappings, can be merged: the value of `<<` is neither")
                })?,
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node<'a>) -> Result<(), Error> {
        let (nodes, depth) = measure(node);
        // Anchors within anchors are copied once per level.
        self.aliased += nodes;
        if self.aliased > MAX_ALIASED_NODES {
            return Err(too_many_aliases(node.span.start));
        }
        self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, pending: PendingKey<'a>) {
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(pending);
        }
    }
}

/// Merged entries replace what stood before the merge key, and are replaced by what follows it: go-yaml 2 has no other precedence.
fn merge<'a>(entries: &mut Entries<'a>, node: Node<'a>) -> Result<(), ()> {
    match node.value {
        Value::Map(merged) => {
            for (key, node) in merged {
                entries.insert(key, node);
            }
            Ok(())
        }
        // Earlier elements take precedence, so they come last.
        Value::Seq(items) => items.into_iter().rev().try_for_each(|item| match item.value {
            Value::Map(_) => merge(entries, item),
            _ => Err(()),
        }),
        _ => Err(()),
    }
}

/// Number of nodes, and nesting.
fn measure(node: &Node<'_>) -> (usize, usize) {
    let children: &mut dyn Iterator<Item = &Node<'_>> = match &node.value {
        Value::Seq(items) => &mut items.iter(),
        Value::Map(entries) => &mut entries.iter().map(|(_, node)| node),
        _ => return (1, 0),
    };
    let (nodes, depth) = children.map(measure).fold((1, 0), |sum, child| (sum.0 + child.0, sum.1.max(child.1)));
    (nodes, depth + 1)
}

/// The byte of the bracket that closes the one at `start`.
fn flow_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    // Quotes and comments begin only where a value can.
    let mut previous = b'[';
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => return Some(at),
            b']' | b'}' => depth -= 1,
            b'"' | b'\'' if matches!(previous, b'[' | b'{' | b',' | b':' | b' ' | b'\n' | b'\t' | b'\r') => {
                at = quoted_end(text, at)?;
            }
            b'#' if previous.is_ascii_whitespace() => {
                while bytes.get(at + 1).is_some_and(|next| *next != b'\n') {
                    at += 1;
                }
            }
            _ => {}
        }
        previous = *bytes.get(at)?;
        at += 1;
    }
    None
}

/// The byte of the quote that closes the one at `start`.
pub(super) fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(start)?;
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            byte if byte != quote => at += 1,
            _ if quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 2,
            _ => return Some(at),
        }
    }
}

fn short_tag(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle, tag.suffix);
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(name) => format!("!!{name}"),
        None => full,
    }
}

fn too_deep(at: Pos) -> Error {
    Error::at(at, format!("nested more than {MAX_DEPTH} levels deep, which no Kubernetes object is: check the indentation"))
}

fn too_many_aliases(at: Pos) -> Error {
    Error::at(at, format!("aliases make more than {MAX_ALIASED_NODES} values of this document: write out what is meant"))
}

/// Turns the crate's markers, which count characters in one document, into places in the whole text.
struct Places<'a> {
    text: &'a str,
    base: Pos,
    /// As in [`Source`].
    added: &'a [(usize, usize)],
    ascii: bool,
    /// A character and its byte, near the last one asked for.
    index: usize,
    offset: usize,
}

impl Places<'_> {
    fn pos(&mut self, marker: Marker) -> Pos {
        let (mut column, mut offset) = (marker.col(), self.byte(marker.index()));
        for (line, spaces) in self.added.iter().take_while(|(line, _)| *line <= marker.line()) {
            let spaces = if *line == marker.line() { column.min(*spaces) } else { *spaces };
            offset = offset.saturating_sub(spaces);
            if *line == marker.line() {
                column -= spaces;
            }
        }
        Pos { line: self.base.line + marker.line().saturating_sub(1), column: column + 1, offset: self.base.offset + offset }
    }

    /// The byte of the bracket that ends at a marker: collections in block style have none.
    fn bracket_before(&mut self, end: Marker) -> Option<usize> {
        let at = self.byte(end.index()).checked_sub(1)?;
        matches!(self.text.as_bytes().get(at), Some(b'[' | b'{')).then_some(at)
    }

    fn byte(&mut self, index: usize) -> usize {
        if self.ascii {
            return index.min(self.text.len());
        }
        let (before, after) = self.text.split_at_checked(self.offset).unwrap_or((self.text, ""));
        if index >= self.index {
            let step = after.char_indices().nth(index - self.index).map_or(after.len(), |(at, _)| at);
            self.offset += step;
        } else {
            let back = self.index - index;
            self.offset = before.char_indices().rev().nth(back - 1).map_or(0, |(at, _)| at);
        }
        self.index = index;
        self.offset
    }

    /// What is wrong in a template is that it is one.
    fn marked(&self, error: Error) -> Error {
        if !self.line(error.line).contains("{{") {
            return error;
        }
        let message = "this looks like a template, not YAML: render it first (`helm template`) and lint the result".to_owned();
        Error { message, template: true, ..error }
    }

    /// The crate's error in our words.
    fn explain(&mut self, error: &ScanError) -> Error {
        let mut pos = self.pos(*error.marker()).min(self.end());
        let info = error.info();
        if info == "simple key expect ':'" {
            // Noticed when the next line, or the end, was reached.
            pos = self.last_content_before(pos);
        }
        let message = match info {
            "simple key expect ':'" => "a `:` is missing after this key, or the line is indented wrongly",
            "mapping values are not allowed in this context" => {
                "a second `: ` on this line, or a mapping where none can be: quote the value or correct the indentation"
            }
            "while parsing a block mapping, did not find expected key" => {
                "no key of the mapping above is at this indentation: correct the indentation"
            }
            "while parsing a block collection, did not find expected '-' indicator" => {
                "no element of the list above is at this indentation: correct the indentation or begin with `- `"
            }
            "while parsing a node, did not find expected node content" => {
                "a value is missing here, or a bracket above is not closed"
            }
            "block sequence entries are not allowed in this context" => {
                "a list cannot begin on the line of its key: put `- ` on the next line"
            }
            "while scanning a quoted scalar, found unexpected end of stream" => "the quotes that begin here are never closed",
            "while scanning a quoted scalar, found unexpected document indicator" => {
                "the quotes that begin before this `---` are not closed"
            }
            "while parsing a quoted scalar, found unknown escape character" => {
                "unknown escape behind `\\` in this string: write `\\\\`, or use single quotes"
            }
            "while parsing node, found unknown anchor" => "no anchor of this name stands before this alias in the document",
            "found unprintable character" => "control character, which YAML does not allow: remove it",
            "while parsing a flow mapping, did not find expected ',' or '}'" => "`,` or `}` is missing before this point",
            "while parsing a flow sequence, expected ',' or ']'" => "`,` or `]` is missing before this point",
            "misplaced bracket" => "this bracket closes nothing, or another kind of bracket is open",
            info if info.starts_with("tabs disallowed")
                || info.contains("tab cannot be used")
                || info.contains("start with a tab") =>
            {
                "a tab stands where YAML wants spaces: indent with spaces"
            }
            info if info.starts_with("unexpected character") => {
                "a plain value cannot begin with this character: put the value in quotes"
            }
            info if info.contains("indentation") || info.contains("indented") => {
                "the indentation fits nothing above it: correct it"
            }
            info => return Error::at(pos, format!("not YAML at this point: {info}")),
        };
        Error::at(pos, message)
    }

    /// Behind the last character. The crate sees the end of a text without a final newline on a line of its own.
    fn end(&self) -> Pos {
        let last = self.text.rsplit('\n').next().unwrap_or_default();
        let (lines, column) = (self.text.matches('\n').count(), last.chars().count() + 1);
        Pos { line: self.base.line + lines, column, offset: self.base.offset + self.text.len() }
    }

    /// The place of an omitted value. Where a flow mapping leaves the colon out too (`{ a }`), the crate sees it where the next thing stands.
    fn omitted(&self, key: Span, span: Span) -> Span {
        let text = self.text.get(span.start.offset.saturating_sub(self.base.offset)..).unwrap_or_default();
        if text.starts_with(['}', ',', '#', '\n', '\r']) { Span { start: key.end, end: key.end } } else { span }
    }

    fn last_content_before(&self, pos: Pos) -> Pos {
        let until = pos.offset.saturating_sub(self.base.offset).min(self.text.len());
        let before = self.text.get(..until).unwrap_or_default();
        let mut end = before.len();
        for (back, line) in before.rsplit('\n').enumerate() {
            let start = end - line.len();
            let content = line.trim_start();
            if !content.is_empty() && !content.starts_with('#') {
                let indent = line.len() - content.len();
                return Pos { line: pos.line - back, column: indent + 1, offset: self.base.offset + start + indent };
            }
            end = start.saturating_sub(1);
        }
        pos
    }

    fn line(&self, line: usize) -> &str {
        self.text.lines().nth(line.saturating_sub(self.base.line)).unwrap_or_default()
    }
}
