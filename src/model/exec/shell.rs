//! Shell scripts as far as probes need them: lists, pipelines, compound commands, redirections, substitutions. Nothing is evaluated.
//!
//! Quotes are taken off by `shell-words`, word by word; what it does not know (operators, expansions) is found here before.

/// Scripts longer than this are not read: a probe is a few lines.
const MAX_SCRIPT_BYTES: usize = 8 * 1024;

/// Compound commands and substitutions nested deeper than this are not read, so that no script can exhaust the stack.
const MAX_DEPTH: usize = 12;

/// Stands for an expansion in a word's text, in order.
pub(super) const EXPANSION: char = '\u{E000}';
/// Stands for this pod's own name or address.
pub(super) const OWN: char = '\u{E002}';
/// Stands for a value that is not known.
pub(super) const UNKNOWN: char = '\u{E003}';
/// Stands for a value that is set in another object.
pub(super) const SETTING: char = '\u{E004}';
/// Opens and closes the name of a variable that is expanded before a shell sees the text, so whatever its quotes.
pub(super) const NAME_OPEN: char = '\u{E005}';
pub(super) const NAME_CLOSE: char = '\u{E006}';

/// Whether a text contains one of the stand-ins: such a text is not read at all.
pub(super) fn has_stand_in(text: &str) -> bool {
    // All of them begin with the byte 0xEE, which is rare: the common text is checked by bytes alone.
    text.as_bytes().contains(&0xEE) && text.contains(|c| ('\u{E000}'..='\u{E00F}').contains(&c))
}

/// The statements of a script in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) lists: Vec<List>,
}

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct List {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Joint, Pipeline)>,
    pub(super) background: bool,
}

impl List {
    pub(super) fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        std::iter::once(&self.first).chain(self.rest.iter().map(|(_, pipeline)| pipeline))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    And,
    Or,
}

/// Commands joined by `|`.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) form: Form,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Debug)]
pub(super) enum Form {
    /// Assignments, program and arguments.
    Simple(Vec<Word>),
    /// A compound command; words are those of `for`, `case` and `[[`, and the name of a function.
    Compound { kind: Compound, words: Vec<Word>, bodies: Vec<Script> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compound {
    Group,
    Subshell,
    If,
    Loop,
    Case,
    Function,
    Test,
}

/// A redirection. Here-documents are skipped; their delimiter is the target.
#[derive(Debug)]
pub(super) struct Redirect {
    /// Whether output goes there.
    pub(super) output: bool,
    pub(super) target: Word,
}

/// A word without its quotes; each expansion is an [`EXPANSION`] in the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) expansions: Vec<Expansion>,
    /// Whether any part was quoted: such a word is never a keyword.
    quoted: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Expansion {
    /// `$NAME`, `${NAME}`, `${NAME:-...}`.
    Variable { name: String, quoted: bool },
    /// `$(...)` or backticks.
    Command(String),
    /// Arithmetic, `$1`, `${NAME#...}`, `$'...'`.
    Other,
    /// `${NAME:?}`: may end the shell.
    Abort,
}

impl Word {
    pub(super) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), expansions: Vec::new(), quoted: true }
    }

    /// The text, if nothing in it is expanded.
    pub(super) fn literal(&self) -> Option<&str> {
        self.expansions.is_empty().then_some(&*self.text)
    }

    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

/// Reads a script; `None` when it is too long, too deep, or not understood.
pub(super) fn parse(script: &str) -> Option<Script> {
    parse_at(script, 0)
}

/// As [`parse`], for a script inside another.
pub(super) fn parse_at(script: &str, depth: usize) -> Option<Script> {
    if script.len() > MAX_SCRIPT_BYTES || depth > MAX_DEPTH {
        return None;
    }
    let tokens = Lexer { text: script, at: 0, here_documents: Vec::new(), expects_delimiter: false }.tokens()?;
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth };
    let parsed = parser.script()?;
    parser.tokens.peek().is_none().then_some(parsed)
}

