//! Shell scripts as far as probes need them: lists, pipelines, compound commands, redirections, substitutions. Nothing is evaluated.

use super::tokens::{Token, tokens};

/// Scripts longer than this are not read: a probe is a few lines.
const MAX_SCRIPT_BYTES: usize = 8 * 1024;

/// Compound commands and substitutions nested deeper than this are not read, so that no script can exhaust the stack.
pub(super) const MAX_DEPTH: usize = 12;

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
    pub(super) quoted: bool,
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
    let mut parser = Parser { tokens: tokens(script)?.into_iter().peekable(), depth };
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
