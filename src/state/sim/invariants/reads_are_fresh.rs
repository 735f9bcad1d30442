//! Whoever is answered sees everything that anybody saw or was told before it asked: with the one
//! order of all, that makes reads and appends linearizable.

use std::collections::BTreeMap;

use crate::state::sim::clients::Request;
use crate::state::sim::disk::Op;
use crate::wire::shards::ShardId;

/// How many elements were seen, by now and when a request began.
#[derive(Default)]
pub struct Fresh {
    seen: BTreeMap<ShardId, usize>,
    began: BTreeMap<Op, usize>,
}

impl Fresh {
    pub fn begins(&mut self, request: &Request) {
        let seen = self.seen.get(&request.shard).copied().unwrap_or(0);
        self.began.insert(request.op(), seen);
    }

    pub fn ends(&mut self, request: &Request, list: &[Op]) -> Result<(), String> {
        let before = self.began.remove(&request.op()).unwrap_or(0);
        let least = before + usize::from(!request.reads);
        if list.len() < least {
            let has = list.len();
            return Err(format!("stale read: {request:?} sees {has} elements of at least {least}"));
        }
        let seen = self.seen.entry(request.shard).or_default();
        *seen = list.len().max(*seen);
        Ok(())
    }
}
