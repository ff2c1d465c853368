//! What one replica does next about the certificates: a pure function of what it sees (Secret, published bundles), what it remembers, and the time.
//!
//! No replica leads. Each looks, takes the steps that are missing, and looks again; a write that somebody else's came before is refused by its
//! resourceVersion, and the next look adopts what is there. Three rules keep every served leaf trusted:
//!
//! - A good leaf is replaced by one of another authority only after that authority has been seen in every bundle for the overlap: API servers
//!   learn of a bundle a little later.
//! - No leaf outlives the last look at the Secret by more than a leaf's lifetime. So a retired authority can be dropped that long after it was
//!   retired (plus the overlap, for clocks that differ), also while a replica is cut off from the API server.
//! - A certificate in a bundle that nobody knows is not removed but retired like the others: some replica may serve a leaf under it.

use std::time::{Duration, SystemTime};

use super::certificate::{Bundle, Certificate, sorted};
use super::memory::Memory;
use super::secret::{Slot, Stored};

/// Certificates in one bundle above which those that nobody recorded are removed: somebody is filling it, and an object of the API server holds 1.5 MiB.
const MOST_PUBLISHED: usize = 64;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an authority; it is succeeded after two thirds.
    pub authority: Duration,
    /// Of a leaf; it is renewed after two thirds.
    pub leaf: Duration,
    /// From when a bundle is seen published until every API server is taken to know it. Also the most by which clocks may differ.
    pub overlap: Duration,
}

impl Lifetimes {
    /// Checks that a rotation ends before the authority does: the last third of its life holds the overlap, a leaf, and the overlap again.
    pub fn check(&self) -> Result<(), String> {
        if self.leaf.is_zero() || self.authority / 3 < self.leaf + self.overlap * 2 {
            return Err(format!(
                "a third of --ca-lifetime ({} s) must be at least --leaf-lifetime ({} s) and twice --rotation-overlap ({} s)",
                self.authority.as_secs() / 3,
                self.leaf.as_secs(),
                self.overlap.as_secs()
            ));
        }
        Ok(())
    }
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock: it may jump, certificates obey it.
    pub wall: SystemTime,
    /// Time since the process started: it does not jump.
    pub uptime: Duration,
}

/// Which of the two webhook configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The ValidatingWebhookConfiguration.
    Validating,
    /// The MutatingWebhookConfiguration.
    Mutating,
}

impl Side {
    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Mutating => "mutating",
        }
    }
}

/// One webhook configuration as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Which one.
    pub side: Side,
    /// The bundle of each of its entries that is ours. None when there is no such configuration: somebody has disarmed us, and that is no fault.
    pub bundles: Option<Vec<Bundle>>,
}

impl Published {
    /// The bundles of our entries, none if there is no configuration.
    pub fn bundles(&self) -> &[Bundle] {
        self.bundles.as_deref().unwrap_or_default()
    }
}

/// What a replica sees at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The Secret.
    pub stored: Stored,
    /// The configurations that were named by flags.
    pub published: Vec<Published>,
}

impl View {
    fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        self.published.iter().flat_map(Published::bundles)
    }

    /// Whether every API server that reads the configurations now trusts `certificate`.
    pub fn holds(&self, certificate: &Certificate) -> bool {
        self.bundles().all(|bundle| bundle.certificates.contains(certificate))
    }
}

/// One step. Those that write the Secret are done on the Secret that was looked at, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make `bundle` that of all our entries in one configuration.
    Publish {
        /// Which one.
        side: Side,
        /// What every entry gets.
        bundle: Vec<Certificate>,
    },
    /// Sign a leaf with the current authority and serve it.
    Issue {
        /// End of its validity.
        until: SystemTime,
    },
    /// Create the Secret, empty.
    Create,
    /// Make a new authority the current one, because none can be used.
    Found {
        /// Retires these.
        retired: Vec<Certificate>,
        /// Until when they are kept.
        until: SystemTime,
    },
    /// Make a new authority the next one.
    Prepare,
    /// Make the next authority the current one.
    Promote {
        /// Retires these.
        retired: Vec<Certificate>,
        /// Until when they are kept.
        until: SystemTime,
    },
    /// Record certificates that are published and that the Secret does not know.
    Retire {
        /// All retired ones.
        retired: Vec<Certificate>,
        /// Until when they are kept.
        until: SystemTime,
    },
    /// Drop the retired ones: no leaf under them can be alive, and no bundle holds them any more.
    Forget,
}

