//! Communicators between two groups.

use bytes::Bytes;

use super::create::named;
use super::hooks;
use super::make::{Parent, Plan, begin, give, intra, round};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::exchange::{Circle, Pair, Told, apart, class_of, joined, strange};
use crate::mpi::group::Group;

/// Two groups who know of each other by their leaders, who share a communicator.
pub async fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    let leader = leader(&comm.group, args.int(1))?;
    begin(cx, args.ptr(5))?;
    let pair = match leader == comm.rank {
        false => Ok(None),
        true => leaders(cx, args).map(Some),
    };
    let circle = Circle::of(&cx.rank().endpoint, &comm).led_by(leader);
    let (context, remote) = join(cx, circle, pair, &comm.group).await?;
    let group = comm.group.clone();
    let made = Parent(comm).child(cx, context, group, Some(remote));
    give(cx, args.ptr(5), made)
}

/// This leader's way to the other, whose rank only the leaders are given.
fn leaders(cx: &mut Cx<'_>, args: &Args) -> Result<Pair> {
    let (peers, tag) = (cx.rank().comm(args.i32(2))?, args.i32(4));
    let other = u32::try_from(args.i32(3)).ok().and_then(|rank| peers.peers().world_rank(rank));
    let Some(other) = other else {
        let why = format!("{} is no rank of the leaders' communicator", args.i32(3));
        return error(c::MPI_ERR_RANK, why);
    };
    if tag < 0 {
        return error(c::MPI_ERR_TAG, format!("the tag {tag} is negative"));
    }
    Ok(Pair::chosen(&cx.rank().endpoint, (peers.context, tag), other))
}

/// The same without any communicator.
pub async fn create_from_groups(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let group = cx.rank().group(args.i32(0))?;
    let within = named(cx, args.ptr(4))?;
    let info = hooks::hints(cx, args.i32(5))?;
    let errhandler = hooks::errhandler(cx, args.i32(6))?;
    begin(cx, args.ptr(7))?;
    let Some(rank) = group.rank_of(cx.rank().endpoint.rank()) else {
        return error(c::MPI_ERR_GROUP, "the caller is not in the local group");
    };
    let leader = leader(&group, args.int(1))?;
    let pair = match leader == rank {
        false => Ok(None),
        true => remote_leader(cx, args)
            .map(|other| Some(Pair::chosen(&cx.rank().endpoint, within, other))),
    };
    let circle = Circle::chosen(&cx.rank().endpoint, group.clone(), rank, within).led_by(leader);
    let (context, remote) = join(cx, circle, pair, &group).await?;
    let parent = Parent(cx.rank().itself.clone());
    let session = group.session();
    let mut made = parent.child(cx, context, group, Some(remote));
    if let Some(made) = &mut made {
        made.session = session;
        let mut state = made.state.lock();
        (state.info, state.errhandler) = (info, errhandler);
    }
    give(cx, args.ptr(7), made)
}

fn remote_leader(cx: &mut Cx<'_>, args: &Args) -> Result<u32> {
    let remote = cx.rank().group(args.i32(2))?;
    let other = leader(&remote, args.int(3))?;
    Ok(remote.world_rank(other).unwrap_or(0))
}

fn leader(group: &Group, rank: i64) -> Result<u32> {
    match u32::try_from(rank).ok().filter(|rank| *rank < group.size()) {
        Some(rank) => Ok(rank),
        None => error(c::MPI_ERR_RANK, format!("{rank} is no rank of a group of {}", group.size())),
    }
}

/// The leaders find a context and tell each other their groups; then they tell their own. What a
/// leader cannot do is told to its group, which would wait for it.
async fn join(
    cx: &mut Cx<'_>,
    circle: Circle,
    pair: Result<Option<Pair>>,
    local: &Group,
) -> Result<(u64, Group)> {
    let plan = Plan { group: local.members().to_vec(), ..Plan::draw(cx) };
    let told = match pair {
        Err(error) => {
            let told = Some(Err(class_of(&error)));
            let _ = cx.wait(circle.hear(told)).await;
            return Err(error);
        }
        Ok(None) => cx.wait(circle.hear(None)).await?,
        Ok(Some(pair)) => {
            let mine = plan.encode();
            let there = match pair.other == cx.rank().endpoint.rank() {
                // Nobody can lead both.
                true => Err(c::MPI_ERR_COMM),
                false => cx.wait(pair.swap(&Ok(mine.clone()))).await,
            };
            let both = there.and_then(|there| checked(&mine, &there, local));
            cx.wait(circle.hear(Some(both))).await?
        }
    };
    let plans = apart(&told)?.iter().map(Plan::decode).collect::<Result<Vec<_>>>()?;
    match &plans[..] {
        [mine, there] => Ok((mine.context.min(there.context), Group::new(there.group.clone()))),
        _ => Err(strange()),
    }
}

/// Both plans, if the groups may be those of an intercommunicator.
fn checked(mine: &Bytes, there: &Bytes, local: &Group) -> Told {
    let plan = Plan::decode(there).map_err(|error| class_of(&error))?;
    match Group::new(plan.group).apart(local) {
        true => Ok(joined(&[mine.clone(), there.clone()])),
        false => Err(c::MPI_ERR_COMM),
    }
}

/// Both groups in one. Who says `high` comes after who does not.
pub async fn merge(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    begin(cx, args.ptr(2))?;
    let Some(remote) = comm.remote.clone() else {
        return error(c::MPI_ERR_COMM, "only an intercommunicator can be merged");
    };
    let plan = Plan { numbers: (i32::from(args.i32(1) != 0), 0), ..Plan::draw(cx) };
    let plans = round(cx, &comm, Ok(plan)).await?;
    let (Some(here), Some(there)) = (plans.local.first(), plans.remote.first()) else {
        return Err(strange());
    };
    // Where both say the same, the first rank of the world is first.
    let order = |plan: &super::Plan, group: &Group| (plan.numbers.0, group.world_rank(0));
    let group = match order(here, &comm.group) < order(there, &remote) {
        true => comm.group.union(&remote),
        false => remote.union(&comm.group),
    };
    let context = here.context.min(there.context);
    let made = Parent(comm).child(cx, context, group, None);
    give(cx, args.ptr(2), made)
}
