//! Communicators of those who choose the same.

use std::sync::Arc;

use super::hooks::{self, Hints};
use super::make::{Parent, Plan, Plans, begin, give, round};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::group::Group;

pub async fn split(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let (color, key) = (args.i32(1), args.i32(2));
    begin(cx, args.ptr(3))?;
    if color < 0 && color != c::MPI_UNDEFINED {
        return error(c::MPI_ERR_ARG, format!("the color {color} is negative"));
    }
    let made = parted(cx, comm, color, key).await?;
    give(cx, args.ptr(3), made)
}

/// Those of one color, by key, and by rank where keys are the same.
pub async fn parted(
    cx: &mut Cx<'_>,
    comm: Arc<Comm>,
    color: i32,
    key: i32,
) -> Result<Option<Comm>> {
    let plan = Plan { numbers: (color, key), ..Plan::draw(cx) };
    let plans = round(cx, &comm, Ok(plan)).await?;
    if color == c::MPI_UNDEFINED {
        return Ok(None);
    }
    let Plans { local, remote } = &plans;
    let Some((context, group)) = of_color(local, &comm.group, color) else { return Ok(None) };
    let (context, there) = match &comm.remote {
        None => (context, None),
        Some(group) => match of_color(remote, group, color) {
            Some((other, group)) => (context.min(other), Some(group)),
            None => return Ok(None),
        },
    };
    Ok(Parent(comm).child(cx, context, group, there))
}

/// Those of a color in order, and the context that the first of them drew.
fn of_color(plans: &[Plan], group: &Group, color: i32) -> Option<(u64, Group)> {
    let all = plans.iter().zip(group.members());
    let mut chosen: Vec<_> = all.filter(|(plan, _)| plan.numbers.0 == color).collect();
    // A stable order: ranks decide where keys are the same.
    chosen.sort_by_key(|(plan, _)| plan.numbers.1);
    let context = chosen.first()?.0.context;
    Some((context, Group::new(chosen.into_iter().map(|(_, member)| *member).collect())))
}

/// What the ranks of a node share, as hints name it.
const RESOURCE: &[u8] = b"mpi_shared_memory";

/// What a split asks for.
enum Part {
    /// To be in none.
    None,
    /// Those of a node.
    Node,
    /// Those of a node, if not all are of one.
    SmallerThanAll,
    /// All.
    Whole,
    /// Each for itself.
    Own,
}

/// What hints ask for that name a kind of resource, or a set of processes. Nodes are the only parts
/// of the machine that ranks are known to share.
fn guided(kind: i32, info: &Hints) -> Part {
    let hint = |key: &[u8]| info.get(key).map(Vec::as_slice);
    if hint(b"mpi_hw_resource_type") == Some(RESOURCE) {
        return Part::Node;
    }
    match hint(b"mpi_pset_name").filter(|_| kind == c::MPI_COMM_TYPE_RESOURCE_GUIDED) {
        Some(b"mpi://WORLD") => Part::Whole,
        Some(b"mpi://SELF") => Part::Own,
        _ => Part::None,
    }
}

pub async fn split_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = super::make::intra(cx, args.i32(0))?;
    let (kind, key) = (args.i32(1), args.i32(2));
    let info = hooks::hints(cx, args.i32(3))?;
    begin(cx, args.ptr(4))?;
    let part = match kind {
        c::MPI_UNDEFINED => Part::None,
        c::MPI_COMM_TYPE_SHARED => Part::Node,
        c::MPI_COMM_TYPE_HW_UNGUIDED => Part::SmallerThanAll,
        c::MPI_COMM_TYPE_HW_GUIDED | c::MPI_COMM_TYPE_RESOURCE_GUIDED => guided(kind, &info),
        _ => return error(c::MPI_ERR_ARG, format!("{kind} is no way to split a communicator")),
    };
    let nodes = hooks::nodes(cx, &comm.group);
    let mine = nodes.get(comm.rank as usize).copied().unwrap_or(0);
    let whole = nodes.iter().all(|node| *node == mine);
    let color = match part {
        Part::None => c::MPI_UNDEFINED,
        Part::SmallerThanAll if whole => c::MPI_UNDEFINED,
        Part::Node | Part::SmallerThanAll => mine,
        Part::Whole => 0,
        Part::Own => comm.rank.cast_signed(),
    };
    let made = parted(cx, comm, color, key).await?;
    if let (Some(made), Part::Node | Part::SmallerThanAll) = (&made, part) {
        made.state.lock().info.insert(b"mpi_hw_resource_type".to_vec(), RESOURCE.to_vec());
    }
    give(cx, args.ptr(4), made)
}