impl Step {
    /// As metrics and logs name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Issue { .. } => "issue",
            Self::Create => "create",
            Self::Found { .. } => "found",
            Self::Prepare => "prepare",
            Self::Promote { .. } => "promote",
            Self::Retire { .. } => "retire",
            Self::Forget => "forget",
        }
    }
}

/// The steps to take now, in this order. At most one writes the Secret, and it comes last: what is published before it stays true after it.
pub fn assess(view: &View, memory: &Memory, lifetimes: Lifetimes, now: Moment) -> Vec<Step> {
    let mut steps = publish(view, memory, lifetimes, now.wall);
    steps.extend(issue(view, memory, lifetimes, now));
    steps.extend(write(view, memory, lifetimes, now));
    steps
}

/// The step that is left while the API server cannot be reached: renew the leaf under the authority that already signed it.
pub fn assess_alone(memory: &Memory, lifetimes: Lifetimes, now: Moment) -> Option<Step> {
    let (leaf, signer) = (memory.leaf()?, memory.signer()?);
    let until = memory.leaf_end(signer.certificate(), lifetimes, now);
    let gains = until > leaf.not_after && until > now.wall;
    (leaf.issuer == *signer.certificate() && gains && memory.leaf_is_due(now.wall)).then_some(Step::Issue { until })
}

/// Whether the bundles of one configuration hold what they must, and nothing that they must not.
pub fn in_sync(view: &View, memory: &Memory, lifetimes: Lifetimes, now: SystemTime, published: &Published) -> bool {
    target(view, memory, lifetimes, now, published).is_none()
}

/// How long nothing is due, if nobody else changes anything.
pub fn quiet_for(view: &View, memory: &Memory, lifetimes: Lifetimes, now: Moment) -> Duration {
    let wall = [
        memory.leaf_due(),
        view.stored.current.certificate().map(Certificate::due),
        view.stored.previous_until,
        view.stored.previous_until.map(|until| until + lifetimes.overlap),
    ];
    let wall = wall.into_iter().flatten().filter_map(|at| at.duration_since(now.wall).ok()).filter(|left| !left.is_zero());
    let awaited = [view.stored.next.certificate(), view.stored.current.certificate()].into_iter().flatten();
    let held = awaited.filter_map(|certificate| lifetimes.overlap.checked_sub(memory.held_for(certificate, now)?));
    wall.chain(held.filter(|left| !left.is_zero())).min().unwrap_or(Duration::MAX)
}

/// What must be in every bundle.
fn required(view: &View, memory: &Memory, now: SystemTime) -> Vec<Certificate> {
    let Stored { current, next, previous, previous_until, .. } = &view.stored;
    let kept = previous_until.is_none_or(|until| now < until);
    let own = memory.leaf().filter(|leaf| leaf.is_valid(now)).map(|leaf| &leaf.issuer);
    let in_office = current.certificate().into_iter().chain(next.certificate()).chain(own);
    sorted(in_office.chain(previous.iter().filter(|_| kept)).cloned())
}

/// Whether `certificate` has to leave the bundles. One that was retired has an overlap between being needed and being removed, in which
/// replicas whose clocks differ do not undo each other's work.
fn is_spent(view: &View, lifetimes: Lifetimes, now: SystemTime, certificate: &Certificate, crowded: bool) -> bool {
    let Stored { previous, previous_until, .. } = &view.stored;
    if previous.contains(certificate) {
        previous_until.is_some_and(|until| now >= until + lifetimes.overlap)
    } else {
        // One that is not recorded waits for room in the Secret: a leaf under it may be alive.
        crowded || now >= certificate.not_after()
    }
}

/// What the entries of a configuration are to be given, unless they have it.
fn target(
    view: &View,
    memory: &Memory,
    lifetimes: Lifetimes,
    now: SystemTime,
    published: &Published,
) -> Option<Vec<Certificate>> {
    let required = required(view, memory, now);
    let found = sorted(published.bundles().iter().flat_map(|bundle| bundle.certificates.iter().cloned()));
    let crowded = found.len() > MOST_PUBLISHED;
    let (spent, kept): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|certificate| !required.contains(certificate))
        .partition(|certificate| is_spent(view, lifetimes, now, certificate, crowded));
    let wrong = published.bundles().iter().any(|Bundle { certificates, littered }| {
        *littered
            || required.iter().any(|certificate| !certificates.contains(certificate))
            || spent.iter().any(|certificate| certificates.contains(certificate))
    });
    wrong.then(|| sorted(required.into_iter().chain(kept)))
}

