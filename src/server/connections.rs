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

    /// Takes a new connection in. At the cap, another one is told to close; when every one has a request in flight, the new one is refused.
    pub(super) fn admit(&self, cap: usize) -> Option<Arc<Connection>> {
        let mut open = self.lock();
        if open.len() >= cap {
            let (id, evicted) = self.least_useful(&open, cap)?;
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

    /// Which one makes room: a handshake that takes too long; else, where those that never asked anything have half of the room, the oldest of them;
    /// else the one that has been longest without a completed request. None that has a request in flight.
    ///
    /// A flood of connections that ask nothing so fills half of the room, and pushes neither out who asks nor who is just connecting.
    fn least_useful(&self, open: &HashMap<u64, Arc<Connection>>, cap: usize) -> Option<(u64, Arc<Connection>)> {
        let now = millis(self.epoch.elapsed());
        let unused = open.values().filter(|connection| !connection.has_served() && !connection.is_busy()).count();
        let many = unused >= cap.div_ceil(2);
        let rank = |connection: &Connection| {
            let since = connection.since.load(Ordering::Relaxed);
            let slow = now.saturating_sub(since) > millis(SLOW_HANDSHAKE);
            match connection.state.load(Ordering::Acquire) {
                BUSY => None,
                HANDSHAKE if slow => Some((0, since)),
                _ if many && !connection.has_served() => Some((1, since)),
                _ => Some((2, since)),
            }
        };
        open.iter()
            .filter_map(|(id, connection)| rank(connection).map(|rank| (rank, *id, connection)))
            .min_by_key(|(rank, id, _)| (*rank, *id))
            .map(|(_, id, connection)| (id, Arc::clone(connection)))
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

/// A handshake takes a round trip and a millisecond; one that takes longer than this is the first to make room.
const SLOW_HANDSHAKE: Duration = Duration::from_secs(1);

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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(connection: &Connection, milliseconds: u64) {
        connection.since.store(milliseconds, Ordering::Relaxed);
    }

    /// Connections in the order in which they are told to close.
    fn evicted(connections: &Connections, cap: usize, all: &[&Arc<Connection>]) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(new) = connections.admit(cap) {
            new.begin();
            let gone = all
                .iter()
                .enumerate()
                .filter(|(at, connection)| connection.closing() == Some(Cut::Evicted) && !order.contains(at));
            order.extend(gone.map(|(at, _)| at).collect::<Vec<_>>());
        }
        order
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn evicts_slow_handshakes_then_the_longest_silent_and_never_a_busy_one() {
        let connections = Connections { epoch: long_ago(), ..Connections::new() };
        let [old, young, slow, quick, busy] = [(); 5].map(|()| connections.admit(5).unwrap());
        for (connection, at) in [(&old, 5), (&young, 7), (&busy, 1)] {
            connection.ready();
            connection.begin();
            connection.complete();
            since(connection, at);
        }
        busy.begin();
        since(&slow, 8_000);
        assert_eq!(evicted(&connections, 5, &[&old, &young, &slow, &quick, &busy]), [2, 0, 1, 3]);
        assert_eq!(busy.closing(), None);
    }

    #[test]
    fn connections_that_never_asked_get_half_of_the_room() {
        let connections = Connections { epoch: long_ago(), ..Connections::new() };
        let [used, idle, other, quick] = [(); 4].map(|()| connections.admit(4).unwrap());
        for (connection, at) in [(&used, 10), (&idle, 9_500), (&other, 9_600)] {
            connection.ready();
            since(connection, at);
        }
        used.begin();
        used.complete();
        since(&used, 10);
        // The newcomers of this test are at work, so that fewer and fewer are left that never asked.
        assert_eq!(evicted(&connections, 4, &[&used, &idle, &other, &quick]), [1, 2, 0, 3]);
    }
}
