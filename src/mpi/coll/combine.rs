//! How a collective combines elements: by an operation of ours, or by one of the program.

use std::sync::Arc;

use bytes::Bytes;

use super::queue::{Job, Queue};
use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result};
use crate::mpi::ops::Op;
use crate::mpi::types::{Basic, Datatype};

/// An operation of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserOp {
    /// Its function, by its place in the table.
    pub function: u32,
    /// Whether the order of operands does not matter.
    pub commutes: bool,
    /// Whether its count is an `MPI_Count`.
    pub large: bool,
}

/// See the top.
#[derive(Debug, Clone)]
pub enum Combine {
    /// One of ours.
    Builtin(Op, Basic),
    /// One of the program, which its rank calls.
    User(Arc<User>),
}

/// What the program's function is given.
#[derive(Debug)]
pub struct User {
    /// Where the rank looks for such work.
    pub queue: Arc<Queue>,
    /// The function.
    pub op: UserOp,
    /// The elements' type.
    pub datatype: Datatype,
    /// Its handle.
    pub handle: i32,
}

impl Combine {
    /// Whether the order of operands does not matter.
    pub fn commutes(&self) -> bool {
        match self {
            Self::Builtin(op, _) => op.commutes(),
            Self::User(user) => user.op.commutes,
        }
    }

    /// Bytes of an element.
    pub fn element(&self) -> u64 {
        match self {
            Self::Builtin(_, basic) => basic.size(),
            Self::User(user) => user.datatype.size(),
        }
    }

    /// `input` and `inout` combined, in this order.
    pub async fn apply(&self, input: &Bytes, inout: Vec<u8>) -> Result<Vec<u8>> {
        let mut inout = inout;
        match self {
            Self::Builtin(op, basic) => op.apply(*basic, input, &mut inout),
            Self::User(user) if !inout.is_empty() => {
                let (job, reply) = Job::new(user.clone(), input.clone(), inout);
                user.queue.push(job);
                let gone = || Error::new(c::MPI_ERR_OTHER, "the operation's rank ended");
                return reply.await.map_err(|_| gone())?.map_err(|class| {
                    Error::new(class, "the operation's function could not be called")
                });
            }
            Self::User(_) => {}
        }
        Ok(inout)
    }

    /// All these combined, in order.
    pub async fn all(&self, parts: Vec<Bytes>) -> Result<Bytes> {
        let mut parts = parts.into_iter();
        match self {
            Self::Builtin(op, basic) => {
                // These commute, so that one sum takes in the others from the first to the last.
                let mut sum: Vec<u8> = parts.next().unwrap_or_default().into();
                parts.for_each(|part| op.apply(*basic, &part, &mut sum));
                Ok(sum.into())
            }
            Self::User(_) => {
                let mut sum = parts.next_back().unwrap_or_default();
                while let Some(part) = parts.next_back() {
                    sum = self.apply(&part, sum.into()).await?.into();
                }
                Ok(sum)
            }
        }
    }
}
