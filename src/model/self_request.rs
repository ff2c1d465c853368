//! Exec commands that do what an `httpGet` probe does: one request to the container itself, by curl or wget. When unsure, none.

use super::Exec;

/// An HTTP GET to the container itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfRequest {
    /// Path and query, with a leading slash.
    pub path: String,
    /// 1..=65535.
    pub port: i64,
    /// Whether the scheme is https.
    pub tls: bool,
}

/// Reads a command that succeeds and fails as a GET does; `None` for anything with a flag or a word that might mean more.
///
/// Two differences remain: an address that is bound to loopback only does not answer the kubelet, and a redirect is followed.
pub fn self_request(exec: &Exec<'_>) -> Option<SelfRequest> {
    let command: Vec<&str> = exec.command.iter().map(|word| &**word).collect();
    let words = match *command {
        [shell, "-c", script] if matches!(base_name(shell), "sh" | "bash" | "ash" | "dash") => simple_command(script)?,
        _ => command.iter().map(|word| (*word).to_owned()).collect(),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = if words.first().is_some_and(|program| base_name(program) == "busybox") { words.get(1..)? } else { &*words };
    let (program, arguments) = words.split_first()?;
    let url = match base_name(program) {
        "curl" => curl(arguments)?,
        "wget" => wget(arguments)?,
        _ => return None,
    };
    target(url)
}

/// The words of a script that is one command. What throws output away, or repeats that a failure is one, does not count.
fn simple_command(script: &str) -> Option<Vec<String>> {
    const IDLE: [&str; 9] = [
        "|| exit 1",
        "||exit 1",
        "2>&1",
        "2>/dev/null",
        "2> /dev/null",
        ">/dev/null",
        "> /dev/null",
        "1>/dev/null",
        "1> /dev/null",
    ];
    let mut rest = script.trim();
    while let Some(shorter) = IDLE.iter().find_map(|idle| rest.strip_suffix(idle)) {
        // `/2>&1` is a path that ends in 2, and another redirection.
        if !shorter.ends_with(char::is_whitespace) {
            return None;
        }
        rest = shorter.trim_end();
    }
    if rest.contains(['\n', ';', '&', '|', '`', '$', '(', ')', '{', '}', '<', '>', '*', '[', ']', '~', '#', '\\', '!']) {
        return None;
    }
    shell_words::split(rest).ok()
}

/// The URL, where HTTP errors count as failures: without `-f`, curl succeeds whatever the server answers.
fn curl<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let (mut url, mut fails) = (None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--fail" => fails = true,
            "--silent" | "--show-error" | "--insecure" | "--no-progress-meter" => {}
            "--output" => discards(arguments.next())?,
            long if long.starts_with("--") => return None,
            short if short.starts_with('-') => {
                for (at, flag) in short.char_indices().skip(1) {
                    match flag {
                        'f' => fails = true,
                        's' | 'S' | 'k' => {}
                        'o' => {
                            let rest = short.get(at + 1..).unwrap_or_default();
                            if rest.is_empty() {
                                discards(arguments.next())?;
                            } else {
                                discards(Some(&rest))?;
                            }
                            break;
                        }
                        _ => return None,
                    }
                }
            }
            word => set_once(&mut url, word)?,
        }
    }
    url.filter(|_| fails)
}

/// The URL, where the answer is thrown away. `--spider` asks with HEAD, which some servers refuse.
fn wget<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let (mut url, mut discarded) = (None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "-q" | "--quiet" | "-nv" | "--no-verbose" | "--no-check-certificate" | "-t1" | "--tries=1" => {}
            "-t" => (arguments.next() == Some(&"1")).then_some(())?,
            "-O" | "-qO" => discarded = discards(arguments.next()).is_some(),
            "-O-" | "-qO-" | "-O/dev/null" | "-qO/dev/null" | "--output-document=-" | "--output-document=/dev/null" => {
                discarded = true;
            }
            other if other.starts_with('-') => return None,
            word => set_once(&mut url, word)?,
        }
    }
    url.filter(|_| discarded)
}

fn discards(file: Option<&&str>) -> Option<()> {
    matches!(file, Some(&("/dev/null" | "-"))).then_some(())
}

