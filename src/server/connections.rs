//! The open connections of the webhook port: which of them may be closed to make room, and when one has been silent for too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Why a connection ended, as the label value of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The client closed it.
    Peer,
    /// The socket failed.
    Broken,
    /// What came is not HTTP/1.
    BadRequest,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// The first request head did not come.
    HeadTimeout,
    /// No request for too long.
    Idle,
    /// A body was too large, too late or cut short: the rest of it is not read.
    Body,
    /// Closed to make room for a new one.
    Evicted,
    /// Not taken: the cap is reached and every connection is at work.
    Refused,
    /// We are ending.
    Shutdown,
}

impl Cut {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Broken => "broken",
            Self::BadRequest => "bad_request",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::Idle => "idle",
            Self::Body => "body",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// All open connections, up to a cap.
#[derive(Debug)]
pub(super) struct Connections {
    epoch: Instant,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), open: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Takes a new connection in. At the cap, the one that has been longest without a completed request is told to close, unfinished
    /// handshakes first; when every one has a request in flight, the new one is refused.
    pub(super) fn admit(&self, cap: usize) -> Option<Arc<Connection>> {
        let mut open = self.lock();
        if open.len() >= cap {
            let (id, evicted) = open
                .iter()
                .filter_map(|(id, connection)| connection.eviction_rank().map(|rank| (rank, *id, connection)))
                .min_by_key(|(rank, id, _)| (*rank, *id))
                .map(|(_, id, connection)| (id, Arc::clone(connection)))?;
            open.remove(&id);
            evicted.close(Cut::Evicted);
        }
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            epoch: self.epoch,
            state: AtomicU8::new(HANDSHAKE),
            served: AtomicBool::new(false),
            since: AtomicU64::new(millis(self.epoch.elapsed())),
            closing: AtomicU8::new(NOT_CLOSING),
            body_cut: AtomicBool::new(false),
            close: Notify::new(),
        });
        open.insert(connection.id, Arc::clone(&connection));
        Some(connection)
    }

    pub(super) fn remove(&self, connection: &Connection) {
        self.lock().remove(&connection.id);
    }

    pub(super) fn close_all(&self) {
        for connection in self.lock().values() {
            connection.close(Cut::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection as the others see it. Written by its own task, read by the accept loop.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    epoch: Instant,
    state: AtomicU8,
    served: AtomicBool,
    /// Milliseconds after `epoch` at which it was accepted, or its last request completed.
    since: AtomicU64,
    closing: AtomicU8,
    body_cut: AtomicBool,
    close: Notify,
}

const HANDSHAKE: u8 = 0;
const IDLE: u8 = 1;
const BUSY: u8 = 2;

const NOT_CLOSING: u8 = 0;
const EVICTED: u8 = 1;
const SHUTDOWN: u8 = 2;

impl Connection {
    /// The handshake is done; from now on requests are awaited.
    pub(super) fn ready(&self) {
        self.since.store(millis(self.epoch.elapsed()), Ordering::Relaxed);
        self.state.store(IDLE, Ordering::Release);
    }

    /// A request head has come.
    pub(super) fn begin(&self) {
        self.state.store(BUSY, Ordering::Release);
    }

    /// The answer is about to be written.
    pub(super) fn complete(&self) {
        self.since.store(millis(self.epoch.elapsed()), Ordering::Relaxed);
        self.served.store(true, Ordering::Relaxed);
        self.state.store(IDLE, Ordering::Release);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state.load(Ordering::Acquire) == BUSY
    }

    /// Whether a request has been answered on it.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// How long it has been without a completed request.
    pub(super) fn silent_for(&self) -> Duration {
        self.epoch.elapsed().saturating_sub(Duration::from_millis(self.since.load(Ordering::Relaxed)))
    }

    /// The body of its request was given up: the connection ends after the answer.
    pub(super) fn cut_body(&self) {
        self.body_cut.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_was_cut(&self) -> bool {
        self.body_cut.load(Ordering::Relaxed)
    }

    /// Resolves once somebody wants it closed.
    pub(super) async fn told_to_close(&self) -> Cut {
        loop {
            if let Some(cut) = self.closing() {
                return cut;
            }
            self.close.notified().await;
        }
    }

    pub(super) fn closing(&self) -> Option<Cut> {
        match self.closing.load(Ordering::Acquire) {
            EVICTED => Some(Cut::Evicted),
            SHUTDOWN => Some(Cut::Shutdown),
            _ => None,
        }
    }

    fn close(&self, cut: Cut) {
        let code = if cut == Cut::Evicted { EVICTED } else { SHUTDOWN };
        self.closing.store(code, Ordering::Release);
        self.close.notify_one();
    }

    /// Lowest is closed first; none while a request is in flight.
    fn eviction_rank(&self) -> Option<(u8, u64)> {
        let state = self.state.load(Ordering::Acquire);
        (state != BUSY).then(|| (state, self.since.load(Ordering::Relaxed)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evicts_handshakes_then_the_longest_silent_and_never_a_busy_one() {
        let connections = Connections::new();
        let [old, young, shaking, busy] = [(); 4].map(|()| connections.admit(4).unwrap());
        for (connection, since) in [(&old, 5), (&young, 7), (&busy, 1)] {
            connection.ready();
            connection.since.store(since, Ordering::Relaxed);
        }
        busy.begin();
        for expected in [&shaking, &old, &young] {
            let new = connections.admit(4).unwrap();
            assert_eq!(expected.closing(), Some(Cut::Evicted));
            new.begin();
        }
        assert!(connections.admit(4).is_none(), "all are busy");
        assert_eq!(busy.closing(), None);
    }
}
