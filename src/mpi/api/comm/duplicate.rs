//! Copies of communicators.

use std::sync::{Arc, OnceLock};

use super::attributes::{self, Object, Values};
use super::hooks::{self, Hints};
use super::make::{self, Plan, Plans, begin, insert, round};
use crate::mpi::attributes::Attributes;
use crate::mpi::comm::Comm;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Request, Status};
use crate::mpi::error::Result;
use crate::mpi::exchange::{self, Circle};

pub async fn dup(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    copy(cx, args.i32(0), Hints::new(), args.ptr(1)).await
}

pub async fn dup_with_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let info = hooks::hints(cx, args.i32(1))?;
    copy(cx, args.i32(0), info, args.ptr(2)).await
}

async fn copy(cx: &mut Cx<'_>, handle: i32, info: Hints, at: u32) -> Result<()> {
    let comm = cx.rank().comm(handle)?;
    begin(cx, at)?;
    let copied = attributes::copied(cx, &Object::Comm(comm.clone(), handle)).await;
    // A function of the program that fails makes the call fail for all: they would wait for this
    // rank.
    let (values, plan) = match copied {
        Ok(values) => (values, Ok(Plan::draw(cx))),
        Err(error) => (Values::new(), Err(error)),
    };
    let plans = round(cx, &comm, plan).await;
    let context = match plans.and_then(|plans| plans.context(&comm)) {
        Ok(context) => context,
        Err(error) => {
            attributes::drop_values(cx, &Object::Comm(comm, handle), values).await?;
            return Err(error);
        }
    };
    let handle = insert(cx, heir(&comm, context, values, info))?;
    cx.memory().write_i32(at, handle)
}

/// A copy with these attributes and hints.
fn heir(comm: &Comm, context: u64, values: Values, info: Hints) -> Comm {
    let mut made = Comm::new(context, comm.group.clone(), comm.rank, comm.remote.clone());
    made.topology = comm.topology.clone();
    made.session = comm.session;
    let mut attributes = Attributes::default();
    for (key, value) in values {
        attributes.set(key, value);
    }
    let mut state = made.state.lock();
    state.errhandler = comm.state.lock().errhandler;
    (state.attributes, state.info) = (attributes, info);
    drop(state);
    made
}

pub async fn idup(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    later(cx, args.i32(0), Hints::new(), args.ptr(1), args.ptr(2)).await
}

pub async fn idup_with_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let info = hooks::hints(cx, args.i32(1))?;
    later(cx, args.i32(0), info, args.ptr(2), args.ptr(3)).await
}

/// Attributes are copied now; the handle is good when the request is complete.
async fn later(cx: &mut Cx<'_>, handle: i32, info: Hints, at: u32, request_at: u32) -> Result<()> {
    let comm = cx.rank().comm(handle)?;
    begin(cx, at)?;
    super::out(request_at)?;
    cx.rank().p2p.has_room()?;
    let copied = attributes::copied(cx, &Object::Comm(comm.clone(), handle)).await;
    let (values, told, failed) = match copied {
        Ok(values) => (values, Ok(Plan::draw(cx).encode()), None),
        Err(error) => (Values::new(), Err(exchange::class_of(&error)), Some(error)),
    };
    let becomes = Arc::new(OnceLock::new());
    let mut waiting = heir(&comm, comm.context, Values::new(), Hints::new());
    waiting.becomes = Some(becomes.clone());
    let endpoint = cx.rank().endpoint.clone();
    let (circle, parent) = (Circle::of(&endpoint, &comm), comm.clone());
    let request = Request::pending();
    let completed = request.clone();
    tokio::spawn(async move {
        let round = exchange::round(circle, comm.clone(), told).await;
        let context = round.and_then(|round| Plans::decode(&round)?.context(&comm));
        match context {
            Ok(context) => {
                make::announce(&endpoint, &comm, context);
                let _ = becomes.set(Arc::new(heir(&comm, context, values, info)));
                completed.complete(Status::EMPTY, None);
            }
            Err(error) => completed.fail(exchange::class_of(&error)),
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let made = make::keep(cx, waiting)?;
    let request = hooks::request(cx, &parent, request)?;
    cx.memory().write_i32(at, made)?;
    cx.memory().write_i32(request_at, request)
}
