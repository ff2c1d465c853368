//! Mixed traffic for a long time, with policies and certificates that change: nothing grows, nothing fails.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use probekeeper::pki::issue::{Issued, development};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{interval, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::start::{Running, free_address, product};
use crate::{load, proc, review};

/// How long, and how much.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) minutes: f64,
    pub(crate) requests_per_second: u32,
}

/// As many kept connections as one API server has.
const CONNECTIONS: u32 = 25;
/// Requests until a connection is replaced by a new one, so that each certificate sees handshakes.
const PER_CONNECTION: u32 = 400;
/// Pause between two changes of policy and certificate; certificates on disk are looked at each 10 s.
const CHANGE: Duration = Duration::from_secs(25);
const SAMPLE: Duration = Duration::from_secs(5);
/// Between two requests of the idle connection. An API server keeps one for 90 s, the server for 180.
const IDLE: Duration = Duration::from_mins(2);
/// What an API server's shortest useful patience forgives.
const PATIENCE: Duration = Duration::from_secs(10);
/// Growth of resident memory that a run may show, in KiB: the allocator's own coming and going.
const GROWTH: f64 = 4096.0;

const POLICIES: [&str; 4] = [
    "profile: recommended",
    "profile: strict\ndefaults: { addStartupProbe: true, addPreStopSleepSeconds: 5 }",
    "profile: baseline\nrules: { missing-readiness: deny }",
    "profile: recommended\ndefaults: { livenessProbe: { initialDelaySeconds: 30 }, unknownIntent: leave }",
];

/// What happened so far.
#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    answers: u64,
    denied: u64,
    errors: Vec<String>,
    handshakes: u64,
    /// Those of them that resumed a session, and so saw no certificate.
    resumed: u64,
    odd: u64,
    changes: usize,
    /// Seconds since the start, resident KiB, open files.
    samples: Vec<(f64, u64, usize)>,
}

type Shared = Rc<RefCell<Tally>>;

impl Tally {
    fn error(&mut self, text: String) {
        eprintln!("error: {text}");
        self.errors.push(text);
    }
}

/// Runs and prints the figures; panics where something grew or failed.
pub(crate) fn run(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let pairs: Vec<Issued> = (0..4).map(|_| development(None, SystemTime::now()).unwrap()).collect();
    write_pair(folder.path(), &pairs[0]);
    write_policy(folder.path(), POLICIES[0]);
    let authorities: String = pairs.iter().map(|pair| pair.authority.as_str()).collect();
    let config = load::config(authorities.as_bytes());
    let mut forgetful = config.clone();
    forgetful.resumption = Resumption::disabled();
    // As an API server, and as one that has just started: it knows no session, so that it sees the certificate.
    let configs = [Arc::new(config), Arc::new(forgetful)];
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        "--tls".to_owned(),
        format!("files:{},{}", path("tls.crt"), path("tls.key")),
        "--policy".to_owned(),
        format!("file:{}", path("policy.yaml")),
        "--drain-delay".to_owned(),
        "1s".to_owned(),
    ];
    let address = free_address();
    let mut running = Running::spawn(&mut product(address, &flags), address);
    let tally = Shared::default();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(options.minutes * 60.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        let bodies = Rc::new(bodies());
        for connection in 0..CONNECTIONS {
            let pace = Duration::from_secs(1) * CONNECTIONS / options.requests_per_second;
            let config = Arc::clone(&configs[connection as usize % 2]);
            spawn_local(keep_asking(address, config, Rc::clone(&bodies), Rc::clone(&tally), connection, pace));
        }
        spawn_local(ask_seldom(address, Arc::clone(&configs[0]), Rc::clone(&bodies), Rc::clone(&tally)));
        spawn_local(behave_oddly(address, Arc::clone(&configs[1]), Rc::clone(&tally)));
        let mut changes = interval(CHANGE);
        changes.tick().await;
        let mut samples = interval(SAMPLE);
        let mut minute = 0;
        loop {
            tokio::select! {
                _ = changes.tick() => {
                    let mut tally = tally.borrow_mut();
                    tally.changes += 1;
                    write_pair(folder.path(), &pairs[tally.changes % pairs.len()]);
                    write_policy(folder.path(), POLICIES[tally.changes % POLICIES.len()]);
                }
                _ = samples.tick() => {
                    let files = fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().count();
                    let mut tally = tally.borrow_mut();
                    tally.samples.push((started.elapsed().as_secs_f64(), proc::memory_kib(running.pid(), "VmRSS"), files));
                    if started.elapsed().as_secs() / 300 > minute {
                        minute = started.elapsed().as_secs() / 300;
                        let (_, memory, files) = tally.samples.last().unwrap();
                        eprintln!("{} min: {} answers, {} errors, {memory} KiB, {files} files", minute * 5, tally.answers, tally.errors.len());
                    }
                }
                () = sleep_until(until.into()) => return,
            }
        }
    };
    runtime.block_on(LocalSet::new().run_until(work));
    drop(runtime);
    assert!(Command::new("kill").arg(running.pid().to_string()).status().unwrap().success());
    let code = running.wait().code();
    report(&tally.borrow(), started.elapsed().as_secs_f64(), code);
}

