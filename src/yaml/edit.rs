//! Changes of single members in the author's text: bytes are inserted, replaced or taken away where the tree says they stand, everything else stays.
//!
//! Nothing here is trusted: the result is read again, and must be the old tree with exactly the changes that were asked for.

mod values;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use values::{in_brackets, in_lines, written};

use super::compose::quoted_end;
use super::{Document, Key, Node, Pos, Value, parse};
use crate::model::{Change, Edit, Scalar};

/// An edit of one document of a text, as counted by [`parse`]. The pointer starts at the document's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Counted from 0.
    pub document: usize,
    /// What to change.
    pub edit: Edit,
}

/// A text after edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text. The very same bytes where nothing was changed.
    pub text: String,
    /// Edits that were left out.
    pub refused: Vec<Refused>,
}

/// An edit that cannot be carried out in this text, though a person could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Index of the edit.
    pub edit: usize,
    /// The nearest place.
    pub at: Pos,
    /// Why, as a clause.
    pub reason: &'static str,
}

/// The edited text does not read as intended. It is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rewritten text would not say exactly what is meant")]
pub struct Mismatch;

/// Carries edits out, each on a member of its own.
pub fn edit(text: &str, edits: &[Placed]) -> Result<Edited, Mismatch> {
    let together = edit_at_once(text, edits);
    if together.is_ok() || edits.len() < 2 {
        return together;
    }
    // Neighbours may share a comma or a line: then each sees what the one before it left.
    let mut edited = Edited { text: text.to_owned(), refused: Vec::new() };
    for (at, placed) in edits.iter().enumerate() {
        let next = edit_at_once(&edited.text, std::slice::from_ref(placed))?;
        edited.text = next.text;
        edited.refused.extend(next.refused.into_iter().map(|refused| Refused { edit: at, ..refused }));
    }
    Ok(edited)
}

fn edit_at_once(text: &str, edits: &[Placed]) -> Result<Edited, Mismatch> {
    let documents = parse(text);
    let mut splices = Vec::new();
    let mut refused = Vec::new();
    let mut done = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let mine: Vec<_> = edits.iter().enumerate().filter(|(_, placed)| placed.document == index).collect();
        let (false, Ok(root)) = (mine.is_empty(), &document.root) else { continue };
        let mut shared = HashSet::new();
        find_shared(root, false, &mut shared);
        let page = Page { text, document, root, shared };
        for (at, placed) in mine {
            match page.splices(&placed.edit) {
                // Two edits of the same bytes would have to know of each other.
                Ok(new) if overlaps(&splices, &new) => return Err(Mismatch),
                Ok(new) => {
                    splices.extend(new);
                    done.push(placed);
                }
                Err((pos, reason)) => refused.push(Refused { edit: at, at: pos, reason }),
            }
        }
    }
    // Stable: what is inserted at the same place stays in the order of the edits.
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let edited = apply(text, &splices);
    if is_intended(&documents, &edited, &done) { Ok(Edited { text: edited, refused }) } else { Err(Mismatch) }
}

/// Bytes to put in the place of others.
#[derive(Debug)]
struct Splice {
    range: Range<usize>,
    text: String,
}

fn insert(at: usize, text: String) -> Splice {
    Splice { range: at..at, text }
}

fn overlaps(splices: &[Splice], new: &[Splice]) -> bool {
    let touch = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    new.iter().any(|new| splices.iter().any(|old| touch(&old.range, &new.range)))
}

