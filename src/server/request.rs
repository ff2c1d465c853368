//! One request: where it goes, how much of it is read and for how long, and what comes back when it cannot be judged.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::Judge;
use super::connections::Connection;
use super::listener::Server;
use crate::admission::{Answer, Route};
use crate::quantity;
use crate::telemetry::log;

/// Most that is allocated on the word of a Content-Length. A review is seldom above 200 kB; a larger buffer grows as its bytes come.
const PREALLOCATE: usize = 256 << 10;

/// Bodies above [`PREALLOCATE`] share three quarters of the bytes in flight, so that large ones that come slowly leave room for the usual ones.
const fn room_for(bytes: usize, limit: usize) -> usize {
    if bytes > PREALLOCATE { limit / 4 * 3 } else { limit }
}

/// What a caller's own timeout is shortened by: the API server rounds what is left up to a whole second, and the answer has to travel.
const ROUNDED_UP: Duration = Duration::from_millis(1_250);

/// Answers one request. Never fails: the error type is hyper's way to say so.
pub(super) async fn respond<J: Judge>(
    server: &Server<J>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    connection.begin();
    let started = Instant::now();
    let mut response = match judge(server, started, request).await {
        Ok(answer) => json(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), answer.body),
        Err(refusal) => {
            server.metrics.refused(refusal.label());
            if refusal.is_ours() {
                tracing::warn!(reason = refusal.label(), "request refused");
            } else {
                tracing::debug!(reason = refusal.label(), "request refused");
            }
            if refusal.leaves_body() {
                connection.cut_body();
            }
            refusal.response()
        }
    };
    if server.is_draining() || connection.body_was_cut() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    connection.complete();
    Ok(response)
}

async fn judge<J: Judge>(server: &Server<J>, started: Instant, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let route = Route::from_path(request.uri().path()).ok_or(Refusal::NotFound)?;
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    if !request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(Refusal::MediaType);
    }
    let _slot = Slot::take(server).ok_or(Refusal::InFlightRequests)?;
    let deadline =
        request.uri().query().and_then(named_timeout).map(|named| started + answer_within(named, server.limits.answer));
    let body = read(server, request.into_body(), started, deadline).await?;
    let turn = server.queue.turn(deadline).await.ok_or(Refusal::Deadline)?;
    let bytes = body.bytes();
    let Ok(answer) = catch_unwind(AssertUnwindSafe(|| server.judge.answer(route, bytes))) else {
        return Err(Refusal::Panic);
    };
    turn.done();
    let took = started.elapsed();
    server.metrics.answered(route, &answer.outcome, bytes.len(), took);
    log::answered(route, answer.status, &answer.outcome, took);
    Ok(answer)
}

/// The body, in one piece. Callers who name a timeout are bound by it alone; the body timeout is for those who name none.
async fn read<J: Judge>(
    server: &Server<J>,
    mut incoming: Incoming,
    started: Instant,
    deadline: Option<Instant>,
) -> Result<Body<'_>, Refusal> {
    let limit = server.limits.body_bytes;
    let announced = incoming.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge);
    }
    let mut reserved = Reserved { total: &server.in_flight_bytes, bytes: 0 };
    reserved.grow_to(announced.unwrap_or(0).min(PREALLOCATE), server.limits.in_flight_bytes)?;
    let mut buffer = Vec::new();
    let late = if deadline.is_some() { Refusal::Deadline } else { Refusal::BodyTimeout };
    let until = deadline.unwrap_or(started + server.limits.body);
    loop {
        let frame = match timeout_at(until, incoming.frame()).await {
            Err(_) => return Err(late),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::BodyBroken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(chunk) = frame.into_data() else { continue };
        // The usual case: the whole body came with the head, and hyper hands out its read buffer. Nothing is copied.
        if Some(chunk.len()) == announced {
            return Ok(Body { content: Content::Whole(chunk), _reserved: reserved });
        }
        let length = buffer.len() + chunk.len();
        if length > limit {
            return Err(Refusal::TooLarge);
        }
        if length > buffer.capacity() {
            let capacity = announced.unwrap_or(0).min(PREALLOCATE).max(length).max((2 * buffer.capacity()).min(limit));
            reserved.grow_to(capacity, server.limits.in_flight_bytes)?;
            buffer.reserve_exact(capacity - buffer.len());
        }
        buffer.extend_from_slice(&chunk);
        if Some(length) == announced {
            break;
        }
    }
    Ok(Body { content: Content::Gathered(buffer), _reserved: reserved })
}

struct Body<'a> {
    content: Content,
    _reserved: Reserved<'a>,
}

