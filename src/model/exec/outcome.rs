//! Whether a command can exit with anything but 0. When unsure the answer is that it can.

use std::cell::Cell;

use super::{
    run::{self, Run},
    scope::{Arg, Scope},
    shell::{self, Command, Compound, Expansion, Form, Joint, List, Pipeline, Script, Word},
};

/// Scripts within scripts are followed this far.
const MAX_DEPTH: usize = 6;

/// Judges exit codes.
pub(super) struct Outcome<'c> {
    pub(super) scope: &'c Scope<'c>,
    /// The longest `sleep` met, in milliseconds: one that outlasts the probe's timeout makes it fail.
    pub(super) longest_sleep: Cell<i64>,
}

impl Outcome<'_> {
    /// Why the arguments, run without a shell, can never fail.
    pub(super) fn arguments(&self, arguments: Vec<Arg>, depth: usize) -> Option<String> {
        match run::run(arguments, &mut Vec::new()) {
            Run::Program(name, arguments) => self.program(&name, &arguments),
            Run::Script(shell) if depth < MAX_DEPTH && !shell.strict => {
                self.script(&shell::parse(shell.script.source())?, shell.errexit, depth + 1)
            }
            Run::Nothing | Run::Script(_) => None,
        }
    }

    fn program(&self, name: &str, arguments: &[Arg]) -> Option<String> {
        match name {
            "true" | ":" | "echo" => Some(format!("`{name}` always exits 0")),
            "printf" => {
                let format = &arguments.first()?.value;
                // Numbers may be malformed, and unknown letters are errors.
                let plain = format.replace("%%", "").replace("%s", "");
                (!plain.contains(['%', shell::UNKNOWN]) && !plain.starts_with('-')).then(|| "`printf` always exits 0".to_owned())
            }
            "sleep" => {
                self.sleeps(arguments)?;
                Some(format!(
                    "`sleep {}` ends within the timeout and exits 0",
                    arguments.first().map_or("", |first| first.shown())
                ))
            }
            "exit" if matches!(arguments, [code] if code.value == "0" && code.shown.is_none()) => {
                Some("`exit 0` always exits 0".to_owned())
            }
            _ => None,
        }
    }

    fn sleeps(&self, arguments: &[Arg]) -> Option<()> {
        let millis = run::sleep_millis(arguments)?;
        self.longest_sleep.set(self.longest_sleep.get().max(millis));
        Some(())
    }

    fn script(&self, script: &Script, errexit: bool, depth: usize) -> Option<String> {
        let (last, before) = script.lists.split_last()?;
        for list in before {
            if self.may_end(list, depth)
                || has(list, &|command| matches!(command.form, Form::Compound { kind: Compound::Function, .. }))
            {
                return None;
            }
            let reason = self.list(list, depth);
            if reason.is_some() && list.rest.is_empty() && is_exit(&list.first) {
                return reason;
            }
            // A loop may never end, and then the probe times out.
            if (errexit && reason.is_none())
                || has(list, &|command| matches!(command.form, Form::Compound { kind: Compound::Loop, .. }))
            {
                return None;
            }
        }
        let reason = self.list(last, depth)?;
        // Where something goes before, that the last statement decides is the news.
        Some(if before.is_empty() || !last.rest.is_empty() {
            reason
        } else {
            format!("ends in `{}`, which always exits 0", words(&last.first))
        })
    }

    /// What stands last decides, if it is sure to run and nothing before it can end the shell.
    fn list(&self, list: &List, depth: usize) -> Option<String> {
        if list.background {
            return None;
        }
        let mut reason = self.pipeline(&list.first, depth);
        let mut may_end = self.pipeline_may_end(&list.first, depth);
        for (joint, pipeline) in &list.rest {
            let own = || self.pipeline(pipeline, depth);
            reason = match (joint, reason) {
                (Joint::And, Some(_)) => own(),
                (Joint::And, None) => None,
                (Joint::Or, Some(reason)) => Some(reason),
                (Joint::Or, None) if may_end => None,
                (Joint::Or, None) => {
                    own().map(|_| format!("ends in `|| {}`, which turns every failure into a success", words(pipeline)))
                }
            };
            may_end |= self.pipeline_may_end(pipeline, depth);
        }
        reason
    }

    fn pipeline(&self, pipeline: &Pipeline, depth: usize) -> Option<String> {
        if pipeline.negated {
            return None;
        }
        let (last, before) = pipeline.commands.split_last()?;
        if before.iter().any(|command| self.command_may_end(command, depth)) {
            return None;
        }
        // Writing to a file, or reading one, may fail.
        if !last.redirects.iter().all(|redirect| {
            redirect.target.literal().is_some_and(|file| {
                matches!(file, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "1" | "2" | "-")
                    || (redirect.output && file.starts_with("/proc/1/fd/"))
            })
        }) {
            return None;
        }
        match &last.form {
            Form::Simple(words) => {
                if words.iter().any(may_abort) {
                    return None;
                }
                let (_, arguments) = run::expand(words, self.scope);
                // A program that is not known by name may be anything.
                if arguments.first()?.shown.is_some() {
                    return None;
                }
                self.arguments(arguments, depth)
            }
            Form::Compound { kind: Compound::Group | Compound::Subshell, bodies, .. } if depth < MAX_DEPTH => {
                self.script(bodies.first()?, false, depth + 1)
            }
            Form::Compound { .. } => None,
        }
    }

    /// Whether anything in the list may end the shell with another code, or change what failure means.
    fn may_end(&self, list: &List, depth: usize) -> bool {
        list.pipelines().any(|pipeline| self.pipeline_may_end(pipeline, depth))
    }

    fn pipeline_may_end(&self, pipeline: &Pipeline, depth: usize) -> bool {
        pipeline.commands.iter().any(|command| self.command_may_end(command, depth))
    }

    fn command_may_end(&self, command: &Command, depth: usize) -> bool {
        any(command, &|command| {
            let Form::Simple(words) = &command.form else { return false };
            if words.iter().any(may_abort) {
                return true;
            }
            let (_, arguments) = run::expand(words, self.scope);
            let Some((program, rest)) = arguments.split_first() else { return false };
            if program.is_doubtful() {
                return true;
            }
            match &*program.value {
                "exit" => !matches!(rest, [code] if code.value == "0" && code.shown.is_none()),
                // `set -x` and `set +e` are harmless.
                "set" => rest
                    .iter()
                    .any(|flag| !flag.value.starts_with('+') && flag.value.contains(['e', 'u', 'o', 'n', shell::UNKNOWN])),
                "exec" | "return" | "kill" | "." | "source" | "eval" | "trap" | "shift" | "alias" | "break" | "continue"
                | "shopt" | "wait" => true,
                "sleep" => self.sleeps(rest).is_none(),
                _ => depth >= MAX_DEPTH,
            }
        })
    }
}

