//! One copy of one shard: what it does as owner, as follower, while it catches up. Pure: an
//! [`Event`] and the time go in, [`Effect`]s come out; the store's log and values, the network,
//! the table of shards (Raft) and the clients are the caller's.
//!
//! How to drive one:
//! - [`Replica::new`] with what the store found ([`Opened`]) and how often this node has started.
//!   Then [`Event::Table`] with what Raft says, at once and at every change of that shard; then
//!   [`Event::Tick`] every [`TICK`]. The first table of a process must be read behind a read
//!   barrier of Raft that the process itself asked for: an older one might name fewer members
//!   than this node, as the owner, admitted before it started again.
//! - [`Replica::handle`] takes one event, or [`Replica::write`] a record; several may be given
//!   before [`Replica::flush`] takes the effects out, so that they share messages and a sync.
//!   Effects are to be done in order; those that take time are answered by events.
//! - An owner takes operations while [`Replica::serving`] gives an epoch. Before it answers, reads
//!   too, the caller looks that it still gives that epoch *and* that the node's session is live.
//!   A write's body may name [`Replica::next_seq`], which the record then gets. When
//!   [`Effect::Settle`] says `Committed`, the record was applied by an [`Effect::Apply`] before it.
//! - Messages between two nodes should come in order, and may be lost with their connection;
//!   doubled, late and reordered ones do no harm.
//!
//! What makes it safe:
//! - A record is committed when it is durable on every member of the in-sync set, and on every
//!   copy that this owner has proposed to admit, and the set is no smaller than the quorum. So
//!   every member that may ever own the shard has all that was acknowledged.
//! - A new owner asks all members of the set what they have, takes over the greatest tail, appends
//!   a record of its own [`Term`](crate::wire::replicas::Term) and serves when that is committed.
//!   A node that starts again in its own epoch has a new term and does all this again.
//! - A follower takes nothing from an older term than it has heard of or has in its log; it
//!   removes what differs from the owner's log, and acknowledges what is durable and the same.
//! - While an owner has proposed to hand over and does not know what came of it, it serves nobody.
//!
//! The leader's `Promote` must be refused by Raft while the owner has a live session: else two
//! nodes might serve.

mod base;
mod event;
mod follower;
mod handover;
mod import;
mod log;
mod owner;
mod progress;
mod proposals;
mod sending;
mod takeover;
#[cfg(test)]
mod tests;
mod window;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::id::{Incarnation, NodeId};
use crate::wire::Malformed;
use crate::wire::replicas::{MAX_BODY, Term};
use crate::wire::shards::{Shard, ShardId};

pub use event::{Effect, Event, Opened, Outcome, Record, Settled, Ticket};

use base::Base;
use follower::Follower;
use owner::Owner;

/// How often [`Event::Tick`] is to be told.
pub const TICK: Duration = Duration::from_millis(100);
/// Most bytes of records that are not committed; more are refused with [`WriteError::Full`].
pub const MAX_UNCOMMITTED: usize = 16 << 20;
/// Most records that are not committed.
pub const MAX_UNCOMMITTED_RECORDS: usize = 1 << 15;

/// What a copy is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The table names this node neither as target nor as member.
    None,
    /// It follows.
    Follower,
    /// It owns the shard, and does not serve yet, or stands back.
    Activating,
    /// It owns the shard and serves.
    Serving,
    /// It owns the shard and hands it over: nothing is served for a moment.
    HandingOver,
}

/// Why a write was not taken. Nothing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This node does not serve the shard, at this moment.
    #[error("this node does not serve the shard")]
    NotServing,
    /// Too much is under way: wait until some of it is settled.
    #[error(
        "more than {MAX_UNCOMMITTED} bytes or {MAX_UNCOMMITTED_RECORDS} records of the shard wait to become durable"
    )]
    Full,
    /// The record is longer than a message.
    #[error("a record has {0} bytes, and at most {MAX_BODY} fit")]
    TooBig(usize),
}

/// What the copy does.
enum Duty {
    None,
    Follower(Follower),
    Owner(Box<Owner>),
}

/// One copy of one shard.
pub struct Replica {
    base: Base,
    duty: Duty,
}

impl Replica {
    /// A copy with what the store found. It does nothing before it is told the table.
    pub fn new(me: NodeId, start: Incarnation, shard: ShardId, opened: &Opened) -> Self {
        Self { base: Base::new(me, start, shard, opened), duty: Duty::None }
    }

    /// What it is.
    pub fn role(&self) -> Role {
        match &self.duty {
            Duty::None => Role::None,
            Duty::Follower(_) => Role::Follower,
            Duty::Owner(owner) => owner.role(),
        }
    }

    /// The epoch in which it may answer, if the node's session is live.
    pub fn serving(&self) -> Option<u64> {
        match &self.duty {
            Duty::Owner(owner) if owner.role() == Role::Serving => Some(owner.term().epoch()),
            _ => None,
        }
    }

    /// The term in which it owns the shard, whether it serves or not.
    pub fn reign(&self) -> Option<Term> {
        match &self.duty {
            Duty::Owner(owner) => Some(owner.term()),
            _ => None,
        }
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.base.log.last().seq + 1
    }

