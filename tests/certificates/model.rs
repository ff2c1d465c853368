//! Replicas against an API server that conflicts, loses answers, reads stale, and whose objects are deleted, corrupted and reset; clocks that
//! jump; replicas that come and go. After no step of a replica may a leaf be untrusted that was trusted before it, not even by API servers that
//! learn of a bundle late. When the faults cease, everything must come to rest in good order.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use probekeeper::pki::assess::{Lifetimes, Moment, Published, Side, Step, View, assess, assess_alone};
use probekeeper::pki::certificate::{Bundle, Certificate, to_pem};
use probekeeper::pki::issue;
use probekeeper::pki::memory::{Leaf, Memory};
use probekeeper::pki::secret::{Data, Stored};
use proptest::prelude::*;

const LIFETIMES: Lifetimes =
    Lifetimes { authority: Duration::from_hours(5), leaf: Duration::from_hours(1), overlap: Duration::from_mins(10) };

/// One turn of the model. An API server knows a bundle within two of them; clocks are at most two apart.
const TURN: Duration = Duration::from_mins(2);
const LAG: usize = 2;
const SKEW: i64 = 4 * 60;

/// What happens between two turns.
#[derive(Debug, Clone)]
enum Fault {
    Nothing,
    /// The next writes of all replicas: applied, but the answer is lost.
    LoseAnswers,
    /// The next looks see what was there a turn ago.
    StaleReads,
    DeleteSecret,
    EmptySecret,
    CorruptSecret(usize),
    /// Every bundle is reset, as by an overwriting deployment tool.
    WipeBundles,
    LitterBundles,
    DeleteConfiguration,
    RestoreConfiguration,
    SetClock(usize, i64),
    CutOff(usize),
    Reconnect,
    Restart(usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::Nothing),
        1 => Just(Fault::LoseAnswers),
        1 => Just(Fault::StaleReads),
        1 => Just(Fault::DeleteSecret),
        1 => Just(Fault::EmptySecret),
        1 => (0..5_usize).prop_map(Fault::CorruptSecret),
        1 => Just(Fault::WipeBundles),
        1 => Just(Fault::LitterBundles),
        1 => Just(Fault::DeleteConfiguration),
        1 => Just(Fault::RestoreConfiguration),
        1 => (0..3_usize, -SKEW / 2..SKEW / 2).prop_map(|(replica, seconds)| Fault::SetClock(replica, seconds)),
        1 => (0..3_usize).prop_map(Fault::CutOff),
        1 => Just(Fault::Reconnect),
        2 => (0..3_usize).prop_map(Fault::Restart),
    ]
}

/// An object's version and content.
#[derive(Debug, Clone, PartialEq)]
struct Versioned<T>(u64, T);

#[derive(Debug, Clone)]
struct World {
    secret: Option<Versioned<(Data, Option<String>)>>,
    /// Two configurations with one entry each.
    bundles: [Option<Versioned<String>>; 2],
    version: u64,
}

impl World {
    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn view(&self) -> View {
        let stored = self.secret.as_ref().map(|Versioned(_, (data, until))| Stored::read(data, until.as_deref()));
        let published = [Side::Validating, Side::Mutating].into_iter().zip(&self.bundles).map(|(side, bundle)| Published {
            side,
            bundles: bundle.as_ref().map(|Versioned(_, pem)| vec![Bundle::from_pem(pem.as_bytes())]),
        });
        View { stored: stored.unwrap_or_default(), published: published.collect() }
    }
}

struct Replica {
    memory: Memory,
    started: Duration,
    clock: i64,
    cut_off: bool,
}

struct Model {
    world: World,
    /// The worlds of the last turns, newest last: what API servers and stale reads may still see.
    history: VecDeque<(World, View)>,
    replicas: Vec<Replica>,
    time: Duration,
    lose_answers: bool,
    stale: bool,
    log: Vec<String>,
}

impl Model {
    fn new() -> Self {
        let empty = |version| Some(Versioned(version, String::new()));
        let world = World { secret: Some(Versioned(1, (Data::new(), None))), bundles: [empty(2), empty(3)], version: 3 };
        let replica = |_| Replica { memory: Memory::new(0.5), started: Duration::ZERO, clock: 0, cut_off: false };
        Self {
            history: VecDeque::from([(world.clone(), world.view())]),
            world,
            replicas: (0..3).map(replica).collect(),
            time: Duration::from_hours(490_000),
            lose_answers: false,
            stale: false,
            log: Vec::new(),
        }
    }

    fn now(&self, replica: usize) -> Moment {
        let Replica { clock, started, .. } = &self.replicas[replica];
        let wall = SystemTime::UNIX_EPOCH + self.time;
        let offset = Duration::from_secs(clock.unsigned_abs());
        let wall = if *clock < 0 { wall - offset } else { wall + offset };
        Moment { wall, uptime: self.time.saturating_sub(*started) }
    }

