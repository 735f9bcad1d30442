//! What this node believes of the others: from their load reports and replies, less what it sent
//! them since. Pure; time is passed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::policy::Candidate;
use crate::id::NodeId;
use crate::wire::calls::Room;
use crate::wire::load::Load;

/// A belief older than this is not acted on: the node reports ten times a second while it is well.
pub const STALE: Duration = Duration::from_secs(2);

/// One other node.
#[derive(Debug, Clone)]
pub struct View {
    /// Its last load report.
    pub load: Load,
    /// Its room, from the last report or reply.
    room: Room,
    /// Starts sent to it that it has not answered.
    unanswered: u32,
    /// When it was last heard.
    heard: Instant,
}

/// All other nodes.
#[derive(Debug, Clone, Default)]
pub struct Views {
    nodes: BTreeMap<NodeId, View>,
}

impl Views {
    /// A load report came. One older than the last is dropped.
    pub fn report(&mut self, node: NodeId, load: Load, now: Instant) {
        match self.nodes.get_mut(&node) {
            Some(view) if view.load.seq >= load.seq => {}
            Some(view) => {
                view.room = load.room;
                view.load = load;
                view.heard = now;
            }
            None => {
                self.nodes.insert(node, View { room: load.room, load, unanswered: 0, heard: now });
            }
        }
    }

    /// A reply told of a node's room.
    pub fn reply(&mut self, node: NodeId, room: Room, now: Instant) {
        if let Some(view) = self.nodes.get_mut(&node) {
            view.room = room;
            view.heard = now;
        }
    }

    /// A start was sent.
    pub fn sent(&mut self, node: NodeId) {
        if let Some(view) = self.nodes.get_mut(&node) {
            view.unanswered += 1;
        }
    }

    /// A start was answered, taken or not.
    pub fn answered(&mut self, node: NodeId) {
        if let Some(view) = self.nodes.get_mut(&node) {
            view.unanswered = view.unanswered.saturating_sub(1);
        }
    }

    /// The node is gone; what is known of it is void.
    pub fn lost(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// The nodes that take calls, as candidates for one that needs `module`.
    pub fn candidates(&self, module: u64, now: Instant) -> impl Iterator<Item = Candidate> + '_ {
        self.nodes.iter().filter(move |(_, view)| view.takes_calls(now)).map(move |(node, view)| {
            let room = Room {
                free_slots: view.room.free_slots.saturating_sub(view.unanswered),
                free_places: view.room.free_places.saturating_sub(view.unanswered),
                running: view.room.running.saturating_add(view.unanswered),
            };
            Candidate { node: *node, room, has_module: view.load.modules.contains(&module) }
        })
    }
}

impl View {
    fn takes_calls(&self, now: Instant) -> bool {
        self.load.accepting && now.saturating_duration_since(self.heard) < STALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(seq: u64, free_slots: u32) -> Load {
        let room = Room { free_slots, free_places: 100, running: 0 };
        Load { seq, room, accepting: true, modules: vec![7], ..Load::default() }
    }

    fn free(views: &Views, now: Instant) -> Vec<u32> {
        views.candidates(7, now).map(|c| c.room.free_slots).collect()
    }

    #[test]
    fn an_older_report_does_not_replace_a_newer_one() {
        let (mut views, now) = (Views::default(), Instant::now());
        views.report(NodeId(2), load(5, 3), now);
        views.report(NodeId(2), load(4, 8), now);
        assert_eq!(free(&views, now), [3]);
    }

    #[test]
    fn what_was_sent_and_not_answered_counts_as_taken() {
        let (mut views, now) = (Views::default(), Instant::now());
        views.report(NodeId(2), load(1, 2), now);
        views.sent(NodeId(2));
        views.sent(NodeId(2));
        views.sent(NodeId(2));
        assert_eq!(free(&views, now), [0]);
        views.answered(NodeId(2));
        views.answered(NodeId(2));
        views.reply(NodeId(2), Room { free_slots: 4, free_places: 9, running: 1 }, now);
        assert_eq!(free(&views, now), [3]);
    }

    #[test]
    fn a_node_that_says_it_runs_more_than_can_be_counted_is_counted_as_the_busiest() {
        let (mut views, now) = (Views::default(), Instant::now());
        let room = Room { free_slots: 1, free_places: 1, running: u32::MAX };
        views.report(NodeId(2), Load { room, ..load(1, 1) }, now);
        views.sent(NodeId(2));
        assert_eq!(views.candidates(7, now).map(|c| c.room.running).max(), Some(u32::MAX));
    }

    #[test]
    fn silent_lost_and_unwilling_nodes_are_no_candidates() {
        let (mut views, now) = (Views::default(), Instant::now());
        views.report(NodeId(2), load(1, 2), now);
        assert!(free(&views, now + STALE).is_empty());
        views.report(NodeId(2), Load { accepting: false, ..load(2, 2) }, now);
        assert!(free(&views, now).is_empty());
        views.report(NodeId(2), load(3, 2), now);
        views.lost(NodeId(2));
        assert!(free(&views, now).is_empty());
    }

    #[test]
    fn a_restarted_node_is_believed_from_its_first_report() {
        let (mut views, now) = (Views::default(), Instant::now());
        views.report(NodeId(2), load(50, 0), now);
        views.lost(NodeId(2));
        views.report(NodeId(2), load(1, 8), now);
        assert_eq!(free(&views, now), [8]);
    }
}
