//! Keeps one replica's leaf, the shared Secret and the published bundles in step with the API server: looks, takes the steps that
//! [`assess`](super::assess) names, and looks again. A look is a read of three objects by name; watches only say when to take one early.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, future};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::assess::{Lifetimes, Moment, Side, Step, View, assess, assess_alone, in_sync, quiet_for};
use super::certificate::{Authority, Certificate};
use super::inject::{Configuration, FIELD_MANAGER, NamespacedName, Reading};
use super::issue;
use super::memory::{Leaf, Memory};
use super::secret::{Data, PREVIOUS_UNTIL, Slot, Stored};
use crate::lifecycle::Gate;
use crate::server::tls::{Pair, Served};
use crate::telemetry::metrics::Metrics;

/// Longest that a look may take, its writes included. Reads of three objects take milliseconds; a network that swallows packets would keep us for ever.
const LOOK: Duration = Duration::from_secs(15);

/// Least pause between two looks: events come in bursts.
const PAUSE: Duration = Duration::from_millis(50);

/// First pause after a failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);

/// Longest pause after failures, and between steps that somebody undoes again and again.
const LONGEST: Duration = Duration::from_secs(30);

/// Looks with a step, one after the other, until somebody is taken to undo what we do. Coming to rest takes about six.
const RESTLESS: u32 = 12;

/// What is kept, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Secret with the authority.
    pub secret: NamespacedName,
    /// The names of the leaf.
    pub names: Vec<String>,
    /// How long things last.
    pub lifetimes: Lifetimes,
    /// Longest time between two looks.
    pub check: Duration,
}

/// One replica's keeping of the certificates.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Vec<Configuration>,
    settings: Settings,
    memory: Memory,
    served: Served,
    metrics: Arc<Metrics>,
    started: Instant,
}

/// The gates of readiness that are ours.
#[derive(Debug, Clone)]
pub struct Gating {
    /// A valid leaf whose authority is published.
    pub certificate: Gate,
    /// Our own port serves it.
    pub own_port: Gate,
    /// Where that port is.
    pub listening: SocketAddr,
}

/// How a look ended.
enum Ended {
    /// Everything is as it should be, for this long if nobody changes anything.
    Quiet(Duration),
    /// Something was changed, by us or by somebody before us.
    Changed,
    /// A step failed.
    Failed(String),
}

impl Keeper {
    /// Does not talk to the API server yet.
    pub fn new(
        client: Client,
        configurations: Vec<Configuration>,
        settings: Settings,
        served: Served,
        metrics: Arc<Metrics>,
    ) -> Self {
        let secrets = Api::namespaced(client, &settings.secret.namespace);
        let memory = Memory::new(chance());
        Self { secrets, configurations, settings, memory, served, metrics, started: Instant::now() }
    }

