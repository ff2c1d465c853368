//! The life of a serving process: what it waits for before it is ready, and how it is told to end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Named conditions, all of which must hold for the process to be ready. Those that have been opened are closed only on purpose: being
/// unready takes a replica out of service, and what troubles one troubles all.
#[derive(Debug, Clone, Default)]
pub struct Gates {
    gates: Arc<Mutex<Vec<State>>>,
}

#[derive(Debug)]
struct State {
    name: &'static str,
    /// Why it is closed.
    closed: Option<String>,
    /// Whether it has ever been open.
    opened: bool,
}

impl Gates {
    /// No gates: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate that is closed, with the reason why.
    pub fn add(&self, name: &'static str, reason: &str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push(State { name, closed: Some(reason.to_owned()), opened: false });
        Gate { gates: self.clone(), index: gates.len() - 1 }
    }

    /// Whether all are open.
    pub fn ready(&self) -> bool {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|gate| gate.closed.is_none())
    }

    /// One line per gate, in the form of the API server's own `/readyz?verbose`.
    pub fn describe(&self) -> String {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().fold(String::new(), |text, gate| match &gate.closed {
            None => text + "[+]" + gate.name + " ok\n",
            Some(reason) => text + "[-]" + gate.name + ": " + reason + "\n",
        })
    }
}

/// One condition of readiness.
#[derive(Debug, Clone)]
pub struct Gate {
    gates: Gates,
    index: usize,
}

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.set(None);
    }

    /// The condition does not hold, and why.
    pub fn close(&self, reason: &str) {
        self.set(Some(reason.to_owned()));
    }

    /// Whether it has ever been open.
    pub fn has_opened(&self) -> bool {
        self.gates.gates.lock().unwrap_or_else(PoisonError::into_inner).get(self.index).is_some_and(|state| state.opened)
    }

    fn set(&self, closed: Option<String>) {
        if let Some(state) = self.gates.gates.lock().unwrap_or_else(PoisonError::into_inner).get_mut(self.index) {
            state.opened |= closed.is_none();
            state.closed = closed;
        }
    }
}

/// The signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens for SIGTERM and SIGINT from now on. Needs a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of them, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_gate_is_open() {
        let gates = Gates::new();
        let (policy, certificate) = (gates.add("policy", "not loaded"), gates.add("certificate", "not loaded"));
        assert!(!gates.ready());
        policy.open();
        insta::assert_snapshot!(gates.describe(), @r"
        [+]policy ok
        [-]certificate: not loaded
        ");
        certificate.open();
        assert!(gates.ready());
        policy.close("gone");
        assert!(!gates.ready());
    }
}
