//! `MPI_Init`, `MPI_Finalize` and what may be called outside of them; `MPI_Abort`; time.

use std::sync::OnceLock;
use std::time::Instant;

use crate::function::RankNews;
use crate::mpi::abi::Function;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::error::{Result, error};
use crate::mpi::rank::Phase;

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Init", Handler::Now(init)),
    ("MPI_Init_thread", Handler::Now(init_thread)),
    ("MPI_Initialized", Handler::Now(initialized)),
    ("MPI_Finalize", waits!(finalize)),
    ("MPI_Finalized", Handler::Now(finalized)),
    ("MPI_Query_thread", Handler::Now(query_thread)),
    ("MPI_Is_thread_main", Handler::Now(is_thread_main)),
    ("MPI_Abort", Handler::Now(abort)),
    ("MPI_Wtime", Handler::Time(wtime)),
    ("MPI_Wtick", Handler::Time(wtick)),
    ("MPI_Pcontrol", Handler::Now(|_, _| Ok(()))),
];

/// What may be called at any time (the standard, 11.4.1), by the beginning of its name.
const ALWAYS: &[&str] = &[
    "MPI_Abi_",
    "MPI_Add_error_",
    "MPI_Error_",
    "MPI_Finalized",
    "MPI_Get_library_version",
    "MPI_Get_version",
    "MPI_Info_",
    "MPI_Init",
    "MPI_Initialized",
    "MPI_Remove_error_",
    "MPI_Session_",
    "MPI_T_",
    "MPI_Wtick",
    "MPI_Wtime",
];

/// Whether a function may be called where the program is.
pub fn may_call(cx: &mut Cx<'_>, function: &Function) -> Result<()> {
    let rank = cx.rank();
    let ready = rank.phase == Phase::Active || rank.env.sessions.any();
    if ready || may_always(function) {
        return Ok(());
    }
    let when = match rank.phase {
        Phase::Finalized => "after MPI_Finalize",
        _ => "before MPI_Init",
    };
    error(c::MPI_ERR_OTHER, format!("it was called {when}"))
}

fn may_always(function: &Function) -> bool {
    let errhandlers = function.name.ends_with("_create_errhandler")
        || function.name == "MPI_Errhandler_free"
        || function.name.ends_with("_fromint")
        || function.name.ends_with("_toint");
    errhandlers || ALWAYS.iter().any(|start| function.name.starts_with(start))
}

fn init(cx: &mut Cx<'_>, _args: &Args) -> Result<()> {
    begin(cx, c::MPI_THREAD_SINGLE)
}

/// There are no threads in a function, so more than `MPI_THREAD_FUNNELED` is never given.
fn init_thread(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let required = args.i32(2);
    let known = [
        c::MPI_THREAD_SINGLE,
        c::MPI_THREAD_FUNNELED,
        c::MPI_THREAD_SERIALIZED,
        c::MPI_THREAD_MULTIPLE,
    ];
    if !known.contains(&required) {
        return error(c::MPI_ERR_ARG, format!("{required} is no level of threads"));
    }
    let provided = required.min(c::MPI_THREAD_FUNNELED);
    cx.memory().write_i32(args.ptr(3), provided)?;
    begin(cx, provided)
}

fn begin(cx: &mut Cx<'_>, threads: i32) -> Result<()> {
    let rank = cx.rank();
    match rank.phase {
        Phase::Before => {
            rank.phase = Phase::Active;
            rank.env.threads = threads;
            cx.state().host.rank_news(RankNews::Begun);
            Ok(())
        }
        Phase::Active => error(c::MPI_ERR_OTHER, "MPI was initialised before"),
        Phase::Finalized => error(c::MPI_ERR_OTHER, "MPI cannot be initialised again"),
    }
}

fn initialized(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let did = cx.rank().phase != Phase::Before;
    cx.memory().write_i32(args.ptr(0), i32::from(did))
}

async fn finalize(cx: &mut Cx<'_>, _args: &Args) -> Result<()> {
    crate::mpi::api::comm::finalize(cx).await?;
    crate::mpi::api::p2p::drain(cx).await;
    let rank = cx.rank();
    if rank.phase != Phase::Active {
        return error(c::MPI_ERR_OTHER, "MPI was not initialised");
    }
    rank.phase = Phase::Finalized;
    cx.state().host.rank_news(RankNews::Finalized);
    Ok(())
}

fn finalized(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let did = cx.rank().phase == Phase::Finalized;
    cx.memory().write_i32(args.ptr(0), i32::from(did))
}

fn query_thread(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let provided = cx.rank().env.threads;
    cx.memory().write_i32(args.ptr(0), provided)
}

fn is_thread_main(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(0), 1)
}

/// Ends the whole job, whatever the communicator: the standard asks for its processes at least.
fn abort(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let code = args.i32(1);
    let rank = cx.rank().endpoint.rank();
    Err(cx.abort(code, &format!("rank {rank} called MPI_Abort with {code}")))
}

/// Seconds since a moment in the past that is the same for all ranks of a node.
fn wtime() -> f64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn wtick() -> f64 {
    1e-9
}
