//! JSON text with positions. `kubectl` tries JSON before YAML; the two differ (surrogate pairs, tabs, several objects in a row), so do we.

use std::borrow::Cow;

use serde_json::Number;

use super::{Document, Duplicate, Key, MAX_DEPTH, Node, Pos, Span, Value, compose::Entries, scalar};

/// One JSON object after another, or `None` where the text is anything else.
pub(super) fn stream(text: &str, base: Pos) -> Option<Vec<Document<'_>>> {
    let mut reader = Reader::new(text, base)?;
    let mut documents = Vec::new();
    while reader.peek().is_some() {
        documents.push(reader.document()?);
    }
    Some(documents)
}

/// Exactly one JSON object, or `None` where the text is anything else.
pub(super) fn single(text: &str, base: Pos) -> Option<Document<'_>> {
    let mut reader = Reader::new(text, base)?;
    let document = reader.document()?;
    reader.peek().is_none().then_some(document)
}

/// Appends a string in quotes.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|character: char| matches!(character, '"' | '\\') || character < ' ') {
        let (clean, special) = rest.split_at(at);
        out.push_str(clean);
        let mut characters = special.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\t') => out.push_str("\\t"),
            Some('\r') => out.push_str("\\r"),
            Some(other) => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.push(char::from_digit(u32::from(other) >> shift & 0xf, 16).unwrap_or('0'));
                }
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Every method returns `None` at the first thing that is not JSON: the text is then read as YAML, which also words the error.
struct Reader<'a> {
    text: &'a str,
    /// Bytes from the beginning of `text`.
    at: usize,
    base: Pos,
    line: usize,
    /// Where the current line begins, as `at`.
    line_start: usize,
    /// Columns are bytes, which saves counting characters.
    ascii: bool,
    /// A place on the current line and the characters before it: files of one line are not counted from its beginning again and again.
    counted: (usize, usize),
    duplicates: Vec<Duplicate>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, base: Pos) -> Option<Self> {
        text.trim_start().starts_with('{').then(|| Self {
            text,
            at: 0,
            base,
            line: base.line,
            line_start: 0,
            ascii: text.is_ascii(),
            counted: (0, 0),
            duplicates: Vec::new(),
        })
    }

    fn document(&mut self) -> Option<Document<'a>> {
        self.peek()?;
        let root = self.value(0)?;
        matches!(root.value, Value::Map(_)).then(|| Document { root: Ok(root), duplicates: std::mem::take(&mut self.duplicates) })
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let first = self.peek()?;
        let start = self.pos();
        let mut quoted = false;
        let value = match first {
            b'{' => self.map(depth)?,
            b'[' => self.seq(depth)?,
            b'"' => {
                quoted = true;
                Value::String(self.string()?)
            }
            b't' => self.word("true", Value::Bool(true))?,
            b'f' => self.word("false", Value::Bool(false))?,
            b'n' => self.word("null", Value::Null)?,
            _ => Value::Number(self.number()?),
        };
        Some(Node { value, span: Span { start, end: self.pos() }, quoted })
    }

    fn map(&mut self, depth: usize) -> Option<Value<'a>> {
        self.eat(b'{')?;
        let mut entries = Entries::default();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Value::Map(Vec::new()));
        }
        loop {
            self.peek()?;
            let start = self.pos();
            let text = self.string()?;
            let key = Key { text, span: Span { start, end: self.pos() } };
            self.eat(b':')?;
            let node = self.value(depth + 1)?;
            self.duplicates.extend(entries.insert(key, node));
            if self.peek()? != b',' {
                self.eat(b'}')?;
                return Some(Value::Map(entries.into_vec()));
            }
            self.at += 1;
        }
    }

    fn seq(&mut self, depth: usize) -> Option<Value<'a>> {
        self.eat(b'[')?;
        let mut items = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Value::Seq(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.peek()? != b',' {
                self.eat(b']')?;
                return Some(Value::Seq(items));
            }
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.eat(b'"')?;
        let mut escaped = false;
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if escaped {
            // Rare, and full of cases: the JSON crate knows them.
            serde_json::from_str(self.text.get(start..self.at)?).ok().map(Cow::Owned)
        } else {
            self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
        }
    }

    fn number(&mut self) -> Option<Number> {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at)?;
        let number: Number = serde_json::from_str(text).ok()?;
        if number.is_f64() { scalar::number(text.parse().ok()?) } else { Some(number) }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())?;
        Some(value)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The next byte that is not white space, which is then the current one.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn pos(&mut self) -> Pos {
        let column = if self.ascii {
            self.at - self.line_start
        } else {
            let (from, before) = if self.counted.0 >= self.line_start { self.counted } else { (self.line_start, 0) };
            before + self.text.get(from..self.at).unwrap_or_default().chars().count()
        };
        self.counted = (self.at, column);
        Pos { line: self.line, column: column + 1, offset: self.base.offset + self.at }
    }
}
