//! The faults of a run, drawn from its seed before it begins.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Nodes of the cluster.
pub const NODES: usize = 3;
/// Between the end of a fault and the next one, in milliseconds: long enough that all is well
/// sometimes.
const GAP: std::ops::Range<u64> = 300..1_500;

/// What goes wrong. One at a time: of three nodes only one may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A node is killed.
    Kill,
    /// A node stands still, and goes on as if nothing had happened.
    Pause,
    /// A node on which a call has a lock stands still for longer than its session: another call gets
    /// the lock and writes before the first one goes on.
    Usurp,
    /// All nodes are killed at once.
    KillAll,
    /// The power fails for all: what was not durable is gone.
    PowerCut,
    /// A node has no link.
    Isolate,
    /// No packet passes from one node to another.
    OneWay,
    /// No packet passes between two nodes; both reach the third.
    Apart,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// Who has it, and another node.
    pub node: usize,
    pub other: usize,
    pub from: Duration,
    pub until: Duration,
}

impl Kind {
    /// Whether what a call on the node sends may come late: one that has a lock is begun before.
    pub fn holds_up(self) -> bool {
        !matches!(self, Self::Kill | Self::KillAll | Self::PowerCut)
    }

    /// How long it lasts, in milliseconds: half of those that can be long outlast a session (3 s).
    fn lasts(self, random: &mut StdRng) -> u64 {
        match self {
            Self::KillAll | Self::PowerCut => 0,
            Self::Usurp => random.random_range(5_000..6_000),
            _ if random.random_bool(0.5) => random.random_range(100..2_500),
            _ => random.random_range(5_000..7_500),
        }
    }
}

/// Draws the faults of a run; each kind comes about as often as any other.
pub fn faults(seed: u64, kinds: &[Kind], time: Duration) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut faults, mut now) = (Vec::new(), Duration::from_millis(500));
    loop {
        let mut kinds = kinds.to_vec();
        kinds.shuffle(&mut random);
        for kind in kinds {
            // Often the one that has just come back: others may be handing shards over to it.
            let last = faults.last().map(|fault: &Fault| fault.node);
            let node = last.filter(|_| random.random_bool(0.5));
            let node = node.unwrap_or_else(|| random.random_range(1..=NODES));
            let other = (node + random.random_range(1..NODES) - 1) % NODES + 1;
            let from = now;
            let until = from + Duration::from_millis(kind.lasts(&mut random));
            if until > time {
                return faults;
            }
            faults.push(Fault { kind, node, other, from, until });
            now = until + Duration::from_millis(random.random_range(GAP));
        }
    }
}

#[test]
fn a_seed_gives_one_plan_with_one_fault_at_a_time() {
    let kinds = [Kind::Kill, Kind::Usurp, Kind::KillAll, Kind::PowerCut, Kind::Apart];
    let time = Duration::from_secs(100);
    let plan = faults(7, &kinds, time);
    assert_eq!(plan, faults(7, &kinds, time));
    assert_ne!(plan, faults(8, &kinds, time));
    assert!(plan.windows(2).all(|pair| pair[0].until < pair[1].from));
    assert!(plan.iter().all(|fault| fault.node != fault.other && fault.until <= time));
    for kind in kinds {
        assert!(plan.iter().any(|fault| fault.kind == kind), "no {kind:?}");
    }
}
