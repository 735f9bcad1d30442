//! Sessions and process sets.

use crate::mpi::abi::Kind;
use crate::mpi::api::env::info;
use crate::mpi::api::p2p::Owner;
use crate::mpi::comm::Errhandler;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::{Result, error};
use crate::mpi::group::Group;
use crate::mpi::handles::Handles;

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Session_init", Handler::Now(init)),
    ("MPI_Session_finalize", Handler::Now(finalize)),
    ("MPI_Session_get_info", Handler::Now(get_info)),
    ("MPI_Session_get_num_psets", Handler::Now(num_psets)),
    ("MPI_Session_get_nth_pset", Handler::Now(nth_pset)),
    ("MPI_Session_get_pset_info", Handler::Now(pset_info)),
];

/// The process sets that there are.
const SETS: [&str; 2] = ["mpi://WORLD", "mpi://SELF"];

/// A session.
#[derive(Debug)]
pub struct Session {
    /// What happens on an error.
    pub errhandler: Errhandler,
    hints: info::Hints,
}

/// Those of a rank.
#[derive(Debug)]
pub struct Sessions(Handles<Session>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Handles::new(9))
    }
}

impl Sessions {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.iter().next().is_some()
    }

    /// Whether this is one.
    pub fn has(&self, handle: i32) -> bool {
        self.0.get(handle).is_some()
    }

    /// The only one, or the first of several.
    pub fn only(&self) -> Option<i32> {
        self.0.iter().next().map(|(handle, _)| handle)
    }

    /// What happens on an error of one.
    pub fn errhandler(&self, handle: i32) -> Errhandler {
        self.0.get(handle).map_or(Errhandler::Fatal, |session| session.errhandler)
    }

    /// One.
    pub fn get(&mut self, handle: i32) -> Result<&mut Session> {
        match self.0.get_mut(handle) {
            Some(session) => Ok(session),
            None => error(c::MPI_ERR_SESSION, format!("{handle:#x} is no session")),
        }
    }
}

/// The group of a process set, by its name.
pub fn group_of(cx: &mut Cx<'_>, session: i32, name: &[u8]) -> Result<Group> {
    cx.rank().env.sessions.get(session)?;
    let (rank, size) = (cx.rank().endpoint.rank(), cx.rank().endpoint.size());
    match SETS.iter().position(|set| set.as_bytes().eq_ignore_ascii_case(name)) {
        Some(0) => Ok(Group::of_session((0..size).collect(), session)),
        Some(_) => Ok(Group::of_session(vec![rank], session)),
        None => error(c::MPI_ERR_ARG, "there is no process set of this name"),
    }
}

fn init(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let hints = info::hints(cx, args.i32(0))?;
    let errhandler = super::handlers::of(cx.rank(), args.i32(1), Kind::Session)?;
    match cx.rank().env.sessions.0.insert(Session { errhandler, hints }) {
        Some(handle) => cx.memory().write_i32(args.ptr(2), handle),
        None => error(c::MPI_ERR_NO_MEM, "there are too many sessions"),
    }
}

fn finalize(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    cx.rank().env.sessions.get(handle)?;
    cx.rank().env.sessions.0.remove(handle);
    cx.rank().p2p.release(Owner::Session(handle));
    cx.memory().write_i32(args.ptr(0), c::MPI_SESSION_NULL)
}

fn get_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let mut hints = cx.rank().env.sessions.get(args.i32(0))?.hints.clone();
    hints.insert(b"thread_level".to_vec(), b"MPI_THREAD_SINGLE".to_vec());
    let handle = info::insert(cx.rank(), hints)?;
    cx.memory().write_i32(args.ptr(1), handle)
}

fn num_psets(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.rank().env.sessions.get(args.i32(0))?;
    let count = i32::try_from(SETS.len()).unwrap_or(0);
    cx.memory().write_i32(args.ptr(2), count)
}

/// `*pset_len` counts the NUL; 0 asks for the length only.
fn nth_pset(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.rank().env.sessions.get(args.i32(0))?;
    let name = usize::try_from(args.int(2)).ok().and_then(|n| SETS.get(n));
    let Some(name) = name else {
        return error(c::MPI_ERR_ARG, format!("there is no process set {}", args.int(2)));
    };
    let room = usize::try_from(cx.memory().read_i32(args.ptr(3))?).unwrap_or(0);
    if room > 0 {
        cx.memory().write_string(args.ptr(4), name.as_bytes(), room)?;
    }
    cx.memory().write_i32(args.ptr(3), i32::try_from(name.len() + 1).unwrap_or(0))
}

fn pset_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let most = c::MPI_MAX_PSET_NAME_LEN.cast_unsigned() as usize;
    let Some(name) = cx.memory().read_string(args.ptr(1), most)? else {
        return error(c::MPI_ERR_ARG, "the name of a process set is too long");
    };
    let size = group_of(cx, args.i32(0), &name)?.size().to_string();
    let hints = [(b"mpi_size".to_vec(), size.into_bytes())].into();
    let handle = info::insert(cx.rank(), hints)?;
    cx.memory().write_i32(args.ptr(2), handle)
}
