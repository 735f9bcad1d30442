//! What is appended is there once, and everybody sees it in the same order.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::sim::disk::Op;
use crate::wire::shards::ShardId;

/// The longest list that anybody saw.
#[derive(Default)]
pub struct Order {
    seen: BTreeMap<ShardId, Vec<Op>>,
}

impl Order {
    /// Compares what somebody sees with what others saw.
    pub fn seen(&mut self, shard: ShardId, list: &[Op]) -> Result<(), String> {
        let mut once = BTreeSet::new();
        if let Some(twice) = list.iter().find(|op| !once.insert(**op)) {
            return Err(format!("{shard} has {twice:?} twice"));
        }
        let before = self.seen.entry(shard).or_default();
        if let Some(at) = before.iter().zip(list).position(|(a, b)| a != b) {
            let (was, is) = (before.get(at), list.get(at));
            return Err(format!("{shard} had {was:?} as element {at}, and now {is:?}"));
        }
        if list.len() > before.len() {
            *before = list.to_vec();
        }
        Ok(())
    }
}
