//! Reading of exec commands: whether one can fail, whom it asks, what it runs. Nothing is executed, and when unsure the answer says so: a wrong finding
//! is worse than a missed one.

mod clients;
mod options;
mod outcome;
mod place;
mod run;
mod scope;
mod shell;
mod tokens;

use std::cell::Cell;

use outcome::Outcome;
use run::Run;
use scope::{Arg, Scope};
use shell::{Command, Compound, Expansion, Form, Joint, Script, Word};

use super::{Container, Exec, Handler, Probe, Workload};

/// Commands longer than this are not read: a probe is a few lines, and the API server accepts megabytes.
const MAX_BYTES: usize = 16 * 1024;

/// More words than this in all scripts of a command are not read.
const MAX_COMMANDS: usize = 512;

/// Scripts and substitutions within each other are followed this far.
const MAX_DEPTH: usize = 6;

/// What is known about an exec command.
#[derive(Debug, Default)]
pub struct Reading {
    /// Why it always exits 0 if nothing hangs, and the longest sleep on the way in milliseconds.
    cannot_fail: Option<(String, i64)>,
    /// Every program it runs, in order, as far as they could be found.
    pub calls: Vec<Call>,
    /// Index of the call whose exit code is the whole probe: nothing else is run but `exit` and messages.
    pub sole: Option<usize>,
    /// Whether that call is run as it stands, without a wrapper, a variable or a file, and the probe fails exactly when it does.
    pub plain: bool,
}

impl Reading {
    /// Reads a probe of this container, once; `None` when it runs no command.
    pub fn of_probe<'p>(probe: &'p Probe<'_>, container: &Container<'_>, workload: &Workload<'_>) -> Option<&'p Self> {
        match probe.handler()? {
            Handler::Exec(exec) => Some(exec.reading.get_or_init(|| Box::new(Self::of(exec, container, workload)))),
            Handler::HttpGet(_) | Handler::TcpSocket(_) | Handler::Grpc(_) => None,
        }
    }

    fn of(exec: &Exec<'_>, container: &Container<'_>, workload: &Workload<'_>) -> Self {
        let bytes: usize = exec.command.iter().map(|text| text.len()).sum();
        if bytes > MAX_BYTES || exec.command.len() > MAX_COMMANDS || exec.command.iter().any(|text| shell::has_stand_in(text)) {
            return Self::default();
        }
        let variables = container.variables();
        let scope = Scope::new(container, workload, &variables);
        let words = scope.arguments(exec);
        let (assignments, arguments) = run::expand(&words, &scope);
        let outcome = Outcome { scope: &scope, longest_sleep: Cell::new(0) };
        let cannot_fail = outcome.arguments(arguments.clone(), 0).map(|reason| (reason, outcome.longest_sleep.get()));
        let wrapped = !assignments.is_empty();
        let mut walk = Walk { scope, calls: Vec::new(), functions: Vec::new(), structured: false, wrapped, budget: MAX_COMMANDS };
        walk.arguments(arguments, false, 0);
        let (sole, plain) = (walk.sole(), walk.is_plain());
        Self { cannot_fail, calls: walk.calls, sole, plain }
    }

    /// Why it always exits 0 within `timeout` seconds, in words that follow "the command"; `None` when it can fail, or might.
    pub fn cannot_fail(&self, timeout: i64) -> Option<&str> {
        let (reason, longest_sleep) = self.cannot_fail.as_ref()?;
        (*longest_sleep < timeout.saturating_mul(1000)).then_some(reason)
    }

    /// Whom it asks.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.calls.iter().flat_map(|call| &call.targets)
    }

    /// The call whose exit code is the whole probe.
    pub fn only(&self) -> Option<&Call> {
        self.sole.and_then(|at| self.calls.get(at))
    }
}

/// Variables in `$(NAME)` that the kubelet replaces by nothing, because their value comes from elsewhere (semantics 2.10).
pub fn unexpanded_variables(exec: &Exec<'_>, container: &Container<'_>, workload: &Workload<'_>) -> Vec<String> {
    Scope::new(container, workload, &container.variables()).unexpanded(exec)
}

/// One program that a command runs.
#[derive(Debug, Default)]
pub struct Call {
    /// Base name.
    pub program: String,
    /// Arguments, with names in the place of variables' values. They may hold secrets: never print them.
    pub arguments: Vec<String>,
    /// Whom it asks; empty when it is not a known client.
    pub targets: Vec<Target>,
    /// What is particular to curl and wget.
    pub http: Option<HttpCall>,
    /// Whether its output goes on to another command, a variable or a file, rather than nowhere.
    pub output_used: bool,
}

/// Where a command connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Base name of the client, or `/dev/tcp`.
    pub client: String,
    /// The host for people: variables by name, never by value.
    pub host: String,
    /// Its port, where it is known.
    pub port: Option<u16>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether that is this pod.
    pub reach: Reach,
    /// Path and query of a URL, with variables by name; a gRPC service's name.
    pub path: String,
    /// Whether all of it stands in the command itself and nothing comes from variables.
    pub literal: bool,
}

