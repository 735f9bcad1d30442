//! What must hold, whatever happens. One file per property.

mod acknowledged_is_kept;
mod appends_once;
pub mod healed;
mod logs_agree;
mod one_owner;
mod quorum;
mod reads_are_fresh;

use std::collections::{BTreeMap, BTreeSet};

use super::clients::Request;
use super::disk::Op;
use super::table::Table;
use super::world::SimNode;
use crate::id::NodeId;
use crate::state::replica::Record;
use crate::wire::shards::ShardId;

/// What happened, and the first property that was broken.
#[derive(Default)]
pub struct Invariants {
    /// Copies that lost what they had, and may not have it again yet.
    pub damaged: BTreeSet<(NodeId, ShardId)>,
    pub order: appends_once::Order,
    pub kept: acknowledged_is_kept::Kept,
    fresh: reads_are_fresh::Fresh,
    logs: logs_agree::Logs,
    owners: one_owner::Owners,
    /// When a request was answered last, that began then.
    pub answers: BTreeMap<ShardId, u64>,
    broken: Option<String>,
}

impl Invariants {
    /// The first that was broken.
    pub fn broken(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Notes what was found.
    pub fn note(&mut self, checked: Result<(), String>) {
        if let Err(why) = checked {
            self.broken.get_or_insert(why);
        }
    }

    /// A client begins.
    pub fn begins(&mut self, request: Request) {
        self.fresh.begins(&request);
    }

    /// A client was told what a shard holds: all, or up to what it appended.
    pub fn ends(&mut self, _now: u64, request: &Request, list: &[Op]) -> Result<(), String> {
        let answered = self.answers.entry(request.shard).or_default();
        *answered = request.began.max(*answered);
        self.order.seen(request.shard, list)?;
        self.fresh.ends(request, list)?;
        self.kept.ends(request);
        Ok(())
    }

    /// A node answers as the owner in this epoch.
    pub fn answered(&mut self, shard: ShardId, epoch: u64, node: NodeId) -> Result<(), String> {
        self.owners.answered(shard, epoch, node)
    }

    /// A copy applied a record.
    pub fn applied(&mut self, id: NodeId, shard: ShardId, record: &Record) -> Result<(), String> {
        self.logs.applied(id, shard, record)
    }

    /// An owner says that a record is committed.
    pub fn committed(
        &mut self,
        nodes: &BTreeMap<NodeId, SimNode>,
        table: &Table,
        owner: NodeId,
        shard: ShardId,
        seq: u64,
    ) -> Result<(), String> {
        quorum::check(nodes, table, &self.damaged, (owner, shard, seq))
    }

    /// Forgets the damage of copies that are whole again: that have as much as anybody has, so also
    /// what they had acknowledged.
    pub fn forgive(&mut self, nodes: &BTreeMap<NodeId, SimNode>, table: &Table) {
        self.damaged.retain(|(node, shard)| {
            let stores = nodes.values().filter_map(|node| node.stores.get(shard));
            let most = stores.map(|store| store.live.last()).max().unwrap_or(0);
            let store = nodes.get(node).and_then(|node| node.stores.get(shard));
            let image = store.map(|store| &store.durable);
            let whole = image.is_some_and(|image| !image.blank && image.last() >= most);
            let member = table.shards.get(shard).is_some_and(|t| t.in_sync.contains(node));
            member && !whole
        });
    }
}