fn report(tally: &Tally, seconds: f64, code: Option<i32>) {
    // Buffers, caches and the allocator's arenas reach their size first.
    let settled: Vec<_> = tally.samples.iter().filter(|(at, ..)| *at >= seconds / 4.0).collect();
    #[allow(clippy::cast_precision_loss)] // KiB and files
    let points: Vec<(f64, f64)> = settled.iter().map(|(at, memory, _)| (*at, *memory as f64)).collect();
    let slope = slope(&points);
    let memory = |f: fn(u64, u64) -> u64| settled.iter().map(|(_, memory, _)| *memory).reduce(f).unwrap();
    let files: Vec<usize> = settled.iter().map(|(.., files)| *files).collect();
    let mut micros = tally.micros.clone();
    micros.sort_unstable();
    let at = |hundredths: usize| micros[(micros.len() * hundredths / 100).min(micros.len() - 1)];
    println!(
        "{:.0} min, {} answers ({} denied), {} handshakes ({} resumed), {} odd clients, {} changes of policy and certificate",
        seconds / 60.0,
        tally.answers,
        tally.denied,
        tally.handshakes,
        tally.resumed,
        tally.odd,
        tally.changes
    );
    println!("errors: {}", tally.errors.len());
    println!("latency: p50 {} us, p99 {} us, most {} us", at(50), at(99), micros.last().unwrap());
    println!(
        "resident memory after the first quarter: {} to {} KiB, slope {:.0} KiB per hour",
        memory(u64::min),
        memory(u64::max),
        slope * 3600.0
    );
    println!("open files after the first quarter: {} to {}", files.iter().min().unwrap(), files.iter().max().unwrap());
    println!("exit code after SIGTERM: {code:?}");
    assert!(tally.errors.is_empty(), "something failed");
    assert_eq!(code, Some(0));
    assert!(slope * seconds < GROWTH, "memory grows");
    // Connections of odd clients and replaced ones come and go.
    assert!(files.iter().max().unwrap() - files.iter().min().unwrap() < 40, "open files grow");
}

/// Least squares: KiB per second.
fn slope(points: &[(f64, f64)]) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (over, under) =
        points.iter().fold((0.0, 0.0), |(over, under), (px, py)| (over + (px - x) * (py - y), under + (px - x) * (px - x)));
    if under > 0.0 { over / under } else { 0.0 }
}

