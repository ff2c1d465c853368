//! The log: text for people, JSON for machines, on stderr, and never in the way of an answer.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::judged::Judged;
use crate::admission::{Outcome, Route};

/// Lines that may wait for stderr. More than that are dropped and counted: when the container's log pipe is full, answers must not wait.
const WAITING_LINES: usize = 4096;

/// Bytes of lines that may wait: a line about a forged object with 1,900 containers has hundreds of kilobytes.
const WAITING_BYTES: usize = 4 << 20;

/// How long lines are gathered after one was written. Waking the writer and a system call for each line cost more than the judgement that the
/// line is about.
const GATHER: Duration = Duration::from_millis(10);

/// What the writer keeps of its buffer between writes.
const KEPT_BUFFER: usize = 64 << 10;

/// A line is seldom longer.
pub(super) const LINE: usize = 512;

/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_millis(500);

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

impl Format {
    /// Text on a terminal, else JSON.
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }

    pub(super) fn layer<S, W>(self, writer: W) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let layer = tracing_subscriber::fmt::layer().with_writer(writer);
        match self {
            Self::Text => layer.with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).boxed(),
            Self::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        }
    }
}

/// The least important lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)] // they are tracing's own
pub enum Verbosity {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Where lines go that are written as JSON without tracing.
static JSON: OnceLock<Lines> = OnceLock::new();

/// Writes lines until dropped; then waits for the last of them for at most half a second.
#[derive(Debug)]
pub struct Log {
    end: Option<(Lines, JoinHandle<()>)>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some((lines, writer)) = self.end.take() else { return };
        lines.offer(Line::End);
        let deadline = std::time::Instant::now() + FLUSH;
        while !writer.is_finished() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Starts the log of this process. A second call changes nothing.
///
/// Libraries are heard from `warn` on, whatever the level: their debug lines hold request headers. The watches of kube are left out: each failed
/// attempt is a line there, and what it means is ours to say, once.
pub fn start(format: Format, verbosity: Verbosity) -> io::Result<Log> {
    let level = match verbosity {
        Verbosity::Error => LevelFilter::ERROR,
        Verbosity::Warn => LevelFilter::WARN,
        Verbosity::Info => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
        Verbosity::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_target("probekeeper", level)
        .with_target("kube_runtime", LevelFilter::OFF)
        .with_default(level.min(LevelFilter::WARN));
    let (sender, receiver) = sync_channel(WAITING_LINES);
    let lines = Lines { sender, waiting: Arc::default() };
    let waiting = Arc::clone(&lines.waiting);
    if tracing_subscriber::registry().with(format.layer(lines.clone()).with_filter(filter)).try_init().is_err() {
        return Ok(Log { end: None });
    }
    if format == Format::Json {
        // Set once: a second start has ended above.
        let _ = JSON.set(lines.clone());
    }
    // Rust's own hook prints the message, and a message from string slicing quotes the string.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug: code panicked");
    }));
    let writer = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&receiver, &waiting))?;
    Ok(Log { end: Some((lines, writer)) })
}

/// One line about a judged request: `warn` for errors, `info` for what was denied or changed, else `debug`.
pub fn answered(route: Route, status: u16, outcome: &Outcome, took: Duration) {
    let judged = Judged { route, status, outcome, took };
    let Some(level) = judged.level() else { return };
    match JSON.get() {
        Some(lines) => lines.offer(Line::Text(judged.json(Timestamp::now(), level).into_bytes())),
        None => judged.event(level),
    }
}

enum Line {
    Text(Vec<u8>),
    End,
}

impl Line {
    const fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::End => 0,
        }
    }
}

/// Hands lines to the thread that may wait for stderr.
#[derive(Debug, Clone)]
struct Lines {
    sender: SyncSender<Line>,
    waiting: Arc<Waiting>,
}

/// What is on its way to stderr, and what is not.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Lines {
    fn offer(&self, line: Line) {
        let Waiting { bytes, dropped } = &*self.waiting;
        let length = line.length();
        let fits = bytes.fetch_add(length, Ordering::Relaxed) + length <= WAITING_BYTES;
        let sent = if fits { self.sender.try_send(line) } else { Err(TrySendError::Full(line)) };
        if sent.is_err() {
            bytes.fetch_sub(length, Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_)) = sent {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine { lines: self, text: Vec::with_capacity(LINE) }
    }
}

/// Gathers one event. tracing writes it in one piece.
struct OneLine<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl Write for OneLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OneLine<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.offer(Line::Text(std::mem::take(&mut self.text)));
        }
    }
}

/// Writes the first line at once and those of the next moments together.
fn write_lines(lines: &Receiver<Line>, waiting: &Waiting) {
    let mut stderr = io::stderr();
    let mut text = Vec::new();
    while let Ok(first) = lines.recv() {
        let mut ended = false;
        for line in std::iter::once(first).chain(lines.try_iter()) {
            match line {
                Line::Text(line) => text.extend_from_slice(&line),
                Line::End => ended = true,
            }
        }
        // Nobody is left to tell that stderr is gone.
        drop(stderr.write_all(&text));
        waiting.bytes.fetch_sub(text.len(), Ordering::Relaxed);
        if ended {
            return;
        }
        text.clear();
        text.shrink_to(KEPT_BUFFER);
        let lost = waiting.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "log lines dropped: stderr was not read");
        }
        std::thread::sleep(GATHER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While nobody reads stderr, what waits is bounded in lines and in bytes, and what is dropped is counted.
    #[test]
    fn what_waits_is_bounded() {
        let (sender, receiver) = sync_channel(3);
        let lines = Lines { sender, waiting: Arc::default() };
        let state = || (lines.waiting.bytes.load(Ordering::Relaxed), lines.waiting.dropped.load(Ordering::Relaxed));
        lines.offer(Line::Text(vec![0; WAITING_BYTES - 1]));
        lines.offer(Line::Text(vec![0; 2]));
        assert_eq!(state(), (WAITING_BYTES - 1, 1));
        lines.offer(Line::Text(vec![0; 1]));
        lines.offer(Line::End);
        lines.offer(Line::Text(Vec::new()));
        assert_eq!(state(), (WAITING_BYTES, 2));
        assert_eq!(receiver.try_iter().count(), 3);
    }
}