    /// Which replicas' leaves every API server trusts, also one that has not heard of the last bundles yet. One that has ended by its
    /// replica's clock, which may be fast, does not count: it is about to end everywhere.
    fn trusted(&self) -> Vec<bool> {
        let world = self.world.view();
        let views = || self.history.iter().map(|(_, view)| view).chain([&world]);
        let trusted = |index: usize| {
            self.replicas[index].memory.leaf().is_some_and(|leaf| {
                let valid = [SystemTime::UNIX_EPOCH + self.time, self.now(index).wall].map(|now| leaf.is_valid(now));
                valid == [true; 2] && views().all(|view| view.holds(&leaf.issuer))
            })
        };
        (0..self.replicas.len()).map(trusted).collect()
    }

    fn break_something(&mut self, fault: &Fault) {
        let version = self.world.next();
        match fault {
            Fault::Nothing => {}
            Fault::LoseAnswers => self.lose_answers = true,
            Fault::StaleReads => self.stale = true,
            Fault::DeleteSecret => self.world.secret = None,
            Fault::EmptySecret => self.world.secret = Some(Versioned(version, (Data::new(), None))),
            Fault::CorruptSecret(which) => {
                if let Some(Versioned(found, (data, _))) = &mut self.world.secret
                    && let Some(value) = data.values_mut().nth(*which)
                {
                    value.truncate(value.len() / 2);
                    *found = version;
                }
            }
            Fault::WipeBundles | Fault::LitterBundles => {
                let text = if matches!(fault, Fault::WipeBundles) { "" } else { "nonsense" };
                for bundle in self.world.bundles.iter_mut().flatten() {
                    *bundle = Versioned(version, text.to_owned());
                }
            }
            Fault::DeleteConfiguration => self.world.bundles[0] = None,
            Fault::RestoreConfiguration => {
                self.world.bundles[0].get_or_insert(Versioned(version, String::new()));
            }
            Fault::SetClock(replica, seconds) => self.replicas[*replica].clock = *seconds,
            Fault::CutOff(replica) => self.replicas[*replica].cut_off = true,
            Fault::Reconnect => self.replicas.iter_mut().for_each(|replica| replica.cut_off = false),
            Fault::Restart(replica) => {
                let started = self.time;
                let old = &mut self.replicas[*replica];
                *old = Replica { memory: Memory::new(0.1), started, clock: old.clock, cut_off: false };
            }
        }
    }

    /// One look of one replica.
    fn look(&mut self, index: usize) -> Result<(), TestCaseError> {
        let now = self.now(index);
        if self.replicas[index].cut_off {
            if let Some(Step::Issue { until }) = assess_alone(&self.replicas[index].memory, LIFETIMES, now) {
                self.issue(index, until, now)?;
            }
            return Ok(());
        }
        let stale = self.history.back().filter(|_| self.stale).cloned();
        let (seen, view) = stale.unwrap_or_else(|| (self.world.clone(), self.world.view()));
        self.replicas[index].memory.note(&view, now);
        let steps = assess(&view, &self.replicas[index].memory, LIFETIMES, now);
        let mut before = if steps.is_empty() { Vec::new() } else { self.trusted() };
        for step in steps {
            self.log.push(format!("{:?} replica {index}: {}", self.time, step.name()));
            match &step {
                Step::Issue { until } => self.issue(index, *until, now)?,
                Step::Publish { side, bundle } => self.publish(&seen, *side, bundle),
                step => self.write(index, &seen, &view.stored, step, now),
            }
            let after = self.trusted();
            for (replica, (before, after)) in before.iter().zip(&after).enumerate() {
                prop_assert!(!before || *after, "{step:?} of {index} made {replica} untrusted\n{}", self.log.join("\n"));
            }
            before = after;
        }
        Ok(())
    }

    fn issue(&mut self, index: usize, until: SystemTime, now: Moment) -> Result<(), TestCaseError> {
        let memory = &mut self.replicas[index].memory;
        prop_assert!(until > now.wall, "a leaf that has ended");
        let signer = memory.signer().expect("a leaf needs a signer").certificate().clone();
        memory.serve(Leaf { issuer: signer, made: now.wall, not_after: until });
        Ok(())
    }

    fn publish(&mut self, seen: &World, side: Side, bundle: &[Certificate]) {
        let at = usize::from(side == Side::Mutating);
        let version = self.world.next();
        let current = self.world.bundles[at].as_ref().map(|bundle| bundle.0);
        if current.is_some() && current == seen.bundles[at].as_ref().map(|bundle| bundle.0) {
            self.world.bundles[at] = Some(Versioned(version, to_pem(bundle)));
        }
    }

