//! The webhook port: accepts connections, keeps them within their limits, and lets them end in good order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::connections::{Connection, Connections, Cut};
use super::queue::Queue;
use super::tls::Acceptor;
use super::{Judge, Limits, clients, request};
use crate::telemetry::metrics::Metrics;

/// Connections that the kernel holds for us while the accept loop is away. It turns in microseconds; 1024 rides out a burst of handshakes.
const BACKLOG: i32 = 1024;

/// What is taken from a socket at once. rustls by itself asks for 4 KiB, which makes fifty system calls of a 200 kB review. One TLS record
/// has at most 16 KiB and a few bytes.
const READ_AHEAD: usize = 32 << 10;

/// Largest request head. An API server's has half a kilobyte; without a limit of ours each connection could be made to hold 400 kB.
const MOST_HEAD: usize = 64 << 10;

/// How long a shutdown still waits for a request on a connection that looks idle: one may be under way, in the network or in the kernel, and
/// would be lost. A few round trips within a cluster.
const LINGER: Duration = Duration::from_millis(250);

/// The same for a connection that has not asked anything yet. Who connects has something to say: an API server's client, which opens a connection for
/// a call, writes at once, and a Go client that finds a fresh connection ended does not try another, as it does with a kept one to which it had not
/// written. A second leaves it time on a crowded machine.
const FIRST_LINGER: Duration = Duration::from_secs(1);

/// How much is read from a client that has been refused in its handshake: a request of usual size.
const MOST_UNHEARD: u64 = 256 << 10;

/// How long the accept loop waits after an error that the next call would meet again, as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`. An unspecified IPv6 address takes IPv4 in as well, whatever the machine's `bindv6only` says, and falls back to
/// `0.0.0.0` where there is no IPv6.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    match listen(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restarted process must not wait for the last one's connections to leave TIME_WAIT; on Linux this does not share a live port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The webhook server around a judge.
pub struct Server<J> {
    pub(super) judge: J,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) in_flight_bytes: AtomicUsize,
    pub(super) in_flight_requests: AtomicUsize,
    pub(super) queue: Queue,
    draining: AtomicBool,
    connections: Connections,
    tasks: AtomicUsize,
    task_ended: Notify,
    stop: Notify,
    stopped: AtomicBool,
}

impl<J: Judge> Server<J> {
    /// A server that does not listen yet.
    pub fn new(judge: J, limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            judge,
            queue: Queue::new(limits.judgements),
            limits,
            metrics,
            in_flight_bytes: AtomicUsize::new(0),
            in_flight_requests: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            connections: Connections::new(),
            tasks: AtomicUsize::new(0),
            task_ended: Notify::new(),
            stop: Notify::new(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Accepts until [`Server::shutdown`]. One task per connection.
    pub async fn run(self: Arc<Self>, listener: TcpListener, acceptor: Acceptor) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.notified() => return,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream, &acceptor),
                // The connection was gone before we took it: the next one is not concerned.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// From now on every answer says `Connection: close`.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Stops accepting, closes idle connections after a moment, and lets the others finish within `grace`. Returns how many were cut off.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        self.drain();
        self.stopped.store(true, Ordering::SeqCst);
        self.stop.notify_one();
        self.connections.close_all();
        loop {
            let ended = self.task_ended.notified();
            let left = self.tasks.load(Ordering::Acquire);
            if left == 0 || tokio::time::timeout_at(deadline, ended).await.is_err() {
                return left;
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, acceptor: &Acceptor) {
        let Some(connection) = self.connections.admit(self.limits.connections) else {
            self.metrics.connection_closed(Cut::Refused.label());
            return;
        };
        // A request is one small write each way: waiting to merge it with another costs 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if self.stopped.load(Ordering::SeqCst) {
            // It came while the others were being told to close.
            self.connections.close_all();
        }
        self.metrics.connection_opened();
        self.tasks.fetch_add(1, Ordering::AcqRel);
        let task = Task { server: Arc::clone(self), connection };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let cut = task.serve(stream, acceptor).await;
            task.server.metrics.connection_closed(cut.label());
        });
    }
}

/// One connection's task. Dropping it, even by a panic, takes the connection off the books.
struct Task<J: Judge> {
    server: Arc<Server<J>>,
    connection: Arc<Connection>,
}