impl Target {
    /// Longest host in a message, in characters.
    const SHOWN_CHARS: usize = 60;

    /// Whom and by what, for a message: `"orders" with curl`.
    pub fn place(&self) -> String {
        let client = if self.client.chars().count() > 24 { "a client" } else { &*self.client };
        if self.host.chars().count() <= Self::SHOWN_CHARS {
            return format!("\"{}\" with {client}", self.host);
        }
        let host: String = self.host.chars().take(Self::SHOWN_CHARS).collect();
        format!("\"{host}...\" with {client}")
    }

    /// The data store it is, by client or by well-known port.
    pub fn data_store(&self) -> Option<&'static str> {
        match self.protocol {
            Protocol::DataStore(name) => Some(name),
            Protocol::Tcp | Protocol::Other(_) => self.port.and_then(|port| data_store(i64::from(port))),
            Protocol::Http | Protocol::Grpc { .. } | Protocol::Dns => None,
        }
    }
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP or HTTPS.
    Http,
    /// The gRPC health service or another.
    Grpc {
        /// Whether over TLS.
        tls: bool,
    },
    /// A DNS query.
    Dns,
    /// A database, cache or broker, by name.
    DataStore(&'static str),
    /// A connection and no more.
    Tcp,
    /// Something else, by name.
    Other(&'static str),
}

/// Whether a target is the pod itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This pod, or what cannot be told from it (an address on the node's network).
    Local,
    /// Another pod or machine.
    Remote,
    /// A name like the workload's own: probably its Service, behind which any replica may answer.
    OwnService,
    /// A host that another object sets (`valueFrom`, a Service's variables): very likely another, but that cannot be told.
    Setting,
    /// Cannot be told.
    Unknown,
}

/// What is particular to curl and wget.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each answers another question")]
pub struct HttpCall {
    /// It exits 0 whatever the HTTP status is.
    pub ignores_status: bool,
    /// A plain GET of one URL, with nothing that `httpGet` cannot do.
    pub replaceable: bool,
    /// A plain GET of one URL that stands in the command and certainly is this pod's, with no flag that could say more: `httpGet` with the port and path
    /// of the target then succeeds and fails as it does. The server must listen on the pod's address too.
    pub exact: bool,
    /// Over TLS.
    pub https: bool,
    /// Names of the headers that it sends.
    pub headers: Vec<String>,
}

/// PostgreSQL, MySQL, Redis, MongoDB, Cassandra, Kafka, RabbitMQ, memcached, SQL Server, Oracle by their well-known ports.
pub fn data_store(port: i64) -> Option<&'static str> {
    DATA_STORES.iter().find(|(known, _)| *known == port).map(|(_, name)| *name)
}

