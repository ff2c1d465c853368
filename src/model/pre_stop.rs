//! How long a preStop hook takes. Its time is taken from the grace period (semantics 2.12).

use super::{Exec, LifecycleHandler};

/// Duration of a preStop hook, in seconds, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreStop {
    /// It takes at least this long.
    pub at_least: i64,
    /// It takes no longer than this; `None` where that cannot be known.
    pub at_most: Option<i64>,
}

impl PreStop {
    /// No hook.
    pub const NONE: Self = Self { at_least: 0, at_most: Some(0) };
    const UNKNOWN: Self = Self { at_least: 0, at_most: None };

    pub(super) fn of(hook: &LifecycleHandler<'_>) -> Self {
        match (&hook.exec, &hook.sleep, &hook.http_get, &hook.tcp_socket) {
            (None, None, None, None) => Self::NONE,
            (None, Some(sleep), None, None) => Self::exactly(sleep.seconds.unwrap_or(0).max(0)),
            (Some(exec), None, None, None) => Self::of_command(exec),
            _ => Self::UNKNOWN,
        }
    }

    const fn exactly(seconds: i64) -> Self {
        Self { at_least: seconds, at_most: Some(seconds) }
    }

    /// `sleep N`, also through a shell that goes on with something else: `sh -c "sleep 10; nginx -s quit"` takes at least 10 seconds.
    fn of_command(exec: &Exec<'_>) -> Self {
        let words: Vec<&str> = exec.command.iter().map(|word| &**word).collect();
        let words = match words.split_first() {
            Some((program, arguments)) if base_name(program) == "busybox" => arguments,
            _ => &words,
        };
        match words {
            [shell, flags, script, ..]
                if matches!(base_name(shell), "sh" | "bash" | "ash" | "dash")
                    && flags.starts_with('-')
                    && flags.ends_with('c') =>
            {
                Self::of_script(script)
            }
            _ => sleep(words).map_or(Self::UNKNOWN, Self::exactly),
        }
    }

    /// The sleeps that a script begins with. What follows is not read.
    fn of_script(script: &str) -> Self {
        let mut total = 0_i64;
        for part in script.split([';', '\n']).flat_map(|line| line.split("&&")).map(str::trim).filter(|part| !part.is_empty()) {
            let words: Vec<&str> = part.split_ascii_whitespace().collect();
            match sleep(&words) {
                Some(seconds) => total = total.saturating_add(seconds),
                None => return Self { at_least: total, at_most: None },
            }
        }
        Self::exactly(total)
    }
}

/// The seconds of a plain `sleep N`, with GNU's suffixes.
fn sleep(words: &[&str]) -> Option<i64> {
    let [program, duration] = words else { return None };
    if base_name(program) != "sleep" {
        return None;
    }
    let (number, unit) = match duration.char_indices().next_back()? {
        (at, 's') => (&duration[..at], 1),
        (at, 'm') => (&duration[..at], 60),
        (at, 'h') => (&duration[..at], 3600),
        (at, 'd') => (&duration[..at], 86400),
        _ => (*duration, 1),
    };
    number.parse::<u32>().ok().map(|number| i64::from(number) * unit)
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Text;

    #[test]
    fn reads_plain_sleeps_and_nothing_else() {
        let cases: &[(&[&str], i64, Option<i64>)] = &[
            (&["sleep", "15"], 15, Some(15)),
            (&["/bin/sleep", "2m"], 120, Some(120)),
            (&["busybox", "sleep", "5"], 5, Some(5)),
            (&["sh", "-c", "sleep 20"], 20, Some(20)),
            (&["/bin/sh", "-ec", " sleep 5 && sleep 10s "], 15, Some(15)),
            (&["bash", "-c", "sleep 10; nginx -s quit"], 10, None),
            (&["sh", "-c", "sleep 10\nkill -TERM 1\nsleep 5"], 10, None),
            (&["sh", "-c", "nginx -s quit; sleep 10"], 0, None),
            (&["sh", "-c", "echo 'x; sleep 100; y'"], 0, None),
            (&["sh", "-c", "sleep 10 & wait"], 0, None),
            (&["sh", "-c", "sleep $N"], 0, None),
            (&["sh", "-c", "if true; then sleep 5; fi"], 0, None),
            (&["sh", "-c", ""], 0, Some(0)),
            (&["sleep", "0.5"], 0, None),
            (&["sleep", "infinity"], 0, None),
            (&["nginx", "-s", "quit"], 0, None),
            (&[], 0, None),
        ];
        for (command, at_least, at_most) in cases {
            let exec = Exec { command: command.iter().map(|word| Text::from(*word)).collect(), ..Exec::default() };
            let expected = PreStop { at_least: *at_least, at_most: *at_most };
            assert_eq!(PreStop::of_command(&exec), expected, "{command:?}");
        }
    }
}
