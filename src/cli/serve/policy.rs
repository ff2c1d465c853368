//! `--policy`: what is in force at start, and how it follows its source.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::Client;
use tokio::time::{Instant, sleep};

use crate::admission::Admission;
use crate::cluster::config_map::{ConfigMapWatch, Pace, Sight, content};
use crate::cluster::event::{Notice, Notices};
use crate::lifecycle::{Gate, Gates};
use crate::policy::source::{self, SourceError};
use crate::policy::{Change, ConfigMapName, Content, KEY, Policy, PolicySource, PolicyStore, Profile, Rejected, Reload};
use crate::telemetry::metrics::Metrics;

/// How often a policy file is looked at. File watches miss the kubelet's swap of a symlinked folder.
const FILE_POLL: Duration = Duration::from_millis(500);

/// The same trouble with the API server is logged again after this long.
const SAY_AGAIN: Duration = Duration::from_mins(5);

/// `action` of the Events about a policy.
const ACTION: &str = "LoadPolicy";

/// The policy of this process and where it comes from.
pub(super) struct LivePolicy {
    source: Option<PolicySource>,
    store: Arc<PolicyStore>,
    reload: Reload,
    /// Open from the first policy on, whatever happens to its source later: what troubles one replica troubles all, and a policy of
    /// yesterday is better than none.
    gate: Gate,
    metrics: Arc<Metrics>,
}

impl LivePolicy {
    /// The built-in policy, or that of the file; one that is not valid is an error. A ConfigMap has yet to be read: until then nothing is
    /// in force, and the gate is closed.
    pub(super) fn start(source: Option<PolicySource>, gates: &Gates, metrics: &Arc<Metrics>) -> Result<Self, SourceError> {
        let mut live = Self {
            source: source.clone(),
            store: Arc::new(PolicyStore::empty()),
            reload: Reload::default(),
            gate: gates.add("policy", "not loaded"),
            metrics: Arc::clone(metrics),
        };
        metrics.watch_exemptions(&live.store);
        match source {
            None => live.put_in_force(Policy::builtin(Profile::default())),
            Some(PolicySource::ConfigMap(name)) => live.gate.close(&format!("ConfigMap {name} has not been read yet")),
            Some(PolicySource::File(path)) => match live.reload.next(&source::read(&path)) {
                Some(Change::Rejected(Rejected::Invalid(errors))) => return Err(SourceError::Invalid { path, errors }),
                Some(Change::Rejected(Rejected::Missing(why))) => return Err(SourceError::Unreadable(why)),
                Some(Change::Accepted(policy)) => live.put_in_force(*policy),
                None => {}
            },
        }
        Ok(live)
    }

    /// What judges by this policy.
    pub(super) fn judge(&self) -> Admission {
        let admission = Admission::new(Arc::clone(&self.store));
        match &self.source {
            Some(PolicySource::ConfigMap(name)) => admission.with_policy_in(name.clone()),
            Some(PolicySource::File(_)) | None => admission,
        }
    }

    /// Whether following the source takes a client of the cluster.
    pub(super) fn needs_cluster(&self) -> bool {
        matches!(self.source, Some(PolicySource::ConfigMap(_)))
    }

    /// Follows the source; ends at once where there is nothing to follow. `client` is there when [`Self::needs_cluster`] says so.
    pub(super) async fn follow(self, client: Option<Client>) {
        match (self.source.clone(), client) {
            (Some(PolicySource::File(path)), _) => self.follow_file(path).await,
            (Some(PolicySource::ConfigMap(name)), Some(client)) => self.follow_config_map(&name, client).await,
            (Some(PolicySource::ConfigMap(_)) | None, _) => {}
        }
    }

    async fn follow_file(mut self, path: PathBuf) {
        let place = path.display().to_string();
        let mut before = None;
        loop {
            sleep(FILE_POLL).await;
            let Some(now) = read(&path).await else { continue };
            if matches!(now, Content::Text(_)) {
                self.metrics.policy_read();
            }
            // Half a file may be a valid policy: what is being written is not taken until it stays as it is.
            if before.as_ref() == Some(&now) {
                self.take(&now, &place);
            }
            before = Some(now);
        }
    }

    async fn follow_config_map(mut self, name: &ConfigMapName, client: Client) {
        // Kubernetes names a container's host after its pod.
        let instance = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "probekeeper".to_owned());
        let notices = Notices::start(client.clone(), instance);
        let mut watch = ConfigMapWatch::new(client, name, Pace::default());
        let mut about: Option<ObjectReference> = None;
        let mut lost: Option<(String, Instant)> = None;
        loop {
            let content = match watch.next().await {
                Sight::Present(config_map) => {
                    about = Some(reference(name, &config_map));
                    content(name, &config_map)
                }
                Sight::Absent(config_map) => {
                    if let Some(config_map) = config_map {
                        about = Some(reference(name, &config_map));
                    }
                    Content::Missing(format!("ConfigMap {name} does not exist"))
                }
                Sight::Lost(problem) => {
                    if self.store.load().is_none() {
                        self.gate.close(&format!("ConfigMap {name} cannot be read: {problem}"));
                    }
                    if lost.as_ref().is_none_or(|(said, when)| *said != problem || when.elapsed() > SAY_AGAIN) {
                        tracing::warn!(source = %name, problem, "the policy's ConfigMap cannot be read; what is in force stays, and it is tried again");
                        lost = Some((problem, Instant::now()));
                    }
                    continue;
                }
            };
            self.metrics.policy_read();
            if let (Some(report), Some(about)) = (self.take(&content, KEY), &about) {
                let Report { warning, reason, note } = report;
                notices.offer(Notice { about: about.clone(), warning, reason, action: ACTION, note });
            }
        }
    }

    /// Acts on what the source holds now. Returns what is worth an Event: nothing when it held the same before.
    fn take(&mut self, content: &Content, place: &str) -> Option<Report> {
        let change = self.reload.next(content)?;
        self.metrics.policy_reload(change.result());
        Some(match change {
            Change::Accepted(policy) => {
                let note = format!("policy {} (profile {}) is in force", policy.hash, policy.profile);
                tracing::info!(hash = policy.hash, profile = policy.profile.name(), "policy accepted");
                self.put_in_force(*policy);
                Report { warning: false, reason: "PolicyAccepted", note }
            }
            Change::Rejected(rejected) => {
                let in_force = self.store.load();
                let note = rejected.describe(place, in_force.as_ref().map(|policy| policy.hash.as_str()));
                tracing::error!(problem = note, "policy rejected");
                if in_force.is_none() {
                    self.gate.close(&note);
                }
                let reason = match rejected {
                    Rejected::Invalid(_) => "PolicyRejected",
                    Rejected::Missing(_) => "PolicyMissing",
                };
                Report { warning: true, reason, note }
            }
        })
    }

    fn put_in_force(&self, policy: Policy) {
        self.metrics.policy_in_force(&policy.hash, policy.profile.name());
        self.store.replace(policy);
        self.gate.open();
    }
}

/// What an Event says.
struct Report {
    warning: bool,
    reason: &'static str,
    note: String,
}

/// Reads the file on a thread that may wait for the disk. `None` when the process is ending.
async fn read(path: &Path) -> Option<Content> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || source::read(&path)).await.ok()
}

fn reference(name: &ConfigMapName, config_map: &ConfigMap) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        name: Some(name.name.clone()),
        namespace: Some(name.namespace.clone()),
        uid: config_map.metadata.uid.clone(),
        resource_version: config_map.metadata.resource_version.clone(),
        field_path: None,
    }
}