fn set_once<'a>(url: &mut Option<&'a str>, word: &'a str) -> Option<()> {
    url.replace(word).is_none().then_some(())
}

fn target(url: &str) -> Option<SelfRequest> {
    let (tls, rest) = match url.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return None,
        None => (false, url),
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, i64::from(port.parse::<u16>().ok()?)),
        _ => (authority, if tls { 443 } else { 80 }),
    };
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let path = if path.is_empty() { "/" } else { path };
    // curl expands brackets, a fragment is never sent, and `$(NAME)` stands for something else.
    let clean = path.starts_with('/') && !path.contains(|c: char| c.is_whitespace() || c.is_control() || "#{}[]\\$".contains(c));
    (local && clean && port > 0).then(|| SelfRequest { path: path.to_owned(), port, tls })
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Text;

    #[test]
    fn reads_what_it_understands_and_nothing_else() {
        let sh = |script: &'static str| vec!["sh", "-c", script];
        let cases: Vec<(Vec<&'static str>, Option<&str>)> = vec![
            (vec!["curl", "-f", "http://localhost:8080/healthz"], Some("http 8080 /healthz")),
            (vec!["curl", "-fsS", "localhost"], Some("http 80 /")),
            (vec!["/usr/bin/curl", "--fail", "--silent", "-k", "https://127.0.0.1/a?b=c"], Some("https 443 /a?b=c")),
            (vec!["curl", "-sfo", "/dev/null", "http://[::1]:81/"], Some("http 81 /")),
            (vec!["curl", "-f", "-o/dev/null", "http://localhost:1/x"], Some("http 1 /x")),
            (sh("curl -f http://localhost:8080/x"), Some("http 8080 /x")),
            (sh("curl -f 'http://localhost:8080/x' >/dev/null 2>&1 || exit 1"), Some("http 8080 /x")),
            (vec!["wget", "-qO-", "http://localhost:8080/x"], Some("http 8080 /x")),
            (vec!["busybox", "wget", "-q", "-O", "/dev/null", "-t", "1", "http://127.0.0.1:8080/x"], Some("http 8080 /x")),
            (vec!["curl", "http://localhost:8080/healthz"], None),
            (vec!["curl", "-fL", "http://localhost"], None),
            (vec!["curl", "-f", "-m", "3", "http://localhost"], None),
            (vec!["curl", "-f", "-H", "Host: x", "http://localhost"], None),
            (vec!["curl", "-f", "-o", "/tmp/x", "http://localhost"], None),
            (vec!["curl", "-f", "http://other:8080/x"], None),
            (vec!["curl", "-f", "http://user@localhost/x"], None),
            (vec!["curl", "-f", "http://localhost:$(PORT)/x"], None),
            (vec!["curl", "-f", "http://localhost/$(X)"], None),
            (vec!["curl", "-f", "http://localhost/{a,b}"], None),
            (vec!["curl", "-f", "http://localhost/a#b"], None),
            (vec!["curl", "-f", "http://localhost?a"], None),
            (vec!["curl", "-f", "ftp://localhost/a"], None),
            (vec!["curl", "-f", "http://localhost:0/a"], None),
            (vec!["curl", "-f", "localhost", "localhost"], None),
            (vec!["curl", "-f"], None),
            (sh("curl -f localhost || true"), None),
            (sh("curl -f localhost | grep ok"), None),
            (sh("curl -f localhost:80/2>&1"), None),
            (sh("curl -f \"localhost > /dev/null"), None),
            (sh("x && curl -f localhost"), None),
            (vec!["sh", "-ec", "curl -f localhost"], None),
            (vec!["wget", "--spider", "-q", "http://localhost"], None),
            (vec!["wget", "-q", "http://localhost"], None),
            (vec!["wget", "-qO", "/tmp/x", "http://localhost"], None),
            (vec!["cat", "/x"], None),
            (vec!["busybox"], None),
            (vec![], None),
        ];
        for (command, expected) in cases {
            let exec = Exec { command: command.iter().map(|word| Text::from(*word)).collect() };
            let read = self_request(&exec)
                .map(|request| format!("{} {} {}", if request.tls { "https" } else { "http" }, request.port, request.path));
            assert_eq!(read.as_deref(), expected, "{command:?}");
        }
    }
}
