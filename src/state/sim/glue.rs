//! What a node does around its copies: it tells them what happens and does what they want.

use bytes::Bytes;
use rand::Rng;

use super::clients::Reply;
use super::disk::{SimStore, op};
use super::table::Entry;
use super::world::{Plant, Process, What, World};
use crate::id::{Incarnation, NodeId};
use crate::state::replica::{Effect, Event, Outcome, Replica, Settled};
use crate::wire::shards::{Shard, ShardChange, ShardId};

impl World {
    pub fn process(&mut self, id: NodeId) -> Option<&mut Process> {
        self.nodes.get_mut(&id)?.process.as_mut()
    }

    pub fn store(&mut self, id: NodeId, shard: ShardId) -> Option<&mut SimStore> {
        self.nodes.get_mut(&id)?.stores.get_mut(&shard)
    }

    pub fn shards_of(&self, id: NodeId) -> Vec<ShardId> {
        let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
        process.map_or_else(Vec::new, |process| process.replicas.keys().copied().collect())
    }

    /// Whether a node believes that its session lives.
    pub fn session_is_live(&self, id: NodeId) -> bool {
        let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
        let until = process.filter(|process| process.opened).and_then(|process| process.lease);
        self.plant == Some(Plant::NoLease) || until.is_some_and(|until| self.micros(id) < until)
    }

    /// A node applies Raft's log up to here. Of what it applies at first, only the newest counts.
    pub fn learn(&mut self, id: NodeId, to: usize) {
        let session = self.table.sessions.get(&id).map(|(life, _)| *life);
        if let Some(process) = self.process(id).filter(|process| process.learned == 0) {
            process.learned = to;
            process.opened = session == Some(process.life);
            let table = self.table.shards.clone();
            for (shard, table) in table {
                self.hear(id, shard, table);
            }
            return;
        }
        loop {
            let Some(process) = self.process(id).filter(|p| p.learned < to) else { return };
            let (at, life) = (process.learned, process.life);
            process.learned += 1;
            match self.table.log.get(at).cloned() {
                Some(Entry::Opened(node, of)) if node == id => {
                    if let Some(process) = self.process(id) {
                        process.opened = of == life;
                    }
                }
                Some(Entry::Ended(node)) if node == id => {
                    if let Some(process) = self.process(id) {
                        process.opened = false;
                    }
                }
                Some(Entry::Shard(shard, table)) => self.hear(id, shard, table),
                _ => {}
            }
        }
    }

