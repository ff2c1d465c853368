//! What a simple command really runs: the program behind `env`, `timeout`, `exec` and the like, or the script of a shell.

use super::{
    options::{Line, Syntax},
    scope::{Arg, Scope},
    shell::Word,
};

/// Wrappers around wrappers are followed this far.
const MAX_WRAPPERS: usize = 8;

/// A simple command.
#[derive(Debug)]
pub(super) enum Run {
    /// Only assignments, or nothing.
    Nothing,
    /// A program by its base name, and its arguments.
    Program(String, Vec<Arg>),
    /// The script of `sh -c`.
    Script(Shell),
}

/// A shell that runs a script from its command line.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) script: Arg,
    /// `-e`: it ends at the first statement that fails.
    pub(super) errexit: bool,
    /// `-u`, `pipefail` and other modes under which more can fail.
    pub(super) strict: bool,
}

/// Splits off assignments at the front of a simple command and expands the rest.
pub(super) fn expand(words: &[Word], scope: &Scope<'_>) -> (Vec<(String, Arg)>, Vec<Arg>) {
    let mut assignments = Vec::new();
    let mut arguments = Vec::with_capacity(words.len());
    for word in words {
        if arguments.is_empty()
            && let Some(name) = assigned_name(&word.text)
        {
            assignments.push((name.to_owned(), scope.expand(word).after(name.len() + 1)));
        } else {
            arguments.push(scope.expand(word));
        }
    }
    (assignments, arguments)
}

/// The name in `NAME=value`.
pub(super) fn assigned_name(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    valid.then_some(name)
}

pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Looks through wrappers. Assignments of `env` are added to `assignments`.
pub(super) fn run(arguments: Vec<Arg>, assignments: &mut Vec<(String, Arg)>) -> Run {
    let mut arguments = arguments;
    for _ in 0..MAX_WRAPPERS {
        if arguments.is_empty() {
            return Run::Nothing;
        }
        let program = arguments.remove(0);
        let name = base_name(&program.value);
        let skipped = match name {
            "busybox" | "toybox" => 0,
            "nohup" | "setsid" | "builtin" | "catatonit" | "dumb-init" | "tini" | "time" | "stdbuf" | "unbuffer" => {
                options(&arguments, "goie", &[])
            }
            "exec" => options(&arguments, "a", &[]),
            "command" if arguments.first().is_some_and(|first| matches!(&*first.value, "-v" | "-V")) => {
                return Run::Program(name.to_owned(), arguments);
            }
            "command" => options(&arguments, "", &[]),
            "nice" => options(&arguments, "n", &["adjustment"]),
            "ionice" => options(&arguments, "cnp", &["class", "classdata"]),
            "sudo" => options(&arguments, "ughpCT", &["user", "group", "host"]),
            "gosu" | "su-exec" | "setuidgid" | "chpst" => options(&arguments, "u", &[]) + 1,
            "runuser" if !arguments.iter().any(|argument| argument.value == "-c") => {
                options(&arguments, "ugG", &["user", "group"])
            }
            "su" | "runuser" => {
                let script = arguments.iter().position(|argument| matches!(&*argument.value, "-c" | "--command"));
                return match script.and_then(|at| arguments.get(at + 1)) {
                    Some(script) => Run::Script(Shell { script: script.clone(), errexit: false, strict: true }),
                    None => Run::Program(name.to_owned(), arguments),
                };
            }
            "env" => {
                let mut at = options(&arguments, "uC", &["unset", "chdir"]);
                while let Some(name) = arguments.get(at).and_then(|argument| assigned_name(&argument.value)) {
                    assignments.push((name.to_owned(), arguments[at].after(name.len() + 1)));
                    at += 1;
                }
                at
            }
            "timeout" => {
                let at = options(&arguments, "skt", &["signal", "kill-after"]);
                // Old busybox takes the duration as `-t N`.
                let old = arguments.iter().take(at).any(|argument| argument.value.starts_with("-t"));
                at + usize::from(!old)
            }
            "sh" | "bash" | "ash" | "dash" | "zsh" | "ksh" => match shell(&arguments) {
                Some(shell) => return Run::Script(shell),
                None => return Run::Program(name.to_owned(), arguments),
            },
            name => return Run::Program(name.to_owned(), arguments),
        };
        if skipped >= arguments.len() {
            return Run::Program(name.to_owned(), arguments);
        }
        arguments.drain(..skipped);
    }
    Run::Nothing
}

/// How many arguments the options at the front take.
fn options(arguments: &[Arg], letters: &str, long: &[&str]) -> usize {
    let mut at = 0;
    while let Some(argument) = arguments.get(at) {
        let text = &*argument.value;
        if text == "--" {
            return at + 1;
        }
        if let Some(name) = text.strip_prefix("--") {
            at += 1 + usize::from(long.contains(&name));
        } else if let Some(flags) = text.strip_prefix('-').filter(|flags| !flags.is_empty()) {
            let takes_next = flags.char_indices().find(|(_, letter)| letters.contains(*letter));
            at += 1 + usize::from(takes_next.is_some_and(|(place, letter)| place + letter.len_utf8() == flags.len()));
        } else {
            break;
        }
    }
    at
}

/// The script of a shell's arguments; `None` when it runs a file, whose content is not known.
fn shell(arguments: &[Arg]) -> Option<Shell> {
    let (mut runs_script, mut errexit, mut strict) = (false, false, false);
    let mut arguments = arguments.iter();
    loop {
        let argument = arguments.next()?;
        let text = &*argument.value;
        let flags = match text.strip_prefix(['-', '+']) {
            Some("" | "-") => {
                let script = arguments.next()?;
                return runs_script.then(|| Shell { script: script.clone(), errexit, strict });
            }
            Some(flags) => flags,
            None => return runs_script.then(|| Shell { script: argument.clone(), errexit, strict }),
        };
        if text.starts_with("--") {
            if matches!(text, "--rcfile" | "--init-file") {
                arguments.next();
            }
            continue;
        }
        runs_script |= text.starts_with('-') && flags.contains('c');
        errexit |= text.starts_with('-') && flags.contains('e');
        strict |= text.starts_with('-') && flags.contains(['u', 'n']);
        if flags.contains(['o', 'O']) {
            match &*arguments.next()?.value {
                "errexit" => errexit = true,
                _ => strict = true,
            }
        }
    }
}

/// The seconds of a `sleep`, in thousandths; `None` when they cannot be read.
pub(super) fn sleep_millis(arguments: &[Arg]) -> Option<i64> {
    let line = Line::read(arguments, Syntax::posix("", &[]));
    let [duration] = line.positional.as_slice() else { return None };
    let text = &*duration.arg.value;
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()),
        None => (text, None),
    };
    let factor = match unit {
        Some('m') => 60.0,
        Some('h') => 3600.0,
        Some('d') => 86400.0,
        _ => 1.0,
    };
    let seconds: f64 = number.parse().ok()?;
    // Rounded up; far beyond any timeout nothing more matters.
    #[allow(clippy::cast_possible_truncation)]
    (seconds >= 0.0).then(|| (seconds * factor * 1000.0).ceil().min(1e15) as i64)
}
