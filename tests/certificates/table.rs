//! What one replica does in each situation.

use std::time::{Duration, SystemTime};

use probekeeper::pki::assess::{Lifetimes, Moment, Published, Side, Step, View, assess, assess_alone};
use probekeeper::pki::certificate::{Authority, Bundle, Certificate};
use probekeeper::pki::issue;
use probekeeper::pki::memory::{Leaf, Memory};
use probekeeper::pki::secret::{Slot, Stored};

const LIFETIMES: Lifetimes =
    Lifetimes { authority: Duration::from_hours(8760), leaf: Duration::from_hours(168), overlap: Duration::from_mins(10) };

const START: Duration = Duration::from_hours(490_000);

/// So many hours after the start, on both clocks.
fn at(hours: u64) -> Moment {
    Moment { wall: SystemTime::UNIX_EPOCH + START + Duration::from_hours(hours), uptime: Duration::from_hours(hours) }
}

fn authority(hours: u64) -> Authority {
    issue::authority(LIFETIMES.authority, at(hours).wall).unwrap()
}

fn holding(authority: &Authority) -> Stored {
    Stored::default().succeeded(authority.clone(), vec![], at(0).wall)
}

fn published(certificates: &[&Certificate]) -> Published {
    let certificates = certificates.iter().map(|&one| one.clone()).collect();
    Published { side: Side::Validating, bundles: Some(vec![Bundle { certificates, littered: false }]) }
}

fn view(stored: &Stored, certificates: &[&Certificate]) -> View {
    View { stored: stored.clone(), published: vec![published(certificates)] }
}

fn names(steps: &[Step]) -> String {
    steps.iter().map(Step::name).collect::<Vec<_>>().join(" ")
}

/// What a replica does at `now` that has seen the same for `hours` and serves a leaf that `issuer` signed at hour `made`.
fn does(view: &View, leaf: Option<(&Authority, u64)>, (since, now): (u64, u64)) -> String {
    let mut memory = Memory::new(0.0);
    if let Some((issuer, made)) = leaf {
        let not_after = at(made).wall + LIFETIMES.leaf;
        memory.serve(Leaf { issuer: issuer.certificate().clone(), made: at(made).wall, not_after });
    }
    memory.note(view, at(since));
    memory.note(view, at(now));
    names(&assess(view, &memory, LIFETIMES, at(now)))
}