    /// Runs for as long as the process does.
    pub async fn run(mut self, gating: Gating) {
        let changed = Arc::new(Notify::new());
        let client = self.secrets.clone().into_client();
        watch::<Secret>(Api::namespaced(client, &self.settings.secret.namespace), &self.settings.secret.name, &changed);
        self.configurations.iter().for_each(|configuration| configuration.watch(&changed));
        let mut reported = None;
        let (mut failures, mut restless) = (0_u32, 0_u32);
        loop {
            let ended = match timeout(LOOK, self.look(&gating)).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(error)) => Ended::Failed(error),
                Err(_) => Ended::Failed(format!("the API server did not answer within {} s", LOOK.as_secs())),
            };
            let (pause, rest) = match ended {
                Ended::Quiet(quiet) => {
                    (failures, restless) = (0, 0);
                    if reported.take().is_some() {
                        tracing::info!("certificates are in order again");
                    }
                    (PAUSE, quiet.min(self.settings.check).mul_f64(1.0 - chance() / 10.0))
                }
                Ended::Changed => {
                    failures = 0;
                    restless = restless.saturating_add(1);
                    (restless.checked_sub(RESTLESS).map_or(PAUSE, backoff), Duration::ZERO)
                }
                Ended::Failed(error) => {
                    self.metrics.certificate_action("look", "failed");
                    self.alone(&gating, &error);
                    if reported.as_ref() != Some(&error) {
                        tracing::warn!(error, "certificates cannot be kept in order; trying again");
                        reported = Some(error);
                    }
                    failures = failures.saturating_add(1);
                    (backoff(failures - 1), Duration::ZERO)
                }
            };
            sleep(pause).await;
            tokio::select! {
                () = sleep(rest) => {}
                () = changed.notified() => {}
            }
        }
    }

    fn now(&self) -> Moment {
        Moment { wall: SystemTime::now(), uptime: self.started.elapsed() }
    }

    /// Sees what is there, and takes the steps that it needs.
    async fn look(&mut self, gating: &Gating) -> Result<Ended, String> {
        // The Secret last: what was published before it was read is explained by it, unless somebody changes it right now, and then our write
        // is refused.
        let readings = future::try_join_all(self.configurations.iter().map(Configuration::reading)).await?;
        let secret = self.secrets.get_opt(&self.settings.secret.name).await.map_err(|error| {
            let NamespacedName { namespace, name } = &self.settings.secret;
            format!("cannot read the Secret {namespace}/{name}: {}", said(&error))
        })?;
        let view = View {
            stored: secret.as_ref().map(stored).unwrap_or_default(),
            published: readings.iter().map(|reading| reading.published.clone()).collect(),
        };
        let (now, lifetimes) = (self.now(), self.settings.lifetimes);
        self.memory.note(&view, now);
        self.metrics.certificate_action("look", "ok");
        self.measure(&view, now);
        let steps = assess(&view, &self.memory, lifetimes, now);
        let mut failure = None;
        for step in &steps {
            let result = match step {
                Step::Issue { until } => self.issue(*until, gating),
                Step::Publish { side, bundle } => self.publish(&readings, *side, bundle).await,
                step => self.write(step, &view.stored, secret.as_ref(), now).await,
            };
            match result {
                Ok(()) => {
                    self.metrics.certificate_action(step.name(), "ok");
                    self.tell(step, &view.stored);
                }
                Err(Fault::Conflict) => {
                    self.metrics.certificate_action(step.name(), "conflict");
                    tracing::debug!(step = step.name(), "somebody else was faster; looking again");
                }
                Err(Fault::Other(error)) => {
                    self.metrics.certificate_action(step.name(), "failed");
                    failure = Some(error);
                }
            }
        }
        self.gate(&view, gating);
        Ok(match failure {
            Some(error) => Ended::Failed(error),
            None if steps.is_empty() => Ended::Quiet(quiet_for(&view, &self.memory, lifetimes, now)),
            None => Ended::Changed,
        })
    }

    /// Renews the leaf with what is known, while the API server cannot be reached.
    fn alone(&mut self, gating: &Gating, error: &str) {
        let now = self.now();
        if let Some(step @ Step::Issue { until }) = assess_alone(&self.memory, self.settings.lifetimes, now) {
            let issued = self.issue(until, gating).is_ok();
            self.metrics.certificate_action(step.name(), if issued { "ok" } else { "failed" });
            if issued {
                tracing::info!(until = %rfc3339(until), "issued a leaf without the API server");
            }
        }
        match self.memory.leaf() {
            None => gating.certificate.close(error),
            Some(leaf) if !leaf.is_valid(now.wall) => {
                gating
                    .certificate
                    .close(&format!("the certificate ended at {}, and there is no other: {error}", rfc3339(leaf.not_after)));
            }
            // A replica that serves well is not to blame for the API server.
            Some(_) => {}
        }
    }

    /// Opens the gate once a valid leaf is served whose authority every configuration names. It closes only when the leaf has ended.
    fn gate(&self, view: &View, gating: &Gating) {
        let now = self.now().wall;
        match self.memory.leaf() {
            None => gating.certificate.close("no certificate yet: its authority is not published in every webhook configuration"),
            Some(leaf) if !leaf.is_valid(now) => {
                gating.certificate.close(&format!("the certificate ended at {}, and there is no other", rfc3339(leaf.not_after)));
            }
            Some(leaf) if view.holds(&leaf.issuer) => gating.certificate.open(),
            Some(_) => {}
        }
    }

    fn issue(&mut self, until: SystemTime, gating: &Gating) -> Result<(), Fault> {
        let Some(signer) = self.memory.signer() else { return Err(Fault::Other("there is no authority".to_owned())) };
        let made = SystemTime::now();
        let pair = issue::leaf(signer, &self.settings.names, until, made)
            .map_err(|error| error.to_string())
            .and_then(|leaf| {
                let places = ("the certificate", "its key");
                Pair::from_pem(leaf.certificate.as_bytes(), leaf.key.as_bytes(), places).map_err(|error| error.to_string())
            })
            .map_err(|error| Fault::Other(format!("cannot issue a leaf: {error}")))?;
        self.memory.serve(Leaf { issuer: signer.certificate().clone(), made, not_after: until });
        self.served.swap(pair);
        let (served, Gating { listening, own_port, .. }) = (self.served.clone(), gating.clone());
        tokio::spawn(async move { served.confirm(listening, &own_port).await });
        Ok(())
    }

    async fn publish(&self, readings: &[Reading], side: Side, bundle: &[Certificate]) -> Result<(), Fault> {
        for (configuration, reading) in self.configurations.iter().zip(readings) {
            if configuration.side() == side {
                let what = || format!("cannot publish the CA in {}", configuration.title());
                configuration.publish(reading, bundle).await.map_err(|error| Fault::of(&error, what))?;
            }
        }
        Ok(())
    }

    /// Takes a step that changes the Secret.
    async fn write(&mut self, step: &Step, stored: &Stored, secret: Option<&Secret>, now: Moment) -> Result<(), Fault> {
        let name = &self.settings.secret.name;
        let what = || format!("cannot write the Secret {}/{name}", self.settings.secret.namespace);
        let Some(secret) = secret.filter(|_| *step != Step::Create) else {
            // Server-side apply: RBAC can grant it by name, a POST it cannot. It is created empty, so that replicas that do the same at
            // the same time do no harm; who fills it first is decided by its resourceVersion.
            let empty = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
            self.secrets
                .patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(empty))
                .await
                .map_err(|error| Fault::of(&error, what))?;
            return Ok(());
        };
        let authority = || {
            issue::authority(self.settings.lifetimes.authority, now.wall)
                .map_err(|error| Fault::Other(format!("cannot make an authority: {error}")))
        };
        let changed = match step {
            Step::Found { retired, until } => stored.succeeded(authority()?, retired.clone(), *until),
            Step::Prepare => stored.prepared(authority()?),
            Step::Promote { retired, until } => match &stored.next {
                Slot::Whole(next) => stored.succeeded(Authority::clone(next), retired.clone(), *until),
                _ => return Ok(()),
            },
            Step::Retire { retired, until } => stored.retired(retired.clone(), *until),
            Step::Forget => stored.retired(Vec::new(), now.wall),
            Step::Create | Step::Publish { .. } | Step::Issue { .. } => return Ok(()),
        };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.secrets.replace(name, &params, &written(secret, &changed)).await.map_err(|error| Fault::of(&error, what))?;
        if matches!(step, Step::Found { .. }) {
            self.memory.founded(now);
        }
        Ok(())
    }

    fn measure(&self, view: &View, now: Moment) {
        if let Some(authority) = view.stored.current.authority() {
            self.metrics.certificate_not_after("ca", authority.certificate().not_after());
        }
        for published in &view.published {
            let synced = in_sync(view, &self.memory, self.settings.lifetimes, now.wall, published);
            self.metrics.ca_bundle(published.side.name(), published.bundles.is_some(), synced);
        }
    }

    fn tell(&self, step: &Step, stored: &Stored) {
        let secret = format!("{}/{}", self.settings.secret.namespace, self.settings.secret.name);
        match step {
            Step::Publish { side, bundle } => {
                tracing::info!(configuration = side.name(), certificates = bundle.len(), "published the CA");
            }
            Step::Issue { until } => tracing::info!(until = %rfc3339(*until), "serving a new leaf"),
            Step::Create => tracing::warn!(secret, "created the Secret, which was gone"),
            Step::Found { retired, .. } => {
                let flaw = if let Slot::Broken { flaw, .. } = &stored.current { flaw } else { "there was none that is valid" };
                tracing::warn!(secret, flaw, retired = retired.len(), "made a new CA");
            }
            Step::Prepare => tracing::info!(secret, "made the next CA; it takes over once it has been published for the overlap"),
            Step::Promote { .. } => tracing::info!(secret, "the next CA has taken over"),
            Step::Retire { retired, until } => {
                tracing::warn!(secret, retired = retired.len(), until = %rfc3339(*until), "certificates were published that the Secret does not know; kept as retired");
            }
            Step::Forget => tracing::info!(secret, "dropped the retired CA"),
        }
    }
}

