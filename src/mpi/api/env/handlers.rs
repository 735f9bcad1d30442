//! Error handlers: which one an error goes to, and what it does.

use wasmtime::Val;

use crate::mpi::abi::{Function, Kind};
use crate::mpi::comm::Errhandler;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx, end};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::handles::Handles;
use crate::mpi::rank::{Phase, Rank};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Comm_create_errhandler", Handler::Now(|cx, args| create(cx, args, Kind::Comm))),
    ("MPI_Win_create_errhandler", Handler::Now(|cx, args| create(cx, args, Kind::Win))),
    ("MPI_File_create_errhandler", Handler::Now(|cx, args| create(cx, args, Kind::File))),
    ("MPI_Session_create_errhandler", Handler::Now(|cx, args| create(cx, args, Kind::Session))),
    ("MPI_Errhandler_free", Handler::Now(free)),
    ("MPI_Comm_set_errhandler", Handler::Now(comm_set)),
    ("MPI_Comm_get_errhandler", Handler::Now(comm_get)),
    ("MPI_Comm_call_errhandler", waits!(comm_call)),
    ("MPI_Session_set_errhandler", Handler::Now(session_set)),
    ("MPI_Session_get_errhandler", Handler::Now(session_get)),
    ("MPI_Session_call_errhandler", waits!(session_call)),
    ("MPI_File_set_errhandler", Handler::Now(file_set)),
    ("MPI_File_get_errhandler", Handler::Now(file_get)),
    ("MPI_File_call_errhandler", waits!(file_call)),
];

/// An error handler that the program made.
#[derive(Debug, Clone, Copy)]
struct Made {
    function: u32,
    kind: Kind,
    /// Handles that the program has of it.
    uses: u32,
}

/// Those of a rank.
#[derive(Debug)]
pub struct Handlers {
    made: Handles<Made>,
    /// What `MPI_FILE_NULL` has: of what goes wrong with files, as none can be opened.
    file: Errhandler,
    /// Room in the program's memory for what a handler is given, while none is called.
    scratch: Option<u32>,
}

impl Default for Handlers {
    fn default() -> Self {
        Self { made: Handles::new(7), file: Errhandler::Return, scratch: None }
    }
}

/// What an error is about.
#[derive(Debug, Clone, Copy)]
enum About {
    Comm(i32),
    Session(i32),
    /// A file, of which there are none: `MPI_FILE_NULL`.
    File,
    /// Nothing that has a handler, before MPI was initialised or after it ended.
    Nothing,
}

/// Does with an error what the error handler of what the call is about says; the call's code.
pub async fn raise(
    cx: &mut Cx<'_>,
    function: &Function,
    args: &Args,
    error: Error,
) -> wasmtime::Result<i32> {
    let (code, why) = match error {
        Error::Mpi(class, why) => (class, why),
        Error::Code(code) => (code, "a callback of the program gave this code".to_owned()),
        Error::End(error) => return Err(error),
    };
    if function.name.starts_with("MPI_T_") {
        // The standard lets these call no handler.
        return Ok(code);
    }
    let blamed = cx.rank().p2p.blame.take();
    let about = about(cx.rank(), function, args);
    let handler = match (&blamed, about) {
        (Some(comm), _) => comm.state.lock().errhandler,
        (None, About::Comm(handle)) => match cx.rank().comm(handle) {
            Ok(comm) => comm.state.lock().errhandler,
            Err(_) => Errhandler::Fatal,
        },
        (None, About::Session(handle)) => cx.rank().env.sessions.errhandler(handle),
        (None, About::File) => cx.rank().env.handlers.file,
        (None, About::Nothing) => Errhandler::Fatal,
    };
    let text = cx.rank().env.classes.text(code).unwrap_or_default();
    let text = format!("{}: {}: {why}", function.name, String::from_utf8_lossy(&text));
    let handle = match (&blamed, about) {
        (Some(comm), _) => cx.rank().handle_of(comm),
        (None, About::Comm(handle) | About::Session(handle)) => handle,
        (None, About::File) => c::MPI_FILE_NULL,
        (None, About::Nothing) => c::MPI_COMM_NULL,
    };
    match handle_with(cx, handler, handle, code, &text).await {
        Ok(()) => Ok(code),
        Err(Error::End(error)) => Err(error),
        Err(_) => Ok(code),
    }
}