/// One argument that no shell sees: only [`NAME_OPEN`] stands for something in it.
pub(super) fn argument(text: &str) -> Word {
    let mut word = Word { quoted: true, ..Word::default() };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(NAME_OPEN) {
        let (name, after) = after.split_once(NAME_CLOSE).unwrap_or((after, ""));
        word.text.push_str(before);
        word.text.push(EXPANSION);
        word.expansions.push(Expansion::Variable { name: name.to_owned(), quoted: true });
        rest = after;
    }
    word.text.push_str(rest);
    word
}

#[derive(Debug)]
enum Token {
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

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

/// Words that end a script inside a compound command.
const CLOSERS: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    fn script(&mut self) -> Option<Script> {
        let mut script = Script::default();
        loop {
            while self.take_operator(&["\n", ";"]).is_some() {}
            match self.tokens.peek() {
                None | Some(Token::Operator(")" | ";;")) => return Some(script),
                Some(Token::Word(word)) if CLOSERS.into_iter().any(|closer| word.is(closer)) => return Some(script),
                _ => {}
            }
            let first = self.pipeline()?;
            let mut list = List { first, rest: Vec::new(), background: false };
            while let Some(operator) = self.take_operator(&["&&", "||"]) {
                self.skip_newlines();
                let joint = if operator == "&&" { Joint::And } else { Joint::Or };
                list.rest.push((joint, self.pipeline()?));
            }
            list.background = self.take_operator(&["&"]).is_some();
            let background = list.background;
            script.lists.push(list);
            match self.tokens.peek() {
                None | Some(Token::Operator(")" | ";;" | "\n" | ";")) => {}
                Some(Token::Word(_)) if background => {}
                _ => return None,
            }
        }
    }