#[test]
fn each_situation_has_its_step() {
    let (one, two) = (authority(0), authority(5900));
    let (a, b) = (one.certificate(), two.certificate());
    let (stored, empty) = (holding(&one), Stored { exists: true, ..Stored::default() });
    let both = stored.prepared(two.clone());
    let promoted = both.succeeded(two.clone(), vec![a.clone()], at(6000).wall);
    let broken = |slot: &Authority| Slot::Broken { certificate: Some(slot.certificate().clone()), flaw: String::new() };
    let (lost_key, bad_next) =
        (Stored { current: broken(&one), ..both.clone() }, Stored { next: broken(&two), ..stored.clone() });
    let leaf = Some((&one, 5880));
    for (situation, view, leaf, times, expected) in [
        ("no Secret", view(&Stored::default(), &[]), None, (0, 0), "create"),
        ("empty Secret", view(&empty, &[]), None, (0, 0), "found"),
        ("unpublished", view(&stored, &[]), None, (0, 0), "publish"),
        ("published, no leaf yet", view(&stored, &[a]), None, (0, 0), "issue"),
        ("at rest", view(&stored, &[a]), Some((&one, 0)), (0, 1), ""),
        ("leaf due", view(&stored, &[a]), Some((&one, 0)), (0, 112), "issue"),
        ("leaf ended", view(&stored, &[a]), Some((&one, 0)), (0, 200), "issue"),
        ("bundle wiped", view(&stored, &[]), Some((&one, 0)), (0, 1), "publish"),
        ("CA due", view(&stored, &[a]), leaf, (5880, 5900), "prepare"),
        ("next unpublished", view(&both, &[a]), leaf, (5880, 5900), "publish"),
        ("next published just now", view(&both, &[a, b]), leaf, (5900, 5900), ""),
        ("next published long enough", view(&both, &[a, b]), leaf, (5900, 5901), "promote"),
        ("promoted", view(&promoted, &[a, b]), leaf, (5900, 5901), "issue"),
        ("promoted, seen just now", view(&promoted, &[a, b]), leaf, (5901, 5901), ""),
        ("retired still needed", view(&promoted, &[b]), Some((&two, 5901)), (5900, 5999), "publish"),
        ("retired no longer needed", view(&promoted, &[a, b]), Some((&two, 5999)), (5900, 6000), ""),
        ("retired and over", view(&promoted, &[a, b]), Some((&two, 5999)), (5900, 6001), "publish"),
        ("retired and gone", view(&promoted, &[b]), Some((&two, 5999)), (5900, 6001), "forget"),
        ("key lost, next there", view(&lost_key, &[a, b]), leaf, (5900, 5900), "promote"),
        ("next broken", view(&bad_next, &[a, b]), leaf, (5900, 5900), "prepare"),
        ("foreign in the bundle", view(&stored, &[a, b]), Some((&one, 5880)), (5880, 5890), "retire"),
        ("Secret replaced", view(&holding(&two), &[a]), leaf, (5900, 5900), "publish retire"),
        ("leaf untrusted, seen just now", view(&holding(&two), &[b]), leaf, (5901, 5901), "publish retire"),
        ("leaf untrusted for long", view(&holding(&two), &[b]), leaf, (5900, 5901), "publish issue retire"),
        ("CA ended", view(&stored, &[a]), None, (8800, 8800), "found"),
    ] {
        assert_eq!(does(&view, leaf, times), expected, "{situation}");
    }
    let disarmed = View { stored, published: vec![Published { side: Side::Mutating, bundles: None }] };
    assert_eq!(does(&disarmed, None, (0, 0)), "issue", "nobody calls, and that is no reason to be unready");
}

#[test]
fn a_lost_secret_is_founded_anew_and_keeps_what_leaves_need() {
    let (one, two) = (authority(0), authority(1));
    let mut memory = Memory::new(0.0);
    memory.serve(Leaf { issuer: one.certificate().clone(), made: at(0).wall, not_after: at(168).wall });
    memory.note(&view(&holding(&one), &[one.certificate()]), at(0));
    let lost = view(&Stored { exists: true, ..Stored::default() }, &[two.certificate()]);
    memory.note(&lost, at(1));
    let steps = assess(&lost, &memory, LIFETIMES, at(1));
    let [Step::Publish { bundle, .. }, Step::Found { retired, until }] = &steps[..] else { panic!("{steps:?}") };
    let both = [one.certificate().clone(), two.certificate().clone()];
    assert_eq!((&bundle[..], &retired[..]), (&both[..], &both[..]));
    assert_eq!(*until, at(169).wall + LIFETIMES.overlap);
}

#[test]
fn cut_off_a_leaf_is_renewed_but_never_outlives_the_last_look_by_more_than_its_life() {
    let one = authority(0);
    let mut memory = Memory::new(0.0);
    memory.serve(Leaf { issuer: one.certificate().clone(), made: at(0).wall, not_after: at(168).wall });
    memory.note(&view(&holding(&one), &[one.certificate()]), at(100));
    assert_eq!(assess_alone(&memory, LIFETIMES, at(111)), None, "not due");
    assert_eq!(assess_alone(&memory, LIFETIMES, at(120)), Some(Step::Issue { until: at(268).wall }));
    memory.serve(Leaf { issuer: one.certificate().clone(), made: at(120).wall, not_after: at(268).wall });
    assert_eq!(assess_alone(&memory, LIFETIMES, at(260)), None, "nothing to gain");
}

#[test]
fn lifetimes_that_leave_no_time_to_rotate_are_refused() {
    assert_eq!(LIFETIMES.check(), Ok(()));
    let short = Lifetimes { authority: Duration::from_hours(500), ..LIFETIMES };
    assert_eq!(
        short.check().unwrap_err(),
        "a third of --ca-lifetime (600000 s) must be at least --leaf-lifetime (604800 s) and twice --rotation-overlap (600 s)"
    );
}