/// The first communicator or session that a call names, if it is one; no file, if it is about files; else `MPI_COMM_SELF`, or a
/// session where there is no such.
fn about(rank: &Rank, function: &Function, args: &Args) -> About {
    if let Some(at) = function.first(Kind::Session)
        && rank.env.sessions.has(args.i32(at))
    {
        return About::Session(args.i32(at));
    }
    let active = rank.phase == Phase::Active;
    if active && function.name.starts_with("MPI_File_") {
        return About::File;
    }
    let comm = function.first(Kind::Comm).map(|at| args.i32(at));
    match comm {
        Some(c::MPI_COMM_WORLD | c::MPI_COMM_SELF) if !active => {}
        Some(handle) if rank.comm(handle).is_ok() => return About::Comm(handle),
        _ => {}
    }
    match active {
        true => About::Comm(c::MPI_COMM_SELF),
        false => rank.env.sessions.only().map_or(About::Nothing, About::Session),
    }
}

async fn handle_with(
    cx: &mut Cx<'_>,
    handler: Errhandler,
    about: i32,
    code: i32,
    text: &str,
) -> Result<()> {
    match handler {
        Errhandler::Return => Ok(()),
        // Another rank was the cause: this one does not end the job, but with it.
        Errhandler::Fatal | Errhandler::Abort if is_borne(code) => {
            let endpoint = cx.rank().endpoint.clone();
            endpoint.abort(c::MPIX_ERR_PROC_FAILED, text);
            Err(end(&endpoint.aborted().map_or_else(String::new, |(_, why)| why)))
        }
        Errhandler::Fatal | Errhandler::Abort => {
            let rank = cx.rank().endpoint.rank();
            let text = format!("rank {rank}: {text}");
            Err(cx.abort(code.clamp(1, 255), &text))
        }
        Errhandler::Guest(function, _) => call(cx, function, about, code).await,
    }
}

/// Whether an error says that another rank failed or ended the job.
fn is_borne(code: i32) -> bool {
    [c::MPI_ERR_PROC_ABORTED, c::MPIX_ERR_PROC_FAILED, c::MPIX_ERR_PROC_FAILED_PENDING]
        .contains(&code)
}

/// Calls a handler with addresses of the handle and the code.
async fn call(cx: &mut Cx<'_>, function: u32, about: i32, code: i32) -> Result<()> {
    let scratch = match cx.rank().env.handlers.scratch.take() {
        Some(scratch) => scratch,
        None => match cx.malloc(8).await? {
            Some(scratch) => scratch,
            None => return error(c::MPI_ERR_NO_MEM, "there is no memory for an error handler"),
        },
    };
    cx.memory().write_i32(scratch, about)?;
    cx.memory().write_i32(scratch + 4, code)?;
    let args = [Val::I32(scratch.cast_signed()), Val::I32((scratch + 4).cast_signed())];
    cx.call(function, &args, false).await?;
    // A handler that this one called has left its own.
    match cx.rank().env.handlers.scratch.replace(scratch) {
        Some(other) => cx.free(other).await,
        None => Ok(()),
    }
}

fn create(cx: &mut Cx<'_>, args: &Args, kind: Kind) -> Result<()> {
    let made = Made { function: args.ptr(0), kind, uses: 1 };
    match cx.rank().env.handlers.made.insert(made) {
        Some(handle) => cx.memory().write_i32(args.ptr(1), handle),
        None => error(c::MPI_ERR_NO_MEM, "there are too many error handlers"),
    }
}

/// What is in use goes on; only the handle is void.
fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    if !(c::MPI_ERRORS_ARE_FATAL..=c::MPI_ERRORS_RETURN).contains(&handle) {
        let made = &mut cx.rank().env.handlers.made;
        let Some(found) = made.get_mut(handle) else { return none(handle) };
        found.uses -= 1;
        if found.uses == 0 {
            made.remove(handle);
        }
    }
    cx.memory().write_i32(args.ptr(0), c::MPI_ERRHANDLER_NULL)
}

fn none<T>(handle: i32) -> Result<T> {
    error(c::MPI_ERR_ERRHANDLER, format!("{handle:#x} is no error handler for this"))
}

