//! Communicators of groups.

use super::hooks;
use super::make::{Parent, Plan, begin, give, round};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::exchange::{Circle, strange};
use crate::mpi::group::Group;

/// The part of a communicator that is a group; the groups of a call are the same or apart.
pub async fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let group = cx.rank().group(args.i32(1))?;
    begin(cx, args.ptr(2))?;
    if !group.within(&comm.group) {
        return error(c::MPI_ERR_GROUP, "the group has ranks that the communicator does not have");
    }
    let plan = Plan { group: group.members().to_vec(), ..Plan::draw(cx) };
    let plans = round(cx, &comm, Ok(plan)).await?;
    let leader = group.world_rank(0).and_then(|leader| comm.group.rank_of(leader));
    let Some(plan) = leader.and_then(|leader| plans.local.get(leader as usize)) else {
        return Ok(());
    };
    let (context, remote) = match &comm.remote {
        None => (plan.context, None),
        Some(remote) => {
            // There all give the same group; those outside of it may not know it.
            let group = plans.remote.iter().map(|plan| &plan.group).find(|group| !group.is_empty());
            let Some(group) = group.cloned().map(Group::new) else { return Ok(()) };
            let first = group.world_rank(0).and_then(|first| remote.rank_of(first));
            let there = first.and_then(|first| plans.remote.get(first as usize));
            let there = there.ok_or_else(strange)?;
            (plan.context.min(there.context), Some(group))
        }
    };
    let made = Parent(comm).child(cx, context, group, remote);
    give(cx, args.ptr(2), made)
}

/// The same, called by those of the group only.
pub async fn create_group(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = super::make::intra(cx, args.i32(0))?;
    let group = cx.rank().group(args.i32(1))?;
    let tag = args.i32(2);
    begin(cx, args.ptr(3))?;
    if tag < 0 {
        return error(c::MPI_ERR_TAG, format!("the tag {tag} is negative"));
    }
    if !group.within(&comm.group) {
        return error(c::MPI_ERR_GROUP, "the group has ranks that the communicator does not have");
    }
    let Some(context) = agree(cx, &group, (comm.context, tag)).await? else { return Ok(()) };
    let made = Parent(comm).child(cx, context, group, None);
    give(cx, args.ptr(3), made)
}

/// A communicator of a group, out of nothing but a name that its members give it meanwhile.
pub async fn create_from_group(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let group = cx.rank().group(args.i32(0))?;
    let within = named(cx, args.ptr(1))?;
    let info = hooks::hints(cx, args.i32(2))?;
    let errhandler = hooks::errhandler(cx, args.i32(3))?;
    begin(cx, args.ptr(4))?;
    let Some(context) = agree(cx, &group, within).await? else {
        return match group.size() {
            0 => Ok(()),
            _ => error(c::MPI_ERR_GROUP, "the caller is not in the group"),
        };
    };
    let parent = Parent(cx.rank().itself.clone());
    let session = group.session();
    let mut made = parent.child(cx, context, group, None);
    if let Some(made) = &mut made {
        made.session = session;
        let mut state = made.state.lock();
        (state.info, state.errhandler) = (info, errhandler);
    }
    give(cx, args.ptr(4), made)
}

/// The members of a group find a context; `None` for who is not in it.
async fn agree(cx: &mut Cx<'_>, group: &Group, within: (u64, i32)) -> Result<Option<u64>> {
    let world_rank = cx.rank().endpoint.rank();
    let Some(rank) = group.rank_of(world_rank) else { return Ok(None) };
    let circle = Circle::chosen(&cx.rank().endpoint, group.clone(), rank, within);
    let plan = Plan::draw(cx);
    let plans = cx.wait(circle.all(Ok(plan.encode()))).await?;
    let leader = plans.first().ok_or_else(strange)?;
    Ok(Some(Plan::decode(leader)?.context))
}

/// The context and tag for those who give this name. The upper bits say that no communicator has
/// this context.
pub fn named(cx: &mut Cx<'_>, at: u32) -> Result<(u64, i32)> {
    let most = c::MPI_MAX_STRINGTAG_LEN.cast_unsigned() as usize;
    let Some(name) = cx.memory().read_string(super::out(at)?, most)? else {
        return Err(Error::arg(format!("the tag's name is longer than {most} bytes")));
    };
    // Both numbers are of one hash: names that differ meet in neither.
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let hash = name
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let tag = i32::try_from(hash >> 33).unwrap_or(0);
    Ok(((hash & 0xffff_ffff) | 1 << 61, tag))
}
