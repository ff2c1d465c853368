//! Reading of exec commands: so far, whether one can fail at all. When unsure the answer is "it can": a wrong finding is worse than a missed one.

use super::Exec;

/// Why an exec command can never fail, in words that follow "the command", or `None` when it can or might.
///
/// `timeout` is the probe's timeout in seconds: a `sleep` that outlasts it does fail.
pub fn cannot_fail(exec: &Exec<'_>, timeout: i64) -> Option<String> {
    let words: Vec<&str> = exec.command.iter().map(|word| &**word).collect();
    let (program, arguments) = words.split_first()?;
    match base_name(program) {
        "busybox" => shell_or_simple(arguments, timeout),
        _ => shell_or_simple(&words, timeout),
    }
}

fn shell_or_simple(words: &[&str], timeout: i64) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    match (base_name(program), arguments) {
        ("sh" | "bash" | "ash" | "dash", ["-c", script, ..]) => script_cannot_fail(script, timeout),
        _ => simple_cannot_fail(words, timeout),
    }
}

/// One command without a shell: its words are taken as they are.
fn simple_cannot_fail(words: &[&str], timeout: i64) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let name = base_name(program);
    match (name, arguments) {
        ("true" | ":" | "echo" | "printf", _) => Some(format!("`{name}` always exits 0")),
        ("sleep", [seconds]) => {
            let seconds: i64 = seconds.trim_end_matches('s').parse().ok()?;
            (0..timeout).contains(&seconds).then(|| format!("`sleep {seconds}` ends within the timeout and exits 0"))
        }
        _ => None,
    }
}

/// A script in one of the simple forms: a single command that cannot fail, `exit 0`, or anything that ends in `|| true`, `|| :`, `|| exit 0`.
fn script_cannot_fail(script: &str, timeout: i64) -> Option<String> {
    // Sequences, substitutions and redirections need a real reading; anything of the kind might fail.
    if script.trim().contains(['\n', ';', '`', '(', ')', '{', '}', '<', '>', '#', '\\']) {
        return None;
    }
    let words = shell_words::split(script).ok()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let last_or = words.iter().rposition(|word| *word == "||");
    let (head, tail) = last_or.map_or((&[][..], &words[..]), |at| (&words[..at], &words[at + 1..]));
    if words.iter().any(|word| word.contains('&')) && tail.iter().any(|word| word.contains('&')) {
        return None;
    }
    // An `exit` before the end may leave with another code, `set` may turn on `-e`, `exec` may replace the shell.
    if head
        .iter()
        .any(|word| matches!(*word, "exit" | "set" | "exec" | "return" | "kill") || (word.len() > 1 && word.ends_with('|')))
    {
        return None;
    }
    if tail.contains(&"|") {
        return None;
    }
    let ending = tail.join(" ");
    match tail {
        ["exit", "0"] | ["true" | ":"] if last_or.is_some() => {
            Some(format!("ends in `|| {ending}`, which turns every failure into a success"))
        }
        ["exit", "0"] => Some("`exit 0` always exits 0".to_owned()),
        _ if last_or.is_none() && !script.contains(['$', '=']) => simple_cannot_fail(tail, timeout),
        _ => None,
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Text;

    #[test]
    fn reads_the_simple_forms_and_nothing_else() {
        let cases: &[(&[&str], bool)] = &[
            (&["true"], true),
            (&["/bin/true"], true),
            (&["echo", "ok"], true),
            (&["busybox", "true"], true),
            (&["sleep", "0"], true),
            (&["sleep", "5"], false),
            (&["sh", "-c", "exit 0"], true),
            (&["sh", "-c", "exit 1"], false),
            (&["/bin/bash", "-c", "true"], true),
            (&["sh", "-c", "echo 'all is well'"], true),
            (&["sh", "-c", "curl -f localhost:8080/ready || true"], true),
            (&["sh", "-c", "curl -f localhost || exit 0"], true),
            (&["sh", "-c", "curl -f localhost || exit 1"], false),
            (&["sh", "-c", "test -f /tmp/ready && echo ok"], false),
            (&["sh", "-c", "exit 1 || true"], false),
            (&["sh", "-c", "set -e; false; true"], false),
            (&["sh", "-ec", "false || true"], false),
            (&["sh", "-c", "echo '|| true' | grep x"], false),
            (&["sh", "-c", "grep x /y || true && false"], false),
            (&["sh", "-c", "echo ok > /full/disk"], false),
            (&["sh", "-c", ""], false),
            (&["sh", "-c", "'unbalanced"], false),
            (&["cat", "/tmp/ready"], false),
            (&["pg_isready"], false),
            (&[], false),
        ];
        for (command, expected) in cases {
            let exec = Exec { command: command.iter().map(|word| Text::from(*word)).collect() };
            assert_eq!(cannot_fail(&exec, 1).is_some(), *expected, "{command:?}: {:?}", cannot_fail(&exec, 1));
        }
    }
}
