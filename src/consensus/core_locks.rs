//! The global locks, as this node's calls see them: what they ask for, and what they are told.

use std::time::{Duration, Instant};

use super::core::{Core, Effect, Sink};
use super::lock_ask::Ask;
use super::locks::LockChange;
use super::log::Disk;
use crate::wire::consensus::{Command, Response};

/// How long a proposal of locks is tracked: it is sent again until it is applied, or until the
/// session in which it was made is over. Given up sooner, it might come into the log late.
const TRACKED: Duration = Duration::from_secs(3600);
/// What a lock command weighs beside its key, in bytes.
const WEIGHT: usize = 160;

impl<D: Disk> Core<D> {
    /// A call of this node asks for something.
    pub fn ask(&mut self, ask: Ask) {
        self.desk.ask(ask, self.keeper.session());
    }

    /// Proposes what calls ask for, and tells them what came of it.
    pub(super) fn serve_locks(&mut self, now: Instant, sink: Sink<'_>) {
        let proposals = &mut self.proposals;
        self.desk.pump(self.keeper.session(), |command| {
            let command = Command::Lock(Box::new(command));
            proposals.open(command, WEIGHT, now + TRACKED, now).ok()
        });
        self.tell(sink);
    }

    /// Tells calls what came of what they asked for.
    pub(super) fn tell(&mut self, sink: Sink<'_>) {
        self.desk.take_told().into_iter().for_each(|told| sink(Effect::Lock(told)));
    }

    /// Whether a proposal was of a lock; nothing is known of its end.
    pub(super) fn lock_given_up(&mut self, number: u64) -> bool {
        let why = Response::Refused("it was not decided in time".into());
        self.desk.settled(number, &why, |_| 0)
    }

    pub(super) fn lock_changed(&mut self, change: &LockChange) {
        let (LockChange::Granted { holder, .. }
        | LockChange::Ended { holder, .. }
        | LockChange::Refused { holder, .. }) = change;
        if Some(holder.session) == self.keeper.session() {
            let shards = self.raft.machine().shards();
            self.desk.changed(change, |key| shards.get(key.shard()).map_or(0, |s| s.epoch));
        }
    }

    /// After a restart of the driver, or a snapshot.
    pub(super) fn reconcile_locks(&mut self) {
        let (locks, shards) = (self.raft.machine().locks(), self.raft.machine().shards());
        let epoch = |key: &crate::wire::shards::StateKey| {
            shards.get(key.shard()).map_or(0, |shard| shard.epoch)
        };
        self.desk.reconcile(locks, self.keeper.session(), epoch);
    }
}
