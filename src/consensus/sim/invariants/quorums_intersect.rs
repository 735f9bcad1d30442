//! Every node goes through the same configurations, and no two majorities of successive ones are
//! disjoint: a change never makes two groups that could each decide alone.

use std::collections::BTreeMap;

use crate::consensus::conf::Conf;
use crate::id::NodeId;

/// The configurations, by the log index that brought them.
#[derive(Default)]
pub struct Groups(BTreeMap<u64, Conf>);

impl Groups {
    /// All of them.
    pub fn all(&self) -> &BTreeMap<u64, Conf> {
        &self.0
    }

    /// The one that every group begins with.
    pub fn begin(&mut self, conf: Conf) {
        self.0.insert(1, conf);
    }

    /// A node applied a change.
    pub fn changed(&mut self, index: u64, conf: &Conf) -> Result<(), String> {
        match self.0.get(&index) {
            Some(known) if known == conf => return Ok(()),
            Some(known) => return Err(format!("at {index} some are {known:?}, others {conf:?}")),
            None => {}
        }
        let before = self.0.range(..index).next_back().map(|(_, before)| before);
        let after = self.0.range(index..).next().map(|(_, after)| after);
        for (a, b) in [(before, Some(conf)), (Some(conf), after)] {
            let (Some(a), Some(b)) = (a, b) else { continue };
            if let Some(side) = disjoint(a, b) {
                return Err(format!("{side:?} decides alone in one of {a:?} and {b:?}"));
            }
        }
        self.0.insert(index, conf.clone());
        Ok(())
    }
}

/// A majority of `a` that shares nobody with some majority of `b`.
fn disjoint(a: &Conf, b: &Conf) -> Option<Vec<NodeId>> {
    let mut all: Vec<NodeId> =
        a.all().chain(b.all()).filter(|n| a.votes(*n) || b.votes(*n)).collect();
    all.sort_unstable();
    all.dedup();
    (0..1_u32 << all.len()).find_map(|bits| {
        let chosen = |node: NodeId| {
            let at = all.iter().position(|other| *other == node);
            at.is_some_and(|at| bits & (1 << at) != 0)
        };
        let both = a.quorum(chosen) && b.quorum(|node| !chosen(node));
        both.then(|| all.iter().copied().filter(|node| chosen(*node)).collect())
    })
}
