//! An API server that shows a client certificate, set up as docs/certificates.md says, and one that does not.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cluster::{Cluster, Namespace};
use crate::http::Answer;
use crate::webhook::{FailurePolicy, Registration, Server, eventually, free_address};
use crate::workloads::{complete, deployment, hair_trigger};

fn create(namespace: &Namespace, container: &serde_json::Value) -> Answer {
    let path = format!("{}?dryRun=All", namespace.path("apis/apps/v1", "deployments"));
    namespace.cluster.call("POST", &path, &deployment(container))
}

/// Waits until a call fails with these words.
#[track_caller]
fn fails(namespace: &Namespace, words: &str) {
    let failed = || {
        let answer = create(namespace, &complete());
        answer.code == 500 && answer.message().contains("failed calling webhook") && answer.message().contains(words)
    };
    assert!(eventually(failed), "`{words}` is not in {:?}", create(namespace, &complete()));
}

/// A Service of the name that the page has.
const SERVICE: &str = "probekeeper";

#[test]
fn only_an_api_server_with_the_certificate_is_let_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let address = free_address();
    let port = address.rsplit(':').next().expect("a port");
    let [host, other] = ["clients-service", "clients-unnamed"].map(|namespace| format!("{SERVICE}.{namespace}.svc"));
    let mut script = Command::new(root.join("certs/make.sh"));
    let made = script.arg(folder.path()).args(["127.0.0.1", &host, &other]).output().expect("certs/make.sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let page = std::fs::read_to_string(root.join("docs/certificates.md")).expect("docs/certificates.md");
    let (_, section) = page.split_once("## Client certificates").expect("the section");
    let mut blocks = section.split("```yaml\n").skip(1).map(|block| block.split("```").next().expect("a block").to_owned());
    let admission = blocks.next().expect("an AdmissionConfiguration");
    std::fs::write(path("admission.yaml"), admission.replace("/etc/kubernetes/webhooks.yaml", &path("webhooks.yaml")))
        .expect("file");
    let config = blocks.next().expect("a kubeconfig").replace("/etc/kubernetes/pki/webhook-client", &path("client"));
    let (head, user) = config.split_once("  - name: probekeeper.probekeeper-system.svc\n").expect("the user");
    // Both of the page's ways to name who is called: by Service, at another port than 443, and by address.
    let users = [format!("{host}:{port}"), address.clone()].map(|name| format!("  - name: {name}\n{user}"));
    std::fs::write(path("webhooks.yaml"), head.to_owned() + &users.concat()).expect("file");
    let cluster = Cluster::with_flag(&format!("--admission-control-config-file={}", path("admission.yaml")));
    let [by_url, by_service, unnamed] = &["clients", "clients-service", "clients-unnamed"].map(|name| cluster.namespace(name));
    let bare = &Cluster::shared().namespace("clients");

    let start = |subject: &str| {
        let flags = [
            format!("--tls=files:{},{}", path("tls.crt"), path("tls.key")),
            format!("--client-ca={}", path("ca.crt")),
            format!("--client-subject={subject}"),
        ];
        let server = Server::launch(folder.path(), &cluster.kubeconfig("probekeeper"), &address, &flags);
        server.wait_ready();
        server
    };
    let ca = std::fs::read_to_string(path("ca.crt")).expect("the CA");
    let url = format!("https://{address}");
    let server = start("kube-apiserver");
    let _by_url = [by_url, bare].map(|namespace| Registration::new(namespace, &url, &ca, FailurePolicy::Fail));
    // Nobody routes a cluster address here. To a Service of this type the API server goes by the name in it, and all else is as with the others.
    for namespace in [by_service, unnamed] {
        let service = json!({ "metadata": { "name": SERVICE }, "spec": { "type": "ExternalName", "externalName": "localhost" } });
        assert_eq!(cluster.call("POST", &namespace.path("api/v1", "services"), &service).code, 201);
    }
    let port = port.parse().expect("a port");
    let _by_service =
        [by_service, unnamed].map(|namespace| Registration::by_service(namespace, SERVICE, port, &ca, FailurePolicy::Fail));
    for showing in [by_url, by_service] {
        assert!(eventually(|| create(showing, &complete()).code == 201), "{:?}", create(showing, &complete()));
        assert_eq!(create(showing, &hair_trigger()).code, 403);
    }
    let refused = "probekeeper_tls_handshakes_total{result=\"client_refused\"}";
    assert!(server.sum(refused) < 0.1, "{}", server.log());
    fails(bare, "remote error: tls: certificate required");
    assert!(server.sum(refused) > 0.9, "{}", server.log());
    // That API server has a certificate, but its file names no user for this Service.
    fails(unnamed, "remote error: tls: certificate required");
    drop(server);

    let server = start("somebody-else");
    for showing in [by_url, by_service] {
        fails(showing, "remote error: tls: access denied");
    }
    assert!(server.sum(refused) > 0.9, "{}", server.log());
}
