//! Info objects: hints by key.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::{Result, error};
use crate::mpi::handles::Handles;
pub use crate::mpi::hints::Hints;
use crate::mpi::rank::Rank;

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Info_create", Handler::Now(create)),
    ("MPI_Info_create_env", Handler::Now(create_env)),
    ("MPI_Info_dup", Handler::Now(dup)),
    ("MPI_Info_free", Handler::Now(free)),
    ("MPI_Info_set", Handler::Now(set)),
    ("MPI_Info_delete", Handler::Now(delete)),
    ("MPI_Info_get", Handler::Now(get)),
    ("MPI_Info_get_string", Handler::Now(get_string)),
    ("MPI_Info_get_valuelen", Handler::Now(get_valuelen)),
    ("MPI_Info_get_nkeys", Handler::Now(get_nkeys)),
    ("MPI_Info_get_nthkey", Handler::Now(get_nthkey)),
];

/// Most keys of one object.
const MOST_KEYS: usize = 1024;

/// The objects of a rank.
#[derive(Debug)]
pub struct Infos(Handles<Hints>);

impl Default for Infos {
    fn default() -> Self {
        Self(Handles::new(8))
    }
}

/// The hints of a handle; `MPI_INFO_NULL` has none.
pub fn hints(cx: &mut Cx<'_>, handle: i32) -> Result<Hints> {
    match handle {
        c::MPI_INFO_NULL => Ok(Hints::new()),
        c::MPI_INFO_ENV => Ok(environment(cx)),
        _ => find(cx.rank(), handle).cloned(),
    }
}

/// A new object with these hints: its handle.
pub fn insert(rank: &mut Rank, hints: Hints) -> Result<i32> {
    match rank.env.infos.0.insert(hints) {
        Some(handle) => Ok(handle),
        None => error(c::MPI_ERR_NO_MEM, "there are too many info objects"),
    }
}

/// What the job was started with.
fn environment(cx: &mut Cx<'_>) -> Hints {
    let size = cx.rank().endpoint.size().to_string();
    let threads = match cx.rank().env.threads {
        c::MPI_THREAD_FUNNELED => "MPI_THREAD_FUNNELED",
        _ => "MPI_THREAD_SINGLE",
    };
    let state = cx.state();
    let (command, argv) = (state.name.to_string(), state.args.join(" "));
    let all = [
        ("command", command.as_str()),
        ("argv", &argv),
        ("maxprocs", &size),
        ("arch", "wasm32"),
        ("thread_level", threads),
    ];
    all.map(|(key, value)| (key.into(), value.into())).into()
}

fn find(rank: &mut Rank, handle: i32) -> Result<&mut Hints> {
    match rank.env.infos.0.get_mut(handle) {
        Some(hints) => Ok(hints),
        None => error(c::MPI_ERR_INFO, format!("{handle:#x} is no info object that was made")),
    }
}

fn key(cx: &Cx<'_>, at: u32) -> Result<Vec<u8>> {
    let most = c::MPI_MAX_INFO_KEY.cast_unsigned() as usize - 1;
    match cx.memory().read_string(at, most)? {
        Some(key) if !key.is_empty() => Ok(key),
        _ => error(c::MPI_ERR_INFO_KEY, format!("a key has 1 to {most} bytes")),
    }
}

fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = insert(cx.rank(), Hints::new())?;
    cx.memory().write_i32(args.ptr(0), handle)
}

fn create_env(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let hints = environment(cx);
    let handle = insert(cx.rank(), hints)?;
    cx.memory().write_i32(args.ptr(2), handle)
}

fn dup(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let copy = match args.i32(0) {
        c::MPI_INFO_NULL => return error(c::MPI_ERR_INFO, "MPI_INFO_NULL cannot be copied"),
        handle => hints(cx, handle)?,
    };
    let handle = insert(cx.rank(), copy)?;
    cx.memory().write_i32(args.ptr(1), handle)
}

fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    find(cx.rank(), handle)?;
    cx.rank().env.infos.0.remove(handle);
    cx.memory().write_i32(args.ptr(0), c::MPI_INFO_NULL)
}

fn set(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    find(cx.rank(), args.i32(0))?;
    let key = key(cx, args.ptr(1))?;
    let most = c::MPI_MAX_INFO_VAL.cast_unsigned() as usize - 1;
    let value = match args.ptr(2) {
        0 => return error(c::MPI_ERR_INFO_VALUE, "the value is NULL"),
        at => cx.memory().read_string(at, most)?,
    };
    let Some(value) = value else {
        return error(c::MPI_ERR_INFO_VALUE, format!("a value has at most {most} bytes"));
    };
    let hints = find(cx.rank(), args.i32(0))?;
    if hints.len() >= MOST_KEYS && !hints.contains_key(&key) {
        return error(c::MPI_ERR_NO_MEM, format!("at most {MOST_KEYS} keys are kept"));
    }
    hints.insert(key, value);
    Ok(())
}

fn delete(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    find(cx.rank(), args.i32(0))?;
    let key = key(cx, args.ptr(1))?;
    match find(cx.rank(), args.i32(0))?.shift_remove(&key) {
        Some(_) => Ok(()),
        None => error(c::MPI_ERR_INFO_NOKEY, "there is no such key"),
    }
}

/// The value of the key that the second argument names; its handle must be one.
fn value(cx: &mut Cx<'_>, args: &Args) -> Result<Option<Vec<u8>>> {
    let hints = object(cx, args)?;
    let key = key(cx, args.ptr(1))?;
    Ok(hints.get(&key).cloned())
}

fn object(cx: &mut Cx<'_>, args: &Args) -> Result<Hints> {
    match args.i32(0) {
        c::MPI_INFO_NULL => error(c::MPI_ERR_INFO, "MPI_INFO_NULL has no keys"),
        handle => hints(cx, handle),
    }
}

/// `valuelen` does not count the NUL, which is written behind it.
fn get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let value = value(cx, args)?;
    let Ok(room) = usize::try_from(args.int(2)) else {
        return error(c::MPI_ERR_ARG, "the length of a value is negative");
    };
    if let Some(value) = &value {
        cx.memory().write_string(args.ptr(3), value, room + 1)?;
    }
    cx.memory().write_i32(args.ptr(4), i32::from(value.is_some()))
}

/// `*buflen` counts the NUL; 0 asks for the length only.
fn get_string(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let value = value(cx, args)?;
    let Ok(room) = usize::try_from(cx.memory().read_i32(args.ptr(2))?) else {
        return error(c::MPI_ERR_ARG, "the length of a buffer is negative");
    };
    if let Some(value) = &value {
        if room > 0 {
            cx.memory().write_string(args.ptr(3), value, room)?;
        }
        let needed = i32::try_from(value.len() + 1).unwrap_or(i32::MAX);
        cx.memory().write_i32(args.ptr(2), needed)?;
    }
    cx.memory().write_i32(args.ptr(4), i32::from(value.is_some()))
}

fn get_valuelen(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let value = value(cx, args)?;
    if let Some(value) = &value {
        let len = i32::try_from(value.len()).unwrap_or(i32::MAX);
        cx.memory().write_i32(args.ptr(2), len)?;
    }
    cx.memory().write_i32(args.ptr(3), i32::from(value.is_some()))
}

fn get_nkeys(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let keys = object(cx, args)?.len();
    cx.memory().write_i32(args.ptr(1), i32::try_from(keys).unwrap_or(i32::MAX))
}

fn get_nthkey(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let hints = object(cx, args)?;
    let found = usize::try_from(args.int(1)).ok().and_then(|n| hints.keys().nth(n));
    match found {
        Some(key) => {
            let room = c::MPI_MAX_INFO_KEY.cast_unsigned() as usize;
            cx.memory().write_string(args.ptr(2), key, room)
        }
        None => error(c::MPI_ERR_ARG, format!("there is no key {}", args.int(1))),
    }
}