/// Why a step did not happen.
enum Fault {
    /// Somebody else changed the object since it was read.
    Conflict,
    /// Anything else, in words.
    Other(String),
}

impl Fault {
    fn of(error: &kube::Error, what: impl Fn() -> String) -> Self {
        match error {
            kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => Self::Conflict,
            error => Self::Other(format!("{}: {}", what(), said(error))),
        }
    }
}

/// What the API server said, or what kept us from asking it.
pub(super) fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    // The outer errors say what was tried, the innermost one what came in the way.
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    format!("the API server cannot be asked: {source}")
}

/// Wakes `changed` whenever the object of this name changes, and after each interruption. Only metadata is sent.
pub(super) fn watch<K>(api: Api<PartialObjectMeta<K>>, name: &str, changed: &Arc<Notify>)
where
    K: Resource<DynamicType = ()> + std::fmt::Debug + Clone + Send + serde::de::DeserializeOwned + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (changed, name) = (Arc::clone(changed), name.to_owned());
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::debug!(name, %error, "watch interrupted"),
            }
        }
    });
}

fn stored(secret: &Secret) -> Stored {
    let data: Data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let until = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(PREVIOUS_UNTIL));
    Stored::read(&data, until.map(String::as_str))
}

fn written(secret: &Secret, stored: &Stored) -> Secret {
    let mut data: Data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let until = stored.write(&mut data);
    let mut secret = secret.clone();
    secret.data = Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect::<BTreeMap<_, _>>());
    let annotations = secret.metadata.annotations.get_or_insert_default();
    match until {
        Some(until) => annotations.insert(PREVIOUS_UNTIL.to_owned(), until),
        None => annotations.remove(PREVIOUS_UNTIL),
    };
    secret
}

/// The pause before attempt `attempt`, between half and all of what doubles from one to the next: replicas that failed together come apart.
pub(super) fn backoff(attempt: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST).mul_f64(1.0 - chance() / 2.0)
}

/// A number between 0 and 1, another one at each call. Enough to spread replicas; not for secrets.
fn chance() -> f64 {
    let random = RandomState::new().hash_one(());
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// A time as logs show it, in whole seconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "a time out of range".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
