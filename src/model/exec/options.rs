//! Options of command lines, as getopt reads them.

use super::scope::Arg;

/// How a program writes its options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// Letters whose option takes a value.
    pub(super) letters: &'static str,
    /// Letters whose value is optional and only ever attached, as mysql's `-p`.
    pub(super) attached: &'static str,
    /// Long options that take a value in the next word when there is no `=`.
    pub(super) long: &'static [&'static str],
    /// One dash introduces long options too, as in Go and Java programs.
    pub(super) one_dash: bool,
    /// Options end at the first positional argument.
    pub(super) stops: bool,
}

impl Syntax {
    pub(super) const fn posix(letters: &'static str, long: &'static [&'static str]) -> Self {
        Self { letters, attached: "", long, one_dash: false, stops: false }
    }

    pub(super) const fn one_dash(long: &'static [&'static str]) -> Self {
        Self { letters: "", attached: "", long, one_dash: true, stops: false }
    }
}

/// A command line taken apart.
#[derive(Debug, Default)]
pub(super) struct Line {
    options: Vec<(String, Option<Arg>)>,
    pub(super) positional: Vec<Positional>,
}

/// An argument that is no option.
#[derive(Debug)]
pub(super) struct Positional {
    pub(super) arg: Arg,
    /// It follows a long option that is not known: it may be that option's value.
    pub(super) doubtful: bool,
}

impl Line {
    pub(super) fn read(arguments: &[Arg], syntax: Syntax) -> Self {
        let mut line = Self::default();
        let mut arguments = arguments.iter();
        let mut doubtful = false;
        while let Some(argument) = arguments.next() {
            let text = &*argument.value;
            let was_doubtful = std::mem::take(&mut doubtful);
            if text == "--" {
                line.positional.extend(arguments.map(|arg| Positional { arg: arg.clone(), doubtful: false }));
                break;
            }
            let is_long = text.starts_with("--") || (syntax.one_dash && text.len() > 1 && text.starts_with('-'));
            if is_long {
                let dashes = text.len() - text.trim_start_matches('-').len();
                let name = &text[dashes..];
                let value = match name.split_once('=') {
                    Some((name, _)) => {
                        let value = argument.after(dashes + name.len() + 1);
                        line.options.push((name.to_owned(), Some(value)));
                        continue;
                    }
                    None if syntax.long.contains(&name) => arguments.next().cloned(),
                    None => {
                        doubtful = true;
                        None
                    }
                };
                line.options.push((name.to_owned(), value));
            } else if text.len() > 1 && text.starts_with('-') {
                for (at, letter) in text.char_indices().skip(1) {
                    let after = at + letter.len_utf8();
                    let rest = (after < text.len()).then(|| argument.after(after));
                    if syntax.attached.contains(letter) {
                        line.options.push((letter.to_string(), rest));
                        break;
                    }
                    if syntax.letters.contains(letter) {
                        line.options.push((letter.to_string(), rest.or_else(|| arguments.next().cloned())));
                        break;
                    }
                    line.options.push((letter.to_string(), None));
                }
            } else {
                line.positional.push(Positional { arg: argument.clone(), doubtful: was_doubtful });
                if syntax.stops {
                    line.positional.extend(arguments.map(|arg| Positional { arg: arg.clone(), doubtful: false }));
                    break;
                }
            }
        }
        line
    }

    /// Whether one of the options is there.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|(name, _)| names.contains(&&**name))
    }

    /// The value of the last of these options.
    pub(super) fn value(&self, names: &[&str]) -> Option<&Arg> {
        self.options.iter().rev().filter(|(name, _)| names.contains(&&**name)).find_map(|(_, value)| value.as_ref())
    }

    /// The values of all of these options.
    pub(super) fn values<'l>(&'l self, names: &'l [&str]) -> impl Iterator<Item = &'l Arg> {
        self.options.iter().filter(|(name, _)| names.contains(&&**name)).filter_map(|(_, value)| value.as_ref())
    }

    /// The names of all options.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(|(name, _)| &**name)
    }
}
