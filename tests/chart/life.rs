//! Installation, upgrade, rollback and removal on a real API server, by Helm 3 (three-way merge) and Helm 4 (server-side apply). A test plays the replicas:
//! it keeps a CA in the Secret and in the configurations, and looks whether it is still there afterwards.

use serde_json::{Value, json};

use crate::accepted::cluster;
use crate::cluster::{Namespace, Output};
use crate::helm::{Helm, objects};

/// Configuration kinds, as kubectl names them, and the webhooks in each.
const CONFIGURATIONS: [(&str, &[&str]); 2] = [
    ("validatingwebhookconfiguration", &["validate.probekeeper.dev", "policy.probekeeper.dev"]),
    ("mutatingwebhookconfiguration", &["mutate.probekeeper.dev"]),
];

/// Added to failurePolicy Fail: nobody answers here, and the other tests of this cluster are not to be held up.
const ASKED_ABOUT_NOBODY: &str = "webhook.validating.namespaceSelector.matchLabels.asked=never";

/// "CA" in base64.
const BUNDLE: &str = "LS0tLS1DQS0tLS0tCg==";

struct Installed {
    helm: Helm,
    release: String,
    namespace: Namespace,
}

impl Installed {
    fn new(helm: Helm, name: &str) -> Self {
        let name = format!("{name}-{}", format!("{helm:?}").to_lowercase());
        Self { helm, release: name.clone(), namespace: cluster().namespace(&name) }
    }

    fn helm(&self, args: &[&str]) -> Output {
        self.helm
            .run_on(&self.namespace.cluster.kubeconfig("kubeconfig"), &[args, &["--namespace", &self.namespace.name]].concat())
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}-probekeeper{suffix}", self.release)
    }

    /// What the replicas do: the CA into the Secret by Update, and into each webhook of both configurations.
    fn publish(&self) {
        let secret = json!({ "data": { "ca.crt": BUNDLE, "ca.key": BUNDLE } }).to_string();
        self.namespace.kubectl(&["patch", "secret", &self.name("-ca"), "--type=merge", "-p", &secret]).ok();
        for (kind, webhooks) in CONFIGURATIONS {
            let webhooks: Vec<Value> =
                webhooks.iter().map(|name| json!({ "name": name, "clientConfig": { "caBundle": BUNDLE } })).collect();
            let patch = json!({ "webhooks": webhooks }).to_string();
            self.namespace.kubectl(&["patch", kind, &self.name(""), "--type=strategic", "-p", &patch]).ok();
        }
    }

    /// Nothing that the replicas keep was reset.
    #[track_caller]
    fn assert_kept(&self, when: &str) {
        let secret = self.namespace.get("secret", &self.name("-ca"));
        assert_eq!(secret["data"], json!({ "ca.crt": BUNDLE, "ca.key": BUNDLE }), "{when}");
        for (kind, names) in CONFIGURATIONS {
            let configuration = self.namespace.get(kind, &self.name(""));
            let webhooks = configuration["webhooks"].as_array().expect("webhooks");
            assert_eq!(webhooks.len(), names.len(), "{when}");
            for webhook in webhooks {
                assert_eq!(webhook["clientConfig"]["caBundle"], BUNDLE, "{when}: {}", webhook["name"]);
            }
        }
    }

    fn failure_policy(&self) -> String {
        let configuration = self.namespace.get("validatingwebhookconfiguration", &self.name(""));
        configuration["webhooks"][0]["failurePolicy"].as_str().expect("failurePolicy").to_owned()
    }

    fn stored_policy(&self) -> String {
        let map = self.namespace.get("configmap", &self.name("-policy"));
        map["data"]["policy.yaml"].as_str().expect("policy.yaml").to_owned()
    }

    /// Every object of the release that is there.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for kinds in [
            "deployments,services,serviceaccounts,secrets,configmaps,poddisruptionbudgets,roles,rolebindings,networkpolicies,pods",
            "clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations",
        ] {
            let output = self.namespace.kubectl(&["get", kinds, "-o", "name"]).ok();
            left.extend(output.stdout.lines().filter(|line| line.contains(&self.release)).map(str::to_owned));
        }
        left
    }
}

