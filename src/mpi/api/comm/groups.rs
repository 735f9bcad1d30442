//! Groups.

use super::{count, out, too_many};
use crate::mpi::api::env::session;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::group::{Group, Likeness};

/// Ranks translated at once.
const PIECE: usize = 1 << 16;

/// Keeps a group: its handle. An empty one has the handle that all empty ones have.
pub fn insert(cx: &mut Cx<'_>, group: Group) -> Result<i32> {
    if group.size() == 0 {
        return Ok(c::MPI_GROUP_EMPTY);
    }
    cx.rank().groups.insert(group).ok_or_else(too_many)
}

fn give(cx: &mut Cx<'_>, at: u32, group: Group) -> Result<()> {
    let at = out(at)?;
    let handle = insert(cx, group)?;
    cx.memory().write_i32(at, handle)
}

pub fn size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let size = cx.rank().group(args.i32(0))?.size();
    cx.memory().write_i32(out(args.ptr(1))?, size.cast_signed())
}

pub fn rank(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let world_rank = cx.rank().endpoint.rank();
    let rank = cx.rank().group(args.i32(0))?.rank_of(world_rank);
    let rank = rank.map_or(c::MPI_UNDEFINED, u32::cast_signed);
    cx.memory().write_i32(out(args.ptr(1))?, rank)
}

pub fn translate_ranks(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (from, to) = (cx.rank().group(args.i32(0))?, cx.rank().group(args.i32(3))?);
    let count = count(args.int(1), usize::MAX, c::MPI_ERR_ARG, "ranks")?;
    if count == 0 {
        return Ok(());
    }
    let (ranks, results) = (out(args.ptr(2))?, out(args.ptr(4))?);
    let translated = |rank: i64| {
        if rank == i64::from(c::MPI_PROC_NULL) {
            return Ok(rank);
        }
        match u32::try_from(rank).ok().and_then(|rank| from.world_rank(rank)) {
            Some(member) => Ok(to.rank_of(member).map_or(c::MPI_UNDEFINED.into(), i64::from)),
            None => error(c::MPI_ERR_RANK, format!("{rank} is no rank of the first group")),
        }
    };
    for start in (0..count).step_by(PIECE) {
        let offset = u32::try_from(start * 4).unwrap_or(u32::MAX);
        let at = |base: u32| base.saturating_add(offset);
        let piece = cx.memory().read_array(at(ranks), PIECE.min(count - start), false)?;
        let piece = piece.into_iter().map(translated).collect::<Result<Vec<_>>>()?;
        cx.memory().write_array(at(results), &piece, false)?;
    }
    Ok(())
}

pub fn compare(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (one, other) = (cx.rank().group(args.i32(0))?, cx.rank().group(args.i32(1))?);
    let result = match one.compare(&other) {
        Likeness::Same => c::MPI_IDENT,
        Likeness::Similar => c::MPI_SIMILAR,
        Likeness::Unequal => c::MPI_UNEQUAL,
    };
    cx.memory().write_i32(out(args.ptr(2))?, result)
}

fn combine(cx: &mut Cx<'_>, args: &Args, with: fn(&Group, &Group) -> Group) -> Result<()> {
    let (one, other) = (cx.rank().group(args.i32(0))?, cx.rank().group(args.i32(1))?);
    give(cx, args.ptr(2), with(&one, &other))
}

pub fn union(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    combine(cx, args, Group::union)
}

pub fn intersection(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    combine(cx, args, Group::intersection)
}

pub fn difference(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    combine(cx, args, Group::difference)
}

/// The group and the ranks that a call names. More than there are cannot be distinct.
fn ranks(cx: &mut Cx<'_>, args: &Args) -> Result<(Group, Vec<i64>)> {
    let group = cx.rank().group(args.i32(0))?;
    let most = group.members().len();
    let class = if args.int(1) < 0 { c::MPI_ERR_ARG } else { c::MPI_ERR_RANK };
    let count = count(args.int(1), most, class, "ranks of a group")?;
    let ranks = match count {
        0 => Vec::new(),
        _ => cx.memory().read_array(out(args.ptr(2))?, count, false)?,
    };
    Ok((group, ranks))
}

pub fn incl(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (group, ranks) = ranks(cx, args)?;
    let made = group.incl(&ranks)?;
    give(cx, args.ptr(3), made)
}

pub fn excl(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (group, ranks) = ranks(cx, args)?;
    let made = group.excl(&ranks)?;
    give(cx, args.ptr(3), made)
}

fn ranges(cx: &mut Cx<'_>, args: &Args) -> Result<(Group, Vec<i64>)> {
    let group = cx.rank().group(args.i32(0))?;
    let most = group.members().len();
    let class = if args.int(1) < 0 { c::MPI_ERR_ARG } else { c::MPI_ERR_RANK };
    let count = count(args.int(1), most, class, "ranges of a group")?;
    let numbers = match count {
        0 => Vec::new(),
        _ => cx.memory().read_array(out(args.ptr(2))?, count * 3, false)?,
    };
    let ranges: Vec<[i64; 3]> = numbers.as_chunks::<3>().0.to_vec();
    let ranks = group.ranks_of(&ranges)?;
    Ok((group, ranks))
}

pub fn range_incl(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (group, ranks) = ranges(cx, args)?;
    let made = group.incl(&ranks)?;
    give(cx, args.ptr(3), made)
}

pub fn range_excl(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (group, ranks) = ranges(cx, args)?;
    let made = group.excl(&ranks)?;
    give(cx, args.ptr(3), made)
}

/// The empty group stays, though its handle may be given back.
pub fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let at = out(args.ptr(0))?;
    let handle = cx.memory().read_i32(at)?;
    cx.rank().group(handle)?;
    cx.rank().groups.remove(handle);
    cx.memory().write_i32(at, c::MPI_GROUP_NULL)
}

pub fn of_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let group = match comm.session == comm.group.session() {
        true => comm.group.clone(),
        false => Group::of_session(comm.group.members().to_vec(), comm.session),
    };
    give(cx, args.ptr(1), group)
}

pub fn remote_of_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    match &cx.rank().comm(args.i32(0))?.remote {
        Some(remote) => give(cx, args.ptr(1), remote.clone()),
        None => error(c::MPI_ERR_COMM, "the communicator is no intercommunicator"),
    }
}

/// The process sets of a session are groups.
pub fn from_session_pset(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let most = c::MPI_MAX_PSET_NAME_LEN.cast_unsigned() as usize;
    let Some(name) = cx.memory().read_string(out(args.ptr(1))?, most)? else {
        return error(c::MPI_ERR_ARG, "the name of a process set is too long");
    };
    let group = session::group_of(cx, args.i32(0), &name)?;
    give(cx, args.ptr(2), group)
}