    /// A node hears of a shard's table.
    fn hear(&mut self, id: NodeId, shard: ShardId, table: Shard) {
        let named = table.in_sync.contains(&id) || table.targets.contains(&id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(process) = &mut node.process else { return };
        // What a process before it should have removed has a copy as well.
        if named || node.stores.contains_key(&shard) {
            let store = node.stores.entry(shard).or_default();
            let start = Incarnation(process.life);
            let replica = || Replica::new(id, start, shard, &store.opened());
            process.replicas.entry(shard).or_insert_with(replica);
        }
        let told = self.tell(id, shard, Event::Table(Some(table)));
        self.checks.note(told);
    }

    /// Tells a copy something and does what it wants.
    pub fn tell(&mut self, id: NodeId, shard: ShardId, event: Event) -> Result<(), String> {
        let now = self.clock(id);
        let Some(replica) = self.process(id).and_then(|p| p.replicas.get_mut(&shard)) else {
            return Ok(());
        };
        replica.handle(now, event).map_err(|error| format!("{id} was told: {error}"))?;
        self.flush(id, shard)
    }

    /// A disk that failed works again, with what it had synced.
    pub fn reopen(&mut self, id: NodeId, shard: ShardId) -> Result<(), String> {
        let replica = self.process(id).and_then(|process| process.replicas.get(&shard));
        if replica.is_none_or(|replica| replica.failure().is_none()) {
            return Ok(());
        }
        let Some(opened) = self.store(id, shard).map(|store| store.opened()) else { return Ok(()) };
        self.tell(id, shard, Event::Reopened(opened))
    }

    /// Does what a copy wants.
    pub fn flush(&mut self, id: NodeId, shard: ShardId) -> Result<(), String> {
        let now = self.clock(id);
        let Some(process) = self.process(id) else { return Ok(()) };
        let life = process.life;
        let Some(replica) = process.replicas.get_mut(&shard) else { return Ok(()) };
        let effects = replica.flush(now);
        let mut synced = None;
        for effect in effects {
            match effect {
                Effect::Append { op, .. } | Effect::Truncate { op, .. } => synced = Some(op),
                _ => {}
            }
            self.effect(id, life, shard, effect)?;
        }
        if let Some(op) = synced {
            let longest = self.nodes[&id].disk;
            self.soon(longest, What::Synced(id, life, shard, op));
            if self.plant == Some(Plant::AckBeforeSync) {
                self.plan(self.now, What::Told(id, life, shard, Event::Synced { op }));
            }
        }
        Ok(())
    }

    fn effect(
        &mut self,
        id: NodeId,
        life: u64,
        shard: ShardId,
        effect: Effect,
    ) -> Result<(), String> {
        let dedup = self.plant != Some(Plant::NoDedup);
        let longest = self.nodes[&id].disk;
        let told = |event| What::Told(id, life, shard, event);
        let Some(store) = self.store(id, shard) else { return Ok(()) };
        match effect {
            Effect::Append { op, records } => store.append(op, records)?,
            Effect::Truncate { op, after } => store.truncate(op, after),
            Effect::Apply { through } => {
                let records = store.apply(through, dedup).map_err(|why| format!("{id}: {why}"))?;
                for record in records {
                    self.checks.applied(id, shard, &record)?;
                }
            }
            Effect::Send { to, message, body } => {
                self.note((
                    id.0,
                    to.0,
                    format!("{} {} {:?}", message.shard.0, message.term.0 >> 24, message.what),
                ));
                for at in self.network.arrivals(id, to, self.now, &mut self.rng) {
                    self.plan(at, What::Message(id, to, message.clone(), body.clone()));
                }
            }
            Effect::Read { to, round, from, bytes } => {
                let records = store.read(from, bytes.min(300));
                self.soon(longest, told(Event::Read { to, round, from, records }));
            }
            Effect::Settle { ticket, outcome } => self.settled(id, shard, ticket, outcome)?,
            Effect::Propose(change) => {
                let reaches = self.reaches_raft(id);
                let lost = self.rng.random_range(0..1000) < self.raft_fails;
                if reaches && !(lost && self.rng.random_bool(0.5)) {
                    self.soon(20_000, What::Propose(id, life, change.clone(), lost));
                }
                if lost || !reaches {
                    let event = Event::Proposed { change, outcome: Outcome::Unknown };
                    self.plan(self.now + 1_500_000, told(event));
                }
            }
            effect => self.difference(id, life, shard, effect),
        }
        Ok(())
    }

    /// What has to do with differences, and with what a copy needs no more.
    fn difference(&mut self, id: NodeId, life: u64, shard: ShardId, effect: Effect) {
        let longest = self.nodes[&id].disk;
        let told = |event| What::Told(id, life, shard, event);
        let Some(store) = self.store(id, shard) else { return };
        match effect {
            Effect::Export { to, round, number, request } => {
                let part = store.export(&request);
                self.soon(longest, told(Event::Exported { to, round, number, part }));
            }
            Effect::ImportBegin { round, base } => {
                let request = store.import_begin(round, base);
                self.soon(longest, told(Event::ImportWants { round, request }));
            }
            Effect::Import { round, part } if store.imports(round) => {
                let event = match store.import(round, &part) {
                    Some(request) => Event::ImportWants { round, request },
                    None => Event::ImportDone { round },
                };
                self.soon(longest, told(event));
            }
            Effect::Compact { through } => {
                let through = store.compact(through);
                if let Some(r) = self.process(id).and_then(|p| p.replicas.get_mut(&shard)) {
                    r.compacted(through);
                }
            }
            Effect::Discard => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.stores.remove(&shard);
                    if let Some(process) = &mut node.process {
                        process.replicas.remove(&shard);
                    }
                }
            }
            _ => {}
        }
    }

    /// A proposal is with Raft.
    pub fn propose(&mut self, id: NodeId, life: u64, change: ShardChange, lost: bool) {
        let done = self.table.change(&change, Some(id));
        self.note((id.0, format!("{change:?}"), done));
        let alive = self.process(id).is_some_and(|process| process.life == life);
        if lost || !alive {
            return;
        }
        if self.reaches_raft(id) {
            // It is applied where it was proposed, before that hears of it.
            let newest = self.table.log.len();
            self.learn(id, newest);
            let outcome = if done { Outcome::Done } else { Outcome::Refused };
            let shard = change.shard;
            let event = Event::Proposed { change, outcome };
            self.plan(self.now, What::Told(id, life, shard, event));
        } else {
            let event = Event::Proposed { change: change.clone(), outcome: Outcome::Unknown };
            self.plan(self.now + 1_500_000, What::Told(id, life, change.shard, event));
        }
    }

    /// A write has come to an end at its owner.
    fn settled(
        &mut self,
        id: NodeId,
        shard: ShardId,
        ticket: u64,
        outcome: Settled,
    ) -> Result<(), String> {
        let Some(request) = self.process(id).and_then(|p| p.tickets.remove(&ticket)) else {
            return Ok(());
        };
        let Settled::Committed { seq } = outcome else {
            self.answer(id, request.client, Reply { request, answer: None });
            return Ok(());
        };
        self.checks.committed(&self.nodes, &self.table, id, shard, seq)?;
        let serving = self.process(id).and_then(|p| p.replicas.get(&shard)?.serving());
        // A shard that is handed over answers its last writes.
        let epoch = self.process(id).and_then(|p| Some(p.replicas.get(&shard)?.table()?.epoch));
        let Some(epoch) = serving.or(epoch).filter(|_| self.session_is_live(id)) else {
            self.answer(id, request.client, Reply { request, answer: None });
            return Ok(());
        };
        let Some(list) = self.store(id, shard).map(|store| store.live.values.list()) else {
            return Ok(());
        };
        let place = list.iter().position(|op| *op == request.op());
        let Some(place) = place else {
            return Err(format!("{shard} does not have {:?}, which is committed", request.op()));
        };
        self.checks.answered(shard, epoch, id)?;
        let list: Vec<_> = list.into_iter().take(place + 1).collect();
        self.answer(id, request.client, Reply { request, answer: Some(list) });
        Ok(())
    }

    /// Sends an answer.
    pub fn answer(&mut self, id: NodeId, client: usize, reply: Reply) {
        let home = self.clients[client].home;
        for at in self.network.arrivals(id, home, self.now, &mut self.rng) {
            self.plan(at, What::Reply(client, reply.clone()));
        }
    }

    /// A question to a copy from outside.
    pub fn write(&mut self, id: NodeId, request: super::clients::Request) -> Result<bool, String> {
        let shard = request.shard;
        self.tickets += 1;
        let ticket = self.tickets;
        let filler = self.rng.random_range(0..100);
        let Some(process) = self.process(id) else { return Ok(false) };
        let Some(replica) = process.replicas.get_mut(&shard) else { return Ok(false) };
        let body: Bytes = super::disk::body(request.op(), filler);
        debug_assert_eq!(op(&body), Some(request.op()));
        if replica.write(ticket, body).is_err() {
            return Ok(false);
        }
        process.tickets.insert(ticket, request);
        self.flush(id, shard)?;
        Ok(true)
    }
}
