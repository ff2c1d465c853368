//! A script's words and operators. Quotes are taken off by `shell-words`, word by word; what it does not know is found here before.

use super::shell::{EXPANSION, Expansion, MAX_DEPTH, NAME_CLOSE, NAME_OPEN, Word, argument};

#[derive(Debug)]
pub(super) enum Token {
    Word(Word),
    Operator(&'static str),
}

struct Lexer<'s> {
    text: &'s str,
    at: usize,
    here_documents: Vec<String>,
    expects_delimiter: bool,
}

/// Longest first.
const OPERATORS: [&str; 20] =
    ["&>>", "<<-", "<<<", "&&", "||", ";;", "|&", "&>", ">>", "<<", "<>", ">&", "<&", ">|", ";", "|", "&", "<", ">", "("];

/// `None` when a quote, an expansion or a here document does not end.
pub(super) fn tokens(script: &str) -> Option<Vec<Token>> {
    Lexer { text: script, at: 0, here_documents: Vec::new(), expects_delimiter: false }.tokens()
}

impl Lexer<'_> {
    fn tokens(mut self) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Some(tokens) };
            match first {
                ' ' | '\t' | '\r' => self.at += 1,
                '\n' => {
                    self.at += 1;
                    self.skip_here_documents();
                    tokens.push(Token::Operator("\n"));
                }
                '\\' if rest[1..].starts_with('\n') => self.at += 2,
                '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
                ')' => {
                    self.at += 1;
                    tokens.push(Token::Operator(")"));
                }
                '<' | '>' if rest[1..].starts_with('(') => tokens.push(Token::Word(self.word()?)),
                '(' if rest.starts_with("((") => {
                    let end = rest.find("))")?;
                    self.at += end + 2;
                    tokens.push(Token::Word(Word { expansions: vec![Expansion::Other], ..Word::plain(&EXPANSION.to_string()) }));
                }
                '&' | '|' | ';' | '<' | '>' | '(' => {
                    let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator))?;
                    self.at += operator.len();
                    // A number right before a redirection is its file descriptor.
                    if operator.contains(['<', '>'])
                        && !operator.starts_with('&')
                        && let Some(Token::Word(word)) = tokens.last()
                        && !word.quoted
                        && !word.text.is_empty()
                        && word.text.bytes().all(|byte| byte.is_ascii_digit())
                        && self.text[..self.at - operator.len()].ends_with(|c: char| c.is_ascii_digit())
                    {
                        tokens.pop();
                    }
                    self.expects_delimiter = matches!(operator, "<<" | "<<-");
                    tokens.push(Token::Operator(operator));
                }
                _ => {
                    let word = self.word()?;
                    if std::mem::take(&mut self.expects_delimiter) {
                        self.here_documents.push(word.text.clone());
                    }
                    tokens.push(Token::Word(word));
                }
            }
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_here_documents(&mut self) {
        for delimiter in std::mem::take(&mut self.here_documents) {
            while self.at < self.text.len() {
                let line_end = self.rest().find('\n').map_or(self.text.len(), |end| self.at + end);
                let line = self.text[self.at..line_end].trim_matches(['\t', '\r']);
                self.at = (line_end + 1).min(self.text.len());
                if line == delimiter {
                    break;
                }
            }
        }
    }

    /// Reads one word. `raw` keeps the quotes; `shell-words` takes them off at the end.
    fn word(&mut self) -> Option<Word> {
        let mut raw = String::new();
        let mut word = Word::default();
        while let Some(c) = self.rest().chars().next() {
            match c {
                '<' | '>' if self.rest()[1..].starts_with('(') => {
                    self.at += 1;
                    let end = skip_parentheses(self.text, self.at + 1, 0)?;
                    word.expansions.push(Expansion::Command(self.text[self.at + 1..end - 1].to_owned()));
                    raw.push(EXPANSION);
                    self.at = end;
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    let escaped = self.rest()[1..].chars().next();
                    self.at += 1 + escaped.map_or(0, char::len_utf8);
                    match escaped {
                        Some('\n') => {}
                        Some(escaped) => {
                            word.quoted = true;
                            raw.push('\\');
                            raw.push(escaped);
                        }
                        None => return None,
                    }
                }
                '\'' => {
                    word.quoted = true;
                    raw.push('\'');
                    self.at += 1;
                    let end = self.at + self.rest().find('\'')?;
                    self.quoted_text(end, &mut raw, &mut word);
                    raw.push('\'');
                    self.at = end + 1;
                }
                '"' => {
                    word.quoted = true;
                    raw.push('"');
                    self.at += 1;
                    self.double_quoted(&mut raw, &mut word)?;
                    raw.push('"');
                }
                '$' | '`' | NAME_OPEN => self.expansion(&mut raw, &mut word, false)?,
                c => {
                    raw.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        word.text = if raw.contains(['\'', '"', '\\']) {
            let mut words = shell_words::split(&raw).ok()?;
            if words.len() > 1 {
                return None;
            }
            words.pop().unwrap_or_default()
        } else {
            raw
        };
        // An escaped or quoted stand-in cannot occur: the input has none.
        (word.text.matches(EXPANSION).count() == word.expansions.len()).then_some(word)
    }

    /// Single-quoted text up to `end`, in which only names that are expanded before the shell matter.
    fn quoted_text(&mut self, end: usize, raw: &mut String, word: &mut Word) {
        let inner = argument(&self.text[self.at..end]);
        raw.push_str(&inner.text);
        word.expansions.extend(inner.expansions);
    }

    fn double_quoted(&mut self, raw: &mut String, word: &mut Word) -> Option<()> {
        loop {
            let c = self.rest().chars().next()?;
            match c {
                '"' => {
                    self.at += 1;
                    return Some(());
                }
                '\\' => {
                    let escaped = self.rest()[1..].chars().next()?;
                    self.at += 1 + escaped.len_utf8();
                    raw.push('\\');
                    raw.push(escaped);
                }
                '$' | '`' | NAME_OPEN => self.expansion(raw, word, true)?,
                c => {
                    raw.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// At a `$`, a backtick or a name.
    fn expansion(&mut self, raw: &mut String, word: &mut Word, quoted: bool) -> Option<()> {
        let rest = self.rest();
        let (expansion, length) = if let Some(after) = rest.strip_prefix(NAME_OPEN) {
            let name = &after[..after.find(NAME_CLOSE)?];
            let length = NAME_OPEN.len_utf8() + name.len() + NAME_CLOSE.len_utf8();
            (Expansion::Variable { name: name.to_owned(), quoted }, length)
        } else if rest.starts_with('`') {
            let end = skip_to('`', self.text, self.at + 1)?;
            (Expansion::Command(self.text[self.at + 1..end - 1].replace("\\`", "`").replace("\\$", "$")), end - self.at)
        } else if rest.starts_with("$((") {
            (Expansion::Other, skip_parentheses(self.text, self.at + 2, 0)? - self.at)
        } else if rest.starts_with("$(") {
            let end = skip_parentheses(self.text, self.at + 2, 0)?;
            (Expansion::Command(self.text[self.at + 2..end - 1].to_owned()), end - self.at)
        } else if rest.starts_with("${") {
            let end = skip_braces(self.text, self.at + 2, 0)?;
            (parameter(&self.text[self.at + 2..end - 1], quoted), end - self.at)
        } else if rest.starts_with("$'") && !quoted {
            (Expansion::Other, skip_to('\'', self.text, self.at + 2)? - self.at)
        } else if rest.starts_with("$\"") && !quoted {
            self.at += 1;
            return Some(());
        } else {
            let name_length = rest[1..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let name = &rest[1..=name_length];
            match name.bytes().next() {
                Some(digit) if digit.is_ascii_digit() => (Expansion::Other, 2),
                Some(_) => (Expansion::Variable { name: name.to_owned(), quoted }, 1 + name_length),
                None if rest[1..].starts_with(['?', '$', '!', '#', '@', '*', '-']) => (Expansion::Other, 2),
                None => {
                    // A lone `$` is itself.
                    raw.push_str(if quoted { "\\$" } else { "'$'" });
                    self.at += 1;
                    return Some(());
                }
            }
        };
        raw.push(EXPANSION);
        word.expansions.push(expansion);
        self.at += length;
        Some(())
    }
}

/// The inside of `${...}`.
fn parameter(inside: &str, quoted: bool) -> Expansion {
    let length = inside.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let (name, rest) = inside.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Expansion::Other;
    }
    match rest.strip_prefix(':').unwrap_or(rest).chars().next() {
        None | Some('-' | '=') => Expansion::Variable { name: name.to_owned(), quoted },
        Some('?') => Expansion::Abort,
        Some(_) => Expansion::Other,
    }
}

/// The place after the unescaped `end`.
fn skip_to(end: char, text: &str, from: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return Some(from + at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// The place after the `)` that closes what was opened before `from`.
fn skip_parentheses(text: &str, from: usize, depth: usize) -> Option<usize> {
    skip_nested(text, from, depth, '(', ')')
}

/// The place after the `}` that closes what was opened before `from`.
fn skip_braces(text: &str, from: usize, depth: usize) -> Option<usize> {
    skip_nested(text, from, depth, '{', '}')
}

fn skip_nested(text: &str, from: usize, depth: usize, open: char, close: char) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let bytes = text.as_bytes();
    let mut at = from;
    let mut level = 1_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\'' => at += 1 + text.get(at + 1..)?.find('\'')?,
            b'"' => at = skip_double_quoted(text, at + 1, depth + 1)? - 1,
            b'`' => at = skip_to('`', text, at + 1)? - 1,
            byte if byte == open as u8 => level += 1,
            byte if byte == close as u8 => {
                level -= 1;
                if level == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn skip_double_quoted(text: &str, from: usize, depth: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return Some(at + 1),
            b'`' => at = skip_to('`', text, at + 1)? - 1,
            b'$' if bytes.get(at + 1) == Some(&b'(') => at = skip_parentheses(text, at + 2, depth + 1)? - 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => at = skip_braces(text, at + 2, depth + 1)? - 1,
            _ => {}
        }
        at += 1;
    }
    None
}
