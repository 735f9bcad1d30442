//! The network between simulated nodes: a connection per pair, as of QUIC. What is sent on a
//! connection arrives once and in order, late when the path loses packets, and not at all when the
//! connection ends before. Datagrams are lost, doubled and reordered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use super::life::Life;
use crate::id::{Incarnation, NodeId};
use crate::net::Peer;
use crate::wire::calls::{CallBulk, CallMessage, CallReply, CallRequest, Start};

/// A silent peer is down after this long.
pub const SILENCE: Duration = Duration::from_secs(3);

/// What travels.
#[derive(Debug, Clone)]
pub enum What {
    Message(CallMessage, Bytes),
    Ask(u64, CallRequest, Bytes),
    Answer(u64, CallReply, Bytes),
    Push(Start, Bytes),
    Fetch(u64, CallBulk),
    Fetched(u64, Option<Bytes>),
    Datagram(Bytes),
}

/// What travels, from where to where.
#[derive(Debug, Clone)]
pub struct Packet {
    pub from: Peer,
    pub to: NodeId,
    pub what: What,
}

/// A connection, as one end of it sees it.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub peer: Peer,
    heard: Instant,
}

/// All of it.
#[derive(Default)]
pub struct Network {
    /// Packets lost and sent again, per thousand.
    pub loss: u32,
    /// Datagrams doubled, per thousand.
    pub doubled: u32,
    /// Directed paths that carry nothing.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    ends: BTreeMap<(NodeId, NodeId), End>,
    links: u64,
    planned: BTreeMap<(Instant, u64), Packet>,
    numbered: u64,
    /// When the last packet of each ordered stream arrives.
    streams: BTreeMap<(NodeId, NodeId), Instant>,
    /// What waits for a path that is cut.
    stalled: BTreeMap<(NodeId, NodeId), VecDeque<Packet>>,
    /// What waits in the socket of a process that is stopped.
    held: BTreeMap<NodeId, VecDeque<Packet>>,
}

impl Network {
    /// What a node sees of a connection.
    pub fn end(&self, at: NodeId, of: NodeId) -> Option<Peer> {
        self.ends.get(&(at, of)).map(|end| end.peer)
    }

    /// Sends; `None` when there is no connection.
    pub fn send(
        &mut self,
        life: &Life,
        to: NodeId,
        what: What,
        now: Instant,
        rng: &mut StdRng,
    ) -> Option<u64> {
        let link = self.end(life.node, to)?.link;
        let from = Peer { node: life.node, incarnation: life.incarnation, link };
        self.plan(Packet { from, to, what }, now, rng);
        Some(link)
    }

    fn plan(&mut self, packet: Packet, now: Instant, rng: &mut StdRng) {
        let micros = |rng: &mut StdRng, most| Duration::from_micros(rng.random_range(100..most));
        let lost = rng.random_range(0..1000) < self.loss;
        let mut at = now + micros(rng, 3_000);
        match &packet.what {
            What::Datagram(_) if lost => return,
            What::Datagram(_) => {
                if rng.random_range(0..1000) < self.doubled {
                    let late = now + micros(rng, 300_000);
                    self.insert(late, packet.clone());
                }
            }
            ordered => {
                if lost {
                    at += micros(rng, 400_000);
                }
                if !matches!(ordered, What::Push(..) | What::Fetch(..) | What::Fetched(..)) {
                    let last = self.streams.entry((packet.from.node, packet.to)).or_insert(at);
                    at = at.max(*last);
                    *last = at;
                }
            }
        }
        self.insert(at, packet);
    }

