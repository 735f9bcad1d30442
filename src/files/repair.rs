//! When this node looks through its blobs for those that another node should have and lacks. Pure.
//!
//! One round at a time: a peer is due when it connects, and again a little after a copy to it, or
//! a round, failed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::NodeId;

/// Wait before a peer that stays connected is tried again after a failure.
pub const RETRY: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These peers are connected now, each by this link.
    Connected(BTreeMap<NodeId, u64>),
    /// A copy that should have been made on this peer was not.
    Missed(NodeId),
    /// The round for this peer ended; `complete` if the peer now lacks nothing it should have.
    Ended {
        /// Which.
        peer: NodeId,
        /// Whether all was done.
        complete: bool,
    },
    /// The time asked for by [`Effect::Wake`] has come.
    Woken,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begin a round for this peer.
    Round(NodeId),
    /// Come back with [`Event::Woken`] at this time; an earlier request is void.
    Wake(Instant),
}

/// Who is connected, and who is due.
#[derive(Debug, Default)]
pub struct Repair {
    links: BTreeMap<NodeId, u64>,
    due: BTreeMap<NodeId, Instant>,
    running: bool,
}

impl Repair {
    /// Takes an event in.
    pub fn on(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected(links) => {
                for (peer, link) in &links {
                    if self.links.get(peer) != Some(link) {
                        self.due.insert(*peer, now);
                    }
                }
                self.due.retain(|peer, _| links.contains_key(peer));
                self.links = links;
            }
            Event::Missed(peer) => self.retry(now, peer),
            Event::Ended { peer, complete } => {
                self.running = false;
                if !complete {
                    self.retry(now, peer);
                }
            }
            Event::Woken => {}
        }
        self.next(now).into_iter().collect()
    }

    /// A peer that is not connected is due when it comes back, anyway.
    fn retry(&mut self, now: Instant, peer: NodeId) {
        if self.links.contains_key(&peer) {
            self.due.entry(peer).or_insert(now + RETRY);
        }
    }

    fn next(&mut self, now: Instant) -> Option<Effect> {
        if self.running {
            return None;
        }
        let (peer, at) = self.due.iter().min_by_key(|(_, at)| **at).map(|(p, at)| (*p, *at))?;
        if at > now {
            return Some(Effect::Wake(at));
        }
        self.due.remove(&peer);
        self.running = true;
        Some(Effect::Round(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    fn connected(links: &[(NodeId, u64)]) -> Event {
        Event::Connected(links.iter().copied().collect())
    }

    fn ended(peer: NodeId, complete: bool) -> Event {
        Event::Ended { peer, complete }
    }

    #[test]
    fn a_peer_is_due_once_for_each_connection_one_round_at_a_time() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [Effect::Round(N2)]);
        assert_eq!(repair.on(now, ended(N2, true)), [Effect::Round(N3)]);
        assert_eq!(repair.on(now, ended(N3, true)), []);
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), []);
        assert_eq!(repair.on(now, connected(&[(N3, 1)])), []);
        assert_eq!(repair.on(now, connected(&[(N2, 2), (N3, 1)])), [Effect::Round(N2)]);
    }

    #[test]
    fn a_new_connection_during_a_round_makes_another() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [Effect::Round(N2)]);
        assert_eq!(repair.on(now, connected(&[(N2, 2)])), []);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Round(N2)]);
    }

    #[test]
    fn failures_are_retried_after_a_while_and_only_on_who_is_there() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [Effect::Round(N2)]);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, Event::Missed(N2)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now + RETRY, Event::Woken), [Effect::Round(N2)]);
        assert_eq!(repair.on(now + RETRY, connected(&[])), []);
        assert_eq!(repair.on(now + RETRY, ended(N2, false)), []);
        assert_eq!(repair.on(now + RETRY, Event::Missed(N2)), []);
    }

    #[test]
    fn a_peer_that_comes_does_not_wait_for_one_that_is_retried() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [Effect::Round(N2)]);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [Effect::Round(N3)]);
        assert_eq!(repair.on(now, ended(N3, true)), [Effect::Wake(now + RETRY)]);
    }
}
