//! Memory that MPI allocates: the program's own.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Table, waits};
use crate::mpi::error::{Result, error};

use super::info::Hints;

/// The calls.
pub const TABLE: Table = &[("MPI_Alloc_mem", waits!(alloc)), ("MPI_Free_mem", waits!(free))];

/// What every allocation of a program is aligned to.
const ALIGNED: u32 = 16;
/// Most that a hint may ask for.
const MOST_ALIGNED: u32 = 1 << 20;

async fn alloc(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let none = |size: i64| error(c::MPI_ERR_NO_MEM, format!("there is no room for {size} bytes"));
    if args.int(0) < 0 {
        return error(c::MPI_ERR_ARG, "a size is negative");
    }
    let align = alignment(&super::info::hints(cx, args.i32(1))?);
    let more = if align > ALIGNED { align } else { 0 };
    let size = u32::try_from(args.int(0)).ok().and_then(|size| size.max(1).checked_add(more));
    let Some(size) = size else { return none(args.int(0)) };
    let Some(pointer) = cx.malloc(size).await? else { return none(args.int(0)) };
    let given = if more == 0 { pointer } else { pointer.next_multiple_of(align) };
    if given != pointer {
        cx.rank().env.aligned.insert(given, pointer);
    }
    cx.memory().write_i32(args.ptr(2), given.cast_signed())
}

/// What the hint asks for; a strange one is ignored.
fn alignment(hints: &Hints) -> u32 {
    let hint = hints.get(&b"mpi_minimum_memory_alignment"[..]);
    let number = hint.and_then(|hint| std::str::from_utf8(hint).ok()?.trim().parse::<u32>().ok());
    number.filter(|n| n.is_power_of_two() && *n <= MOST_ALIGNED).unwrap_or(ALIGNED)
}

async fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let given = args.ptr(0);
    let pointer = cx.rank().env.aligned.remove(&given).unwrap_or(given);
    cx.free(pointer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_are_alignments() {
        for (hint, expected) in
            [("64", 64), ("4096", 4096), ("1", 1), ("48", 16), ("x", 16), ("4294967296", 16)]
        {
            let key = b"mpi_minimum_memory_alignment".to_vec();
            assert_eq!(alignment(&[(key, hint.into())].into()), expected, "{hint}");
        }
        assert_eq!(alignment(&Hints::new()), ALIGNED);
    }
}
