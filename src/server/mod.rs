//! Carries admission requests from TLS sockets to a [`Judge`] and its answers back, and survives whatever is posted to it.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::{Admission, Answer, Route};

pub mod clients;
mod connections;
pub mod listener;
pub mod ops;
mod queue;
mod request;
pub mod tls;

pub use listener::{Server, bind};

/// Decides about one request. Called on the runtime's own threads: it takes microseconds and never waits.
pub trait Judge: Send + Sync + 'static {
    /// The answer to `body`, which was posted to `route`.
    fn answer(&self, route: Route, body: &[u8]) -> Answer;
}

impl Judge for Admission {
    fn answer(&self, route: Route, body: &[u8]) -> Answer {
        Self::answer(self, route, body)
    }
}

impl<J: Judge + ?Sized> Judge for Arc<J> {
    fn answer(&self, route: Route, body: &[u8]) -> Answer {
        (**self).answer(route, body)
    }
}

/// Every bound that the webhook port keeps. The defaults are for API servers as clients; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From accept to the end of the TLS handshake. 10 s is also what Go's TLS clients allow.
    pub handshake: Duration,
    /// From the end of the handshake to the end of the first request head: who connects has something to say.
    pub first_head: Duration,
    /// From a request's head to the end of its body, for callers that name no timeout.
    pub body: Duration,
    /// Between two requests. An API server keeps idle connections for 90 s and does not resend a POST that died with its connection, so it
    /// has to be the first to close: twice its figure.
    pub idle: Duration,
    /// Most that a caller is kept waiting who named a timeout: a judgement takes microseconds, and who waits longer than this for us
    /// delays every deployment in the cluster.
    pub answer: Duration,
    /// Largest body. `object` and `oldObject` have up to 3 MiB each (etcd's request limit is 1.5 MiB, the API server's 3 MiB), plus the
    /// review around them.
    pub body_bytes: usize,
    /// Bytes of bodies held at once, over all connections: eight of the largest.
    pub in_flight_bytes: usize,
    /// Requests held at once. Three quarters of the connections: overload is answered with a 503 before connections have to be refused.
    pub in_flight_requests: usize,
    /// Judgements at once: one per thread of the runtime. More would only take turns.
    pub judgements: usize,
    /// Connections held at once. An API server keeps at most 25 idle ones per host: this is room for ten of them.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_mins(3),
            answer: Duration::from_secs(2),
            body_bytes: 8 << 20,
            in_flight_bytes: 64 << 20,
            in_flight_requests: 192,
            judgements: std::thread::available_parallelism().map_or(1, usize::from),
            connections: 256,
        }
    }
}