fn is_exit(pipeline: &Pipeline) -> bool {
    matches!(&*pipeline.commands, [Command { form: Form::Simple(words), .. }] if words.first().is_some_and(|word| word.text == "exit"))
}

/// `${NAME:?}` ends the shell when the name is not set.
fn may_abort(word: &Word) -> bool {
    word.expansions.iter().any(|expansion| matches!(expansion, Expansion::Abort))
}

/// The words of a pipeline's only command, for a message.
fn words(pipeline: &Pipeline) -> String {
    let Some(Form::Simple(words)) = pipeline.commands.last().map(|command| &command.form) else { return "...".to_owned() };
    let literal: Option<Vec<&str>> = words.iter().map(Word::literal).collect();
    let text = literal.map(|words| words.join(" ")).unwrap_or_default();
    if text.is_empty() || text.chars().count() > 24 || text.contains('\n') {
        words.first().and_then(Word::literal).map_or_else(|| "...".to_owned(), |program| format!("{program} ..."))
    } else {
        text
    }
}

fn has(list: &List, wanted: &dyn Fn(&Command) -> bool) -> bool {
    list.pipelines().flat_map(|pipeline| &pipeline.commands).any(|command| any(command, wanted))
}

/// Whether a command, or one inside it, is wanted. The parser bounds the depth.
fn any(command: &Command, wanted: &dyn Fn(&Command) -> bool) -> bool {
    let inside = match &command.form {
        Form::Simple(_) => false,
        Form::Compound { bodies, .. } => bodies.iter().flat_map(|body| &body.lists).any(|list| has(list, wanted)),
    };
    wanted(command) || inside
}
