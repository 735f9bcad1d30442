//! What values may do, one operation after the other, for the checker of linearizability.

use std::hash::{DefaultHasher, Hash, Hasher};

use porcupine_rs::Model;

/// A value that was never written.
pub const MISSING: u64 = 0;

/// A value that is written as a whole and read.
#[derive(Debug, Clone)]
pub struct Register;

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Done; the tag that the value then had.
    Done(u64),
    /// The tag that it asked for was not there.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// An operation on a register. Each write has a value of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterOp {
    /// Read, with its tag.
    Get { value: u64, tag: u64 },
    /// Written, perhaps only if the tag was this one.
    Put { value: u64, only: Option<u64>, came: Came },
}

impl Model for Register {
    /// The value, and its tag if anybody was told.
    type State = (u64, Option<u64>);
    type Op = RegisterOp;
    type Metadata = ();

    fn init() -> Self::State {
        (MISSING, Some(MISSING))
    }

    fn step(state: &Self::State, op: &Self::Op) -> (bool, Self::State) {
        let (now, known) = *state;
        match *op {
            RegisterOp::Get { value, tag } => {
                (value == now && known.is_none_or(|known| known == tag), (value, Some(tag)))
            }
            RegisterOp::Put { value, only, came } => {
                // Who names a tag was told it before, so that it is known.
                let fits = only.is_none_or(|only| known == Some(only));
                match came {
                    Came::Done(tag) => (fits, (value, Some(tag))),
                    Came::Refused => (!fits, *state),
                    Came::Unknown if fits => (true, (value, None)),
                    Came::Unknown => (true, *state),
                }
            }
        }
    }
}

/// A value that elements are appended to.
#[derive(Debug, Clone)]
pub struct List;

/// An operation on a list; of what was read, how many elements, and their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListOp {
    /// Appended; its place, as the longest read has it. Every read that can be is a beginning of
    /// that one, so this rules out nothing that is right, and saves the search for an order.
    Append { id: u64, at: Option<usize> },
    /// All of it read.
    Read { count: usize, hash: u64 },
}

impl Model for List {
    type State = (usize, u64);
    type Op = ListOp;
    type Metadata = ();

    fn init() -> Self::State {
        (0, 0)
    }

    fn step(state: &Self::State, op: &Self::Op) -> (bool, Self::State) {
        match *op {
            ListOp::Append { id, at } => {
                (at.is_none_or(|at| at == state.0), (state.0 + 1, chained(state.1, id)))
            }
            ListOp::Read { count, hash } => ((count, hash) == *state, *state),
        }
    }
}

/// The hash of a list with one element more.
pub fn chained(hash: u64, id: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (hash, id).hash(&mut hasher);
    hasher.finish()
}

/// A count, with who counted last, that is changed under the value's global lock.
#[derive(Debug, Clone)]
pub struct Counter;

/// An operation on a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CounterOp {
    /// Added one; if that is known, the count then and who counted before.
    Add { id: u64, told: Option<(u64, u64)> },
    /// Written over, by one who has no lock: that is refused while another has the write lock.
    Set { id: u64, count: u64 },
    /// Read.
    Look { count: u64, last: u64 },
}

impl Model for Counter {
    type State = (u64, u64);
    type Op = CounterOp;
    type Metadata = ();

    fn init() -> Self::State {
        (0, MISSING)
    }

    fn step(state: &Self::State, op: &Self::Op) -> (bool, Self::State) {
        let (count, last) = *state;
        match *op {
            CounterOp::Add { id, told } => {
                let fits = told.is_none_or(|told| told == (count + 1, last));
                (fits, (count + 1, id))
            }
            CounterOp::Set { id, count } => (true, (count, id)),
            CounterOp::Look { count: seen, last: who } => ((seen, who) == *state, *state),
        }
    }
}
