//! Attributes that the standard says communicators have. Programs get the address of a value.

use super::out;
use crate::mpi::api::p2p::TAG_UB;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result};

/// Their keys: each value is at the place that its key has here.
const KEYS: [i32; 7] = [
    c::MPI_TAG_UB,
    c::MPI_IO,
    c::MPI_HOST,
    c::MPI_WTIME_IS_GLOBAL,
    c::MPI_APPNUM,
    c::MPI_LASTUSEDCODE,
    c::MPI_UNIVERSE_SIZE,
];

/// The value of a key; `None` of one that the program made.
pub fn value(cx: &mut Cx<'_>, key: i32) -> Option<i32> {
    Some(match key {
        c::MPI_TAG_UB => TAG_UB,
        // Every rank can write.
        c::MPI_IO => c::MPI_ANY_SOURCE,
        c::MPI_HOST => c::MPI_PROC_NULL,
        // Nodes have clocks of their own.
        c::MPI_WTIME_IS_GLOBAL | c::MPI_APPNUM => 0,
        c::MPI_LASTUSEDCODE => cx.rank().env.classes.last_used(),
        c::MPI_UNIVERSE_SIZE => i32::try_from(cx.rank().endpoint.size()).unwrap_or(i32::MAX),
        _ => return None,
    })
}

/// Puts the value where the program can read it, and gives the address.
pub async fn get(cx: &mut Cx<'_>, args: &Args, value: i32) -> Result<()> {
    let (at, flag) = (out(args.ptr(2))?, out(args.ptr(3))?);
    let block = match cx.rank().comm.predefined {
        Some(block) => block,
        None => {
            let len = u32::try_from(KEYS.len() * 4).unwrap_or(0);
            let block = cx.malloc(len).await?.ok_or_else(|| {
                Error::new(c::MPI_ERR_NO_MEM, "the program has no memory left for attributes")
            })?;
            cx.rank().comm.predefined = Some(block);
            block
        }
    };
    let place = KEYS.iter().position(|key| *key == args.i32(1)).unwrap_or(0);
    let place = block + u32::try_from(place * 4).unwrap_or(0);
    cx.memory().write_i32(place, value)?;
    cx.memory().write_i32(at, place.cast_signed())?;
    cx.memory().write_i32(flag, 1)
}
