//! Keeps a CA that somebody else issued in the webhook configurations: `--publish-ca FILE`, for certificates from files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::future;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::assess::Published;
use super::certificate::{Bundle, Certificate, sorted};
use super::inject::Configuration;
use super::keep::{backoff, said};
use crate::lifecycle::Gate;
use crate::server::tls::Served;
use crate::telemetry::metrics::Metrics;

/// What API servers trust, as last seen. Shared with who serves: a new pair waits until its CA is known.
pub type Trusted = Arc<ArcSwap<Trust>>;

/// What API servers trust.
#[derive(Debug, Default)]
pub struct Trust {
    /// What every bundle holds.
    held: Vec<Certificate>,
    /// What every bundle has held for the overlap, so that every API server has learned of it.
    settled: Vec<Certificate>,
    /// There is no bundle: nobody asks us.
    unasked: bool,
}

impl Trust {
    /// Whether API servers that read the configurations now accept the chain, leaf first.
    pub fn holds<'a>(&self, chain: impl Iterator<Item = &'a [u8]>) -> bool {
        self.unasked || signed_by(chain, &self.held)
    }

    /// Whether they all have read that.
    pub fn has_settled<'a>(&self, chain: impl Iterator<Item = &'a [u8]>) -> bool {
        self.unasked || signed_by(chain, &self.settled)
    }
}

/// Keeps the certificates of a file in the bundles. What else is published stays until we have served nothing under it for the overlap: others may.
pub struct Publisher {
    file: PathBuf,
    configurations: Vec<Configuration>,
    overlap: Duration,
    check: Duration,
    metrics: Arc<Metrics>,
    served: Served,
    trusted: Trusted,
    started: Instant,
    /// What every bundle has held without a break, and since which uptime.
    held: BTreeMap<Certificate, Duration>,
    /// Published certificates that are neither in the file nor needed for what we serve, and the uptime at which they were first seen so.
    foreign: BTreeMap<Certificate, Duration>,
}

impl Publisher {
    /// Reads `file` once, so that a wrong path is told at start.
    pub fn new(
        file: PathBuf,
        configurations: Vec<Configuration>,
        (overlap, check): (Duration, Duration),
        served: Served,
        trusted: Trusted,
    ) -> Result<Self, String> {
        let (metrics, started) = (Arc::clone(served.metrics()), Instant::now());
        let (held, foreign) = (BTreeMap::new(), BTreeMap::new());
        let publisher = Self { file, configurations, overlap, check, metrics, served, trusted, started, held, foreign };
        publisher.wanted()?;
        Ok(publisher)
    }

