//! Records and outputs move on when the nodes that keep them change: a node that stops hands over
//! what it has, and when sessions begin or end every keeper sends its records to the nodes that
//! rendezvous hashing names now.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::Calls;
use super::kept::KeptKey;
use super::records::Stored;
use super::root::rank_nodes;
use crate::clock;
use crate::id::{CallId, NodeId};
use crate::net::SendError;
use crate::wire::calls::{CallBulk, CallMessage, Phase};

/// Records sent on at each tick of the clock: a hundred ticks a second are 20,000 records.
const BATCH: usize = 200;
/// Pause while the queue to a node is full.
const PAUSE: Duration = Duration::from_millis(5);

/// The records that are to be looked at since sessions began or ended. Pure.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// By which the records are placed, as far as they were looked at.
    before: BTreeSet<NodeId>,
    now: BTreeSet<NodeId>,
    waiting: VecDeque<CallId>,
}

impl Moves {
    /// These nodes have a session now. Gives whether all records are to be looked at.
    pub fn sessions_are(&mut self, nodes: BTreeSet<NodeId>) -> bool {
        if self.now == nodes {
            return false;
        }
        self.now = nodes;
        // A node that has just started, or was cut off from all, has nothing to compare with.
        if self.before.is_empty() {
            self.before = self.now.clone();
        }
        self.before != self.now
    }

    /// Begins to look at these.
    pub fn look_at(&mut self, calls: Vec<CallId>) {
        self.waiting = calls.into();
        self.settle();
    }

    /// The next ones, each with the nodes that keep it now and did not before.
    pub fn next(&mut self) -> Vec<(CallId, Vec<NodeId>)> {
        let take = self.waiting.len().min(BATCH);
        let batch: Vec<_> = self.waiting.drain(..take).collect();
        let moves = batch.into_iter().map(|call| {
            let before = rank_nodes(call, self.before.iter().copied());
            let mut new = rank_nodes(call, self.now.iter().copied());
            new.retain(|node| !before.contains(node));
            (call, new)
        });
        let moves = moves.filter(|(_, new)| !new.is_empty()).collect();
        self.settle();
        moves
    }

    fn settle(&mut self) {
        if self.waiting.is_empty() {
            self.before = self.now.clone();
        }
    }
}

impl Calls {
    /// Sends records on to nodes that keep them since sessions began or ended.
    pub(super) fn move_records(&self, moves: &mut Moves) {
        for (call, nodes) in moves.next() {
            let Some(stored) = self.movable(call) else { continue };
            for node in nodes.into_iter().filter(|node| *node != self.me()) {
                self.send_record(node, &stored);
            }
        }
    }

    /// The record of a call that ended, or whose home is this node. What another home has filed
    /// and not ended it files itself: here it may be out of date, or withdrawn.
    fn movable(&self, call: CallId) -> Option<Stored> {
        let root = self.roots().get(&call).map(|root| root.clone());
        if let Some(root) = root {
            return Some(root.stored(self));
        }
        let stored = self.records().lock().get(call).cloned();
        stored.filter(|stored| stored.record.phase == Phase::Done)
    }

    /// Which calls have a record here, or one elsewhere that is this node's to file.
    pub(super) fn recorded(&self) -> Vec<CallId> {
        let mut calls = self.records().lock().calls();
        let known: HashSet<_> = calls.iter().copied().collect();
        let roots = self.roots().iter().filter(|root| root.is_filed()).map(|root| *root.key());
        let mut roots: Vec<_> = roots.filter(|call| !known.contains(call)).collect();
        roots.sort_unstable();
        calls.extend(roots);
        calls
    }

    /// Hands records and kept outputs over to the nodes that keep them without this one.
    pub(super) async fn hand_over(&self, until: Instant) {
        let (mut records, mut outputs, mut lost) = (0usize, 0usize, 0usize);
        let others: Vec<NodeId> =
            self.registry().keepers().into_iter().filter(|node| *node != self.me()).collect();
        for call in self.recorded() {
            let Some(stored) = self.movable(call) else { continue };
            for node in rank_nodes(call, others.iter().copied()) {
                match self.send_patiently(node, &stored, until).await {
                    Ok(()) => records += 1,
                    Err(_) => lost += 1,
                }
            }
        }
        let kept = self.kept().lock().keys();
        for key @ (call, attempt, is_log) in kept {
            let bytes = self.kept().lock().get(key);
            let heir = rank_nodes(call, others.iter().copied()).first().copied();
            let (Some(bytes), Some(heir)) = (bytes, heir) else { continue };
            let head = CallBulk::Hand(call, attempt, is_log, bytes.len() as u64);
            match self.net().push(heir, head, bytes, until).await {
                Ok(()) => outputs += 1,
                Err(_) => lost += 1,
            }
        }
        if records + outputs + lost > 0 {
            tracing::info!(records, outputs, lost, "records and outputs were handed over");
        }
    }