#[test]
fn what_the_replicas_keep_outlives_upgrade_and_rollback_and_nothing_outlives_removal() {
    for helm in Helm::BOTH {
        let installed = Installed::new(helm, "life");
        let release = installed.release.as_str();
        let output = installed.helm(&["install", release, "charts/probekeeper"]).ok();
        for line in ["State of enforcement", "they pass unseen", "Disarm in an emergency", "helm test"] {
            assert!(output.stdout.contains(line), "NOTES lack {line:?}: {}", output.stdout);
        }
        assert_eq!(installed.failure_policy(), "Ignore", "it fails open at first");
        installed.publish();
        installed.assert_kept("published");

        let set = "webhook.validating.failurePolicy=Fail,policy.profile=strict,webhook.validating.timeoutSeconds=4,podLabels.a=b";
        installed.helm(&["upgrade", release, "charts/probekeeper", "--set", set, "--set", ASKED_ABOUT_NOBODY]).ok();
        assert_eq!(installed.failure_policy(), "Fail");
        assert!(installed.stored_policy().contains("profile: strict"));
        installed.assert_kept("upgraded");

        installed.helm(&["rollback", release, "1"]).ok();
        assert_eq!(installed.failure_policy(), "Ignore");
        assert!(installed.stored_policy().contains("profile: recommended"));
        installed.assert_kept("rolled back");

        // The replicas make a deleted Secret anew, by server-side apply and without Helm's labels.
        installed.namespace.kubectl(&["delete", "secret", &installed.name("-ca")]).ok();
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": { "name": installed.name("-ca") },
                             "data": { "ca.crt": BUNDLE, "ca.key": BUNDLE } });
        let apply = ["apply", "--server-side", "--field-manager=probekeeper", "-f", "-"];
        installed.namespace.kubectl_with(&apply, &secret).ok();
        installed.helm(&["upgrade", release, "charts/probekeeper", "--set", "replicaCount=2"]).ok();
        installed.assert_kept("upgraded with a Secret made anew");

        // Configurations that were deleted to disarm come back, and the replicas publish again.
        installed.namespace.kubectl(&["delete", "validatingwebhookconfiguration", &installed.name("")]).ok();
        installed.helm(&["upgrade", release, "charts/probekeeper"]).ok();
        installed.publish();
        installed.assert_kept("armed again");

        installed.helm(&["uninstall", release]).ok();
        assert_eq!(installed.left(), Vec::<String>::new(), "{helm:?}");
    }
}

/// Argo CD and Flux do not install releases: they apply what is rendered, by either kind of apply, again and again.
#[test]
fn applying_what_is_rendered_again_resets_nothing() {
    for (mode, apply) in [
        ("client", ["apply", "-f", "-"].as_slice()),
        ("server", ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"].as_slice()),
    ] {
        let release = format!("gitops-{mode}");
        let installed = Installed { helm: Helm::Four, namespace: cluster().namespace(&release), release };
        let rendered = |set: &str| {
            let args =
                ["template", &installed.release, "charts/probekeeper", "--namespace", &installed.namespace.name, "--no-hooks"];
            let text = Helm::Four.run(&[args.as_slice(), &["--set", set, "--set", ASKED_ABOUT_NOBODY]].concat()).ok().stdout;
            json!({ "apiVersion": "v1", "kind": "List", "items": objects(&text) })
        };
        installed.namespace.kubectl_with(apply, &rendered("logLevel=info")).ok();
        installed.publish();
        for set in ["logLevel=info", "webhook.validating.failurePolicy=Fail", "logLevel=debug"] {
            installed.namespace.kubectl_with(apply, &rendered(set)).ok();
            installed.assert_kept(&format!("{mode}, {set}"));
        }
        let delete = ["delete", "-f", "-"];
        installed.namespace.kubectl_with(&delete, &rendered("logLevel=info")).ok();
        assert_eq!(installed.left(), Vec::<String>::new(), "{mode}");
    }
}