    fn insert(&mut self, at: Instant, packet: Packet) {
        self.numbered += 1;
        self.planned.insert((at, self.numbered), packet);
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Instant> {
        self.planned.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next packet that has arrived at a process that runs, on a connection that lasts.
    pub fn arrived(
        &mut self,
        now: Instant,
        lives: &BTreeMap<NodeId, std::sync::Arc<Life>>,
    ) -> Option<Packet> {
        while self.next().is_some_and(|at| at <= now) {
            let (_, packet) = self.planned.pop_first()?;
            let (from, to) = (packet.from.node, packet.to);
            let datagram = matches!(packet.what, What::Datagram(_));
            let waits = self.stalled.get(&(from, to)).is_some_and(|queue| !queue.is_empty());
            if self.cut.contains(&(from, to)) || waits {
                if !datagram {
                    self.stalled.entry((from, to)).or_default().push_back(packet);
                }
                continue;
            }
            let Some(life) = lives.get(&to).filter(|life| life.is_alive()) else { continue };
            if life.is_stopped() {
                self.held.entry(to).or_default().push_back(packet);
                continue;
            }
            let end = self.end(to, from);
            if end.is_some_and(|end| end.link == packet.from.link) {
                return Some(packet);
            }
        }
        None
    }

    /// Paths were healed, or processes go on: what waited for that is on its way again.
    pub fn release(
        &mut self,
        now: Instant,
        lives: &BTreeMap<NodeId, std::sync::Arc<Life>>,
        rng: &mut StdRng,
    ) {
        let open: Vec<_> =
            self.stalled.keys().filter(|path| !self.cut.contains(path)).copied().collect();
        let mut freed: Vec<Packet> = Vec::new();
        for path in open {
            freed.extend(self.stalled.remove(&path).unwrap_or_default());
        }
        for life in lives.values().filter(|life| !life.is_stopped()) {
            freed.extend(self.held.remove(&life.node).unwrap_or_default());
        }
        freed.into_iter().for_each(|packet| self.plan(packet, now, rng));
    }

    /// A process was killed: it has no connections.
    pub fn killed(&mut self, node: NodeId) {
        self.ends.retain(|(at, _), _| *at != node);
        self.held.remove(&node);
    }

    /// Keeps connections alive, ends silent ones and makes new ones. Gives the nodes that see
    /// other peers than before.
    pub fn pulse(
        &mut self,
        now: Instant,
        lives: &BTreeMap<NodeId, std::sync::Arc<Life>>,
        rng: &mut StdRng,
    ) -> BTreeSet<NodeId> {
        let mut changed = BTreeSet::new();
        let running: Vec<_> = lives.values().filter(|life| life.runs()).collect();
        for at in &running {
            for of in lives.values().filter(|of| of.node != at.node) {
                let same = |end: &End| {
                    let other = self.ends.get(&(of.node, at.node));
                    other.is_some_and(|other| other.peer.link == end.peer.link)
                };
                let Some(end) = self.ends.get(&(at.node, of.node)).copied() else { continue };
                let silent = !same(&end) || !of.runs() || self.cut.contains(&(of.node, at.node));
                if !silent {
                    let heard = End { heard: now, ..end };
                    self.ends.insert((at.node, of.node), heard);
                } else if now.saturating_duration_since(end.heard) > SILENCE {
                    self.ends.remove(&(at.node, of.node));
                    changed.insert(at.node);
                }
            }
        }
        for a in &running {
            for b in running.iter().filter(|b| b.node > a.node) {
                let ends =
                    [(a.node, b.node), (b.node, a.node)].map(|key| self.ends.contains_key(&key));
                let open =
                    !self.cut.contains(&(a.node, b.node)) && !self.cut.contains(&(b.node, a.node));
                if ends != [true; 2] && open && rng.random_bool(0.5) {
                    self.connect(a, b, now);
                    changed.extend([a.node, b.node]);
                }
            }
        }
        changed
    }

    /// A connection breaks; another one is made soon.
    pub fn reset(&mut self, a: NodeId, b: NodeId) {
        self.ends.remove(&(a, b));
        self.ends.remove(&(b, a));
    }

    fn connect(&mut self, a: &Life, b: &Life, now: Instant) {
        self.links += 1;
        let link = self.links;
        let end = |of: &Life| End { peer: peer(of.node, of.incarnation, link), heard: now };
        self.ends.insert((a.node, b.node), end(b));
        self.ends.insert((b.node, a.node), end(a));
        self.streams.remove(&(a.node, b.node));
        self.streams.remove(&(b.node, a.node));
    }
}

fn peer(node: NodeId, incarnation: Incarnation, link: u64) -> Peer {
    Peer { node, incarnation, link }
}
