//! Certificates on a real cluster: the CA is renewed under load, and what somebody takes away is put back.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probekeeper::pki::certificate::to_pem;
use probekeeper::pki::issue;
use serde_json::json;

use crate::installation::{Installation, MUTATING, NAME, VALIDATING};
use crate::newcomers::Newcomers;
use crate::node::eventually;
use crate::stream::{self, Stream};

const SECRET: &str = "probekeeper-ca";

#[test]
#[ignore = "needs a node: make node-test"]
fn a_wiped_ca_bundle_is_put_back() {
    let this = Installation::enforcing();
    let before = this.bundles();
    assert!(before.len() == 3 && before.iter().all(|bundle| !bundle.is_empty()), "{before:?}");
    for kind in [VALIDATING, MUTATING] {
        let patch = r#"[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]"#;
        this.node.kubectl(&["patch", kind, NAME, "--type=json", "-p", patch]).ok();
    }
    let took = eventually("both are repaired", 60, || this.bundles() == before);
    println!("caBundle back after {:.1} s", took.as_secs_f64());
    this.await_enforcement();
}

#[test]
#[ignore = "needs a node: make node-test"]
fn configurations_that_are_applied_anew_are_completed() {
    let this = Installation::enforcing();
    let rendered = this.rendered(&json!({}), "templates/webhooks.yaml");
    assert!(!rendered.contains("caBundle:"), "never rendered: {rendered}");
    let before = this.bundles();
    // Applying, of either kind, leaves alone what it does not name; replacing resets it, as some delivery tools do, and so does making them anew.
    for args in [
        ["apply", "--server-side", "--force-conflicts", "-f", "-"].as_slice(),
        &["apply", "-f", "-"],
        &["replace", "-f", "-"],
        &["replace", "--force", "-f", "-"],
    ] {
        this.node.kubectl_with(args, &rendered).ok();
        let took = eventually("both are complete", 60, || this.bundles() == before);
        println!("kubectl {}: complete after {:.1} s", args.join(" "), took.as_secs_f64());
        this.await_enforcement();
    }
    // helm takes them over again.
    this.upgrade(&json!({})).ok();
}

#[test]
#[ignore = "needs a node: make node-test"]
fn deleted_configurations_disarm_and_restored_ones_arm() {
    let this = Installation::enforcing();
    for kind in [VALIDATING, MUTATING] {
        this.node.kubectl(&["delete", kind, NAME]).ok();
    }
    eventually("nobody is asked any more", 30, || {
        stream::apply(this.node, "probe", false).is_ok_and(|answer| answer.code == 201)
    });
    // Disarmed on purpose: no reason for a replica to be unready, and a new one gets ready as well.
    let pods = this.pod_names();
    this.node.kubectl(&["delete", "pod", &pods[0], "-n", NAME, "--wait=false"]).ok();
    eventually("all replicas are ready", 60, || {
        let pods = this.pods();
        pods.len() == 3 && pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
    });
    let rendered = this.rendered(&json!({}), "templates/webhooks.yaml");
    this.node.kubectl_with(&["create", "-f", "-"], &rendered).ok();
    let took = this.await_enforcement();
    println!("restored configurations are in force after {:.1} s", took.as_secs_f64());
    // helm takes them over again.
    this.upgrade(&json!({})).ok();
    this.await_enforcement();
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_deleted_secret_is_made_again() {
    let this = Installation::enforcing();
    this.node.kubectl(&["delete", "secret", SECRET, "-n", NAME]).ok();
    let took = eventually("there is a CA again", 60, || {
        let secret = this.node.kubectl(&["get", "secret", SECRET, "-n", NAME, "-o", "jsonpath={.data}"]);
        secret.stdout.contains("ca.crt") && secret.stdout.contains("ca.key")
    });
    println!("the Secret is back after {:.1} s", took.as_secs_f64());
    this.await_enforcement();
    // A replica that starts now takes it up and is trusted.
    this.node.kubectl(&["rollout", "restart", "deployment/probekeeper", "-n", NAME]).ok();
    this.await_rollout();
    this.await_enforcement();
}

/// Two thirds of the CA's life are over: the next one is made, published, takes over, and the old one goes, all in one stream of calls.
#[test]
#[ignore = "needs a node: make node-test"]
fn a_rotation_of_the_ca_loses_no_call() {
    let short = ["--leaf-lifetime=20s", "--rotation-overlap=4s", "--certificate-check=1s"];
    let this = Installation::with(&json!({ "extraArgs": short }));
    let value = |key: &str| {
        let secret = this.node.get(&["secret", SECRET, "-n", NAME]);
        Some(String::from_utf8(STANDARD.decode(secret["data"][key].as_str()?).expect("base64")).expect("UTF-8"))
    };
    // Its successor is due in a few seconds, and lives for a year.
    let life = Duration::from_mins(10);
    let old = issue::authority(life, SystemTime::now() - life * 2 / 3 + Duration::from_secs(15)).expect("an authority");
    let old_pem = to_pem(&[old.certificate().clone()]);
    let data = json!({ "data": { "ca.crt": STANDARD.encode(&old_pem), "ca.key": STANDARD.encode(old.key()) } });
    this.node.kubectl(&["patch", "secret", SECRET, "-n", NAME, "--type=merge", "-p", &data.to_string()]).ok();
    let holds = |bundle: &String| String::from_utf8(STANDARD.decode(bundle).expect("base64")).expect("UTF-8").contains(&old_pem);
    eventually("the CA is published", 30, || this.bundles().iter().all(holds));

    let stream = Stream::start(this.node, "rotation");
    let newcomers = Newcomers::start(this, Duration::from_secs(4));
    let took = eventually("the next CA has taken over", 90, || value("ca.crt").is_some_and(|ca| ca != old_pem));
    println!("the next CA has taken over after {:.0} s", took.as_secs_f64());
    let new = value("ca.crt").expect("a CA");
    assert!(value("previous.crt").is_some_and(|previous| previous.contains(&old_pem)), "leaves under it are alive");
    let took = eventually("the old CA is forgotten", 120, || value("previous.crt").is_none());
    println!("the old CA is forgotten {:.0} s later", took.as_secs_f64());
    eventually("nothing but the new CA is published", 30, || {
        this.bundles().iter().all(|bundle| *bundle == STANDARD.encode(&new))
    });
    stream.go_on(100);
    newcomers.end_without_a_failure();
    stream.end_without_a_failure("rotation of the CA");
}