/// The well-known ports of databases, caches and brokers.
pub const DATA_STORES: [(i64, &str); 10] = [
    (5432, "PostgreSQL"),
    (3306, "MySQL"),
    (6379, "Redis"),
    (27017, "MongoDB"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (5672, "RabbitMQ"),
    (11211, "memcached"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
];

/// Finds the programs that a command runs.
struct Walk<'e> {
    scope: Scope<'e>,
    calls: Vec<Call>,
    /// Names that the script defines itself: they are no programs.
    functions: Vec<String>,
    /// Whether anything but plain `a || b` was seen.
    structured: bool,
    /// Whether a program runs under another one, with variables of its own, or with files in the place of its input and output.
    wrapped: bool,
    budget: usize,
}

/// Programs that ask nothing and print or end.
const MESSAGES: [&str; 6] = ["exit", "false", "true", ":", "echo", "printf"];

impl Walk<'_> {
    fn arguments(&mut self, arguments: Vec<Arg>, output_used: bool, depth: usize) {
        if self.budget == 0 {
            return;
        }
        self.budget -= 1;
        let mut assignments = Vec::new();
        let words = arguments.len();
        let runs_script = matches!(arguments.as_slice(), [_, flag, _] if flag.value == "-c");
        let run = run::run(arguments, &mut assignments);
        self.wrapped |= !assignments.is_empty()
            || match &run {
                Run::Nothing => true,
                Run::Program(_, rest) => words != rest.len() + 1,
                Run::Script(_) => !runs_script,
            };
        let mark = self.scope.mark();
        for (name, value) in assignments {
            self.scope.assign(&name, value.value);
        }
        match run {
            Run::Program(name, arguments) => self.program(name, &arguments, output_used),
            Run::Script(shell) if depth < MAX_DEPTH => {
                if let Some(script) = shell::parse(shell.script.source()) {
                    self.script(&script, output_used, depth + 1);
                }
            }
            Run::Nothing | Run::Script(_) => {}
        }
        self.scope.forget(mark);
    }

    fn program(&mut self, name: String, arguments: &[Arg], output_used: bool) {
        let own = self.functions.contains(&name);
        let asked = if own { clients::Asked::default() } else { clients::asked(&name, arguments, &self.scope) };
        self.calls.push(Call {
            program: name,
            arguments: arguments.iter().map(|argument| argument.shown().to_owned()).collect(),
            targets: asked.targets,
            http: asked.http,
            output_used,
        });
    }

    fn script(&mut self, script: &Script, output_used: bool, depth: usize) {
        self.structured |= script.lists.len() > 1;
        for list in &script.lists {
            self.structured |= list.background || list.rest.iter().any(|(joint, _)| *joint == Joint::And);
            for (place, pipeline) in list.pipelines().enumerate() {
                let mark = self.scope.mark();
                self.structured |= pipeline.negated || pipeline.commands.len() > 1;
                for (at, command) in pipeline.commands.iter().enumerate() {
                    let piped = at + 1 < pipeline.commands.len();
                    self.command(command, output_used || piped, depth);
                }
                // Behind `&&` and `||`, what is set may not have been.
                if place > 0 {
                    self.scope.doubt(mark);
                }
            }
        }
    }

    fn command(&mut self, command: &Command, output_used: bool, depth: usize) {
        let mut output_used = output_used;
        for redirect in &command.redirects {
            let file = self.scope.expand(&redirect.target);
            self.substitutions(&redirect.target, depth);
            self.wrapped |= !redirect.output || !matches!(&*file.value, "/dev/null" | "/dev/stderr" | "/dev/stdout" | "1" | "2");
            if let Some(target) = clients::dev_tcp(&file, &self.scope) {
                self.structured = true;
                self.calls.push(Call { program: "/dev/tcp".to_owned(), targets: vec![target], ..Call::default() });
            } else if redirect.output && !matches!(&*file.value, "/dev/null" | "/dev/stderr" | "/dev/stdout" | "1" | "2" | "-") {
                output_used |= !file.value.starts_with("/proc/");
            }
        }
        match &command.form {
            Form::Simple(words) => self.simple(words, output_used, depth),
            Form::Compound { kind, words, bodies } => {
                self.structured |= *kind != Compound::Group;
                for word in words {
                    self.substitutions(word, depth);
                }
                // What is set on one path only is not known after it.
                let mark = self.scope.mark();
                match (kind, words.first().and_then(Word::literal)) {
                    (Compound::Loop, Some(name)) => self.scope.assign(name, shell::UNKNOWN.to_string()),
                    (Compound::Function, Some(name)) => self.functions.push(name.to_owned()),
                    _ => {}
                }
                if depth < MAX_DEPTH {
                    for body in bodies {
                        self.script(body, output_used, depth + 1);
                    }
                }
                if !matches!(kind, Compound::Group) {
                    self.scope.doubt(mark);
                }
            }
        }
    }

    fn simple(&mut self, words: &[Word], output_used: bool, depth: usize) {
        for word in words {
            self.substitutions(word, depth);
        }
        let (assignments, arguments) = run::expand(words, &self.scope);
        self.wrapped |= !assignments.is_empty();
        if arguments.is_empty() {
            self.structured = true;
            for (name, value) in assignments {
                self.scope.assign(&name, value.value);
            }
            return;
        }
        match &*arguments[0].value {
            "export" | "local" | "readonly" | "declare" | "typeset" => {
                self.structured = true;
                for argument in &arguments[1..] {
                    if let Some(name) = run::assigned_name(&argument.value) {
                        let value = argument.value[name.len() + 1..].to_owned();
                        self.scope.assign(name, value);
                    }
                }
            }
            "read" | "mapfile" | "getopts" | "unset" => {
                for argument in &arguments[1..] {
                    self.scope.assign(&argument.value, shell::UNKNOWN.to_string());
                }
            }
            _ => {
                let mark = self.scope.mark();
                for (name, value) in assignments {
                    self.scope.assign(&name, value.value);
                }
                self.arguments(arguments, output_used, depth);
                self.scope.forget(mark);
            }
        }
    }

    /// Commands inside a word: their output is used.
    fn substitutions(&mut self, word: &Word, depth: usize) {
        for expansion in &word.expansions {
            if let Expansion::Command(script) = expansion
                && depth < MAX_DEPTH
                && let Some(script) = shell::parse_at(script, depth)
            {
                self.structured = true;
                self.script(&script, true, depth + 1);
            }
        }
    }

    /// Behind the sole call, only `|| exit 1` and the like.
    fn is_plain(&self) -> bool {
        let repeats = |call: &Call| match (&*call.program, call.arguments.as_slice()) {
            ("false" | "exit", []) => true,
            ("exit", [code]) => code.parse::<u8>().is_ok_and(|code| code > 0),
            _ => false,
        };
        !self.wrapped && self.sole() == Some(0) && self.calls.iter().skip(1).all(repeats)
    }

    fn sole(&self) -> Option<usize> {
        if self.structured {
            return None;
        }
        let mut asking = self.calls.iter().enumerate().filter(|(_, call)| !MESSAGES.contains(&&*call.program));
        let (at, _) = asking.next()?;
        asking.next().is_none().then_some(at)
    }
}
