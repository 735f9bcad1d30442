//! Collectives and operations. Each collective is prepared once, from its arguments, and then
//! runs in one of three forms: at once, under way behind a request, or whenever it is started.

mod args;
mod moves;
mod neighbours;
mod ops;
mod reductions;
mod user;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use user::{serve, serve_job};

use super::p2p::{Again, Entry};
use crate::mpi::coll::combine::UserOp;
use crate::mpi::coll::queue::Queue;
use crate::mpi::coll::{Plan, Work};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::engine::{Request, Status};
use crate::mpi::error::{Error, Result};
use crate::mpi::handles::Handles;
use moves as m;
use neighbours as n;
use reductions as r;

/// A table of collectives in their three forms: how many parameters the first has, what prepares
/// it, and the names.
macro_rules! collectives {
    ($($count:literal $prepare:path, $now:literal, $later:literal, $again:literal;)*) => {
        &[
            $(
                ($now, Handler::Wait(|cx, args| Box::pin(run(cx, args, $prepare)))),
                ($later, Handler::Now(|cx, args| begin(cx, args, $prepare, $count))),
                ($again, Handler::Now(|cx, args| keep(cx, args, $prepare, $count + 1))),
            )*
        ]
    };
}

/// The collectives.
#[rustfmt::skip]
pub const TABLE: Table = collectives! {
    1 m::barrier, "MPI_Barrier", "MPI_Ibarrier", "MPI_Barrier_init";
    5 m::bcast, "MPI_Bcast", "MPI_Ibcast", "MPI_Bcast_init";
    8 m::gather, "MPI_Gather", "MPI_Igather", "MPI_Gather_init";
    9 m::gatherv, "MPI_Gatherv", "MPI_Igatherv", "MPI_Gatherv_init";
    8 m::scatter, "MPI_Scatter", "MPI_Iscatter", "MPI_Scatter_init";
    9 m::scatterv, "MPI_Scatterv", "MPI_Iscatterv", "MPI_Scatterv_init";
    7 m::allgather, "MPI_Allgather", "MPI_Iallgather", "MPI_Allgather_init";
    8 m::allgatherv, "MPI_Allgatherv", "MPI_Iallgatherv", "MPI_Allgatherv_init";
    7 m::alltoall, "MPI_Alltoall", "MPI_Ialltoall", "MPI_Alltoall_init";
    9 m::alltoallv, "MPI_Alltoallv", "MPI_Ialltoallv", "MPI_Alltoallv_init";
    9 m::alltoallw, "MPI_Alltoallw", "MPI_Ialltoallw", "MPI_Alltoallw_init";
    7 r::reduce, "MPI_Reduce", "MPI_Ireduce", "MPI_Reduce_init";
    6 r::allreduce, "MPI_Allreduce", "MPI_Iallreduce", "MPI_Allreduce_init";
    6 r::reduce_scatter, "MPI_Reduce_scatter", "MPI_Ireduce_scatter", "MPI_Reduce_scatter_init";
    6 r::reduce_scatter_block, "MPI_Reduce_scatter_block", "MPI_Ireduce_scatter_block", "MPI_Reduce_scatter_block_init";
    6 r::scan, "MPI_Scan", "MPI_Iscan", "MPI_Scan_init";
    6 r::exscan, "MPI_Exscan", "MPI_Iexscan", "MPI_Exscan_init";
    7 n::allgather, "MPI_Neighbor_allgather", "MPI_Ineighbor_allgather", "MPI_Neighbor_allgather_init";
    8 n::allgatherv, "MPI_Neighbor_allgatherv", "MPI_Ineighbor_allgatherv", "MPI_Neighbor_allgatherv_init";
    7 n::alltoall, "MPI_Neighbor_alltoall", "MPI_Ineighbor_alltoall", "MPI_Neighbor_alltoall_init";
    9 n::alltoallv, "MPI_Neighbor_alltoallv", "MPI_Ineighbor_alltoallv", "MPI_Neighbor_alltoallv_init";
    9 n::alltoallw, "MPI_Neighbor_alltoallw", "MPI_Ineighbor_alltoallw", "MPI_Neighbor_alltoallw_init";
};

/// The operations.
pub const OPS: Table = &[
    ("MPI_Op_create", Handler::Now(ops::create)),
    ("MPI_Op_free", Handler::Now(ops::free)),
    ("MPI_Op_commutative", Handler::Now(ops::commutative)),
    ("MPI_Reduce_local", waits!(ops::reduce_local)),
];