/// Path, body, and whether it is denied under every policy.
type Body = (&'static str, Vec<u8>, bool);

fn bodies() -> Vec<Body> {
    let mut bodies = Vec::new();
    for bytes in [2_500, 5_000, 5_000, 20_000, 5_000, 200_000] {
        bodies.push(("/validate", review::review(bytes), false));
        bodies.push(("/mutate", review::review(bytes), false));
    }
    let good = String::from_utf8(review::review(5_000)).unwrap();
    bodies.push(("/validate", good.replace(r#""port":"http","scheme""#, r#""port":"nowhere","scheme""#).into_bytes(), true));
    bodies.push(("/validate", good.replace(r#""spec":{"#, r#""spec":{"template":5,"#).into_bytes(), false));
    bodies
}

async fn keep_asking(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    bodies: Rc<Vec<Body>>,
    tally: Shared,
    number: u32,
    pace: Duration,
) {
    let mut at = number as usize;
    // Spread over the pace, so that they do not ask in chorus.
    sleep(pace * number / CONNECTIONS).await;
    loop {
        let mut stream = match connect(address, &config).await {
            Ok(stream) => stream,
            Err(error) => {
                tally.borrow_mut().error(format!("no connection: {error}"));
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        {
            let mut tally = tally.borrow_mut();
            tally.handshakes += 1;
            tally.resumed += u64::from(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
        }
        let mut ticks = interval(pace);
        for _ in 0..PER_CONNECTION + number * 7 {
            ticks.tick().await;
            at += 1;
            if let Err(error) = ask(&mut stream, &bodies[at % bodies.len()], &tally).await {
                tally.borrow_mut().error(error);
                break;
            }
        }
    }
}

async fn ask_seldom(address: SocketAddr, config: Arc<ClientConfig>, bodies: Rc<Vec<Body>>, tally: Shared) {
    let mut stream = connect(address, &config).await.unwrap();
    loop {
        if let Err(error) = ask(&mut stream, &bodies[0], &tally).await {
            tally.borrow_mut().error(format!("after an idle time: {error}"));
            stream = connect(address, &config).await.unwrap();
        }
        sleep(IDLE).await;
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, (path, body, denied): &Body, tally: &Shared) -> Result<(), String> {
    let head = format!(
        "POST {path}?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let asked = Instant::now();
    let exchange = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        stream.flush().await?;
        read(stream).await
    };
    let answer = match timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("{path}: {error}")),
        Err(_) => return Err(format!("{path}: no answer within {PATIENCE:?}")),
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    let verdict: serde_json::Value = serde_json::from_str(body).map_err(|error| format!("{error}: {head}"))?;
    let allowed = verdict["response"]["allowed"].as_bool().ok_or_else(|| format!("{path}: {head} {body}"))?;
    if !head.starts_with("HTTP/1.1 200 ") || (*denied && allowed) {
        return Err(format!("{path}: {head} {body}"));
    }
    let mut tally = tally.borrow_mut();
    tally.answers += 1;
    tally.denied += u64::from(!allowed);
    tally.micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
    Ok(())
}

/// One whole answer.
async fn read(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length.is_none_or(|length: usize| body.len() >= length) {
            return Ok(text.into_owned());
        }
    }
}

/// One after another, each on a connection of its own: what is refused, cut or left unfinished. Any end is right but none.
async fn behave_oddly(address: SocketAddr, config: Arc<ClientConfig>, tally: Shared) {
    let head = |line: &str, kind: &str, length: usize| {
        format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
    };
    let odd = [
        head("POST /nowhere", "application/json", 2) + "{}",
        head("GET /validate", "application/json", 0),
        head("POST /validate", "text/plain", 2) + "{}",
        head("POST /mutate", "application/json", 9) + "{\"kind\":",
        head("POST /mutate", "application/json", 8) + "nonsense",
        head("POST /validate", "application/json", 9 << 20),
        head("POST /validate", "application/json", 1 << 20) + "half a body",
        "POST /valid".to_owned(),
        "\0\0\0\r\n\r\n".to_owned(),
        String::new(),
    ];
    for text in odd.iter().cycle() {
        sleep(Duration::from_secs(1)).await;
        match connect(address, &config).await {
            Ok(mut stream) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.flush().await;
                let _ = timeout(Duration::from_millis(200), read(&mut stream)).await;
            }
            Err(error) => tally.borrow_mut().error(format!("no connection of an odd client: {error}")),
        }
        // And one that does not speak TLS at all.
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        }
        tally.borrow_mut().odd += 2;
    }
}

async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// First the certificate, then the key, as careless scripts do: between the two they do not match.
fn write_pair(folder: &Path, pair: &Issued) {
    fs::write(folder.join("tls.crt"), &pair.certificate).unwrap();
    fs::write(folder.join("tls.key"), &pair.key).unwrap();
}

fn write_policy(folder: &Path, text: &str) {
    let whole = format!("apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n{text}\n");
    fs::write(folder.join("policy.new"), whole).unwrap();
    fs::rename(folder.join("policy.new"), folder.join("policy.yaml")).unwrap();
}
