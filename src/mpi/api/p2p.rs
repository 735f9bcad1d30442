//! Point-to-point messages and requests.

use std::sync::Arc;

use crate::mpi::comm::Comm;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Table, waits};
use crate::mpi::engine::{Envelope, Mode, Pattern, Payload, Request, Span, Target};
use crate::mpi::error::Result;
use crate::mpi::handles::Handles;

/// The calls.
pub const TABLE: Table = &[("MPI_Send", waits!(send)), ("MPI_Recv", waits!(receive))];

/// What this section keeps of a rank.
#[derive(Debug)]
pub struct P2p {
    /// Requests.
    pub requests: Handles<Entry>,
    /// The communicator of the request whose error a call is about to give, where the call does
    /// not name it.
    pub blame: Option<Arc<Comm>>,
}

/// What a request handle names.
#[derive(Debug)]
pub enum Entry {
    /// Something that is complete once, and gone then.
    Once(Arc<Request>),
    /// Something that can be started again and again.
    Persistent {
        /// Starts it.
        again: Arc<dyn Again>,
        /// What was started last, until its completion was seen.
        active: Option<Arc<Request>>,
    },
}

/// What a persistent request starts.
pub trait Again: std::fmt::Debug + Send + Sync {
    /// Starts it once more.
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>>;
}

impl Default for P2p {
    fn default() -> Self {
        Self { requests: Handles::new(3), blame: None }
    }
}

async fn send(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::types::of(cx, args.i32(2))?;
    let comm = cx.rank().comm(args.i32(5))?;
    let memory = cx.memory().clone();
    let (at, count) = (u64::from(args.ptr(0)), args.int(1).cast_unsigned());
    let to = comm.peers().world_rank(args.i32(3).cast_unsigned()).unwrap_or(0);
    let envelope = Envelope { context: comm.context, source: comm.rank, tag: args.i32(4) };
    let payload = Payload::Guest(Span { memory, at, count, datatype });
    let request = cx.rank().endpoint.send(to, envelope, payload, Mode::Standard);
    cx.wait(request.done()).await;
    Ok(())
}

async fn receive(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::types::of(cx, args.i32(2))?;
    let comm = cx.rank().comm(args.i32(5))?;
    let memory = cx.memory().clone();
    let (at, count) = (u64::from(args.ptr(0)), args.int(1).cast_unsigned());
    let source = u32::try_from(args.i32(3)).ok();
    let world_source = source.and_then(|source| comm.peers().world_rank(source));
    let tag = Some(args.i32(4)).filter(|tag| *tag >= 0);
    let pattern = Pattern { context: comm.context, source, world_source, tag };
    let target = Target::Guest(Span { memory, at, count, datatype });
    let request = cx.rank().endpoint.receive(pattern, target);
    cx.wait(request.done()).await;
    Ok(())
}
