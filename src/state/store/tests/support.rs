//! One copy that commits whatever it logs.

use std::path::{Path, PathBuf};

use super::*;
use crate::id::{Incarnation, NodeId};
use crate::state::values::Next;
use crate::wire::consensus::SessionId;
use crate::wire::locks::Proof;
use crate::wire::shards::StateKey;
use crate::wire::state::{Ask, Pulled, Stat, WriteId, Written};
use bytes::Bytes;

/// In memory, where that can be: `syncfs` then waits for nobody else.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub const SHARD: ShardId = ShardId(3);

/// A push with bytes, made of parts: where, and what.
pub struct Bulk(pub Write, pub Vec<u8>);

impl From<Write> for Bulk {
    fn from(write: Write) -> Self {
        Self(write, Vec::new())
    }
}

pub fn plain() -> Push {
    Push { staged: None, extents: vec![], len: None, create: true, replace: false, only: Only::Any }
}

pub fn push(parts: &[(u64, &[u8])]) -> Bulk {
    with(plain(), parts)
}

pub fn with(push: Push, parts: &[(u64, &[u8])]) -> Bulk {
    let (extents, bytes) = split(parts);
    Bulk(Write::Push(Push { extents, ..push }), bytes)
}

pub fn split(parts: &[(u64, &[u8])]) -> (Vec<Extent>, Vec<u8>) {
    let extent = |(off, bytes): &(u64, &[u8])| Extent { off: *off, len: bytes.len() as u64 };
    (parts.iter().map(extent).collect(), parts.iter().flat_map(|part| part.1.to_vec()).collect())
}

pub fn session(opened: u64) -> SessionId {
    SessionId { node: NodeId(1), incarnation: Incarnation(1), opened }
}

pub fn key(name: &str) -> StateKey {
    StateKey { user: "u".into(), key: name.into() }
}

pub struct Node {
    pub store: Store,
    pub dir: PathBuf,
    pub number: u64,
    pub settled: u64,
    pub now: u64,
    pub room: u64,
    pub term: u64,
    pub proof: Option<Proof>,
}

impl Node {
    pub fn options(dir: &Path) -> Options {
        Options { reserve: 0, ..Options::new(dir.to_owned()) }
    }

    pub fn open(dir: &Path) -> Self {
        let mut node = Self::of(Store::open(Self::options(dir), 0).unwrap(), dir);
        node.replay();
        node
    }

    pub fn of(store: Store, dir: &Path) -> Self {
        let (number, settled, now, room) = (0, 0, 0, u64::MAX);
        Self { store, dir: dir.into(), number, settled, now, room, term: 1 << 24, proof: None }
    }

    fn replay(&mut self) {
        let opened = self.store.opened(SHARD).unwrap();
        if opened.damage.is_none() && !opened.blank {
            self.store.apply(SHARD, opened.last, self.now).unwrap();
        }
    }

    /// Closed and opened again.
    pub fn again(self) -> Self {
        let Self { store, dir, number, settled, now, room, term, proof } = self;
        drop(store);
        let store = Store::open(Self::options(&dir), now).unwrap();
        let mut node = Self { store, dir, number, settled, now, room, term, proof };
        node.replay();
        node
    }

    pub fn id(&mut self) -> WriteId {
        self.number += 1;
        WriteId { session: session(1), number: self.number, settled: self.settled }
    }

    pub fn last(&self) -> u64 {
        self.store.opened(SHARD).unwrap().last
    }

    pub fn log(&mut self, body: Bytes) -> u64 {
        let record = Record { term: self.term, seq: self.last() + 1, body };
        self.store.note(SHARD, &record).unwrap();
        let seq = record.seq;
        self.store.write(&[LogWrite::Append(SHARD, vec![record])]).unwrap();
        seq
    }

    pub fn decide(&mut self, name: &str, op: Op, body: &Bytes) -> Decision {
        let ask = Ask { key: key(name), proof: self.proof, op, wait_ms: 0 };
        let (room, seq) = (self.room, self.last() + 1);
        let next = Next {
            epoch: self.term >> 24,
            seq,
            now: self.now,
            room: &|_| room,
            staging: room,
            space: &|bytes| self.store.has_space(bytes),
        };
        self.store.decide(SHARD, &ask, body, &next).unwrap()
    }

    pub fn ask(&mut self, name: &str, op: Op, body: Vec<u8>) -> (Answer, Bytes) {
        let body = Bytes::from(body);
        loop {
            match self.decide(name, op.clone(), &body) {
                Decision::Answer(answer) => return (answer, Bytes::new()),
                Decision::Append(record) => {
                    let seq = self.log(record);
                    let all = self.store.apply(SHARD, seq, self.now).unwrap();
                    let (_, written) = all.last().unwrap().1.written.clone().unwrap();
                    return (Answer::Written(written), Bytes::new());
                }
                Decision::Fence(record) => {
                    let seq = self.log(record);
                    self.store.apply(SHARD, seq, self.now).unwrap();
                }
                Decision::After(seq) => {
                    self.store.apply(SHARD, seq, self.now).unwrap();
                }
                Decision::Read(plan) => return self.store.read(SHARD, &plan).unwrap(),
            }
        }
    }

    pub fn write_as(&mut self, name: &str, id: WriteId, bulk: Bulk) -> Result<Written, Refusal> {
        match self.ask(name, Op::Write { id, write: bulk.0 }, bulk.1).0 {
            Answer::Written(written) => Ok(written),
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    pub fn write(&mut self, name: &str, bulk: impl Into<Bulk>) -> Result<Written, Refusal> {
        let id = self.id();
        let result = self.write_as(name, id, bulk.into());
        self.settled = self.number;
        result
    }

    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<Written, Refusal> {
        self.write(name, Bulk(Write::Append, bytes.to_vec()))
    }

    pub fn pull(&mut self, name: &str, pull: Pull) -> Result<(Pulled, Bytes), Refusal> {
        match self.ask(name, Op::Pull(pull), vec![]) {
            (Answer::Pulled(pulled), bytes) => Ok((pulled, bytes)),
            (Answer::Refused(refusal), _) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    pub fn read(&mut self, name: &str, off: u64, len: u64) -> Result<(Pulled, Bytes), Refusal> {
        self.pull(name, range(off, len))
    }

    /// All of a small value.
    pub fn bytes(&mut self, name: &str) -> Vec<u8> {
        let (pulled, bytes) = self.read(name, 0, 1 << 40).unwrap();
        assert!(pulled.done >= pulled.len, "it is not small");
        bytes.to_vec()
    }
}

pub fn range(off: u64, len: u64) -> Pull {
    Pull { range: Extent { off, len }, since: None, also: vec![], at: None }
}

pub fn stat(node: &mut Node, name: &str) -> Option<Stat> {
    match node.ask(name, Op::Stat, vec![]).0 {
        Answer::Stat(stat) => Some(stat),
        _ => None,
    }
}