fn apply(text: &str, splices: &[Splice]) -> String {
    let mut out = String::with_capacity(text.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>());
    let mut at = 0;
    for splice in splices {
        out.push_str(text.get(at..splice.range.start).unwrap_or_default());
        out.push_str(&splice.text);
        at = splice.range.end.max(at);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Whether the new text is the old documents with these edits, nothing more and nothing less.
fn is_intended(before: &[Document<'_>], text: &str, done: &[&Placed]) -> bool {
    let after = parse(text);
    let value = |document: &Document<'_>| {
        let mut json = String::new();
        document.root.as_ref().ok()?.to_json(&mut json);
        serde_json::from_str::<serde_json::Value>(&json).ok()
    };
    before.len() == after.len()
        && before.iter().zip(&after).enumerate().all(|(index, (before, after))| {
            let mut expected = value(before);
            for placed in done.iter().filter(|placed| placed.document == index) {
                expected = expected.and_then(|mut expected| placed.edit.apply(&mut expected).map(|()| expected));
            }
            match (&before.root, &after.root) {
                (Ok(_), Ok(_)) => expected == value(after) && before.duplicates.len() == after.duplicates.len(),
                (Err(before), Err(after)) => before.message == after.message,
                _ => false,
            }
        })
}

const FROM_ANCHOR: &str = "it comes from an anchor";
const SHARED: &str = "an alias repeats this value elsewhere";
const NO_MAPPING: &str = "there is no mapping to put it into";
const COMMENT: &str = "a comment would be lost";

type Refusal = (Pos, &'static str);

/// One document that is being edited.
struct Page<'t> {
    text: &'t str,
    document: &'t Document<'t>,
    root: &'t Node<'t>,
    /// First bytes of everything that also counts elsewhere, by alias or merge key.
    shared: HashSet<usize>,
}

/// An entry of a mapping that stands in the text of that mapping.
#[derive(Clone, Copy)]
struct Own<'t> {
    key: &'t Key<'t>,
    node: &'t Node<'t>,
    /// The value is an alias.
    alias: bool,
}

/// What a member becomes.
#[derive(Clone, Copy)]
enum New<'n> {
    Scalar(&'n Scalar),
    Mapping(&'n serde_json::Value),
}

impl New<'_> {
    /// On one line.
    fn inline(self, quote: Option<char>) -> String {
        match self {
            Self::Scalar(value) => written(value, quote),
            Self::Mapping(value) => in_brackets(value, quote),
        }
    }
}

impl<'t> Page<'t> {
    fn splices(&self, edit: &Edit) -> Result<Vec<Splice>, Refusal> {
        let (parent, key) = edit.split();
        let map = self.walk(parent)?;
        let start = map.span.start;
        let Some(entries) = map.as_map() else { return Err((start, NO_MAPPING)) };
        let own = own_entries(map);
        let shared = own.iter().any(|own| self.shared.contains(&own.key.span.start.offset));
        if shared || self.shared.contains(&start.offset) {
            return Err((start, SHARED));
        }
        let present = entries.iter().any(|(candidate, _)| *candidate.text == *key);
        let mine = own.iter().find(|own| *own.key.text == *key);
        match (&edit.change, mine) {
            (_, None) if present => Err((start, FROM_ANCHOR)),
            (_, Some(mine)) if mine.alias => Err((mine.key.span.start, FROM_ANCHOR)),
            (_, Some(mine)) if self.shared.contains(&mine.node.span.start.offset) => Err((mine.key.span.start, SHARED)),
            (Change::Insert(_), Some(mine)) if !mine.node.is_null() => {
                Err((mine.key.span.start, "something stands there already"))
            }
            (Change::Set(value), Some(mine)) => self.set(map, *mine, New::Scalar(value)).map(|splice| vec![splice]),
            (Change::Insert(value), Some(mine)) => self.set(map, *mine, New::Mapping(value)).map(|splice| vec![splice]),
            (Change::Set(value), None) => Ok(self.add(map, &own, &key, New::Scalar(value))),
            (Change::Insert(value), None) => Ok(self.add(map, &own, &key, New::Mapping(value))),
            (_, Some(mine)) if self.document.duplicates.iter().any(|twice| twice.last == mine.key.span) => {
                Err((mine.key.span.start, "the key is given twice"))
            }
            (Change::Remove, Some(mine)) => self.remove(map, &own, *mine).map(|splice| vec![splice]),
            (Change::Replace(with, entries), Some(mine)) => self.replace(map, *mine, with, entries).map(|splice| vec![splice]),
            (_, None) => Err((start, "it is not there")),
        }
    }

    /// The node of a pointer, as long as the way to it is written out.
    fn walk(&self, pointer: &str) -> Result<&'t Node<'t>, Refusal> {
        let mut node = self.root;
        for token in pointer.split('/').skip(1) {
            let token = super::unescape_token(token);
            node = match &node.value {
                Value::Map(_) => match own_entries(node).into_iter().find(|own| *own.key.text == *token) {
                    Some(own) if !own.alias => own.node,
                    Some(own) => return Err((own.key.span.start, FROM_ANCHOR)),
                    None if node.get(&token).is_some() => return Err((node.span.start, FROM_ANCHOR)),
                    None => return Err((node.span.start, NO_MAPPING)),
                },
                Value::Seq(items) => {
                    let index = token.parse().unwrap_or(usize::MAX);
                    let item = items.get(index).ok_or((node.span.start, NO_MAPPING))?;
                    if foreign_items(node).get(index) == Some(&true) {
                        return Err((node.span.start, FROM_ANCHOR));
                    }
                    item
                }
                _ => return Err((node.span.start, NO_MAPPING)),
            };
        }
        Ok(node)
    }

    fn set(&self, map: &Node<'_>, own: Own<'t>, value: New<'_>) -> Result<Splice, Refusal> {
        let Own { key, node, .. } = own;
        if matches!(node.value, Value::Map(_) | Value::Seq(_)) {
            return Err((key.span.start, "a list or mapping stands here"));
        }
        if self.ends_in_block(node) {
            return Err((key.span.start, "its value is a block of text"));
        }
        let omitted = node.span.start == node.span.end;
        let range = self.content(node)..if omitted { node.span.end.offset } else { self.node_end(node) };
        let old = self.text.get(range.clone()).unwrap_or_default();
        if self.text.get(node.span.start.offset..range.start).is_some_and(|properties| properties.contains('!')) {
            return Err((key.span.start, "its value has a tag"));
        }
        // A text in place of a number, where everything is in quotes: JSON.
        let json = || (self.is_flow(map) && self.quotes_key(key)).then_some('"');
        let style = if node.quoted { old.chars().next() } else { json() };
        let new = value.inline(style);
        if !old.is_empty() {
            return Ok(Splice { range, text: new });
        }
        // A value that was left out: it goes behind the colon.
        let rest = self.text.get(key.span.end.offset..).unwrap_or_default();
        match rest.find(|character: char| !character.is_whitespace()) {
            Some(at) if rest.get(at..).is_some_and(|rest| rest.starts_with(':')) => {
                Ok(insert(key.span.end.offset + at + 1, format!(" {new}")))
            }
            _ => Err((key.span.start, "its value was left out in a way that cannot be continued")),
        }
    }

    fn add(&self, map: &Node<'t>, own: &[Own<'t>], key: &str, value: New<'_>) -> Vec<Splice> {
        let last = own.iter().max_by_key(|own| own.key.span.start.offset);
        let quoted = last.is_some_and(|last| self.quotes_key(last.key));
        let key = if quoted { written(&key.into(), Some('"')) } else { key.to_owned() };
        let entry = |separator: &str| {
            let value = value.inline((quoted && self.is_flow(map)).then_some('"'));
            [&key, separator, &value].concat()
        };
        if self.is_flow(map) {
            return self.add_in_brackets(map, own, quoted, entry);
        }
        // Without an entry of its own, the mapping has a merge key.
        let merge = || self.text.get(map.span.start.offset..).and_then(|text| text.find("<<")).unwrap_or_default();
        let first = last.map_or_else(|| map.span.start.offset + merge(), |last| last.key.span.start.offset);
        let indent = self.indent(first);
        let text = match value {
            New::Scalar(_) => entry(": "),
            New::Mapping(value) => {
                let line = [self.newline(first), &indent].concat();
                [&key, ":", &in_lines(value, &line, quoted.then_some('"'))].concat()
            }
        };
        if let Some(last) = last.filter(|last| self.ends_in_block(last.node)) {
            // Where a block of text ends depends on what follows it. What stands before its mapping cannot matter.
            return vec![insert(last.key.span.start.offset, [&text, self.newline(0), &indent].concat())];
        }
        let end = last.map_or(first, |last| self.end(*last));
        let end = self.last_line(end, indent.len());
        vec![insert(end, [self.newline(end), &indent, &text].concat())]
    }

    fn add_in_brackets(&self, map: &Node<'t>, own: &[Own<'t>], quoted: bool, entry: impl Fn(&str) -> String) -> Vec<Splice> {
        let close = self.bracket_end(map).saturating_sub(1);
        let Some(last) = own.iter().max_by_key(|own| own.key.span.start.offset) else {
            // Nothing, or only merged entries.
            let inner = self.text.get(map.span.start.offset..close).unwrap_or_default();
            let end = map.span.start.offset + inner.trim_end().len();
            let empty = inner.trim_end().ends_with('{');
            return vec![insert(end, [if empty { " " } else { ", " }, &entry(": "), if empty { " " } else { "" }].concat())];
        };
        let colon = self.text.get(last.key.span.end.offset..last.node.span.start.offset).unwrap_or_default();
        let colon = if quoted && colon.starts_with(':') && colon.trim_end_matches(' ') == ":" { colon } else { ": " };
        let text = entry(colon);
        let end = self.end(*last);
        let mut between = end;
        // A comma may stand there already, behind comments too.
        let comma = loop {
            let rest = self.text.get(between..).unwrap_or_default();
            let skipped = rest.len() - rest.trim_start().len();
            between += skipped;
            match rest.trim_start().chars().next() {
                Some('#') if skipped > 0 => between += rest.trim_start().find('\n').unwrap_or(rest.trim_start().len()),
                next => break next == Some(','),
            }
        };
        let after = if comma { between + 1 } else { end };
        let line = self.line_before(last.key.span.start.offset);
        if line.trim().is_empty() && last.key.span.start.line > map.span.start.line {
            // One entry per line.
            let mut at = self.line_end(after);
            if at >= close {
                at = after;
            }
            let text = [self.newline(at), line, &text, if comma { "," } else { "" }].concat();
            return if comma { vec![insert(at, text)] } else { vec![insert(end, ",".to_owned()), insert(at, text)] };
        }
        let gap = if colon == ":" { "" } else { " " };
        if comma { vec![insert(after, [gap, &text, ","].concat())] } else { vec![insert(end, [",", gap, &text].concat())] }
    }

    fn remove(&self, map: &Node<'t>, own: &[Own<'t>], mine: Own<'t>) -> Result<Splice, Refusal> {
        let at = mine.key.span.start;
        let mut sorted = own.to_vec();
        sorted.sort_by_key(|own| own.key.span.start.offset);
        let place = sorted.iter().position(|own| own.key.span == mine.key.span).unwrap_or_default();
        let (before, after) = (place.checked_sub(1).and_then(|at| sorted.get(at)), sorted.get(place + 1));
        if before.is_none() && after.is_none() {
            return Err((at, "nothing would remain of its mapping"));
        }
        let end = self.end(mine);
        if self.is_flow(map) {
            let range = match (after, before) {
                (Some(after), _) => at.offset..after.key.span.start.offset,
                (None, Some(before)) => self.end(*before)..end,
                (None, None) => at.offset..end,
            };
            let gone = self.text.get(range.clone()).unwrap_or_default();
            let inside = self.text.get(at.offset..end).unwrap_or_default();
            let comments = gone.replacen(inside, "", 1).contains('#') || inside.contains('\n');
            return if comments { Err((at, COMMENT)) } else { Ok(Splice { range, text: String::new() }) };
        }
        let line = self.line_before(at.offset);
        if self.ends_in_block(mine.node) || self.text.get(at.offset..end).is_none_or(|gone| gone.contains('\n')) {
            return Err((at, "its value spans several lines"));
        }
        if line.trim().is_empty() {
            let start = at.offset - line.len();
            let end = self.line_end(end);
            let rest = self.text.get(end..).unwrap_or_default();
            let newline = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
            if newline == 0 {
                // The last line of a text without a final newline: the one before it goes.
                let before = self.text.get(..start).unwrap_or_default();
                return Ok(Splice { range: before.trim_end_matches(['\n', '\r']).len()..end, text: String::new() });
            }
            return Ok(Splice { range: start..end + newline, text: String::new() });
        }
        // The first entry of a list's element: the next one moves up behind the dash.
        match after {
            Some(after) if self.text.get(end..after.key.span.start.offset).is_some_and(|gap| gap.trim().is_empty()) => {
                Ok(Splice { range: at.offset..after.key.span.start.offset, text: String::new() })
            }
            _ => Err((at, COMMENT)),
        }
    }

    fn replace(&self, map: &Node<'t>, mine: Own<'t>, key: &str, entries: &[(&str, Scalar)]) -> Result<Splice, Refusal> {
        let at = mine.key.span.start;
        let (start, end) = (at.offset, self.end(mine));
        let old = self.text.get(start..end).unwrap_or_default();
        if self.ends_in_block(mine.node) {
            return Err((at, "it ends in a block of text"));
        }
        if has_comment(old) {
            return Err((at, COMMENT));
        }
        let quoted = self.quotes_key(mine.key);
        let name = |key: &str| if quoted { written(&key.into(), Some('"')) } else { key.to_owned() };
        let style = (quoted && self.is_flow(map)).then_some('"');
        let pairs: Vec<_> = entries.iter().map(|(key, value)| format!("{}: {}", name(key), written(value, style))).collect();
        let block = !self.is_flow(map) && mine.node.span.start.line > at.line;
        let text = if block {
            let outer = self.indent(start);
            let inner = mine.node.as_map().and_then(<[_]>::first).map_or(0, |(key, _)| key.span.start.column);
            let step = inner.checked_sub(at.column).filter(|step| *step > 0).unwrap_or(2);
            let inner = format!("{}{outer}{:step$}", self.newline(end), "");
            let lines: String = pairs.iter().map(|pair| [&*inner, pair].concat()).collect();
            format!("{}:{lines}", name(key))
        } else {
            format!("{}: {{ {} }}", name(key), pairs.join(", "))
        };
        let end = if block { self.last_line(end, self.indent(start).len()) } else { end };
        if self.text.get(start..end).is_none_or(has_comment) {
            return Err((at, COMMENT));
        }
        Ok(Splice { range: start..end, text })
    }

    /// Just behind the last byte of an entry, without a comment on the same line.
    fn end(&self, own: Own<'_>) -> usize {
        let Own { key, node, alias } = own;
        let key_end = key.span.end.offset;
        if alias {
            let rest = self.text.get(key_end..).unwrap_or_default();
            let star = rest.find('*').unwrap_or(0);
            let name = rest.get(star..).unwrap_or_default();
            let length = name.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(name.len());
            return key_end + star + length;
        }
        self.node_end(node).max(key_end)
    }

    fn node_end(&self, node: &Node<'_>) -> usize {
        let end = node.span.end.offset;
        match &node.value {
            Value::Map(_) | Value::Seq(_) if self.opens_bracket(node) => self.bracket_end(node),
            Value::Map(_) => {
                own_entries(node).into_iter().max_by_key(|own| own.key.span.start.offset).map_or(end, |last| self.end(last))
            }
            Value::Seq(items) => {
                let foreign = foreign_items(node);
                let last =
                    items.iter().zip(&foreign).filter(|(_, foreign)| !**foreign).map(|(item, _)| self.node_end(item)).max();
                // What an alias as the last element looks like is not known: the line tells.
                last.unwrap_or(node.span.start.offset)
            }
            // An omitted value ends where its key does; the colon is still to come.
            Value::Null if node.span.start == node.span.end => {
                let rest = self.text.get(end..).unwrap_or_default();
                end + usize::from(rest.starts_with(':'))
            }
            _ if self.ends_in_block(node) => end,
            // The tree may see the end of a text in quotes where the next thing begins, behind comments.
            _ if node.quoted => quoted_end(self.text, self.content(node)).map_or(end, |quote| quote + 1),
            _ => end,
        }
    }

    /// Just behind the bracket that closes a collection. The tree's own end of it may lie behind comments, or before a last comma.
    fn bracket_end(&self, node: &Node<'_>) -> usize {
        let inner = match &node.value {
            Value::Map(_) => own_entries(node).into_iter().map(|own| self.end(own)).max(),
            Value::Seq(items) => {
                let own = items.iter().zip(foreign_items(node)).filter(|(_, foreign)| !foreign);
                own.map(|(item, _)| self.node_end(item)).max()
            }
            _ => None,
        };
        let mut at = inner.unwrap_or_else(|| self.content(node) + 1);
        // What is left: commas, comments, aliases and merge keys.
        let (mut depth, mut previous) = (0_usize, b' ');
        while let Some(byte) = self.text.as_bytes().get(at) {
            match byte {
                b'#' if previous.is_ascii_whitespace() => at = self.line_end(at),
                b'[' | b'{' => depth += 1,
                b']' | b'}' if depth == 0 => return at + 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            previous = *byte;
            at += 1;
        }
        node.span.end.offset
    }

    /// The end of the last line, without its newline, that continues what ends at `end`: every line that is indented more than `indent`, comments too, and
    /// elements of a list that is indented as its key.
    fn last_line(&self, end: usize, indent: usize) -> usize {
        let mut last = self.line_end(end);
        let mut at = last;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let Some(newline) = rest.find('\n') else { return last };
            at += newline + 1;
            let stop = self.line_end(at);
            let line = self.text.get(at..stop).unwrap_or_default();
            let content = line.trim_start();
            let width = line.len() - content.len();
            if content.is_empty() || (content.starts_with('#') && width <= indent) {
                continue;
            }
            let item = width == indent && (content == "-" || content.starts_with("- "));
            if width <= indent && !item {
                return last;
            }
            last = stop;
        }
    }

    /// Whether the last thing in a value is a block of text (`|`, `>`).
    fn ends_in_block(&self, node: &Node<'_>) -> bool {
        if self.opens_bracket(node) {
            return false;
        }
        match &node.value {
            Value::Map(_) => own_entries(node)
                .into_iter()
                .max_by_key(|own| own.key.span.start.offset)
                .is_some_and(|last| !last.alias && self.ends_in_block(last.node)),
            Value::Seq(items) => items.last().is_some_and(|item| self.ends_in_block(item)),
            _ => node.quoted && self.is_block_scalar(node),
        }
    }

    /// The place of a block of text is that of its first line, or of its anchor or tag.
    fn is_block_scalar(&self, node: &Node<'_>) -> bool {
        let content = self.content(node);
        if content > node.span.start.offset && self.text.get(content..).is_some_and(|text| text.starts_with(['|', '>'])) {
            return true;
        }
        let before = self.text.get(..node.span.start.offset).unwrap_or_default();
        let head = before.trim_end();
        let line = head.rsplit('\n').next().unwrap_or_default();
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let header = line.trim_end_matches(|character: char| matches!(character, '-' | '+') || character.is_ascii_digit());
        before.get(head.len()..).is_some_and(|gap| gap.contains('\n'))
            && [" |", " >", "\t|", "\t>"].iter().any(|ending| header.ends_with(ending))
    }

    /// Where a value begins behind its anchor and tag.
    fn content(&self, node: &Node<'_>) -> usize {
        let mut at = node.span.start.offset;
        loop {
            let rest = self.text.get(at..node.span.end.offset).unwrap_or_default();
            if !rest.starts_with(['&', '!']) {
                return at;
            }
            let property = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let after = rest.get(property..).unwrap_or_default();
            at += property + (after.len() - after.trim_start().len());
        }
    }

    fn is_flow(&self, map: &Node<'_>) -> bool {
        self.opens_bracket(map)
    }

    fn opens_bracket(&self, node: &Node<'_>) -> bool {
        let content = self.content(node);
        let opens = |bracket| self.text.as_bytes().get(content) == Some(&bracket);
        match &node.value {
            Value::Map(_) => opens(b'{'),
            // A list of dashes begins where its first element does.
            Value::Seq(items) => {
                opens(b'[') && items.first().is_none_or(|first| first.span.start.offset != node.span.start.offset)
            }
            _ => false,
        }
    }

    fn quotes_key(&self, key: &Key<'_>) -> bool {
        self.text.get(key.span.start.offset..).is_some_and(|text| text.starts_with('"'))
    }

    /// What stands on the line before a byte.
    fn line_before(&self, at: usize) -> &'t str {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(before, |newline| before.get(newline + 1..).unwrap_or_default());
        line.trim_start_matches('\u{feff}')
    }

    /// White space that is as wide as what stands before a byte on its line.
    fn indent(&self, at: usize) -> String {
        self.line_before(at).chars().map(|character| if character == '\t' { '\t' } else { ' ' }).collect()
    }

    /// The end of the line that a byte is on, before its newline.
    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        at + if line.len() < rest.len() { line.strip_suffix('\r').unwrap_or(line).len() } else { line.len() }
    }

    /// The newline at a place, or, where none is, the one that the text uses.
    fn newline(&self, at: usize) -> &'static str {
        let rest = self.text.get(at..).unwrap_or_default();
        let crlf = if rest.starts_with('\n') { false } else { rest.starts_with("\r\n") || self.text.contains("\r\n") };
        if crlf { "\r\n" } else { "\n" }
    }
}