    fn write(&mut self, index: usize, seen: &World, stored: &Stored, step: &Step, now: Moment) {
        let version = self.world.next();
        if *step == Step::Create {
            self.world.secret.get_or_insert(Versioned(version, (Data::new(), None)));
            return;
        }
        let found = |world: &World| world.secret.as_ref().map(|secret| secret.0);
        if found(&self.world).is_none() || found(&self.world) != found(seen) {
            return;
        }
        let authority = || issue::authority(LIFETIMES.authority, now.wall).unwrap();
        let changed = match step {
            Step::Found { retired, until } => stored.succeeded(authority(), retired.clone(), *until),
            Step::Prepare => stored.prepared(authority()),
            Step::Promote { retired, until } => {
                stored.succeeded(stored.next.authority().unwrap().clone(), retired.clone(), *until)
            }
            Step::Retire { retired, until } => stored.retired(retired.clone(), *until),
            _ => stored.retired(Vec::new(), now.wall),
        };
        let Some(Versioned(_, (mut data, _))) = self.world.secret.clone() else { return };
        let until = changed.write(&mut data);
        self.world.secret = Some(Versioned(version, (data, until)));
        if matches!(step, Step::Found { .. }) && !self.lose_answers {
            self.replicas[index].memory.founded(now);
        }
    }

    fn turn(&mut self, fault: &Fault) -> Result<(), TestCaseError> {
        self.log.push(format!("{:?} {fault:?}", self.time));
        self.break_something(fault);
        for index in 0..self.replicas.len() {
            self.look(index)?;
        }
        (self.lose_answers, self.stale) = (false, false);
        self.history.push_back((self.world.clone(), self.world.view()));
        if self.history.len() > LAG {
            self.history.pop_front();
        }
        self.time += TURN;
        Ok(())
    }

    fn settled(&self) -> Result<(), String> {
        let view = self.world.view();
        let wall = SystemTime::UNIX_EPOCH + self.time;
        let current = view.stored.current.usable(wall).ok_or("no usable CA")?;
        if view.published.iter().any(|published| published.bundles().iter().any(|bundle| bundle.littered)) {
            return Err("a bundle is littered".to_owned());
        }
        if !view.holds(current.certificate()) {
            return Err("the CA is not published".to_owned());
        }
        self.trusted().iter().all(|trusted| *trusted).then_some(()).ok_or_else(|| "a leaf is untrusted".to_owned())
    }
}

fn all_is_well_through(faults: &[Fault]) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    for fault in faults {
        model.turn(fault)?;
    }
    model.turn(&Fault::Reconnect)?;
    for replica in 0..3 {
        model.turn(&Fault::SetClock(replica, 0))?;
    }
    for _ in 0..12 {
        model.turn(&Fault::Nothing)?;
    }
    // Through more than one whole rotation.
    for _ in 0..250 {
        model.turn(&Fault::Nothing)?;
        prop_assert_eq!(model.settled(), Ok(()), "{}", model.log.join("\n"));
    }
    let stored = model.world.view().stored;
    prop_assert!(stored.previous.len() <= 3, "retired CAs are forgotten: {:?}", stored);
    Ok(())
}

#[test]
fn a_leaf_that_ends_by_a_fast_clock_is_replaced_before_every_api_server_knows_the_successor() {
    let quiet = |turns| vec![Fault::Nothing; turns];
    let lost = || vec![Fault::DeleteSecret];
    let faults = [
        vec![Fault::SetClock(0, 1)],
        vec![Fault::DeleteConfiguration],
        quiet(7),
        lost(),
        quiet(2),
        lost(),
        quiet(3),
        vec![Fault::RestoreConfiguration],
        quiet(5),
        lost(),
        quiet(2),
        vec![Fault::EmptySecret],
        lost(),
        lost(),
        lost(),
        quiet(3),
    ];
    all_is_well_through(&faults.concat()).unwrap();
}

/// The CA of one that is served was in no bundle for a moment: it is published again, and API servers that heard of nothing trust it all along.
#[test]
fn a_leaf_whose_ca_was_wiped_from_the_bundles_is_kept_while_others_may_still_trust_it() {
    let faults = [
        vec![Fault::EmptySecret],
        vec![Fault::DeleteSecret; 3],
        vec![Fault::Nothing, Fault::WipeBundles],
        vec![Fault::Nothing; 14],
    ];
    all_is_well_through(&faults.concat()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_step_makes_a_leaf_untrusted_and_all_comes_to_rest(faults in prop::collection::vec(fault(), 20..160)) {
        all_is_well_through(&faults)?;
    }
}
