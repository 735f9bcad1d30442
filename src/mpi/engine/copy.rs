//! How the bytes of a message get to where they go.

use bytes::Bytes;

use super::inbox::Body;
use super::{Payload, Span, Target};
use crate::mpi::constants as c;
use crate::mpi::error::Result;

/// What is copied at once where the elements do not lie in one piece.
pub const PIECE: u64 = 256 << 10;
/// Most bytes of one message that the host takes into memory of its own.
const MOST_HOST: u64 = 1 << 30;

/// What was copied: how many bytes, and those that went to the host.
pub type Copied = (u64, Option<Bytes>);

/// Whose fault it is that it cannot be copied, by the error's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The sender's.
    Source(i32),
    /// The receiver's.
    Target(i32),
}

impl Payload {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Guest(span) => span.bytes(),
            Self::Host(bytes) => bytes.len() as u64,
        }
    }

    /// Bytes `skip..skip + len` of it.
    pub(super) fn pack(&self, skip: u64, len: u64) -> Result<Bytes> {
        match self {
            Self::Guest(span) => Ok(span.pack(skip, len)?.into()),
            Self::Host(bytes) => {
                let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(at(skip)..at(skip.saturating_add(len))))
            }
        }
    }
}

impl From<Payload> for Body {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Guest(span) => Self::Guest(span),
            Payload::Host(bytes) => Self::Host(bytes),
        }
    }
}

impl Span {
    /// Where its data begins, if it is one run of bytes.
    fn run(&self) -> Option<u64> {
        let (from, _) = self.datatype.run(self.count)?;
        self.at.checked_add_signed(from)
    }

    fn pack(&self, skip: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = host_memory(len)?;
        self.datatype.pack(&self.memory, self.at, self.count, skip, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies bytes in, to the data from `skip` on.
    pub(super) fn unpack(&self, skip: u64, bytes: &[u8]) -> Result<()> {
        self.datatype.unpack(&self.memory, self.at, self.count, skip, bytes)
    }
}

impl Target {
    /// How many bytes it takes.
    pub(super) fn room(&self) -> u64 {
        match self {
            Self::Guest(span) => span.bytes(),
            Self::Host(most) => *most,
        }
    }
}

/// So many bytes of the host, unless that is too much.
pub fn host_memory(len: u64) -> Result<Vec<u8>> {
    let none = || crate::mpi::error::Error::new(c::MPI_ERR_NO_MEM, "the message is too long");
    let len = usize::try_from(len).ok().filter(|len| *len as u64 <= MOST_HOST).ok_or_else(none)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| none())?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// Copies as much as fits. What is with another node is not copied here.
pub fn copy(target: &Target, body: &Body) -> std::result::Result<Copied, Fault> {
    let source = |error: crate::mpi::error::Error| Fault::Source(class(&error));
    let into = |error: crate::mpi::error::Error| Fault::Target(class(&error));
    match (target, body) {
        (_, Body::Away(..)) => Err(Fault::Source(c::MPI_ERR_INTERN)),
        (Target::Host(most), Body::Host(bytes)) => {
            let len = usize::try_from(*most).unwrap_or(usize::MAX).min(bytes.len());
            Ok((len as u64, Some(bytes.slice(..len))))
        }
        (Target::Host(most), Body::Guest(span)) => {
            let len = span.bytes().min(*most);
            let bytes = span.pack(0, len).map_err(source)?;
            Ok((len, Some(bytes.into())))
        }
        (Target::Guest(span), Body::Host(bytes)) => {
            let room = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
            let bytes = bytes.get(..room).unwrap_or(bytes);
            span.unpack(0, bytes).map_err(into)?;
            Ok((bytes.len() as u64, None))
        }
        (Target::Guest(to), Body::Guest(from)) => {
            let len = from.bytes().min(to.bytes());
            if let (Some(to_at), Some(from_at)) = (to.run(), from.run()) {
                to.memory.copy(to_at, &from.memory, from_at, len).map_err(into)?;
                return Ok((len, None));
            }
            let mut buffer = host_memory(len.min(PIECE)).map_err(into)?;
            let mut done = 0;
            while done < len {
                let piece = usize::try_from(len - done).unwrap_or(usize::MAX).min(buffer.len());
                let Some(bytes) = buffer.get_mut(..piece) else { break };
                from.datatype
                    .pack(&from.memory, from.at, from.count, done, bytes)
                    .map_err(source)?;
                to.unpack(done, bytes).map_err(into)?;
                done += piece as u64;
            }
            Ok((len, None))
        }
    }
}

fn class(error: &crate::mpi::error::Error) -> i32 {
    error.class().unwrap_or(c::MPI_ERR_OTHER)
}