/// What this section keeps of a rank.
#[derive(Debug)]
pub struct Coll {
    /// Operations of the program.
    pub ops: Handles<UserOp>,
    /// Where collectives ask for those.
    pub queue: Arc<Queue>,
    /// Why the rank must end, once an operation could not return.
    pub ended: Option<Error>,
    /// Collectives under way.
    tasks: Vec<AbortHandle>,
    /// How many of those make one look which are over.
    crowd: usize,
}

impl Default for Coll {
    fn default() -> Self {
        let (queue, tasks) = (Arc::default(), Vec::new());
        Self { ops: Handles::new(6), queue, ended: None, tasks, crowd: 64 }
    }
}

impl Drop for Coll {
    fn drop(&mut self) {
        self.queue.close();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Coll {
    fn watch(&mut self, task: AbortHandle) {
        if self.tasks.len() >= self.crowd {
            self.tasks.retain(|task| !task.is_finished());
            self.crowd = (self.tasks.len() * 2).max(64);
        }
        self.tasks.push(task);
    }
}

/// From the arguments of a call to what it does; all that can be wrong with them is found here,
/// before anything is sent.
type Prepare = fn(&mut Cx<'_>, &Args) -> Result<(Arc<Comm>, Work)>;

fn plan(cx: &mut Cx<'_>, args: &Args, prepare: Prepare) -> Result<Plan> {
    let (comm, work) = prepare(cx, args)?;
    let (endpoint, tag) = (cx.rank().endpoint.clone(), comm.begin());
    Ok(Plan { endpoint, comm, tag, work })
}

async fn run(cx: &mut Cx<'_>, args: &Args, prepare: Prepare) -> Result<()> {
    let plan = plan(cx, args, prepare)?;
    cx.wait(plan.run(0)).await
}

fn begin(cx: &mut Cx<'_>, args: &Args, prepare: Prepare, at: usize) -> Result<()> {
    requested(cx, args, at)?;
    let plan = plan(cx, args, prepare)?;
    let request = Request::pending();
    hand_out(cx, args.ptr(at), &plan.comm, Entry::Once(request.clone()))?;
    launch(cx, Arc::new(plan), 0, request)
}

fn keep(cx: &mut Cx<'_>, args: &Args, prepare: Prepare, at: usize) -> Result<()> {
    requested(cx, args, at)?;
    let plan = Arc::new(plan(cx, args, prepare)?);
    let comm = plan.comm.clone();
    let again = Arc::new(Persistent { plan, starts: AtomicU32::new(0) });
    hand_out(cx, args.ptr(at), &comm, Entry::Persistent { again, active: None })
}

/// Whether there can be a request, and where it goes.
fn requested(cx: &mut Cx<'_>, args: &Args, at: usize) -> Result<()> {
    cx.rank().p2p.has_room()?;
    match args.ptr(at) {
        0 => Err(Error::arg("the pointer to the request is NULL")),
        at => cx.memory().read_i32(at).map(drop),
    }
}

/// Gives the program a handle of a request.
fn hand_out(cx: &mut Cx<'_>, at: u32, comm: &Arc<Comm>, entry: Entry) -> Result<()> {
    let handle = cx.rank().p2p.insert_on(comm, entry)?;
    cx.memory().write_i32(at, handle)
}

/// Runs a collective as far as it gets now, and the rest in a task.
fn launch(cx: &mut Cx<'_>, plan: Arc<Plan>, start: u32, request: Arc<Request>) -> Result<()> {
    let mut task = Box::pin(async move {
        let status = match plan.run(start).await {
            Ok(()) => Status::EMPTY,
            Err(error) => Status::failed(error.class().unwrap_or(c::MPI_ERR_OTHER)),
        };
        request.complete(status, None);
    });
    if task.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending() {
        let runtime = Handle::try_current()
            .map_err(|_| Error::new(c::MPI_ERR_OTHER, "nothing runs collectives here"))?;
        let task = runtime.spawn(task).abort_handle();
        cx.rank().coll.watch(task);
    }
    Ok(())
}

/// A collective that can be started again and again. Each start has its own meeting and, in order,
/// its own messages.
#[derive(Debug)]
struct Persistent {
    plan: Arc<Plan>,
    starts: AtomicU32,
}

impl Again for Persistent {
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>> {
        let request = Request::pending();
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        launch(cx, self.plan.clone(), start, request.clone())?;
        Ok(request)
    }
}