/// The entries that stand in the mapping's own text, in its order. Merged ones stand earlier: before the mapping, or within another entry.
fn own_entries<'t>(map: &'t Node<'t>) -> Vec<Own<'t>> {
    let mut entries: Vec<_> = map.as_map().unwrap_or_default().iter().collect();
    entries.sort_by_key(|(key, _)| key.span.start.offset);
    let mut end = map.span.start.offset;
    let mut own = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        if key.span.start.offset < end {
            continue;
        }
        let alias = node.span.start.offset < key.span.end.offset;
        end = if alias { key.span.end.offset } else { node.span.end.offset.max(key.span.end.offset) };
        own.push(Own { key, node, alias });
    }
    own
}

/// For each element of a list, whether it is an alias.
fn foreign_items(list: &Node<'_>) -> Vec<bool> {
    let mut end = list.span.start.offset;
    let mut foreign = Vec::new();
    for item in list.as_seq().unwrap_or_default() {
        let alias = item.span.start.offset < end;
        if !alias {
            end = item.span.end.offset;
        }
        foreign.push(alias);
    }
    foreign
}

/// Notes where everything begins that is reached through an alias or a merge key.
fn find_shared(node: &Node<'_>, foreign: bool, shared: &mut HashSet<usize>) {
    if foreign {
        shared.insert(node.span.start.offset);
    }
    match &node.value {
        Value::Map(entries) => {
            let own: HashMap<_, _> = own_entries(node).into_iter().map(|own| (own.key.span.start.offset, own.alias)).collect();
            for (key, value) in entries {
                let alias = own.get(&key.span.start.offset).copied();
                if foreign || alias.is_none() {
                    shared.insert(key.span.start.offset);
                }
                find_shared(value, foreign || alias.unwrap_or(true), shared);
            }
        }
        Value::Seq(items) => {
            for (item, alias) in items.iter().zip(foreign_items(node)) {
                find_shared(item, foreign || alias, shared);
            }
        }
        _ => {}
    }
}

/// Whether there may be a comment in a piece of YAML. Some texts only look as if.
fn has_comment(text: &str) -> bool {
    text.contains(" #") || text.contains("\t#") || text.contains("\n#")
}

#[cfg(test)]
mod tests;
