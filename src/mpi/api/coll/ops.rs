//! Operations: those of the standard, and those of the program.

use std::sync::Arc;

use super::args::{apart, elements};
use super::user;
use crate::mpi::api::types;
use crate::mpi::coll::combine::{Combine, User, UserOp};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::ops::Op;
use crate::mpi::types::{Basic, Datatype};

pub fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    if args.ptr(0) == 0 {
        return Err(Error::arg("an operation's function is NULL"));
    }
    let op = UserOp { function: args.ptr(0), commutes: args.i32(1) != 0, large: args.large };
    let coll = &mut cx.rank().coll;
    coll.queue.will_be_used();
    let handle = coll.ops.insert(op);
    let handle = handle.ok_or_else(|| Error::new(c::MPI_ERR_OTHER, "too many operations"))?;
    cx.memory().write_i32(args.ptr(2), handle)
}

pub fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    if Op::of(handle).is_some() {
        return error(c::MPI_ERR_OP, "an operation of the standard cannot be freed");
    }
    if cx.rank().coll.ops.remove(handle).is_none() {
        return error(c::MPI_ERR_OP, format!("{handle:#x} is no operation"));
    }
    cx.memory().write_i32(args.ptr(0), c::MPI_OP_NULL)
}

pub fn commutative(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let commutes = match Op::of(args.i32(0)) {
        Some(op) => op.commutes(),
        None => user_op(cx, args.i32(0))?.commutes,
    };
    cx.memory().write_i32(args.ptr(1), i32::from(commutes))
}

pub async fn reduce_local(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (combine, datatype) = combine(cx, args.i32(4), args.i32(3))?;
    let input = elements(cx, args.ptr(0), args.int(2), datatype.clone())?;
    let inout = elements(cx, args.ptr(1), args.int(2), datatype)?;
    apart(args, 0, 1, input.count)?;
    user::reduce_local(cx, &combine, &input, &inout).await
}

fn user_op(cx: &mut Cx<'_>, handle: i32) -> Result<UserOp> {
    match cx.rank().coll.ops.get(handle) {
        Some(op) => Ok(*op),
        None => error(c::MPI_ERR_OP, format!("{handle:#x} is no operation")),
    }
}

/// How an operation combines elements of a type, if it does.
pub fn combine(cx: &mut Cx<'_>, op: i32, handle: i32) -> Result<(Combine, Datatype)> {
    let datatype = types::of(cx, handle)?;
    match Op::of(op) {
        Some(Op::Replace | Op::NoOp) => {
            error(c::MPI_ERR_OP, "MPI_REPLACE and MPI_NO_OP are for one-sided communication")
        }
        Some(op) => match single(&datatype) {
            Some(basic) if op.takes(basic) => Ok((Combine::Builtin(op, basic), datatype)),
            _ => error(c::MPI_ERR_OP, format!("{op:?} is not defined on the type {handle:#x}")),
        },
        None => {
            let op = user_op(cx, op)?;
            let queue = cx.rank().coll.queue.clone();
            let user = User { queue, op, datatype: datatype.clone(), handle };
            Ok((Combine::User(Arc::new(user)), datatype))
        }
    }
}

/// The predefined type that this is one of, by whatever name.
fn single(datatype: &Datatype) -> Option<Basic> {
    datatype.basic().filter(|basic| basic.size() == datatype.size())
}