fn publish(view: &View, memory: &Memory, lifetimes: Lifetimes, now: SystemTime) -> Vec<Step> {
    let targets = view.published.iter().filter_map(|published| {
        let bundle = target(view, memory, lifetimes, now, published)?;
        // An empty one would be worse than what is there.
        (!bundle.is_empty()).then_some(Step::Publish { side: published.side, bundle })
    });
    targets.collect()
}

fn issue(view: &View, memory: &Memory, lifetimes: Lifetimes, now: Moment) -> Option<Step> {
    let signer = view.stored.current.usable(now.wall)?.certificate();
    let until = memory.leaf_end(signer, lifetimes, now);
    let wanted = match memory.leaf() {
        Some(leaf) if leaf.is_valid(now.wall) => {
            if leaf.issuer == *signer {
                memory.leaf_is_due(now.wall) && until > leaf.not_after
            } else {
                // While the old one is trusted there is time. Where a bundle lacks its issuer, this look publishes that again, and API servers that have
                // not heard of either change trust it still; where that does not help, there is nothing to lose.
                let known = memory.held_for(signer, now).is_some_and(|held| held >= lifetimes.overlap);
                view.holds(signer) && (known || memory.leaf_is_lost(now))
            }
        }
        _ => view.holds(signer),
    };
    (wanted && until > now.wall).then_some(Step::Issue { until })
}

fn write(view: &View, memory: &Memory, lifetimes: Lifetimes, now: Moment) -> Option<Step> {
    let View { stored, .. } = view;
    let Stored { current, next, previous, previous_until, .. } = stored;
    if !stored.exists {
        return Some(Step::Create);
    }
    let until = now.wall + lifetimes.leaf + lifetimes.overlap;
    let own = memory.leaf().map(|leaf| leaf.issuer.clone());
    let unknown = || view.bundles().flat_map(|bundle| bundle.certificates.iter().cloned()).chain(own.clone());
    if current.usable(now.wall).is_none() {
        // Leaves may be alive under whatever was there; a lost Secret says no more what that was.
        let retired: Vec<_> = unknown().chain(memory.known().cloned()).chain(current.certificate().cloned()).collect();
        if let Some(next) = next.usable(now.wall) {
            let retired = retiring(stored, retired, next.certificate());
            return Some(Step::Promote { retired, until });
        }
        let retired = retiring(stored, retired, None);
        return memory.may_found(lifetimes, now).then_some(Step::Found { retired, until });
    }
    let retired = stored.with_retired(unknown());
    if retired != *previous || (previous_until.is_none() && !previous.is_empty()) {
        return Some(Step::Retire { retired, until });
    }
    match next {
        Slot::Broken { .. } => return Some(Step::Prepare),
        Slot::Whole(next) if now.wall >= next.certificate().not_after() => return Some(Step::Prepare),
        Slot::Whole(next) => {
            let known = memory.held_for(next.certificate(), now).is_some_and(|held| held >= lifetimes.overlap);
            if known && view.holds(next.certificate()) && next.certificate().is_valid(now.wall) {
                let retired = retiring(stored, current.certificate().cloned(), next.certificate());
                return Some(Step::Promote { retired, until });
            }
        }
        Slot::Empty if current.certificate().is_some_and(|current| now.wall >= current.due()) => return Some(Step::Prepare),
        Slot::Empty => {}
    }
    let published = |certificate| view.bundles().any(|bundle| bundle.certificates.contains(certificate));
    let over = previous_until.is_some_and(|until| now.wall >= until + lifetimes.overlap);
    (!previous.is_empty() && over && !previous.iter().any(published)).then_some(Step::Forget)
}

/// The retired ones and `more`, for a Secret whose current authority will be `successor`.
fn retiring<'a>(
    stored: &Stored,
    more: impl IntoIterator<Item = Certificate>,
    successor: impl Into<Option<&'a Certificate>>,
) -> Vec<Certificate> {
    let successor = successor.into();
    let stored = Stored { current: Slot::Empty, ..stored.clone() };
    stored.with_retired(more.into_iter().filter(|certificate| Some(certificate) != successor))
}
