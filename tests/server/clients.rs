//! Who is let in where clients must show a certificate. All refusals are in the handshake, before anything was asked.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::make;
use crate::client::{Client, post_head};
use crate::operations::get;
use crate::process::{Process, REVIEW};

/// A CA of clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client's certificate and key as PEM.
type Shown = (String, String);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn client(&self, names: &[&str]) -> Shown {
        self.signed(names, ExtendedKeyUsagePurpose::ClientAuth, SystemTime::now() + Duration::from_hours(1))
    }

    fn signed(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, until: SystemTime) -> Shown {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in [DnType::CommonName, DnType::OrganizationName].into_iter().zip(names) {
            params.distinguished_name.push(kind, *name);
        }
        params.extended_key_usages = vec![usage];
        params.not_before = (until - Duration::from_hours(2)).into();
        params.not_after = until.into();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn config(process: &Process, shown: Option<&Shown>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(process.authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    })
}

/// The first line of the answer to a review, or what the handshake ended with. A TLS 1.3 client learns of that only when it reads.
async fn ask(process: &Process, config: &Arc<ClientConfig>) -> Result<String, String> {
    let mut client = Client::connect_to(process.listen, ClientConfig::clone(config)).await.map_err(|error| error.to_string())?;
    let request = post_head("/validate", REVIEW.len()) + REVIEW;
    client.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    client.stream.flush().await.map_err(|error| error.to_string())?;
    let mut answer = [0; 15];
    client.stream.read_exact(&mut answer).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn alert(name: &str) -> Result<String, String> {
    Err(format!("received fatal alert: {name}"))
}

const GOOD: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn only_the_named_subjects_of_the_ca_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client-ca.crt");
    let (ca, other) = (Authority::new("first"), Authority::new("second"));
    // Any of several CAs may have signed.
    std::fs::write(&file, [Authority::new("third").pem, ca.pem.clone()].concat()).unwrap();
    let flags = ["--client-ca", file.to_str().unwrap(), "--client-subject", "kube-apiserver", "--client-subject", "aggregator"];
    let process = Process::start(folder.path(), &flags).await;
    // It has looked at its own port, and was let in.
    process.counted("probekeeper_tls_handshakes_total{result=\"ok\"} 1").await;
    let metrics = get(process.ops, "/metrics").await.1;
    assert!(!metrics.contains("client_refused"), "{metrics}");

    let now = SystemTime::now();
    let ended = ca.signed(&["kube-apiserver"], ExtendedKeyUsagePurpose::ClientAuth, now - Duration::from_mins(1));
    let server = ca.signed(&["kube-apiserver"], ExtendedKeyUsagePurpose::ServerAuth, now + Duration::from_hours(1));
    let mut refused = 0;
    for version in [&version::TLS12, &version::TLS13] {
        for (what, shown, expected) in [
            ("the first name", Some(ca.client(&["kube-apiserver"])), Ok(GOOD.to_owned())),
            ("the second name", Some(ca.client(&["aggregator", "system:masters"])), Ok(GOOD.to_owned())),
            ("nothing", None, alert("CertificateRequired")),
            ("another name", Some(ca.client(&["kube-apiserver2"])), alert("AccessDenied")),
            ("no name", Some(ca.client(&[])), alert("AccessDenied")),
            ("another CA", Some(other.client(&["kube-apiserver"])), alert("UnknownCA")),
            ("it has ended", Some(ended.clone()), alert("CertificateExpired")),
            ("not for clients", Some(server.clone()), alert("UnsupportedCertificate")),
        ] {
            let answer = ask(&process, &config(&process, shown.as_ref(), &[version])).await;
            assert_eq!(answer, expected, "{what}, {version:?}");
            refused += u32::from(answer.is_err());
        }
    }
    process.counted(&format!("probekeeper_tls_handshakes_total{{result=\"client_refused\"}} {refused}")).await;
}

/// A reset instead would leave it to chance whether the client ever reads the alert.
#[tokio::test]
async fn whoever_is_refused_can_send_all_of_the_request_and_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client-ca.crt");
    std::fs::write(&file, Authority::new("first").pem).unwrap();
    let process = Process::start(folder.path(), &["--client-ca", file.to_str().unwrap()]).await;
    let config = config(&process, None, &[&version::TLS13]);
    let request = post_head("/validate", 200_000) + &" ".repeat(200_000);
    for _ in 0..20 {
        let mut client = Client::connect_to(process.listen, ClientConfig::clone(&config)).await.unwrap();
        for part in request.as_bytes().chunks(20_000) {
            client.stream.write_all(part).await.unwrap();
            client.stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let told = client.stream.read_u8().await.unwrap_err();
        assert_eq!(Err(told.to_string()), alert("CertificateRequired"));
    }
}

#[tokio::test]
async fn the_ca_is_followed_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client-ca.crt");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    std::fs::write(&file, &first.pem).unwrap();
    let flags = ["--client-ca", file.to_str().unwrap(), "--certificate-check", "50ms"];
    let process = Process::start(folder.path(), &flags).await;
    // Each keeps what a server gives it to resume a session.
    let of = |ca: &Authority, version| config(&process, Some(&ca.client(&["anybody"])), &[version]);
    let old = [of(&first, &version::TLS12), of(&first, &version::TLS13)];
    let new = of(&second, &version::TLS13);
    for old in &old {
        assert_eq!(ask(&process, old).await.as_deref(), Ok(GOOD));
    }
    assert_eq!(ask(&process, &new).await, alert("UnknownCA"));

    for bad in ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, bad).unwrap();
        let number = if bad.is_empty() { 1 } else { 2 };
        process.counted(&format!("probekeeper_client_ca_reload_total{{result=\"failed\"}} {number}")).await;
        assert_eq!(ask(&process, &old[1]).await.as_deref(), Ok(GOOD));
    }
    std::fs::write(&file, &second.pem).unwrap();
    process.counted("probekeeper_client_ca_reload_total{result=\"ok\"} 1").await;
    for old in &old {
        assert_eq!(ask(&process, old).await, alert("UnknownCA"), "no session is resumed");
    }
    assert_eq!(ask(&process, &new).await.as_deref(), Ok(GOOD));
}

#[tokio::test]
async fn the_development_client_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(folder.path());
    std::fs::copy(path("ca.crt"), path("ca.pem")).unwrap();
    let files = format!("files:{},{}", path("tls.crt").display(), path("tls.key").display());
    let ca = path("ca.crt").display().to_string();
    let flags = ["--tls", &files, "--client-ca", &ca, "--client-subject", "kube-apiserver"];
    let process = Process::start(folder.path(), &flags).await;
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let shown = (read("client.crt"), read("client.key"));
    assert_eq!(ask(&process, &config(&process, Some(&shown), rustls::ALL_VERSIONS)).await.as_deref(), Ok(GOOD));
    let shown = (read("tls.crt"), read("tls.key"));
    assert!(ask(&process, &config(&process, Some(&shown), rustls::ALL_VERSIONS)).await.is_err());
}

#[test]
fn what_cannot_be_a_ca_of_clients_keeps_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    let start = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--client-ca"]).arg(path);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", folder.path().display()), "")
    };
    let missing = start(&folder.path().join("nothing"));
    assert!(missing.contains("cannot read nothing: No such file or directory; mount the file or correct --client-ca FILE"));
    for (text, expected) in [
        ("no PEM", "ca.crt holds no PEM certificate; it must hold the CA that signs the clients' certificates"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "ca.crt is not a usable CA: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = start(&file);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_probekeeper")).args(["serve", "--client-subject", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--client-ca <FILE>"));
}