    /// Of a node that drains: gives other nodes each record and kept output that they lack.
    pub async fn leave(&self, until: Instant) {
        for call in self.records_only_here() {
            let Some(stored) = self.movable(call) else { continue };
            let others = self.registry().keepers().into_iter().filter(|node| *node != self.me());
            let mut sent = true;
            for node in rank_nodes(call, others) {
                sent &= self.send_patiently(node, &stored, until).await.is_ok();
            }
            if sent {
                self.inner.handed_records.lock().insert(call);
            }
        }
        for key in self.only_here() {
            let others = self.registry().keepers().into_iter().filter(|node| *node != self.me());
            let heir = rank_nodes(key.0, others).first().copied();
            let bytes = self.kept().lock().get(key);
            let (Some(bytes), Some(heir)) = (bytes, heir) else { continue };
            let head = CallBulk::Hand(key.0, key.1, key.2, bytes.len() as u64);
            match self.net().push(heir, head, bytes, until).await {
                Ok(()) => drop(self.inner.handed.lock().insert(key)),
                Err(error) => tracing::info!(%heir, %error, "an output was not handed over"),
            }
        }
    }

    /// Records, kept outputs and logs that this node, which drains, has not given to others.
    pub fn results_only_here(&self) -> usize {
        self.only_here().len() + self.records_only_here().len()
    }

    /// Ended calls whose records were not handed over.
    fn records_only_here(&self) -> Vec<CallId> {
        let recorded = self.recorded();
        let mut handed = self.inner.handed_records.lock();
        if !handed.is_empty() {
            let held: HashSet<_> = recorded.iter().copied().collect();
            handed.retain(|call| held.contains(call));
        }
        let records = self.records().lock();
        let ended = |call: &CallId| {
            records.get(*call).is_some_and(|stored| stored.record.phase == Phase::Done)
        };
        recorded.into_iter().filter(|call| !handed.contains(call) && ended(call)).collect()
    }

    fn only_here(&self) -> Vec<KeptKey> {
        let kept = self.kept().lock().keys();
        let mut handed = self.inner.handed.lock();
        if !handed.is_empty() {
            let held: HashSet<_> = kept.iter().copied().collect();
            handed.retain(|key| held.contains(key));
        }
        kept.into_iter().filter(|key| !handed.contains(key)).collect()
    }

    async fn send_patiently(
        &self,
        node: NodeId,
        stored: &Stored,
        until: Instant,
    ) -> Result<(), SendError> {
        loop {
            match self.try_send_record(node, stored) {
                Err(SendError::Full(_)) if clock::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                sent => return sent,
            }
        }
    }

    /// Sends a record to a node that keeps it. One that does not arrive is sent again when that
    /// node is connected anew.
    pub(super) fn send_record(&self, node: NodeId, stored: &Stored) {
        if let Err(error) = self.try_send_record(node, stored) {
            tracing::debug!(%error, "a record could not be sent to a node that keeps it");
        }
    }

    fn try_send_record(&self, node: NodeId, stored: &Stored) -> Result<(), SendError> {
        let message = CallMessage::Keep(Box::new(stored.record.clone()));
        self.net().send(node, &message, stored.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    fn calls(count: u128) -> Vec<CallId> {
        (0..count).map(CallId).collect()
    }

    fn all(moves: &mut Moves) -> Vec<(CallId, Vec<NodeId>)> {
        let mut found = Vec::new();
        while !moves.waiting.is_empty() {
            found.extend(moves.next());
        }
        found
    }

    #[test]
    fn a_node_that_comes_gets_the_records_that_it_keeps_now_and_no_others() {
        let mut moves = Moves::default();
        assert!(!moves.sessions_are(nodes(1..=3)), "nothing to compare with");
        assert!(moves.sessions_are(nodes(1..=4)));
        moves.look_at(calls(1000));
        let moved = all(&mut moves);
        assert!(moved.iter().all(|(_, to)| to == &[NodeId(4)]));
        assert!((350..650).contains(&moved.len()), "{} of 1000 moved", moved.len());
        assert!(!moves.sessions_are(nodes(1..=4)));
    }

    #[test]
    fn a_node_that_goes_leaves_each_of_its_records_to_one_other() {
        let mut moves = Moves::default();
        moves.sessions_are(nodes(1..=3));
        assert!(moves.sessions_are(nodes([1, 3])));
        moves.look_at(calls(1000));
        for (call, to) in all(&mut moves) {
            let before = rank_nodes(call, nodes(1..=3));
            assert!(before.contains(&NodeId(2)) && to.len() == 1 && !before.contains(&to[0]));
        }
    }

    #[test]
    fn a_change_in_the_midst_of_moving_starts_again_from_where_records_surely_are() {
        let mut moves = Moves::default();
        moves.sessions_are(nodes(1..=2));
        moves.sessions_are(nodes(1..=3));
        moves.look_at(calls(1000));
        moves.next();
        assert!(moves.sessions_are(nodes(1..=4)));
        moves.look_at(calls(1000));
        let moved = all(&mut moves);
        for call in calls(1000) {
            let now = rank_nodes(call, nodes(1..=4));
            let to = moved.iter().find(|(moved, _)| *moved == call).map(|(_, to)| to.clone());
            let has = |n: &NodeId| n.0 <= 2 || to.as_ref().is_some_and(|to| to.contains(n));
            assert!(now.iter().all(has), "{call}: {now:?} keep it, {to:?} got it");
        }
    }
}
