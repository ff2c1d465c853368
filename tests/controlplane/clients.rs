//! An API server that shows a client certificate, set up as docs/certificates.md says, and one that does not.

use std::path::Path;
use std::process::Command;

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

#[test]
fn only_an_api_server_with_the_certificate_is_let_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new(root.join("certs/make.sh")).arg(folder.path()).arg("127.0.0.1").output().expect("certs/make.sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let address = free_address();

    let page = std::fs::read_to_string(root.join("docs/certificates.md")).expect("docs/certificates.md");
    let (_, section) = page.split_once("## Client certificates").expect("the section");
    let mut blocks = section.split("```yaml\n").skip(1).map(|block| block.split("```").next().expect("a block").to_owned());
    for (name, block) in [("admission.yaml", blocks.next()), ("webhooks.yaml", blocks.next())] {
        let text = block.expect("a block of YAML");
        let text = text.replace("/etc/kubernetes/webhooks.yaml", &path("webhooks.yaml"));
        let text = text.replace("/etc/kubernetes/pki/webhook-client", &path("client"));
        std::fs::write(path(name), text.replace("probekeeper.probekeeper-system.svc", &address)).expect("file");
    }
    let showing =
        &Cluster::with_flag(&format!("--admission-control-config-file={}", path("admission.yaml"))).namespace("clients");
    let bare = &Cluster::shared().namespace("clients");

    let start = |subject: &str| {
        let flags = [
            format!("--tls=files:{},{}", path("tls.crt"), path("tls.key")),
            format!("--client-ca={}", path("ca.crt")),
            format!("--client-subject={subject}"),
        ];
        let server = Server::launch(folder.path(), &showing.cluster.kubeconfig("probekeeper"), &address, &flags);
        server.wait_ready();
        server
    };
    let ca = std::fs::read_to_string(path("ca.crt")).expect("the CA");
    let url = format!("https://{address}");
    let server = start("kube-apiserver");
    let _registrations = [showing, bare].map(|namespace| Registration::new(namespace, &url, &ca, FailurePolicy::Fail));
    assert!(eventually(|| create(showing, &complete()).code == 201), "{:?}", create(showing, &complete()));
    assert_eq!(create(showing, &hair_trigger()).code, 403);
    let refused = "probekeeper_tls_handshakes_total{result=\"client_refused\"}";
    assert!(server.sum(refused) < 0.1, "{}", server.log());
    fails(bare, "remote error: tls: certificate required");
    assert!(server.sum(refused) > 0.9, "{}", server.log());
    drop(server);

    let server = start("somebody-else");
    fails(showing, "remote error: tls: access denied");
    assert!(server.sum(refused) > 0.9, "{}", server.log());
}
