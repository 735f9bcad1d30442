//! What the scheduler tells others and hears of them, and starts that go elsewhere because of it.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::views::Views;
use super::{CHOICES, Go, Needs, Scheduler, module_tag, policy};
use crate::clock;
use crate::id::{Incarnation, NodeId};
use crate::net::Peer;
use crate::wire::load::{Load, MAX_MODULES, MAX_RUMORS, Report};
use crate::wire::{Malformed, decode, encode};

impl Scheduler {
    /// This node's own load, as it tells it.
    pub fn load(&self) -> Load {
        let inner = &self.inner;
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Load {
            seq: inner.seq.fetch_add(1, Ordering::SeqCst) + 1,
            room: self.room(),
            slots: clip(inner.slots.total()),
            queued: clip(self.waiting()),
            live: clip(inner.places.taken()),
            cpu_percent: 0,
            memory_percent: 0,
            accepting: self.takes_calls(),
            modules: (inner.modules)(),
        }
    }

    /// What to tell whom about load, each period; `up` are the nodes that are connected to, in
    /// order.
    pub fn round(&self, load: Load, up: Vec<(NodeId, Incarnation)>) -> Vec<(NodeId, Bytes)> {
        let nodes: Vec<_> = up.iter().map(|(node, _)| *node).collect();
        let (told, report) = {
            let mut views = self.inner.views.lock();
            views.connected(up);
            self.inner.gossip.lock().period(load, &nodes, &views, clock::now())
        };
        self.hand_out();
        if told.is_empty() {
            return Vec::new();
        }
        let datagram = Bytes::from(encode(&report).to_vec());
        told.into_iter().map(|node| (node, datagram.clone())).collect()
    }

    /// A peer told of load.
    pub fn heard(&self, from: Peer, bytes: &[u8]) -> Result<(), Malformed> {
        let report: Report = decode("load report", bytes)?;
        if report.rumors.len() > MAX_RUMORS {
            return Err(too_much());
        }
        self.heard_load(from, report.own)?;
        {
            let (mut views, now) = (self.inner.views.lock(), clock::now());
            for rumor in report.rumors.iter().filter(|r| u64::from(r.node) != self.inner.me.0) {
                views.rumor(rumor, now);
            }
        }
        self.hand_out();
        Ok(())
    }

    /// A peer told of its own load.
    pub fn heard_load(&self, from: Peer, load: Load) -> Result<(), Malformed> {
        if load.modules.len() > MAX_MODULES {
            return Err(too_much());
        }
        self.inner.views.lock().report(from.node, from.incarnation, load, clock::now());
        Ok(())
    }

    /// How old the beliefs about the others are, youngest first.
    pub fn view_ages(&self) -> Vec<Duration> {
        self.inner.views.lock().ages(clock::now())
    }

    /// What is taken and not given back.
    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> [(&'static str, usize); 5] {
        let inner = &self.inner;
        [
            ("slots", inner.slots.taken()),
            ("places", inner.places.taken()),
            ("running calls", inner.running.load(Ordering::SeqCst)),
            ("waiting starts", inner.queue.lock().len().max(self.waiting())),
            ("unanswered starts", inner.views.lock().unanswered()),
        ]
    }

    /// Hands waiting starts to other nodes that have room.
    pub(super) fn hand_out(&self) {
        let inner = &self.inner;
        while inner.waiting.load(Ordering::SeqCst) > 0 {
            let target = Cell::new(None);
            let popped = {
                let views = inner.views.lock();
                let now = clock::now();
                if !views.any_room(now) {
                    return;
                }
                let first = inner.first(&views);
                let mut queue = inner.queue.lock();
                let popped = queue.pop(|(_, waiting)| {
                    let node = match waiting.movable {
                        true => elsewhere(&views, &waiting.needs, first, now),
                        false => None,
                    };
                    target.set(node);
                    node.is_some()
                });
                inner.waiting.store(queue.len(), Ordering::SeqCst);
                popped
            };
            let target = target.get();
            match (popped, target) {
                (Some((_, waiting)), Some(node)) => (waiting.go)(Go::There(node)),
                _ => return,
            }
        }
    }
}

fn too_much() -> Malformed {
    let why = "it tells of more modules or nodes than fit".to_owned();
    Malformed { what: "load report", why }
}

fn elsewhere(views: &Views, needs: &Needs, first: usize, now: Instant) -> Option<NodeId> {
    let others = views.candidates(module_tag(&needs.wasm), first, now);
    let others = others.filter(|c| c.has_room() && needs.allows(c.node));
    policy::choose(needs.policy, None, others.take(CHOICES))
}
