//! Client certificates: the API server shows one, and nobody else gets to ask.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::alerts::Recording;
use crate::installation::{Installation, NAME};
use crate::newcomers::ask;
use crate::node::eventually;
use crate::stream::Stream;

#[test]
#[ignore = "needs a node: make node-test"]
fn with_client_certificates_only_the_api_server_may_ask() {
    let this = Installation::enforcing();
    let set = |ca: &[u8]| {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "api-servers" },
                             "data": { "ca.crt": STANDARD.encode(ca) } });
        this.node.kubectl_with(&["apply", "--server-side", "-n", NAME, "-f", "-"], &secret.to_string()).ok();
    };
    // The authority of the whole node: of what it signed, one name alone is let in.
    let ca = this.node.pki("ca.crt");
    set(&ca);
    let stream = Stream::start(this.node, "clients");
    stream.go_on(100);
    let values =
        json!({ "webhook": { "clientAuthentication": { "secretName": "api-servers", "subjects": ["webhook-client"] } } });
    this.upgrade(&values).ok();
    this.await_rollout();
    this.await_departures();
    stream.go_on(100);

    let replicas: Vec<String> =
        this.pods().iter().map(|pod| format!("{}:8443", pod["status"]["podIP"].as_str().expect("an address"))).collect();
    assert_eq!(replicas.len(), 3);
    let bundle = STANDARD.decode(&this.bundles()[0]).expect("base64");
    let client = |name: Option<&str>| tls(this, &bundle, name);
    for replica in &replicas {
        let refused = |name| ask(replica, &client(name)).expect_err("refused").to_string();
        assert_eq!(refused(None), "received fatal alert: CertificateRequired");
        assert_eq!(refused(Some("admin")), "received fatal alert: AccessDenied");
        assert_eq!(ask(replica, &client(Some("webhook-client"))).expect("an answer"), "HTTP/1.1 405 Method Not Allowed");
    }
    let count = this.labelled("probekeeper_tls_handshakes_total", "result=\"client_refused\"");
    assert!(count.len() == 3 && count.iter().all(|count| *count >= 2.0), "{count:?}");
    this.assert_helm_test_passes();

    // A CA that is none reaches the pods: the last good one stays, and an alert says so.
    let mut recording = Recording::start(this);
    set(b"no certificate");
    eventually("every replica refuses the file", 150, || {
        this.labelled("probekeeper_file_refused", "file=\"client_ca\"") == [1.0; 3]
    });
    recording.go_on(this);
    recording.assert_fires("ProbekeeperFileRefused", "file=\"client_ca\",severity=\"warning\"");
    assert_eq!(ask(&replicas[0], &client(Some("webhook-client"))).expect("an answer"), "HTTP/1.1 405 Method Not Allowed");
    stream.go_on(50);
    set(&ca);
    eventually("every replica is content", 150, || this.labelled("probekeeper_file_refused", "file=\"client_ca\"") == [0.0; 3]);

    this.upgrade(&Value::Null).ok();
    this.await_rollout();
    this.await_departures();
    stream.go_on(50);
    stream.end_without_a_failure("client certificates on and off");
    this.node.kubectl(&["delete", "secret", "api-servers", "-n", NAME]).ok();
}

/// Trusts the replicas, and shows a certificate of the node's authority.
fn tls(this: Installation, bundle: &[u8], name: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots);
    Arc::new(match name {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::pem_slice_iter(&this.node.pki(&format!("{name}.crt"))).map(|c| c.expect("PEM")).collect();
            let key = PrivateKeyDer::from_pem_slice(&this.node.pki(&format!("{name}.key"))).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    })
}
