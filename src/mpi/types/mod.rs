//! Datatypes: how elements lie in memory.

mod basic;

pub use basic::Basic;

use super::constants as c;
use super::error::Result;
use super::memory::Memory;

/// A datatype. Cheap to clone; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datatype(Basic);

impl Datatype {
    /// A predefined one, by its handle.
    pub fn predefined(handle: i32) -> Option<Self> {
        Basic::of(handle).map(Self)
    }

    /// Which predefined one it is, if all its elements are of one.
    pub fn basic(&self) -> Option<Basic> {
        Some(self.0)
    }

    /// Bytes of data in one element.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// From one element to the next, in bytes.
    pub fn extent(&self) -> i64 {
        self.0.size().cast_signed()
    }

    /// Copies bytes `skip..skip + out.len()` of `count` elements' data out of memory.
    pub fn pack(
        &self,
        memory: &Memory,
        at: u64,
        _count: u64,
        skip: u64,
        out: &mut [u8],
    ) -> Result<()> {
        memory.read(at.wrapping_add(skip), out)
    }

    /// Copies such bytes into memory.
    pub fn unpack(
        &self,
        memory: &Memory,
        at: u64,
        _count: u64,
        skip: u64,
        bytes: &[u8],
    ) -> Result<()> {
        memory.write(at.wrapping_add(skip), bytes)
    }

    /// `MPI_BYTE`.
    pub fn byte() -> Self {
        Self(Basic::of(c::MPI_BYTE).unwrap_or(Basic::BYTE))
    }
}
