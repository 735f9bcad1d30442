//! Agreement among the ranks of a communicator that have not failed, also while some fail: all that
//! survive get the same value.
//!
//! The first rank that is not known to have failed coordinates: it takes a contribution from each
//! other one, decides, and tells all. When it fails in between, the next one does; whoever has heard a
//! decision already answers with that.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::comm::Comm;
use super::constants as c;
use super::engine::{Endpoint, Envelope, Mode, Pattern, Payload, Request, Target};
use super::error::{Error, Result, error};

/// Of agreements: they go on in a communicator that was revoked.
const APART: u64 = 1 << 62;
/// What messages are, by their tags: what a rank contributes, what was decided, and a question that
/// who has heard a decision answers with it.
const GIVEN: i32 = 0;
const DECIDED: i32 = 1;
const ASKED: i32 = 2;
/// Longest message, in bytes: a set of ranks.
const LONGEST: u64 = 64 << 10;

/// What is agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// The flags of all, combined by and.
    pub flag: i32,
    /// A number that nobody else draws: a context for a new communicator.
    pub context: u64,
    /// Ranks of the world that have failed: those that any of them knew of.
    pub failed: Vec<u32>,
}

/// What a communicator keeps of its agreements: how many there were, and who answers for the last.
#[derive(Debug, Default)]
pub struct Past(Mutex<(u32, Option<AbortHandle>)>);

impl Drop for Past {
    fn drop(&mut self) {
        if let Some(last) = self.0.get_mut().1.take() {
            last.abort();
        }
    }
}

/// One rank's part in one agreement.
struct Part {
    endpoint: Arc<Endpoint>,
    comm: Arc<Comm>,
    number: u32,
}

/// Agrees. Every rank of the communicator that has not failed must call this.
pub async fn agree(endpoint: Arc<Endpoint>, comm: Arc<Comm>, mine: Value) -> Result<Value> {
    if comm.remote.is_some() {
        return error(c::MPI_ERR_COMM, "an intercommunicator cannot agree");
    }
    let number = {
        let mut past = comm.agreements.0.lock();
        past.0 = (past.0 + 1) & 0x0fff_ffff;
        past.0
    };
    let part = Part { endpoint, comm, number };
    let value = part.run(mine).await?;
    let comm = part.comm.clone();
    let answers = tokio::spawn(part.answer(value.clone())).abort_handle();
    // Whoever took part in this agreement is done with the one before.
    if let Some(before) = comm.agreements.0.lock().1.replace(answers) {
        before.abort();
    }
    Ok(value)
}

impl Part {
    async fn run(&self, mine: Value) -> Result<Value> {
        let size = self.comm.group.size();
        let mut lost: Vec<u32> = Vec::new();
        loop {
            let failed = self.endpoint.failed();
            let world = |rank: u32| self.comm.group.world_rank(rank).unwrap_or(u32::MAX);
            let gone = |rank: u32| lost.contains(&rank) || failed.contains(&world(rank));
            let first = (0..size).find(|rank| *rank == self.comm.rank || !gone(*rank));
            let first = first.unwrap_or(self.comm.rank);
            if first == self.comm.rank {
                return self.coordinate(mine, &lost).await;
            }
            self.send(first, GIVEN, &Value { context: 0, ..mine.clone() });
            match self.receive(first, DECIDED).await {
                Ok(value) => return Ok(value),
                Err(_) => lost.push(first),
            }
        }
    }

    async fn coordinate(&self, mine: Value, lost: &[u32]) -> Result<Value> {
        let size = self.comm.group.size();
        let (mut value, mut decided) = (mine, None);
        let others: Vec<u32> = (0..size).filter(|rank| *rank != self.comm.rank).collect();
        let mut told = Vec::new();
        // Another one may have decided before it failed, and told some.
        if self.comm.rank > 0 {
            others.iter().for_each(|rank| self.send(*rank, ASKED, &Value::default()));
        }
        for rank in others {
            let world = self.comm.group.world_rank(rank).unwrap_or(u32::MAX);
            let given = match lost.contains(&rank) || self.endpoint.failed().contains(&world) {
                true => None,
                false => self.receive(rank, GIVEN).await.ok(),
            };
            let Some(given) = given else {
                value.failed.push(world);
                continue;
            };
            told.push(rank);
            // A contribution names no context; a decision that was heard before does.
            if given.context != 0 {
                decided = Some(given);
                continue;
            }
            value.flag &= given.flag;
            value.failed.extend(given.failed);
        }
        value.failed.sort_unstable();
        value.failed.dedup();
        let value = decided.unwrap_or(value);
        told.into_iter().for_each(|rank| self.send(rank, DECIDED, &value));
        Ok(value)
    }

    /// Answers those that did not hear of the decision from who made it: those that give this rank
    /// what they have for one, and those that gather it anew.
    async fn answer(self, value: Value) {
        let size = self.comm.group.size();
        let others = (0..size).filter(|rank| *rank != self.comm.rank);
        let asked = others.flat_map(|rank| [(rank, GIVEN, DECIDED), (rank, ASKED, GIVEN)]);
        let asked: Vec<_> = asked
            .map(|(rank, step, answer)| {
                let request =
                    self.endpoint.receive(self.pattern(rank, step), Target::Host(LONGEST));
                (rank, answer, Posted { endpoint: self.endpoint.clone(), request })
            })
            .collect();
        let answers = asked.iter().map(|(rank, answer, posted)| async {
            if posted.request.done().await.error == c::MPI_SUCCESS {
                self.send(*rank, *answer, &value);
            }
        });
        futures_util::future::join_all(answers).await;
    }

