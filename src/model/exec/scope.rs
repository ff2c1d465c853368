//! What the variables of a command stand for.

use std::borrow::Cow;

use super::shell::{self, Expansion, NAME_CLOSE, NAME_OPEN, OWN, SETTING, UNKNOWN, Word};
use crate::model::{Container, EnvVar, Exec, Workload};

/// References from one environment variable to another are followed this far, and this many in one value: what is looked up stays bounded.
const MAX_REFERENCE_DEPTH: usize = 2;
const MAX_REFERENCES: usize = 8;

/// What is known about the place where a command runs.
pub(super) struct Scope<'e> {
    pub(super) container: &'e Container<'e>,
    /// What the container declares.
    pub(super) variables: &'e [EnvVar<'e>],
    pub(super) workload: &'e Workload<'e>,
    /// Variables that the script has set so far.
    assigned: Vec<(String, String)>,
}

/// A word after expansion.
#[derive(Debug, Clone, Default)]
pub(super) struct Arg {
    /// What the program gets; stand-ins where that is not known.
    pub(super) value: String,
    /// The same with names instead of values, for people; `None` where nothing was expanded.
    pub(super) shown: Option<String>,
    /// The text as a script, for `sh -c`.
    pub(super) source: Option<String>,
}

impl Arg {
    pub(super) fn plain(text: &str) -> Self {
        Self { value: text.to_owned(), ..Self::default() }
    }

    pub(super) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.value)
    }

    /// As a script.
    pub(super) fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.value)
    }

    /// Whether any part of it is not known.
    pub(super) fn is_doubtful(&self) -> bool {
        self.value.contains([UNKNOWN, SETTING])
    }

    /// The part after the first `bytes`, which are literal.
    pub(super) fn after(&self, bytes: usize) -> Self {
        let cut = |text: &str| text.get(bytes..).unwrap_or_default().to_owned();
        Self { value: cut(&self.value), shown: self.shown.as_deref().map(cut), source: None }
    }

    /// One part of a list.
    pub(super) fn split(&self, at: char) -> Vec<Self> {
        let mut shown = self.shown.as_deref().map(|shown| shown.split(at));
        let parts: Vec<&str> = self.value.split(at).collect();
        let same = shown.as_ref().is_none_or(|shown| shown.clone().count() == parts.len());
        parts
            .into_iter()
            .map(|value| Self {
                value: value.to_owned(),
                shown: match &mut shown {
                    Some(shown) if same => shown.next().map(str::to_owned),
                    _ => self.shown.clone(),
                },
                source: None,
            })
            .collect()
    }
}