    fn pipeline(&mut self) -> Option<Pipeline> {
        let mut negated = false;
        while let Some(Token::Word(word)) = self.tokens.peek()
            && (word.is("!") || word.is("time"))
        {
            negated ^= word.is("!");
            self.tokens.next();
        }
        let mut commands = vec![self.command()?];
        while self.take_operator(&["|", "|&"]).is_some() {
            self.skip_newlines();
            commands.push(self.command()?);
        }
        Some(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Option<Command> {
        let form = self.form()?;
        let mut command = Command { form, redirects: Vec::new() };
        loop {
            if let Some(redirect) = self.redirect()? {
                command.redirects.push(redirect);
                continue;
            }
            let Form::Simple(words) = &mut command.form else { break };
            match self.tokens.peek() {
                Some(Token::Word(_)) => words.push(self.next_word()?),
                Some(Token::Operator("(")) if words.len() == 1 => {
                    // name() compound
                    self.tokens.next();
                    self.take_operator(&[")"])?;
                    self.skip_newlines();
                    let name = std::mem::take(words);
                    let body = self.nested(Self::command)?;
                    command.form = function(name, body);
                }
                _ => break,
            }
        }
        let empty = matches!(&command.form, Form::Simple(words) if words.is_empty());
        (!empty || !command.redirects.is_empty()).then_some(command)
    }

    fn form(&mut self) -> Option<Form> {
        if self.take_operator(&["("]).is_some() {
            let body = self.nested(Self::script)?;
            self.take_operator(&[")"])?;
            return Some(Form::Compound { kind: Compound::Subshell, words: Vec::new(), bodies: vec![body] });
        }
        let Some(Token::Word(word)) = self.tokens.peek() else { return Some(Form::Simple(Vec::new())) };
        if word.quoted {
            return Some(Form::Simple(Vec::new()));
        }
        let keyword = match &*word.text {
            keyword @ ("{" | "if" | "while" | "until" | "for" | "case" | "[[" | "function") => keyword.to_owned(),
            "select" | "coproc" => return None,
            closer if CLOSERS.contains(&closer) => return None,
            _ => return Some(Form::Simple(Vec::new())),
        };
        self.tokens.next();
        self.nested(|parser| parser.compound(&keyword))
    }

    fn compound(&mut self, keyword: &str) -> Option<Form> {
        let mut bodies = Vec::new();
        let mut words = Vec::new();
        let kind = match keyword {
            "{" => {
                bodies.push(self.script()?);
                self.take_keyword("}")?;
                Compound::Group
            }
            "if" => {
                bodies.push(self.script()?);
                loop {
                    match self.take_keywords(&["then", "else", "elif", "fi"])? {
                        "fi" => break Compound::If,
                        _ => bodies.push(self.script()?),
                    }
                }
            }
            "while" | "until" => {
                bodies.push(self.script()?);
                self.take_keyword("do")?;
                bodies.push(self.script()?);
                self.take_keyword("done")?;
                Compound::Loop
            }
            "for" => {
                while let Some(Token::Word(word)) = self.tokens.peek()
                    && !word.is("do")
                {
                    words.push(self.next_word()?);
                }
                while self.take_operator(&["\n", ";"]).is_some() {}
                self.take_keyword("do")?;
                bodies.push(self.script()?);
                self.take_keyword("done")?;
                Compound::Loop
            }
            "case" => {
                words.push(self.next_word()?);
                self.skip_newlines();
                self.take_keyword("in")?;
                loop {
                    self.skip_newlines();
                    if self.take_keyword("esac").is_some() {
                        break Compound::Case;
                    }
                    self.take_operator(&["("]);
                    self.next_word()?;
                    while self.take_operator(&["|"]).is_some() {
                        self.next_word()?;
                    }
                    self.take_operator(&[")"])?;
                    bodies.push(self.script()?);
                    self.take_operator(&[";;"]);
                }
            }
            "[[" => loop {
                match self.tokens.next()? {
                    Token::Word(word) if word.is("]]") => break Compound::Test,
                    Token::Word(word) => words.push(word),
                    Token::Operator("\n" | ";") => return None,
                    Token::Operator(_) => {}
                }
            },
            _ => {
                words.push(self.next_word()?);
                if self.take_operator(&["("]).is_some() {
                    self.take_operator(&[")"])?;
                }
                self.skip_newlines();
                return Some(function(words, self.command()?));
            }
        };
        Some(Form::Compound { kind, words, bodies })
    }

    /// `Ok(None)`-like: the outer option fails the parse, the inner says whether there is a redirection here.
    #[allow(clippy::option_option)]
    fn redirect(&mut self) -> Option<Option<Redirect>> {
        let Some(Token::Operator(operator)) = self.tokens.peek() else { return Some(None) };
        let operator = *operator;
        if !operator.contains(['<', '>']) {
            return Some(None);
        }
        self.tokens.next();
        let target = self.next_word()?;
        Some(Some(Redirect { output: operator.contains('>') && operator != "<>", target }))
    }

    /// One level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn next_word(&mut self) -> Option<Word> {
        match self.tokens.next()? {
            Token::Word(word) => Some(word),
            Token::Operator(_) => None,
        }
    }

    fn take_operator(&mut self, wanted: &[&str]) -> Option<&'static str> {
        match self.tokens.peek() {
            Some(Token::Operator(operator)) if wanted.contains(operator) => {
                let operator = *operator;
                self.tokens.next();
                Some(operator)
            }
            _ => None,
        }
    }

    fn take_keyword(&mut self, keyword: &'static str) -> Option<&'static str> {
        self.take_keywords(&[keyword])
    }

    fn take_keywords(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Word(word)) = self.tokens.peek() else { return None };
        let found = keywords.iter().copied().find(|keyword| word.is(keyword))?;
        self.tokens.next();
        Some(found)
    }

    fn skip_newlines(&mut self) {
        while self.take_operator(&["\n"]).is_some() {}
    }
}

fn function(words: Vec<Word>, body: Command) -> Form {
    let list = List { first: Pipeline { negated: false, commands: vec![body] }, rest: Vec::new(), background: false };
    Form::Compound { kind: Compound::Function, words, bodies: vec![Script { lists: vec![list] }] }
}
