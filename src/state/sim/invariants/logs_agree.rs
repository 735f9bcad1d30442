//! Whatever a copy applies as its record of a number, every other copy applies as that too.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::NodeId;
use crate::state::replica::Record;
use crate::wire::replicas::Term;
use crate::wire::shards::ShardId;

/// What was applied, by anybody.
#[derive(Default)]
pub struct Logs {
    records: BTreeMap<(ShardId, u64), (Term, Bytes)>,
}

impl Logs {
    pub fn applied(&mut self, id: NodeId, shard: ShardId, record: &Record) -> Result<(), String> {
        let this = (record.term, record.body.clone());
        let first = self.records.entry((shard, record.seq)).or_insert_with(|| this.clone());
        if *first == this {
            return Ok(());
        }
        let (seq, other, term) = (record.seq, first.0, record.term);
        Err(format!("{id} applies record {seq} of {shard} as of {term:?}, others of {other:?}"))
    }
}