enum Content {
    Whole(Bytes),
    Gathered(Vec<u8>),
}

impl Body<'_> {
    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Whole(bytes) => bytes,
            Content::Gathered(bytes) => bytes,
        }
    }
}

/// A request's share of the bytes in flight.
struct Reserved<'a> {
    total: &'a AtomicUsize,
    bytes: usize,
}

impl Reserved<'_> {
    fn grow_to(&mut self, bytes: usize, limit: usize) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.total.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before + more > room_for(bytes, limit) { Err(Refusal::InFlightBytes) } else { Ok(()) }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request's place among those in flight.
struct Slot<'a, J: Judge> {
    server: &'a Server<J>,
}

impl<'a, J: Judge> Slot<'a, J> {
    fn take(server: &'a Server<J>) -> Option<Self> {
        let slot = Self { server };
        server.metrics.in_flight(1);
        let before = server.in_flight_requests.fetch_add(1, Ordering::Relaxed);
        (before < server.limits.in_flight_requests).then_some(slot)
    }
}

impl<J: Judge> Drop for Slot<'_, J> {
    fn drop(&mut self) {
        self.server.in_flight_requests.fetch_sub(1, Ordering::Relaxed);
        self.server.metrics.in_flight(-1);
    }
}

/// Why a request gets no judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotFound,
    Method,
    MediaType,
    TooLarge,
    BodyTimeout,
    BodyBroken,
    InFlightBytes,
    InFlightRequests,
    Deadline,
    Panic,
}

impl Refusal {
    /// Label value of the metric, status and text.
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "no such path; post to /validate, /mutate or /policy"),
            Self::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "only POST is served here"),
            Self::MediaType => ("media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than the limit"),
            Self::BodyTimeout => ("body_timeout", StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
            Self::BodyBroken => ("body_broken", StatusCode::BAD_REQUEST, "the body could not be read"),
            // None of these carries Retry-After: with it, the API server would sleep and send the request up to ten times more.
            Self::InFlightBytes => ("in_flight_bytes", StatusCode::SERVICE_UNAVAILABLE, "too many bytes in flight"),
            Self::InFlightRequests => ("in_flight_requests", StatusCode::SERVICE_UNAVAILABLE, "too many requests in flight"),
            Self::Deadline => {
                ("deadline", StatusCode::SERVICE_UNAVAILABLE, "the answer would have come after the caller's deadline")
            }
            Self::Panic => ("panic", StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }

    const fn label(self) -> &'static str {
        self.facts().0
    }

    /// Whether an operator should hear of it: the others are the caller's mistakes, and any pod can post.
    const fn is_ours(self) -> bool {
        matches!(self, Self::InFlightBytes | Self::InFlightRequests | Self::Deadline | Self::TooLarge | Self::BodyTimeout)
    }

    /// Whether there may be more of the body than is worth reading.
    const fn leaves_body(self) -> bool {
        matches!(self, Self::TooLarge | Self::BodyTimeout | Self::BodyBroken | Self::InFlightBytes | Self::Deadline)
    }

    fn response(self) -> Response<Full<Bytes>> {
        let (_, status, text) = self.facts();
        let mut response = json(status, format!("{{\"error\":\"{text}\"}}\n").into_bytes());
        if self == Self::Method {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `application/json`, with any parameters.
fn is_json(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let essence = bytes.split(|byte| *byte == b';').next().unwrap_or(bytes);
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// The value of `?timeout=10s`. What cannot be read counts as absent: the caller's own clock still ends the call.
fn named_timeout(query: &str) -> Option<Duration> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    quantity::duration(text).ok()
}

/// How long an answer may take that is worth something to a caller who waits for `named`, which it has rounded up to a second.
fn answer_within(named: Duration, most: Duration) -> Duration {
    named.saturating_sub(ROUNDED_UP).max(named / 2).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        let most = Duration::from_secs(2);
        for (query, milliseconds) in [
            ("timeout=10s", 2_000),
            ("timeout=3s", 1_750),
            ("timeout=1s", 500),
            ("a=b&timeout=2s", 1_000),
            ("timeout=500ms", 250),
        ] {
            let named = named_timeout(query).unwrap();
            assert_eq!(answer_within(named, most), Duration::from_millis(milliseconds), "{query}");
        }
        for query in ["", "timeout=", "timeout=soon", "xtimeout=1s"] {
            assert_eq!(named_timeout(query), None, "{query}");
        }
    }

    #[test]
    fn content_types() {
        for (value, accepted) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON ;x=y", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(value)), accepted, "{value}");
        }
    }
}
