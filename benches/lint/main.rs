//! How long `probekeeper lint` takes: a repository of 1,000 files of two documents (3.5 MB in all), and one small file. The real binary is timed,
//! from start to exit.
//!
//! `cargo bench --bench lint` prints medians; nothing else should run on the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: usize = 1_000;
const BYTES_PER_FILE: usize = 3_500;
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut bytes = 0;
    for number in 0..FILES {
        let text = manifest(number);
        bytes += text.len();
        fs::create_dir_all(folder.path().join(format!("team-{:02}", number % 40)))?;
        fs::write(folder.path().join(format!("team-{:02}/app-{number:04}.yaml", number % 40)), text)?;
    }
    let single = folder.path().join("team-00/app-0000.yaml");
    println!(
        "{FILES} files of two documents, {:.2} MB; one file of {} bytes; median of {ROUNDS} runs",
        megabytes(bytes),
        fs::metadata(&single)?.len()
    );
    for (name, path, format) in [
        ("repository, text", folder.path(), "text"),
        ("repository, json", folder.path(), "json"),
        ("one file, text", &*single, "text"),
        ("version (start and exit)", Path::new(""), ""),
    ] {
        let mut times = Vec::new();
        let mut peak = 0;
        for _ in 0..ROUNDS {
            let (time, memory) = run(path, format)?;
            times.push(time);
            peak = peak.max(memory);
        }
        times.sort_unstable();
        let median = times[times.len() / 2];
        println!("{name:26} {:8.2} ms  (fastest {:.2} ms, peak {peak} kB resident)", millis(median), millis(times[0]));
    }
    Ok(())
}

/// Wall time and peak resident memory (as far as it was seen: the last look is shortly before the exit).
fn run(path: &Path, format: &str) -> Result<(Duration, u64), Box<dyn std::error::Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
    if format.is_empty() {
        command.arg("version");
    } else {
        command.arg("lint").arg(path).args(["--format", format]);
    }
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if child.try_wait()?.is_some() {
            return Ok((start.elapsed(), peak));
        }
        if start.elapsed() > Duration::from_millis(5) {
            peak = fs::read_to_string(&status).ok().and_then(|text| resident(&text)).unwrap_or(peak);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn resident(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// A Deployment as they are in repositories, and its Service. One in five has something to report.
fn manifest(number: usize) -> String {
    let port = if number.is_multiple_of(5) { "web" } else { "http" };
    let mut text = format!(
        "# Application {number}\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{number}\n  namespace: team-{}\n  labels:\n    app.kubernetes.io/name: app-{number}\n    app.kubernetes.io/part-of: platform\nspec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: app-{number}\n  template:\n    metadata:\n      labels:\n        app.kubernetes.io/name: app-{number}\n    spec:\n      serviceAccountName: app-{number}\n      securityContext: {{ runAsNonRoot: true, runAsUser: 10001 }}\n      containers:\n        - name: app\n          image: registry.example.com/platform/app-{number}:1.{number}.0\n          ports:\n            - {{ name: http, containerPort: 8080 }}\n            - name: metrics\n              containerPort: 9090\n          livenessProbe:\n            httpGet:\n              path: /healthz # the process itself\n              port: {port}\n            initialDelaySeconds: 10\n            periodSeconds: 10\n            timeoutSeconds: 5\n          readinessProbe:\n            httpGet: {{ path: /readyz, port: http }}\n            periodSeconds: 5\n          startupProbe:\n            httpGet: {{ path: /healthz, port: http }}\n            failureThreshold: 30\n          resources:\n            requests: {{ cpu: 100m, memory: 128Mi }}\n            limits: {{ memory: 256Mi }}\n          env:\n",
        number % 40,
    );
    let service = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: app-{number}\n  namespace: team-{}\n  labels:\n    app.kubernetes.io/name: app-{number}\nspec:\n  selector:\n    app.kubernetes.io/name: app-{number}\n  ports:\n    - name: http\n      port: 80\n      targetPort: http\n    - name: metrics\n      port: 9090\n      targetPort: metrics\n",
        number % 40,
    );
    for variable in 0.. {
        if text.len() + service.len() >= BYTES_PER_FILE - 40 {
            break;
        }
        let _ = writeln!(
            text,
            "            - name: SETTING_{variable}\n              value: \"https://service-{variable}.example.com:8443/v1\""
        );
    }
    text + &service
}

#[expect(clippy::cast_precision_loss, reason = "for print only")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