/// What a handle of an error handler says, for objects of this kind.
pub fn of(rank: &Rank, handle: i32, kind: Kind) -> Result<Errhandler> {
    match handle {
        c::MPI_ERRORS_ARE_FATAL => Ok(Errhandler::Fatal),
        c::MPI_ERRORS_ABORT => Ok(Errhandler::Abort),
        c::MPI_ERRORS_RETURN => Ok(Errhandler::Return),
        _ => match rank.env.handlers.made.get(handle) {
            Some(made) if made.kind == kind => Ok(Errhandler::Guest(made.function, handle)),
            _ => none(handle),
        },
    }
}

/// A handle of what an object has: the program frees it.
fn handle(rank: &mut Rank, handler: Errhandler, kind: Kind) -> Result<i32> {
    let (function, set_by) = match handler {
        Errhandler::Fatal => return Ok(c::MPI_ERRORS_ARE_FATAL),
        Errhandler::Abort => return Ok(c::MPI_ERRORS_ABORT),
        Errhandler::Return => return Ok(c::MPI_ERRORS_RETURN),
        Errhandler::Guest(function, handle) => (function, handle),
    };
    let made = &mut rank.env.handlers.made;
    let same = |made: &Made| made.function == function && made.kind == kind;
    let known = match made.get(set_by) {
        Some(found) if same(found) => Some(set_by),
        _ => made.iter().find(|(_, made)| same(made)).map(|(handle, _)| handle),
    };
    if let Some(handle) = known {
        if let Some(found) = made.get_mut(handle) {
            found.uses += 1;
        }
        return Ok(handle);
    }
    let inserted = made.insert(Made { function, kind, uses: 1 });
    inserted.ok_or_else(|| Error::new(c::MPI_ERR_NO_MEM, "there are too many error handlers"))
}

fn comm_set(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let handler = of(cx.rank(), args.i32(1), Kind::Comm)?;
    if !matches!(handler, Errhandler::Fatal | Errhandler::Abort) {
        cx.state().host.rank_news(crate::function::RankNews::Tolerates);
    }
    comm.state.lock().errhandler = handler;
    if !matches!(handler, Errhandler::Fatal | Errhandler::Abort) {
        cx.rank().endpoint.survives_failures(true);
    }
    Ok(())
}

fn comm_get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let handler = comm.state.lock().errhandler;
    let handle = handle(cx.rank(), handler, Kind::Comm)?;
    cx.memory().write_i32(args.ptr(1), handle)
}

async fn comm_call(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let handler = comm.state.lock().errhandler;
    let why = "the program called MPI_Comm_call_errhandler";
    handle_with(cx, handler, args.i32(0), args.i32(1), why).await
}

fn session_set(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handler = of(cx.rank(), args.i32(1), Kind::Session)?;
    cx.rank().env.sessions.get(args.i32(0))?.errhandler = handler;
    Ok(())
}

fn session_get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handler = cx.rank().env.sessions.get(args.i32(0))?.errhandler;
    let handle = handle(cx.rank(), handler, Kind::Session)?;
    cx.memory().write_i32(args.ptr(1), handle)
}

async fn session_call(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handler = cx.rank().env.sessions.get(args.i32(0))?.errhandler;
    let why = "the program called MPI_Session_call_errhandler";
    handle_with(cx, handler, args.i32(0), args.i32(1), why).await
}

/// The only file that there is a handler of.
fn no_file(args: &Args) -> Result<()> {
    match args.i32(0) {
        c::MPI_FILE_NULL => Ok(()),
        handle => error(c::MPI_ERR_FILE, format!("{handle:#x} is no file")),
    }
}

fn file_set(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_file(args)?;
    cx.rank().env.handlers.file = of(cx.rank(), args.i32(1), Kind::File)?;
    Ok(())
}

fn file_get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_file(args)?;
    let handler = cx.rank().env.handlers.file;
    let handle = handle(cx.rank(), handler, Kind::File)?;
    cx.memory().write_i32(args.ptr(1), handle)
}

async fn file_call(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_file(args)?;
    let handler = cx.rank().env.handlers.file;
    let why = "the program called MPI_File_call_errhandler";
    handle_with(cx, handler, args.i32(0), args.i32(1), why).await
}