impl<J: Judge> Task<J> {
    async fn serve(&self, stream: TcpStream, acceptor: Acceptor) -> Cut {
        let Self { server, connection } = self;
        let limits = &server.limits;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let stream = match self.handshake(acceptor.accept(stream)).await {
            Ok(stream) => stream,
            Err(cut) => return cut,
        };
        server.metrics.handshake("ok");
        connection.ready();

        let service = service_fn(|request| request::respond(server, connection, request));
        // hyper's own `header_read_timeout` would take the idle timeout's place, but it makes and drops a timer for each request, and knows no
        // shorter limit for the first one. Here one timer per connection looks, when it fires, whether anything has happened since.
        let mut http = pin!(http1::Builder::new().max_buf_size(MOST_HEAD).serve_connection(TokioIo::new(stream), service));
        let (mut closing, mut told) = (None, false);
        let mut alarm = pin!(sleep_until(Instant::now() + limits.first_head));
        loop {
            tokio::select! {
                biased;
                ended = http.as_mut() => return match ended {
                    Ok(()) if connection.body_was_cut() => Cut::Body,
                    Ok(()) => closing.unwrap_or(if server.is_draining() { Cut::Shutdown } else { Cut::Peer }),
                    Err(error) if error.is_parse() => Cut::BadRequest,
                    Err(error) if error.is_incomplete_message() => Cut::Peer,
                    Err(error) => {
                        tracing::debug!(%error, "connection broke");
                        if connection.body_was_cut() { Cut::Body } else { Cut::Broken }
                    }
                },
                cut = connection.told_to_close(), if closing.is_none() => {
                    closing = Some(cut);
                    if cut == Cut::Evicted {
                        // Ends an idle connection at once, with TLS's own goodbye; a request that has just come is still answered. Room is
                        // needed now, so it gets one look.
                        http.as_mut().graceful_shutdown();
                        alarm.as_mut().reset(Instant::now());
                    } else {
                        // Every answer says `Connection: close` by now. What is silent after a moment is told to go.
                        let linger = if connection.has_served() { LINGER } else { FIRST_LINGER };
                        alarm.as_mut().reset(Instant::now() + linger);
                    }
                }
                () = &mut alarm => {
                    let limit = if connection.has_served() { limits.idle } else { limits.first_head };
                    let silent = connection.silent_for();
                    if connection.is_busy() {
                        alarm.as_mut().reset(Instant::now() + limits.body);
                    } else if closing == Some(Cut::Evicted) {
                        return Cut::Evicted;
                    } else if closing == Some(Cut::Shutdown) && !told {
                        told = true;
                        http.as_mut().graceful_shutdown();
                        alarm.as_mut().reset(Instant::now() + limit);
                    } else if silent < limit {
                        alarm.as_mut().reset(Instant::now() + limit.saturating_sub(silent));
                    } else {
                        return if connection.has_served() { Cut::Idle } else { Cut::HeadTimeout };
                    }
                }
            }
        }
    }
}

impl<J: Judge> Task<J> {
    /// Waits for the end of the TLS handshake.
    async fn handshake<S, T: AsyncBufRead + AsyncWrite + Unpin>(
        &self,
        handshake: impl Future<Output = Result<S, (io::Error, T)>>,
    ) -> Result<S, Cut> {
        let Self { server, connection } = self;
        let mut handshake = pin!(handshake);
        let mut alarm = pin!(sleep_until(Instant::now() + server.limits.handshake));
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                accepted = handshake.as_mut() => {
                    let (error, stream) = match accepted {
                        Ok(stream) => return Ok(stream),
                        Err(failed) => failed,
                    };
                    server.metrics.handshake(if clients::is_refusal(&error) { "client_refused" } else { "failed" });
                    tracing::debug!(%error, "TLS handshake failed");
                    tokio::select! {
                        () = hear_out(stream) => {}
                        _ = connection.told_to_close() => {}
                    }
                    return Err(Cut::HandshakeFailed);
                }
                cut = connection.told_to_close(), if !ending => {
                    if cut == Cut::Evicted {
                        return Err(cut);
                    }
                    // A TLS 1.3 client may have sent its request with the last flight of its handshake.
                    ending = true;
                    alarm.as_mut().reset(Instant::now() + FIRST_LINGER);
                }
                () = &mut alarm => {
                    if ending {
                        return Err(Cut::Shutdown);
                    }
                    server.metrics.handshake("timeout");
                    return Err(Cut::HandshakeTimeout);
                }
            }
        }
    }
}

/// Ends a connection on which a last word has been sent. What the client still sends is read and dropped for a moment: closed before that, the kernel
/// answers it with a reset, and the client may never read why it was refused. A TLS 1.3 client sends its request before it learns of it.
async fn hear_out(mut stream: impl AsyncBufRead + AsyncWrite + Unpin) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy_buf(&mut stream.take(MOST_UNHEARD), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

impl<J: Judge> Drop for Task<J> {
    fn drop(&mut self) {
        self.server.connections.remove(&self.connection);
        self.server.metrics.connection_gone();
        self.server.tasks.fetch_sub(1, Ordering::AcqRel);
        self.server.task_ended.notify_waiters();
    }
}