    /// Up to here this copy knows the records to be committed.
    pub fn committed(&self) -> u64 {
        self.base.commit
    }

    /// Up to here it told to apply.
    pub fn applied(&self) -> u64 {
        self.base.applied
    }

    /// The term of the last record, for tools.
    pub fn last_term(&self) -> Term {
        self.base.log.last().term
    }

    /// The table as it was told last.
    pub fn table(&self) -> Option<&Shard> {
        self.base.table.as_ref()
    }

    /// Why this copy stands back, if it does.
    pub fn failure(&self) -> Option<&str> {
        self.base.failed.as_deref()
    }

    /// Appends a record; gives its number, [`Replica::next_seq`]. The ticket is settled later.
    pub fn write(&mut self, ticket: Ticket, body: Bytes) -> Result<u64, WriteError> {
        match &mut self.duty {
            Duty::Owner(owner) => owner.write(&mut self.base, ticket, body),
            _ => Err(WriteError::NotServing),
        }
    }

    /// The store has removed the log up to this record.
    pub fn compacted(&mut self, through: u64) {
        self.base.log.compacted(through.min(self.base.applied));
    }

    /// Takes an event; an error when a peer said what no honest peer says.
    pub fn handle(&mut self, now: Instant, event: Event) -> Result<(), Malformed> {
        match event {
            Event::Table(table) => self.table_changed(now, table),
            Event::Message { from, message, body } => match &mut self.duty {
                Duty::None => {}
                Duty::Follower(follower) => {
                    follower.message(&mut self.base, from, message, body)?;
                }
                Duty::Owner(owner) => owner.message(&mut self.base, now, from, message, body)?,
            },
            Event::Connected(node) => match &mut self.duty {
                Duty::None => {}
                Duty::Follower(follower) => follower.connected(&mut self.base, now, node),
                Duty::Owner(owner) => owner.connected(&self.base, now, node),
            },
            Event::Tick => match &mut self.duty {
                Duty::None => {}
                Duty::Follower(follower) => follower.tick(&mut self.base, now),
                Duty::Owner(owner) => owner.tick(&mut self.base, now),
            },
            Event::Synced { op } => self.base.log.synced(op),
            Event::Read { to, round, from, records } => match &mut self.duty {
                Duty::None => {}
                Duty::Follower(follower) => follower.read(&mut self.base, to, from, &records),
                Duty::Owner(owner) => owner.read(&mut self.base, now, (to, round, from), &records),
            },
            Event::Proposed { change, outcome } => {
                if let Duty::Owner(owner) = &mut self.duty {
                    owner.proposed(&self.base, now, &change, outcome);
                }
            }
            Event::Exported { to, round, number, part } => {
                if let Duty::Owner(owner) = &mut self.duty {
                    owner.exported(&mut self.base, (to, round, number), part);
                }
            }
            Event::ImportWants { round, request } => {
                if let Duty::Follower(follower) = &mut self.duty {
                    follower.import_wants(&mut self.base, round, request);
                }
            }
            Event::ImportDone { round } => {
                if let Duty::Follower(follower) = &mut self.duty {
                    follower.import_done(&mut self.base, round);
                }
            }
            Event::Failed(why) => self.failed(why),
            Event::Reopened(opened) => self.reopened(now, &opened),
        }
        Ok(())
    }

    /// What is to be done, in order.
    pub fn flush(&mut self, now: Instant) -> Vec<Effect> {
        match &mut self.duty {
            Duty::None => {}
            Duty::Follower(follower) => follower.flush(&mut self.base),
            Duty::Owner(owner) => owner.flush(&mut self.base, now),
        }
        std::mem::take(&mut self.base.out)
    }

    fn table_changed(&mut self, now: Instant, table: Option<Shard>) {
        let newer = match (&self.base.table, &table) {
            (Some(old), Some(new)) => new.revision > old.revision,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !newer {
            return;
        }
        self.base.table = table;
        let Some(table) = &self.base.table else { return };
        let (me, epoch) = (self.base.me, table.epoch);
        let owns = table.owner == me;
        let counts = table.in_sync.contains(&me) || table.targets.contains(&me);
        if let Duty::Owner(owner) = &mut self.duty {
            if owns && owner.term().epoch() == epoch {
                owner.table_changed(&mut self.base, now);
                return;
            }
            owner.deposed(&mut self.base);
        }
        if owns {
            self.duty = Duty::Owner(Box::new(Owner::new(&mut self.base, now)));
        } else if counts {
            match &mut self.duty {
                Duty::Follower(follower) => follower.table_changed(&self.base, now),
                _ => self.duty = Duty::Follower(Follower::new(now)),
            }
        } else {
            self.duty = Duty::None;
            self.base.out.push(Effect::Discard);
        }
    }

    fn failed(&mut self, why: String) {
        self.base.failed = Some(why);
        if let Duty::Owner(owner) = &mut self.duty {
            owner.stand_back(&mut self.base);
        }
    }

    fn reopened(&mut self, now: Instant, opened: &Opened) {
        self.base.reopened(opened);
        if let Duty::Follower(follower) = &mut self.duty {
            *follower = Follower::new(now);
        }
    }
}
