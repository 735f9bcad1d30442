//! The faults of a run, drawn from its seed before it begins: the same seed gives the same faults
//! at the same times.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::history::{Fault, Kind};

/// Most hosts with a fault at the same time, as a share: two of five. Now and then one more.
const SHARE: usize = 2;
/// Of so many faults, one may take the majority away.
const RARE: u32 = 8;

/// What the faults of a run are like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    name: &'static str,
    /// The kinds, some more often than others.
    kinds: &'static [Kind],
    /// Between the begins of two faults, in milliseconds.
    gap: (u64, u64),
    /// How long a fault lasts, in milliseconds.
    lasts: (u64, u64),
}

const MIXED: &[Kind] =
    &[Kind::Kill, Kind::Kill, Kind::Pause, Kind::OneWay, Kind::TwoWay, Kind::Isolate];
/// The first is that of a run that names none: shorter and longer than what makes a peer silent (3 s).
const SHAPES: [Shape; 5] = [
    Shape { name: "mixed", kinds: MIXED, gap: (300, 2_500), lasts: (200, 7_000) },
    Shape {
        name: "flaps",
        kinds: &[Kind::OneWay, Kind::TwoWay, Kind::Isolate],
        gap: (50, 600),
        lasts: (100, 1_500),
    },
    Shape { name: "long", kinds: MIXED, gap: (3_000, 9_000), lasts: (8_000, 30_000) },
    Shape { name: "pauses", kinds: &[Kind::Pause], gap: (300, 2_000), lasts: (1_000, 12_000) },
    Shape { name: "kills", kinds: &[Kind::Kill], gap: (500, 3_000), lasts: (100, 6_000) },
];

/// The shape of this name; those that there are if there is none.
pub fn shape(name: &str) -> Result<Shape, String> {
    let found = SHAPES.into_iter().find(|shape| shape.name == name);
    found.ok_or_else(|| SHAPES.map(|shape| shape.name).join(", "))
}

/// What to do when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// The words for `scripts/netns`.
    pub command: Vec<String>,
    /// Which fault, and whether it begins.
    pub of: (usize, bool),
}

/// Draws the faults of a run over so many hosts; all end before it does.
pub fn faults(seed: u64, shape: Shape, hosts: usize, time: Duration) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults: Vec<Fault> = Vec::new();
    let mut now = Duration::from_secs(1);
    while now < time {
        let (begun, busy) = (now, busy(&faults, now));
        now += Duration::from_millis(random.random_range(shape.gap.0..shape.gap.1));
        let lasts = random.random_range(shape.lasts.0..shape.lasts.1);
        let until = begun + Duration::from_millis(lasts);
        let more = usize::from(random.random_ratio(1, RARE));
        let most = hosts * SHARE / 5 + usize::from(hosts < 5) + more;
        let free: Vec<usize> = (1..=hosts).filter(|host| !busy.contains(host)).collect();
        let kind = *shape.kinds.choose(&mut random).expect("there are some");
        let wanted = if matches!(kind, Kind::OneWay | Kind::TwoWay) { 2 } else { 1 };
        // Of two that are cut from each other, one counts as having the fault.
        let chosen: Vec<usize> = free.choose_multiple(&mut random, wanted).copied().collect();
        if chosen.len() == wanted && busy.len() < most && until < time {
            faults.push(Fault { kind, hosts: chosen, from: begun, until });
        }
    }
    faults
}

/// The hosts that have a fault at this time, or are about to.
fn busy(faults: &[Fault], now: Duration) -> Vec<usize> {
    let active = faults.iter().filter(|fault| fault.until > now);
    active.flat_map(|fault| fault.hosts.clone()).collect()
}

/// The commands that make and undo them, in order.
pub fn steps(faults: &[Fault]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, fault) in faults.iter().enumerate() {
        let hosts: Vec<String> = fault.hosts.iter().map(usize::to_string).collect();
        let words = |first: &str, last: &[&str]| {
            let mut words = vec![first.to_owned()];
            words.extend(hosts.clone());
            words.extend(last.iter().map(|word| (*word).to_owned()));
            words
        };
        let (make, undo) = match fault.kind {
            Kind::Kill => (words("kill", &[]), words("start", &[])),
            Kind::Pause => (words("pause", &[]), words("resume", &[])),
            Kind::OneWay => (words("cut", &["--one-way"]), words("heal", &[])),
            Kind::TwoWay | Kind::Isolate => (words("cut", &[]), words("heal", &[])),
        };
        steps.push(Step { at: fault.from, command: make, of: (at, true) });
        steps.push(Step { at: fault.until, command: undo, of: (at, false) });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[test]
fn a_seed_gives_one_plan_that_is_bounded_and_has_every_kind() {
    let time = Duration::from_secs(120);
    let plan = faults(7, SHAPES[0], 5, time);
    assert_eq!(plan, faults(7, SHAPES[0], 5, time));
    assert_ne!(plan, faults(8, SHAPES[0], 5, time));
    for shape in SHAPES {
        let plan = faults(7, shape, 5, 5 * time);
        assert!(plan.len() > 10, "{} faults of {}", plan.len(), shape.name);
        assert!(plan.iter().all(|fault| shape.kinds.contains(&fault.kind)));
    }
    for kind in [Kind::Kill, Kind::Pause, Kind::OneWay, Kind::TwoWay, Kind::Isolate] {
        assert!(plan.iter().any(|fault| fault.kind == kind), "no {kind:?}");
    }
    assert!(plan.iter().all(|fault| fault.from < fault.until && fault.until < time));
    assert_eq!(steps(&plan).len(), 2 * plan.len());
}
