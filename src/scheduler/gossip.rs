//! Who is told of load, and when. Pure; time is passed in.
//!
//! In a small cluster a node tells all others of itself each period. In a larger one it tells a few,
//! by chance, and passes on the freshest of what it heard of the rest, so that what a node sends
//! does not grow with the cluster. A node that is idle, and was so at its last word, says so less
//! often.

use std::time::Instant;

use super::views::Views;
use crate::id::NodeId;
use crate::wire::load::{FEW_MODULES, Load, MAX_RUMORS, Report};

/// Up to so many others each is told directly.
const SMALL: usize = 8;
/// How many are told in a larger cluster.
const FANOUT: usize = 4;
/// An idle node speaks every so many periods: in a small cluster, and in a larger one, where others
/// depend on what it passes on.
const IDLE_EVERY: (u64, u64) = (5, 2);

/// The state of telling.
#[derive(Debug)]
pub struct Gossip {
    periods: u64,
    was_idle: bool,
    chance: u64,
}

impl Gossip {
    /// That of a node.
    pub fn new(me: NodeId) -> Self {
        Self { periods: me.0, was_idle: false, chance: me.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) }
    }

    /// A number below `below`, by chance; 0 when there is none.
    pub fn draw(&mut self, below: usize) -> usize {
        // Knuth's constants; the low bits are not random.
        let (factor, summand) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);
        self.chance = self.chance.wrapping_mul(factor).wrapping_add(summand);
        (self.chance >> 33).checked_rem(below as u64).unwrap_or(0) as usize
    }

    /// A period has passed: who is told what. `up` are the nodes that are connected to.
    pub fn period(
        &mut self,
        mut own: Load,
        up: &[NodeId],
        views: &Views,
        now: Instant,
    ) -> (Vec<NodeId>, Report) {
        self.periods += 1;
        let idle = own.live == 0 && own.queued == 0 && own.accepting;
        let small = up.len() <= SMALL;
        let every = if small { IDLE_EVERY.0 } else { IDLE_EVERY.1 };
        let rests = idle && self.was_idle && !self.periods.is_multiple_of(every);
        self.was_idle = idle;
        if rests {
            return (Vec::new(), Report::default());
        }
        if small {
            return (up.to_vec(), Report { own, rumors: Vec::new() });
        }
        own.modules.truncate(FEW_MODULES);
        let mut told = Vec::with_capacity(FANOUT);
        while told.len() < FANOUT {
            let node = up[self.draw(up.len())];
            if !told.contains(&node) {
                told.push(node);
            }
        }
        (told, Report { own, rumors: views.freshest(MAX_RUMORS, now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Load {
        Load { live: 1, accepting: true, modules: vec![1; 20], ..Load::default() }
    }

    fn idle() -> Load {
        Load { live: 0, ..busy() }
    }

    fn nodes(count: u64) -> Vec<NodeId> {
        (2..2 + count).map(NodeId).collect()
    }

    #[test]
    fn in_a_small_cluster_all_are_told_each_period() {
        let (mut gossip, up) = (Gossip::new(NodeId(1)), nodes(SMALL as u64));
        for _ in 0..3 {
            let (told, report) = gossip.period(busy(), &up, &Views::default(), Instant::now());
            assert_eq!((told, report.own.modules.len()), (up.clone(), 20));
        }
    }

    #[test]
    fn in_a_large_cluster_a_few_others_are_told_and_over_time_all() {
        let (mut gossip, up) = (Gossip::new(NodeId(1)), nodes(50));
        let mut all = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let (told, report) = gossip.period(busy(), &up, &Views::default(), Instant::now());
            assert_eq!((told.len(), report.own.modules.len()), (FANOUT, FEW_MODULES));
            all.extend(told);
        }
        assert_eq!(all.len(), 50);
    }

    #[test]
    fn an_idle_node_rests_and_speaks_at_once_when_it_is_not() {
        let (mut gossip, up) = (Gossip::new(NodeId(1)), nodes(2));
        let mut spoke =
            |load| !gossip.period(load, &up, &Views::default(), Instant::now()).0.is_empty();
        assert!(spoke(idle()), "that it became idle is told at once");
        assert_eq!((0..10).filter(|_| spoke(idle())).count(), 2);
        assert!(spoke(busy()));
    }
}
