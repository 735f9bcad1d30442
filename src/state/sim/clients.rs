//! Clients: each does one thing after the other, and repeats it at whoever may own the shard until
//! it is answered or too old.

use rand::Rng;

use super::disk::Op;
use super::world::{What, World};
use crate::id::NodeId;
use crate::wire::shards::ShardId;

/// Pause between attempts, in microseconds.
const AGAIN: u64 = 300_000;
/// How long it tries.
const PATIENCE: u64 = 15_000_000;

/// What is asked. The same of all attempts but for `attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    pub client: usize,
    pub number: u32,
    pub shard: ShardId,
    pub reads: bool,
    pub began: u64,
}

impl Request {
    /// What it appends.
    pub fn op(&self) -> Op {
        (self.client as u32, self.number)
    }
}

/// The answer: what the shard holds, up to the element that was appended; `None`: ask elsewhere.
#[derive(Debug, Clone)]
pub struct Reply {
    pub request: Request,
    pub answer: Option<Vec<Op>>,
}

/// See the top.
#[derive(Debug)]
pub struct Client {
    pub home: NodeId,
    /// Does nothing new.
    pub rests: bool,
    number: u32,
    open: Option<Request>,
}

impl Client {
    pub fn new(home: NodeId) -> Self {
        Self { home, rests: false, number: 0, open: None }
    }

    /// What it waits for.
    pub fn open(&self) -> Option<&Request> {
        self.open.as_ref()
    }
}

impl World {
    /// A client's timer.
    pub fn client(&mut self, at: usize) {
        self.plan(self.now + AGAIN, What::Client(at));
        self.act(at);
    }

    /// A client begins something, or asks again.
    fn act(&mut self, at: usize) {
        let now = self.now;
        let shard = self.rng.random_range(0..self.table.shards.len());
        let reads = self.rng.random_bool(0.3);
        let client = &mut self.clients[at];
        if client.open.is_some_and(|open| now > open.began + PATIENCE) {
            client.open = None;
        }
        let fresh = client.open.is_none();
        if fresh && !client.rests {
            client.number += 1;
            let (number, began) = (client.number, self.now);
            let shard = ShardId(shard as u16);
            let request = Request { client: at, number, shard, reads, began };
            client.open = Some(request);
            self.checks.begins(request);
        }
        let (Some(request), home) = (client.open, client.home) else { return };
        // Its node may know better or worse than Raft who owns the shard.
        let process = self.nodes.get(&home).and_then(|node| node.process.as_ref());
        let known = process.and_then(|process| process.replicas.get(&request.shard)?.table());
        let known = known.or(self.table.shards.get(&request.shard)).map(|table| table.owner);
        let ids = self.ids();
        let any = ids[self.rng.random_range(0..ids.len())];
        let to = known.filter(|_| self.rng.random_bool(0.7)).unwrap_or(any);
        for at in self.network.arrivals(home, to, self.now, &mut self.rng) {
            self.plan(at, What::Request(to, request));
        }
    }

    /// A request arrives.
    pub fn request(&mut self, id: NodeId, request: Request) -> Result<(), String> {
        let shard = request.shard;
        let serving = self.process(id).and_then(|p| p.replicas.get(&shard)?.serving());
        let Some(epoch) = serving.filter(|_| self.session_is_live(id)) else {
            self.answer(id, request.client, Reply { request, answer: None });
            return Ok(());
        };
        if !request.reads {
            if !self.write(id, request)? {
                self.answer(id, request.client, Reply { request, answer: None });
            }
            return Ok(());
        }
        let life = self.process(id).map_or(0, |process| process.life);
        if let Some(list) = self.store(id, shard).map(|store| store.live.values.list()) {
            self.soon(2_000, What::Read(id, life, request, epoch, list));
        }
        Ok(())
    }

    /// The values are read; the owner looks again before it answers.
    pub fn read(
        &mut self,
        id: NodeId,
        request: Request,
        epoch: u64,
        list: Vec<Op>,
    ) -> Result<(), String> {
        let serving = self.process(id).and_then(|p| p.replicas.get(&request.shard)?.serving());
        let answer = match serving {
            Some(now) if now == epoch && self.session_is_live(id) => {
                self.checks.answered(request.shard, epoch, id)?;
                Some(list)
            }
            _ => None,
        };
        self.answer(id, request.client, Reply { request, answer });
        Ok(())
    }

    /// An answer arrives.
    pub fn reply(&mut self, at: usize, reply: Reply) -> Result<(), String> {
        let client = &mut self.clients[at];
        if client.open != Some(reply.request) {
            return Ok(());
        }
        let Some(list) = reply.answer else { return Ok(()) };
        client.open = None;
        self.note((at, list.len()));
        self.checks.ends(self.now, &reply.request, &list)?;
        self.act(at);
        Ok(())
    }
}
