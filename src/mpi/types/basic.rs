//! The predefined types.

use crate::mpi::constants as c;

/// A predefined type, by its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Basic(i32);

impl Basic {
    /// `MPI_BYTE`.
    pub const BYTE: Self = Self(c::MPI_BYTE);

    /// Of this handle.
    pub fn of(handle: i32) -> Option<Self> {
        (size_of(handle) > 0).then_some(Self(handle))
    }

    /// The handle.
    pub fn handle(self) -> i32 {
        self.0
    }

    /// Bytes of one.
    pub fn size(self) -> u64 {
        size_of(self.0)
    }
}

fn size_of(handle: i32) -> u64 {
    match handle {
        c::MPI_BYTE | c::MPI_CHAR | c::MPI_PACKED => 1,
        c::MPI_INT | c::MPI_FLOAT => 4,
        c::MPI_DOUBLE => 8,
        _ => 0,
    }
}