impl<'e> Scope<'e> {
    pub(super) fn new(container: &'e Container<'e>, workload: &'e Workload<'e>, variables: &'e [EnvVar<'e>]) -> Self {
        Self { container, variables, workload, assigned: Vec::new() }
    }

    /// The arguments of a probe as its program gets them: the kubelet expands `$(NAME)` for every declared variable, whatever its quotes, and makes `$` of
    /// `$$` (semantics 2.10).
    pub(super) fn arguments(&self, exec: &Exec<'_>) -> Vec<Word> {
        exec.command.iter().map(|text| shell::argument(&self.expand_by_kubelet(text))).collect()
    }

    /// Names in `$(NAME)` that the kubelet replaces by nothing, because their value comes from elsewhere (semantics 2.10).
    pub(super) fn unexpanded(&self, exec: &Exec<'_>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for text in &exec.command {
            for part in references(text) {
                if let Part::Name(name) = part
                    && self.variable(name).is_some_and(|variable| variable.value.is_none() && variable.value_from.is_some())
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    fn expand_by_kubelet<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains('$') {
            return Cow::Borrowed(text);
        }
        let mut expanded = String::with_capacity(text.len());
        for part in references(text) {
            match part {
                Part::Text(text) => expanded.push_str(text),
                Part::Name(name) if self.variable(name).is_some() => expanded.extend([NAME_OPEN_STR, name, NAME_CLOSE_STR]),
                Part::Name(name) => expanded.extend(["$(", name, ")"]),
            }
        }
        Cow::Owned(expanded)
    }

    /// The last variable of a name wins.
    fn variable(&self, name: &str) -> Option<&'e EnvVar<'e>> {
        self.variables.iter().rev().find(|variable| &*variable.name == name)
    }

    /// What a variable stands for; stand-ins where that is not known.
    pub(super) fn value(&self, name: &str) -> String {
        if let Some((_, value)) = self.assigned.iter().rev().find(|(assigned, _)| assigned == name) {
            return value.clone();
        }
        self.declared(name, 0)
    }

    /// What the environment says of a name, if the container declares it literally or as a reference.
    pub(super) fn environment(&self, name: &str) -> Option<Arg> {
        let assigned = self.assigned.iter().any(|(assigned, _)| assigned == name);
        (assigned || self.variable(name).is_some()).then(|| Arg {
            value: self.value(name),
            shown: Some(format!("${name}")),
            source: None,
        })
    }

    fn declared(&self, name: &str, depth: usize) -> String {
        let Some(variable) = self.variable(name) else {
            return match name {
                // Set by the container runtime.
                "HOSTNAME" => OWN,
                // Set by the kubelet for every Service of the namespace.
                name if name.ends_with("_SERVICE_HOST") => SETTING,
                _ => UNKNOWN,
            }
            .to_string();
        };
        if let Some(value) = &variable.value {
            if shell::has_stand_in(value) || depth > MAX_REFERENCE_DEPTH || value.matches('$').count() > MAX_REFERENCES {
                return UNKNOWN.to_string();
            }
            if !value.contains('$') {
                return value.to_string();
            }
            return references(value).fold(String::new(), |text, part| match part {
                Part::Text(part) => text + part,
                Part::Name(name) if self.variable(name).is_some() => text + &self.declared(name, depth + 1),
                Part::Name(name) => text + "$(" + name + ")",
            });
        }
        let field = variable.value_from.as_ref().map(|from| from.field_ref.as_ref());
        match field {
            Some(Some(field)) => match field.field_path.as_deref().unwrap_or_default() {
                "status.podIP" | "status.podIPs" | "metadata.name" => OWN.to_string(),
                "status.hostIP" | "status.hostIPs" | "spec.nodeName" if self.workload.host_network => OWN.to_string(),
                "metadata.namespace" => UNKNOWN.to_string(),
                _ => SETTING.to_string(),
            },
            Some(None) => SETTING.to_string(),
            None => String::new(),
        }
    }

    /// A script sets a variable.
    pub(super) fn assign(&mut self, name: &str, value: String) {
        self.assigned.push((name.to_owned(), value));
    }

    /// How many variables are set; [`Scope::forget`] goes back to that.
    pub(super) fn mark(&self) -> usize {
        self.assigned.len()
    }

    pub(super) fn forget(&mut self, mark: usize) {
        self.assigned.truncate(mark);
    }

    /// What was set since `mark` may have been set or not.
    pub(super) fn doubt(&mut self, mark: usize) {
        for (_, value) in self.assigned.iter_mut().skip(mark) {
            *value = shell::UNKNOWN.to_string();
        }
    }

    pub(super) fn expand(&self, word: &Word) -> Arg {
        if word.expansions.is_empty() {
            return Arg::plain(&word.text);
        }
        let mut value = String::with_capacity(word.text.len());
        let mut shown = String::with_capacity(word.text.len());
        let mut source = String::with_capacity(word.text.len());
        let mut expansions = word.expansions.iter();
        let mut parts = word.text.split(shell::EXPANSION).peekable();
        while let Some(part) = parts.next() {
            for text in [&mut value, &mut shown, &mut source] {
                text.push_str(part);
            }
            let Some(after) = parts.peek() else { break };
            match expansions.next() {
                Some(Expansion::Variable { name, quoted }) => {
                    let known = self.value(name);
                    // Without quotes it would become several words.
                    if !quoted && known.contains(char::is_whitespace) {
                        value.push(UNKNOWN);
                    } else {
                        value.push_str(&known);
                    }
                    let longer = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                    shown.extend(if longer { ["${", name, "}"] } else { ["$", name, ""] });
                    source.extend([NAME_OPEN_STR, name, NAME_CLOSE_STR]);
                }
                Some(Expansion::Command(script)) if is_own_name(script) => {
                    value.push(OWN);
                    shown.push_str("$(hostname)");
                    source.push(OWN);
                }
                _ => {
                    value.push(UNKNOWN);
                    shown.push_str("$(...)");
                    source.push(UNKNOWN);
                }
            }
        }
        Arg { value, shown: Some(shown), source: Some(source) }
    }
}

const NAME_OPEN_STR: &str = "\u{E005}";
const NAME_CLOSE_STR: &str = "\u{E006}";
const _: () = assert!(NAME_OPEN as u32 == 0xE005 && NAME_CLOSE as u32 == 0xE006);

/// Whether a substitution prints this pod's name or address.
fn is_own_name(script: &str) -> bool {
    let words: Vec<&str> = script.split_whitespace().collect();
    matches!(words.as_slice(), ["hostname" | "/bin/hostname", ..] | ["uname", "-n"] | ["cat" | "<", "/etc/hostname"])
}

enum Part<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// Splits at `$(NAME)` as Kubernetes does; `$$` is a `$` that begins no reference.
fn references(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find('$').unwrap_or(rest.len());
        if at > 0 {
            let (text, after) = rest.split_at(at);
            rest = after;
            return Some(Part::Text(text));
        }
        if let Some(after) = rest.strip_prefix("$$") {
            rest = after;
            return Some(Part::Text("$"));
        }
        if let Some(inside) = rest.strip_prefix("$(") {
            return Some(match inside.split_once(')') {
                Some((name, after)) => {
                    rest = after;
                    Part::Name(name)
                }
                // No `)` at all: nothing more can be a reference, and looking again from every `$` would be quadratic.
                None => Part::Text(std::mem::take(&mut rest)),
            });
        }
        let (text, after) = rest.split_at(1);
        rest = after;
        Some(Part::Text(text))
    })
}
