//! Messages between the ranks of a world.
//!
//! A send and a receive meet in the inbox of the receiver; the side that comes second copies, once,
//! memory to memory. Ranks are those of the world here; contexts, sources and tags are what a
//! communicator makes of them.
//!
//! | part | what it does |
//! |---|---|
//! | `lanes`, `inbox` | which receive takes which message; pure |
//! | `request` | what is under way |
//! | `copy` | bytes, memory to memory |
//! | `world`, `endpoint` | a world on this node, and a rank's way to the others |
//! | `far`, `incoming`, `bulk` | ranks on other nodes: envelopes and credit; bytes of long messages |
//! | `failure` | ranks and nodes that are lost, revoked communicators, aborted jobs |
//! | `parted` | ranks that could not do their part in a collective |
//! | `worlds` | all worlds of this node |

mod bulk;
mod copy;
mod endpoint;
mod failure;
mod far;
mod inbox;
mod incoming;
mod lanes;
mod parted;
mod request;
#[cfg(test)]
mod tests;
mod world;
mod worlds;

use bytes::Bytes;

pub use endpoint::Endpoint;
pub use request::{Request, Status};
pub use world::{Traffic, World, sum};
pub use worlds::Worlds;

use super::memory::Memory;
use super::types::Datatype;

/// What a message carries beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The communicator's context.
    pub context: u64,
    /// The sender, by its rank in the group that the receiver sees.
    pub source: u32,
    /// Its tag.
    pub tag: i32,
}

/// What a receive or a probe takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// The communicator's context.
    pub context: u64,
    /// From whom; `None` from any.
    pub source: Option<u32>,
    /// The world's rank of that one; it may fail.
    pub world_source: Option<u32>,
    /// Which tag; `None` any.
    pub tag: Option<i32>,
}

impl Pattern {
    /// Whether it takes a message.
    pub fn takes(&self, envelope: &Envelope) -> bool {
        self.context == envelope.context
            && self.source.is_none_or(|source| source == envelope.source)
            && self.tag.is_none_or(|tag| tag == envelope.tag)
    }
}

/// Elements in a rank's memory.
#[derive(Debug, Clone)]
pub struct Span {
    /// Whose.
    pub memory: Memory,
    /// Where they begin.
    pub at: u64,
    /// How many.
    pub count: u64,
    /// Of which type.
    pub datatype: Datatype,
}

impl Span {
    /// Bytes of its elements.
    pub fn bytes(&self) -> u64 {
        self.datatype.size().saturating_mul(self.count)
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Elements of the sender's memory, which it leaves alone until the request is complete.
    Guest(Span),
    /// Bytes of the host.
    Host(Bytes),
}

/// Where a message goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// Elements of the receiver's memory. A longer message is cut, which is an error.
    Guest(Span),
    /// Bytes of the host, at most so many; [`Request::take_bytes`] gives them.
    Host(u64),
}

/// When a send is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When the buffer may be used again.
    Standard,
    /// When the receive has begun.
    Synchronous,
    /// As standard; it is an error if no receive was posted.
    Ready,
}

/// A message that a matching probe took out of the queue.
#[derive(Debug)]
pub struct Message {
    pub(super) inner: inbox::Unexpected,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Who sent it, and how.
    pub envelope: Envelope,
    /// How many bytes it has.
    pub bytes: u64,
}
