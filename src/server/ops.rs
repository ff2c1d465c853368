//! The operations port: liveness, readiness and metrics, in plain HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::lifecycle::Gates;
use crate::telemetry::metrics::Metrics;

/// Connections at once: a kubelet and a few Prometheus servers. Others wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// Longest wait for a request, the first or the next. Prometheus scrapes each 15 to 60 s over a kept connection.
const IDLE: Duration = Duration::from_secs(75);

/// Pause after a failed accept, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = "probekeeper\n\n/livez            the process answers\n/readyz           every gate is open\n/readyz?verbose   each gate\n/metrics          OpenMetrics text\n";

/// Serves until the task is dropped.
pub async fn run(listener: TcpListener, gates: Gates, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (gates, metrics) = (gates.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(&request, &gates, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "operations connection ended");
            }
            drop(slot);
        });
    }
}

fn respond(request: &Request<Incoming>, gates: &Gates, metrics: &Metrics) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => text(StatusCode::OK, INDEX.to_owned()),
        // That it is answered at all is the test: the runtime's loop turns. Nothing else may end a process that still judges.
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let (status, word) =
                if gates.ready() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") };
            let verbose = request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
            // Whoever reads a failure wants to know which gate it is.
            text(status, if verbose || status != StatusCode::OK { gates.describe() + word } else { word.to_owned() })
        }
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.encode());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
            response
        }
        _ => text(StatusCode::NOT_FOUND, format!("no such path\n\n{INDEX}")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
