//! Calls of the program's operations. Operands are laid out in memory of the program as their type
//! says, which its function is given with them.

use wasmtime::Val;

use crate::mpi::api::types;
use crate::mpi::coll::combine::{Combine, UserOp};
use crate::mpi::coll::places::{extent_of, pack, unpack};
use crate::mpi::coll::queue::Job;
use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};

/// Calls what collectives under way have asked for. For calls that look at requests.
pub async fn serve(cx: &mut Cx<'_>) {
    // An operation's own calls of MPI begin no others.
    if !cx.rank().coll.queue.is_used() || cx.state().callbacks > 1 {
        return;
    }
    let queue = cx.rank().coll.queue.clone();
    while let Some(job) = queue.take() {
        serve_job(cx, job).await;
    }
}

/// Calls what one has asked for. When the function does not return, the rank ends after the call
/// of MPI that it is in.
pub async fn serve_job(cx: &mut Cx<'_>, job: Job) {
    let answer = match operate(cx, &job).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let class = error.class().unwrap_or(c::MPI_ERR_OTHER);
            if let Error::End(_) = error {
                let rank = cx.rank();
                rank.coll.queue.close();
                rank.coll.ended.get_or_insert(error);
                rank.endpoint.leave(false);
            }
            Err(class)
        }
    };
    job.answer(answer);
}

async fn operate(cx: &mut Cx<'_>, job: &Job) -> Result<Vec<u8>> {
    let datatype = &job.user.datatype;
    let count = (job.inout.len() as u64).checked_div(datatype.size()).unwrap_or(0);
    let (low, len) = extent_of(datatype, count);
    let room = len.next_multiple_of(16);
    let scratch = scratch(cx, room.saturating_mul(2).saturating_add(16)).await?;
    let memory = cx.memory().clone();
    let place = move |at: u64| Span {
        memory: memory.clone(),
        at: at.wrapping_sub(low.cast_unsigned()),
        count,
        datatype: datatype.clone(),
    };
    let (input, inout) = (place(u64::from(scratch)), place(u64::from(scratch) + room));
    unpack(&input, &job.input)?;
    unpack(&inout, &job.inout)?;
    let at = u64::from(scratch) + 2 * room;
    let handle = types::lend(cx, job.user.handle, datatype)?;
    call(cx, job.user.op, handle, &input, &inout, at).await?;
    types::take_back(cx, job.user.handle, handle);
    let bytes = pack(&inout)?;
    cx.free(scratch).await?;
    Ok(bytes.into())
}

/// Combines elements of the caller.
pub async fn reduce_local(
    cx: &mut Cx<'_>,
    combine: &Combine,
    input: &Span,
    inout: &Span,
) -> Result<()> {
    match combine {
        Combine::Builtin(op, basic) => {
            let mut bytes: Vec<u8> = pack(inout)?.into();
            op.apply(*basic, &pack(input)?, &mut bytes);
            unpack(inout, &bytes)
        }
        Combine::User(_) if input.count == 0 => Ok(()),
        Combine::User(user) => {
            let scratch = scratch(cx, 16).await?;
            call(cx, user.op, user.handle, input, inout, u64::from(scratch)).await?;
            cx.free(scratch).await
        }
    }
}

async fn scratch(cx: &mut Cx<'_>, len: u64) -> Result<u32> {
    let none = || {
        let why = format!("an operation needs {len} bytes of the program's memory for operands");
        Error::new(c::MPI_ERR_NO_MEM, why)
    };
    let len = u32::try_from(len).map_err(|_| none())?;
    cx.malloc(len).await?.ok_or_else(none)
}

/// Calls the function, with its count and type in 16 bytes at `at`.
async fn call(
    cx: &mut Cx<'_>,
    op: UserOp,
    handle: i32,
    input: &Span,
    inout: &Span,
    at: u64,
) -> Result<()> {
    let memory = cx.memory().clone();
    match op.large {
        true => memory.write(at, &input.count.to_le_bytes())?,
        false => {
            let count = i32::try_from(input.count);
            let why = "the operation was not made with MPI_Op_create_c: too many elements for it";
            let count = count.map_err(|_| Error::new(c::MPI_ERR_COUNT, why))?;
            memory.write(at, &count.to_le_bytes())?;
        }
    }
    memory.write(at + 8, &handle.to_le_bytes())?;
    #[allow(clippy::cast_possible_truncation, reason = "addresses have 32 bits")]
    let address = |at: u64| Val::I32((at as u32).cast_signed());
    let args = [address(input.at), address(inout.at), address(at), address(at + 8)];
    cx.call(op.function, &args, false).await.map(drop)
}
