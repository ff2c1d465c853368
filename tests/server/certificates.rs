//! Which certificate is served, and what is refused.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use probekeeper::lifecycle::Gates;
use probekeeper::pki::issue::Issued;
use probekeeper::server::Limits;
use probekeeper::server::tls::{Follow, Pair, PairFiles, serves};
use tokio::time::sleep;

use crate::client::Client;
use crate::fixture::{Fixture, issue, pair};
use crate::process::{Process, REVIEW};

#[test]
fn what_is_not_a_pair_is_refused_with_the_file_and_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (issue(), issue());
    let broken = one.certificate.replace('M', "*");
    for (certificate, key, expected) in [
        (
            None,
            Some(&one.key),
            "cannot read CERT: No such file or directory (os error 2); mount the file or correct --tls files:CERT,KEY",
        ),
        (
            Some(&one.certificate),
            None,
            "cannot read KEY: No such file or directory (os error 2); mount the file or correct --tls files:CERT,KEY",
        ),
        (
            Some(&String::new()),
            Some(&one.key),
            "CERT holds no PEM certificate; it must hold the leaf, followed by its intermediates",
        ),
        (Some(&one.key), Some(&one.key), "CERT holds no PEM certificate; it must hold the leaf, followed by its intermediates"),
        (
            Some(&one.certificate),
            Some(&one.certificate),
            "KEY holds no PEM private key; it must hold the key of the leaf certificate (PKCS#8, PKCS#1 or SEC1)",
        ),
        (
            Some(&one.certificate),
            Some(&other.key),
            "the key in KEY does not belong to the certificate in CERT; write both files from the same issue",
        ),
        (Some(&broken), Some(&one.key), "CERT is not a usable certificate"),
    ] {
        let files = PairFiles { certificate: folder.path().join("CERT"), key: folder.path().join("KEY") };
        for (path, text) in [(&files.certificate, certificate), (&files.key, key)] {
            let _ = std::fs::remove_file(path);
            if let Some(text) = text {
                std::fs::write(path, text).unwrap();
            }
        }
        let message = Pair::from_files(&files).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains('\n'));
    }
}

#[tokio::test]
async fn files_are_followed_as_a_pair_and_running_connections_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (issue(), issue());
    let files = write(folder.path(), &first, &first);
    let fixture = Fixture::start_with(Limits::default(), &first);
    let gates = Gates::new();
    let gate = gates.add("own-port", "not seen");
    let follow = Follow {
        files: files.clone(),
        interval: Duration::from_millis(20),
        admissible: std::sync::Arc::new(|_, _| Ok(())),
        certificate: gates.add("certificate", "not seen"),
    };
    let keeping = tokio::spawn(fixture.certificate.clone().keep(fixture.address, gate, Some(follow)));
    eventually(|| gates.ready()).await;
    let mut running = Client::connect(&fixture).await;

    write(folder.path(), &second, &first);
    fixture.counted("probekeeper_certificate_reload_total{result=\"failed\"} 1").await;
    sleep(Duration::from_millis(100)).await;
    fixture.counted("probekeeper_certificate_reload_total{result=\"failed\"} 1").await;
    assert_eq!(fixture.certificate.current().unwrap().leaf(), pair(&first).leaf());
    Client::connect(&fixture).await;

    write(folder.path(), &second, &second);
    fixture.counted("probekeeper_certificate_reload_total{result=\"ok\"} 1").await;
    assert_eq!(serves(fixture.address, pair(&second).leaf()).await, Ok(()));
    assert!(serves(fixture.address, pair(&first).leaf()).await.unwrap_err().contains("another certificate is served"));
    assert!(Client::try_connect(&fixture).await.is_err(), "new handshakes are signed by the new authority");
    assert_eq!(running.post("/validate", "{}").await.status, 200);
    keeping.abort();
}

#[tokio::test]
async fn what_the_development_script_makes_is_served_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(folder.path());
    let ca = std::fs::read_to_string(path("ca.crt")).unwrap();
    // The file in which a self-signed CA would be looked for.
    std::fs::copy(path("ca.crt"), path("ca.pem")).unwrap();
    let files = format!("files:{},{}", path("tls.crt").display(), path("tls.key").display());
    let process = Process::start(folder.path(), &["--tls", &files, "--certificate-check", "50ms"]).await;
    assert_eq!(process.connect().await.post("/validate", REVIEW).await.status, 200);

    make(folder.path());
    process.counted("probekeeper_certificate_reload_total{result=\"ok\"} 1").await;
    assert_eq!(std::fs::read_to_string(path("ca.crt")).unwrap(), ca, "clients need not be told");
    assert_eq!(process.connect().await.post("/validate", REVIEW).await.status, 200);

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "dev");
    names.sort();
    assert_eq!(names, [".gitignore", "README.md", "cert-manager.yaml", "make.sh"], "and no key");
}

/// Runs `certs/make.sh` for this folder.
pub(crate) fn make(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make.sh");
    let output = Command::new(script).arg(folder).output().expect("certs/make.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn write(folder: &Path, certificate: &Issued, key: &Issued) -> PairFiles {
    let files = PairFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
    std::fs::write(&files.certificate, &certificate.certificate).unwrap();
    std::fs::write(&files.key, &key.key).unwrap();
    files
}

async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}
