//! `probekeeper serve`: the admission webhook.

mod certificate;
mod policy;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::sleep;

pub use self::certificate::{CertificateArgs, TlsSource};
use self::policy::LivePolicy;
use crate::lifecycle::{Gates, Signals};
use crate::policy::PolicySource;
use crate::server::tls::Served;
use crate::server::{Limits, Server, bind, ops};
use crate::telemetry::log::{self, Format, Verbosity};
use crate::telemetry::metrics::Metrics;
use crate::{cluster, quantity};

/// Threads that serve. One answers tens of thousands of reviews a second, far more than an API server sends; more cost memory and wake-ups.
const MOST_THREADS: usize = 4;

/// After how many steps of tasks a busy thread looks at the sockets. tokio's own 61 are meant for steps that are shorter than a judgement: under
/// overload, requests would stay in the kernel for that long, and be refused later than they could be.
const EVENT_INTERVAL: u32 = 16;

/// Exit code after a second signal: 128 plus SIGINT, as shells report it.
const ENDED_AT_ONCE: u8 = 130;

/// Serve the admission webhook.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Webhook port (TLS)
    #[arg(long, env = "PROBEKEEPER_LISTEN", default_value = "[::]:8443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Operations port (plain HTTP): /livez, /readyz, /metrics
    #[arg(long, env = "PROBEKEEPER_OPS_LISTEN", default_value = "[::]:8081", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,
    /// Policy: file:PATH or configmap:NAMESPACE/NAME, followed without a restart; without it the built-in recommended one
    #[arg(long, env = "PROBEKEEPER_POLICY", value_name = "SOURCE", value_parser = PolicySource::parse)]
    pub policy: Option<PolicySource>,
    /// Which certificate is served, and who keeps its CA known
    #[command(flatten)]
    pub certificate: CertificateArgs,
    /// How long to serve on after SIGTERM, until no API server sends any more
    #[arg(long, env = "PROBEKEEPER_DRAIN_DELAY", default_value = "10s", value_name = "DURATION", value_parser = quantity::duration)]
    pub drain_delay: Duration,
    /// How long requests may then take to end
    #[arg(long, env = "PROBEKEEPER_SHUTDOWN_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = quantity::duration)]
    pub shutdown_timeout: Duration,
    /// Connections at once
    #[arg(long, env = "PROBEKEEPER_MAX_CONNECTIONS", default_value = "256", value_name = "N")]
    pub max_connections: usize,
    /// Bytes of request bodies held at once
    #[arg(long, env = "PROBEKEEPER_MAX_IN_FLIGHT_BYTES", default_value = "64MiB", value_name = "SIZE", value_parser = quantity::bytes)]
    pub max_in_flight_bytes: usize,
    /// Largest request body
    #[arg(long, env = "PROBEKEEPER_MAX_BODY_BYTES", default_value = "8MiB", value_name = "SIZE", value_parser = quantity::bytes)]
    pub max_body_bytes: usize,
    /// Form of the log; without it text on a terminal, else json
    #[arg(long, env = "PROBEKEEPER_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// Least important lines to log
    #[arg(long, env = "PROBEKEEPER_LOG_LEVEL", value_enum, default_value = "info", value_name = "LEVEL")]
    pub log_level: Verbosity,
}

/// Serves until a signal ends it: 0 after an orderly end, 130 when a second signal cut it short. An error is one line and exit code 2.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let log = log::start(args.log_format.unwrap_or_else(Format::for_stderr), args.log_level).context("cannot start the log")?;
    let metrics = Arc::new(Metrics::new());
    let gates = Gates::new();
    let policy = LivePolicy::start(args.policy.clone(), &gates, &metrics)?;
    let certificate = args.certificate.start(&metrics)?;
    let listener = listen(args.listen, "--listen")?;
    let ops_listener = listen(args.ops_listen, "--ops-listen")?;
    let runtime = runtime().context("cannot start the runtime")?;
    let code = runtime.block_on(serve(args, gates, policy, certificate, &metrics, (listener, ops_listener)));
    // A task that does not end must not keep the process.
    runtime.shutdown_background();
    drop(log);
    code
}

/// The runtime that a server is given: as many threads as cores, up to four.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .event_interval(EVENT_INTERVAL)
        .thread_name("serve")
        .enable_all()
        .build()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

async fn serve(
    args: &ServeArgs,
    gates: Gates,
    policy: LivePolicy,
    certificate: Served,
    metrics: &Arc<Metrics>,
    (listener, ops_listener): (std::net::TcpListener, std::net::TcpListener),
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    // Reads a configuration and connects nowhere.
    let client = if policy.needs_cluster() { Some(cluster::client().await?) } else { None };
    let running = gates.add("running", "starting");
    running.open();

    let limits = Limits {
        connections: args.max_connections,
        in_flight_bytes: args.max_in_flight_bytes,
        body_bytes: args.max_body_bytes,
        judgements: threads(),
        ..Limits::default()
    };
    let server = Server::new(policy.judge(), limits, Arc::clone(metrics));
    let listener = TcpListener::from_std(listener).context("cannot use the webhook port")?;
    let ops_listener = TcpListener::from_std(ops_listener).context("cannot use the operations port")?;
    let (address, ops_address) = (listener.local_addr()?, ops_listener.local_addr()?);
    let acceptor = certificate.acceptor().context("cannot set up TLS")?;
    let accepting = tokio::spawn(Arc::clone(&server).run(listener, acceptor));
    let operating = tokio::spawn(ops::run(ops_listener, gates.clone(), Arc::clone(metrics)));
    tracing::info!(listen = %address, ops = %ops_address, version = env!("CARGO_PKG_VERSION"), "serving");
    args.certificate.keep(certificate, address, &gates, metrics).await?;
    tokio::spawn(policy.follow(client));

    let signal = tokio::select! {
        signal = signals.next() => signal,
        _ = accepting => anyhow::bail!("the webhook port is no longer served"),
        _ = operating => anyhow::bail!("the operations port is no longer served"),
    };
    tracing::info!(signal, "ending");
    // In this order: who has read that we are not ready finds every answer to a later request closing its connection.
    server.drain();
    running.close("ending");
    let ending = async {
        // Until every API server has seen that the endpoint is gone, they send requests here; those on kept connections get to move on.
        sleep(args.drain_delay).await;
        server.shutdown(args.shutdown_timeout).await
    };
    tokio::select! {
        cut = ending => {
            tracing::info!(cut, "ended");
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once");
            Ok(ExitCode::from(ENDED_AT_ONCE))
        }
    }
}

fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<std::net::TcpListener> {
    bind(address).with_context(|| format!("cannot listen on {address}; free the port or choose another with {flag}"))
}
