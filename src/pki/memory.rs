//! What one replica remembers between two looks: its leaf, what it saw published and since when, and what the Secret held.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::assess::{Lifetimes, Moment, View};
use super::certificate::{Authority, BACKDATED, Certificate};

/// For how long it is tried to publish the issuer of a leaf again. Two or three looks, also where other replicas write at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The leaf that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Who signed it.
    pub issuer: Certificate,
    /// When it was made.
    pub made: SystemTime,
    /// Moment from which on it is no longer valid.
    pub not_after: SystemTime,
}

impl Leaf {
    /// Whether `now` lies within its validity.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.made - BACKDATED <= now && now < self.not_after
    }
}

/// A replica's memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// By how much of a tenth of its lifetime this replica renews its leaf earlier than it must, 0 to 1: not all sign at once.
    jitter: f64,
    leaf: Option<Leaf>,
    /// What every bundle has held without a break, and since which uptime.
    held: BTreeMap<Certificate, Duration>,
    /// Since which uptime a bundle has lacked the issuer of the leaf.
    missing: Option<Duration>,
    /// Every certificate in the Secret when it was last in order.
    known: Vec<Certificate>,
    signer: Option<Authority>,
    read: Option<Moment>,
    founded: Option<Duration>,
}

impl Memory {
    /// Of a replica that has seen nothing yet. `jitter` is by how much of a tenth of its life it renews its leaf earlier than others, 0 to 1.
    pub fn new(jitter: f64) -> Self {
        Self { jitter, ..Self::default() }
    }

    /// Takes in what was seen at `now`; to be done before each assessment of it.
    pub fn note(&mut self, view: &View, now: Moment) {
        let seen = view.stored.certificates().chain(self.leaf.as_ref().map(|leaf| &leaf.issuer));
        let held = seen.filter(|certificate| view.holds(certificate));
        self.held =
            held.map(|certificate| (certificate.clone(), self.held.get(certificate).copied().unwrap_or(now.uptime))).collect();
        let missing = self.leaf.as_ref().is_some_and(|leaf| !view.holds(&leaf.issuer));
        self.missing = missing.then(|| self.missing.unwrap_or(now.uptime));
        if let Some(authority) = view.stored.current.authority() {
            self.known = view.stored.certificates().cloned().collect();
            self.signer = Some(authority.clone());
        }
        self.read = Some(now);
    }

    /// A leaf is served from now on.
    pub fn serve(&mut self, leaf: Leaf) {
        self.leaf = Some(leaf);
        self.missing = None;
    }

    /// A new authority was made and written.
    pub fn founded(&mut self, now: Moment) {
        self.founded = Some(now.uptime);
    }

    /// The leaf that is served.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// The current authority when the Secret was last in order.
    pub fn signer(&self) -> Option<&Authority> {
        self.signer.as_ref()
    }

    /// Every certificate in the Secret when it was last in order.
    pub(super) fn known(&self) -> impl Iterator<Item = &Certificate> {
        self.known.iter()
    }

    /// For how long every bundle has been seen to hold `certificate`, none if one does not.
    pub(super) fn held_for(&self, certificate: &Certificate, now: Moment) -> Option<Duration> {
        Some(now.uptime.saturating_sub(*self.held.get(certificate)?))
    }

    /// Whether a bundle has lacked the issuer of the leaf for [`PATIENCE`], although every look publishes it: then it is no longer trusted.
    pub(super) fn leaf_is_lost(&self, now: Moment) -> bool {
        self.missing.is_some_and(|since| now.uptime.saturating_sub(since) >= PATIENCE)
    }

    /// Replicas whose clocks are months apart do not accept each other's authorities. They shall not replace them faster than API servers learn.
    pub(super) fn may_found(&self, lifetimes: Lifetimes, now: Moment) -> bool {
        self.founded.is_none_or(|at| now.uptime.saturating_sub(at) >= lifetimes.overlap)
    }

    pub(super) fn leaf_is_due(&self, now: SystemTime) -> bool {
        self.leaf_due().is_some_and(|due| now >= due)
    }

    /// When two thirds of the leaf's life are over, or a little earlier.
    pub(super) fn leaf_due(&self) -> Option<SystemTime> {
        let leaf = self.leaf.as_ref()?;
        let life = leaf.not_after.duration_since(leaf.made).unwrap_or_default();
        Some(leaf.made + life.mul_f64(2.0 / 3.0 - self.jitter.clamp(0.0, 1.0) / 10.0))
    }

    /// End of a leaf that is signed now: not after its signer, and no more than a lifetime after the Secret was last read.
    pub(super) fn leaf_end(&self, signer: &Certificate, lifetimes: Lifetimes, now: Moment) -> SystemTime {
        let read = self.read.unwrap_or(now);
        // A machine that was suspended shows on one clock only, a clock that was set on the other.
        let ago = now.uptime.saturating_sub(read.uptime).max(now.wall.duration_since(read.wall).unwrap_or_default());
        (now.wall + lifetimes.leaf.saturating_sub(ago)).min(signer.not_after())
    }
}
