//! What was acknowledged is in every copy of the set at the end.

use std::collections::BTreeSet;

use crate::state::sim::clients::Request;
use crate::state::sim::disk::{Op, Values};
use crate::wire::shards::ShardId;

/// What was acknowledged.
#[derive(Default)]
pub struct Kept {
    appended: BTreeSet<(ShardId, Op)>,
}

impl Kept {
    pub fn ends(&mut self, request: &Request) {
        if !request.reads {
            self.appended.insert((request.shard, request.op()));
        }
    }

    /// Looks for all of it.
    pub fn check(&self, shard: ShardId, values: &Values) -> Result<(), String> {
        let has: BTreeSet<Op> = values.list().into_iter().collect();
        let mut wanted = self.appended.iter().filter(|(of, _)| *of == shard);
        match wanted.find(|(_, op)| !has.contains(op)) {
            Some((_, op)) => Err(format!("{op:?} was acknowledged, and {shard} lost it")),
            None => Ok(()),
        }
    }
}