    fn pattern(&self, rank: u32, step: i32) -> Pattern {
        Pattern {
            context: self.comm.context | APART,
            source: Some(rank),
            world_source: self.comm.group.world_rank(rank),
            tag: Some(self.tag(step)),
        }
    }

    fn tag(&self, step: i32) -> i32 {
        (self.number << 2).cast_signed() | step
    }

    fn send(&self, rank: u32, step: i32, value: &Value) {
        let Some(to) = self.comm.group.world_rank(rank) else { return };
        let context = self.comm.context | APART;
        let envelope = Envelope { context, source: self.comm.rank, tag: self.tag(step) };
        self.endpoint.send(to, envelope, Payload::Host(encode(value)), Mode::Standard);
    }

    async fn receive(&self, rank: u32, step: i32) -> Result<Value> {
        let request = self.endpoint.receive(self.pattern(rank, step), Target::Host(LONGEST));
        let posted = Posted { endpoint: self.endpoint.clone(), request };
        let status = posted.request.done().await;
        match (status.error, posted.request.take_bytes().and_then(|bytes| decode(&bytes))) {
            (c::MPI_SUCCESS, Some(value)) => Ok(value),
            (c::MPI_SUCCESS, None) => error(c::MPI_ERR_INTERN, "a message of an agreement is none"),
            (class, _) => Err(Error::new(class, "a rank failed in an agreement")),
        }
    }
}

/// A receive that is withdrawn when nobody waits for it any more.
struct Posted {
    endpoint: Arc<Endpoint>,
    request: Arc<Request>,
}

impl Drop for Posted {
    fn drop(&mut self) {
        if !self.request.is_done() {
            self.endpoint.cancel(&self.request);
        }
    }
}

fn encode(value: &Value) -> Bytes {
    let mut bytes = value.flag.to_le_bytes().to_vec();
    bytes.extend_from_slice(&value.context.to_le_bytes());
    value.failed.iter().for_each(|rank| bytes.extend_from_slice(&rank.to_le_bytes()));
    bytes.into()
}

fn decode(bytes: &[u8]) -> Option<Value> {
    let (flag, rest) = bytes.split_first_chunk::<4>()?;
    let (context, rest) = rest.split_first_chunk::<8>()?;
    let (ranks, rest) = rest.as_chunks::<4>();
    let failed = ranks.iter().map(|rank| u32::from_le_bytes(*rank)).collect();
    let (flag, context) = (i32::from_le_bytes(*flag), u64::from_le_bytes(*context));
    rest.is_empty().then_some(Value { flag, context, failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpi::engine::World;
    use crate::mpi::group::Group;

    fn members(size: u32) -> Vec<(Arc<Endpoint>, Arc<Comm>)> {
        let world = World::local(size);
        let comm = |rank| Comm::new(0, Group::new((0..size).collect()), rank, None);
        (0..size).map(|rank| (Endpoint::new(world.clone(), rank), Arc::new(comm(rank)))).collect()
    }

    fn mine(rank: u32) -> Value {
        Value { flag: !(1 << rank), context: u64::from(rank + 1) << 40, failed: Vec::new() }
    }

    #[tokio::test]
    async fn all_get_the_flags_of_all() {
        for size in [1, 2, 7] {
            let members = members(size);
            for _ in 0..3 {
                let parts = members.iter().enumerate().map(|(rank, (endpoint, comm))| {
                    agree(endpoint.clone(), comm.clone(), mine(u32::try_from(rank).unwrap()))
                });
                let values = futures_util::future::join_all(parts).await;
                let expected = Value { flag: !((1 << size) - 1), context: 1 << 40, failed: vec![] };
                assert!(values.into_iter().all(|value| value.unwrap() == expected));
            }
        }
    }

    /// The first rank fails when it has told only one of the others.
    #[tokio::test]
    async fn all_get_what_was_decided_by_one_that_failed() {
        let members = members(4);
        members.iter().for_each(|(endpoint, _)| endpoint.survives_failures(true));
        let decided = Value { flag: 77, context: 1 << 42, failed: vec![] };
        let part = |rank: usize| {
            let (endpoint, comm) = &members[rank];
            Part { endpoint: endpoint.clone(), comm: comm.clone(), number: 1 }
        };
        part(0).send(2, DECIDED, &decided);
        let agreed = |rank: usize| {
            let (endpoint, comm) = &members[rank];
            agree(endpoint.clone(), comm.clone(), mine(u32::try_from(rank).unwrap()))
        };
        assert_eq!(agreed(2).await.unwrap(), decided);
        members[0].0.leave(false);
        let (one, three) = tokio::join!(agreed(1), agreed(3));
        assert_eq!((one.unwrap(), three.unwrap()), (decided.clone(), decided));
    }

    #[test]
    fn a_value_is_what_was_sent() {
        let value = Value { flag: -5, context: 1 << 41, failed: vec![3, 9] };
        assert_eq!(decode(&encode(&value)), Some(value));
        assert_eq!(decode(&[0; 13]), None);
    }
}