    /// Runs for as long as the process does, and opens `gate` once every configuration holds the file's certificates.
    pub async fn run(mut self, gate: Gate) {
        let changed = Arc::new(Notify::new());
        self.configurations.iter().for_each(|configuration| configuration.watch(&changed));
        let (mut reported, mut failures, mut restless) = (None, 0_u32, 0_u32);
        let mut open = false;
        loop {
            let (pause, rest) = match self.look().await {
                Ok(false) => {
                    (failures, restless) = (0, 0);
                    reported = None;
                    open = true;
                    gate.open();
                    (Duration::from_millis(50), self.check)
                }
                Ok(true) => {
                    failures = 0;
                    restless = restless.saturating_add(1);
                    (restless.checked_sub(12).map_or(Duration::from_millis(50), backoff), Duration::ZERO)
                }
                Err(error) => {
                    self.metrics.certificate_action("look", "failed");
                    if !open {
                        gate.close(&error);
                    }
                    if reported.as_ref() != Some(&error) {
                        tracing::warn!(error, "the CA cannot be kept in the webhook configurations; trying again");
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

    /// The file's certificates.
    fn wanted(&self) -> Result<Vec<Certificate>, String> {
        let place = self.file.display();
        let text = std::fs::read(&self.file)
            .map_err(|error| format!("cannot read {place}: {error}; mount the file or correct --publish-ca FILE"))?;
        let found = Bundle::from_pem(&text).certificates;
        if found.is_empty() {
            return Err(format!(
                "{place} holds no PEM certificate; it must hold the CA that signed the certificate of --tls files:"
            ));
        }
        Ok(found)
    }

    /// Whether anything was changed, by us or by somebody before us.
    async fn look(&mut self) -> Result<bool, String> {
        let wanted = self.wanted()?;
        let readings = future::try_join_all(self.configurations.iter().map(Configuration::reading)).await?;
        let published: Vec<&Published> = readings.iter().map(|reading| &reading.published).collect();
        let uptime = self.started.elapsed();
        let bundles: Vec<&Bundle> = published.iter().flat_map(|published| published.bundles()).collect();
        let held = held(&bundles);
        self.held = since(&self.held, held.iter().cloned(), uptime);
        let settled = self.held.iter().filter(|(_, since)| uptime.saturating_sub(**since) >= self.overlap);
        let settled = settled.map(|(certificate, _)| certificate.clone()).collect();
        self.trusted.store(Arc::new(Trust { held, settled, unasked: bundles.is_empty() }));

        let serving = self.served.current();
        let needed = |certificate: &Certificate| {
            serving.as_ref().is_some_and(|pair| signed_by(pair.chain(), std::slice::from_ref(certificate)))
        };
        let foreign = bundles.iter().flat_map(|bundle| bundle.certificates.iter());
        let foreign = foreign.filter(|certificate| !wanted.contains(certificate) && !needed(certificate)).cloned();
        self.foreign = since(&self.foreign, foreign, uptime);

        let mut changed = false;
        for (configuration, reading) in self.configurations.iter().zip(&readings) {
            let side = configuration.side().name();
            let target = target(&wanted, &self.foreign, uptime, self.overlap, &reading.published);
            self.metrics.ca_bundle(side, reading.published.bundles.is_some(), target.is_none());
            let Some(bundle) = target else { continue };
            changed = true;
            match configuration.publish(reading, &bundle).await {
                Ok(()) => {
                    self.metrics.certificate_action("publish", "ok");
                    tracing::info!(configuration = side, certificates = bundle.len(), "published the CA");
                }
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                    self.metrics.certificate_action("publish", "conflict");
                }
                Err(error) => {
                    self.metrics.certificate_action("publish", "failed");
                    return Err(format!("cannot publish the CA in {}: {}", configuration.title(), said(&error)));
                }
            }
        }
        self.metrics.certificate_action("look", "ok");
        if let Some(oldest) = wanted.first() {
            self.metrics.certificate_not_after("ca", oldest.not_after());
        }
        Ok(changed)
    }
}

/// Whether a client that trusts `trusted` accepts the chain: one of its certificates is trusted itself, or signed by one that is.
fn signed_by<'a>(mut chain: impl Iterator<Item = &'a [u8]>, trusted: &[Certificate]) -> bool {
    chain.any(|der| trusted.iter().any(|authority| authority.der() == der || authority.signed(der)))
}

/// The certificates that all bundles hold.
fn held(bundles: &[&Bundle]) -> Vec<Certificate> {
    let any = bundles.iter().flat_map(|bundle| bundle.certificates.iter());
    let all = any.filter(|certificate| bundles.iter().all(|bundle| bundle.certificates.contains(certificate)));
    sorted(all.cloned())
}

/// Each with the uptime since which it is `seen` without a break.
fn since(
    before: &BTreeMap<Certificate, Duration>,
    seen: impl Iterator<Item = Certificate>,
    uptime: Duration,
) -> BTreeMap<Certificate, Duration> {
    seen.map(|certificate| {
        let first = before.get(&certificate).copied().unwrap_or(uptime);
        (certificate, first)
    })
    .collect()
}

/// What the entries of a configuration are to be given, unless they have it.
fn target(
    wanted: &[Certificate],
    foreign: &BTreeMap<Certificate, Duration>,
    uptime: Duration,
    overlap: Duration,
    published: &Published,
) -> Option<Vec<Certificate>> {
    let spent = |certificate: &Certificate| {
        !wanted.contains(certificate) && foreign.get(certificate).is_some_and(|since| uptime.saturating_sub(*since) >= overlap)
    };
    let wrong = published.bundles().iter().any(|Bundle { certificates, littered }| {
        *littered || wanted.iter().any(|wanted| !certificates.contains(wanted)) || certificates.iter().any(spent)
    });
    let found = published.bundles().iter().flat_map(|bundle| bundle.certificates.iter());
    wrong.then(|| sorted(found.filter(|certificate| !spent(certificate)).chain(wanted).cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::assess::Side;
    use crate::pki::issue;
    use std::time::SystemTime;

    #[test]
    fn what_is_foreign_leaves_after_the_overlap_and_what_is_wanted_comes_at_once() {
        let made = |hours| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
            issue::authority(Duration::from_hours(9), now).unwrap().certificate().clone()
        };
        let (old, new) = (made(10), made(20));
        let published = |certificates: &[&Certificate], littered| {
            let bundle = Bundle { certificates: certificates.iter().map(|&one| one.clone()).collect(), littered };
            Published { side: Side::Mutating, bundles: Some(vec![bundle]) }
        };
        let overlap = Duration::from_secs(10);
        let since = BTreeMap::from([(old.clone(), Duration::from_secs(5))]);
        let to = |seconds, published: &Published| {
            target(std::slice::from_ref(&new), &since, Duration::from_secs(seconds), overlap, published)
        };
        let both = vec![old.clone(), new.clone()];
        assert_eq!(to(5, &published(&[], false)), Some(vec![new.clone()]));
        assert_eq!(to(5, &published(&[&old], false)), Some(both.clone()));
        assert_eq!(to(14, &published(&[&old, &new], false)), None);
        assert_eq!(to(14, &published(&[&old, &new], true)), Some(both));
        assert_eq!(to(15, &published(&[&old, &new], false)), Some(vec![new.clone()]));
        assert_eq!(to(15, &published(&[&new], false)), None);
        assert_eq!(to(15, &Published { side: Side::Mutating, bundles: None }), None);
    }
}
