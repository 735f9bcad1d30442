//! Imports of module `faasm`: input, output, chaining.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::{Caller, Extern, Linker, Ref};

use super::guest;
use crate::errno::{CallError, Errno};
use crate::function::{State, Stop, Target};
use crate::id::MAX_NAME_LEN;

/// Largest input of a chained call, in bytes; it travels with the call.
pub const MAX_INPUT: u32 = 256 << 20;
/// Most calls waited for at once: as many as one call may chain.
const MAX_AWAITED: u32 = 100_000;

type Code = wasmtime::Result<i32>;

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let module = "faasm";
    linker.func_wrap(module, "input_size", |caller: Caller<'_, State>| {
        size(caller.data().input.len())
    })?;
    linker.func_wrap_async(module, "input_read", |mut caller, (at, len): (u32, u32)| {
        Box::new(async move { input_read(&mut caller, at, len).await })
    })?;
    linker.func_wrap_async(module, "output_write", |mut caller, (at, len): (u32, u32)| {
        Box::new(async move { code(output_write(&mut caller, at, len).await) })
    })?;
    linker.func_wrap_async(
        module,
        "chain_name",
        |mut caller, (name, name_len, input, len): (u32, u32, u32, u32)| {
            Box::new(async move {
                let name = match name_len as usize {
                    1..=MAX_NAME_LEN => guest::read(&mut caller, name, name_len)?,
                    _ => return Ok(Errno::Inval.code()),
                };
                code(chain_name(&mut caller, &name, input, len).await)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "chain_mpi",
        |mut caller, (name, name_len, ranks, input, len): (u32, u32, u32, u32, u32)| {
            Box::new(async move {
                let name = match name_len as usize {
                    1..=MAX_NAME_LEN => guest::read(&mut caller, name, name_len)?,
                    _ => return Ok(Errno::Inval.code()),
                };
                let Ok(name) = std::str::from_utf8(&name) else { return Ok(Errno::Inval.code()) };
                code(chain(&mut caller, Target::Ranks(name, ranks), input, len).await)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "chain_ptr",
        |mut caller, (index, input, len): (u32, u32, u32)| {
            Box::new(
                async move { code(chain(&mut caller, Target::Table(index), input, len).await) },
            )
        },
    )?;
    linker.func_wrap(module, "cancel", |caller: Caller<'_, State>, call: u32| {
        caller.data().host.cancel(call).map_or_else(Errno::code, |()| 0)
    })?;
    add_waits(linker, module)
}

fn add_waits(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "await", |mut caller, (call, ms): (u32, i64)| {
        Box::new(async move { Ok::<_, wasmtime::Error>(wait(&mut caller, call, ms).await) })
    })?;
    linker.func_wrap_async(module, "await_any", |mut caller, (ids, n, ms): (u32, u32, i64)| {
        Box::new(async move { wait_any(&mut caller, ids, n, ms).await })
    })?;
    linker.func_wrap_async(module, "output_size", |mut caller, (call,): (u32,)| {
        Box::new(async move {
            let fetched = output(&mut caller, call).await;
            Ok::<_, wasmtime::Error>(match fetched {
                Ok(bytes) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
                Err(error) => i64::from(error.code()),
            })
        })
    })?;
    linker.func_wrap_async(module, "output_read", |mut caller, params: (u32, u32, u32)| {
        Box::new(async move {
            let (call, at, len) = params;
            match output(&mut caller, call).await {
                Ok(bytes) => copy_out(&mut caller, &bytes, at, len).await,
                Err(error) => Ok(error.code()),
            }
        })
    })?;
    linker.func_wrap(module, "error_size", |caller: Caller<'_, State>, call: u32| match caller
        .data()
        .host
        .error_text(call)
    {
        Ok(text) => size(text.len()),
        Err(error) => error.code(),
    })?;
    linker.func_wrap(module, "error_read", error_read)?;
    Ok(())
}

fn error_read(mut caller: Caller<'_, State>, call: u32, at: u32, len: u32) -> Code {
    let text = match caller.data().host.error_text(call) {
        Ok(text) => text,
        Err(error) => return Ok(error.code()),
    };
    let count = text.len().min(len as usize);
    guest::write(&mut caller, at, &text.as_bytes()[..count])?;
    Ok(size(count))
}

/// Copies the input, at most `len` bytes; gives their number.
pub async fn input_read(caller: &mut Caller<'_, State>, at: u32, len: u32) -> Code {
    let input = caller.data().input.clone();
    copy_out(caller, &input, at, len).await
}

/// Sets the output. Past the function's limit the call is over.
pub async fn output_write(
    caller: &mut Caller<'_, State>,
    at: u32,
    len: u32,
) -> wasmtime::Result<Result<i32, Errno>> {
    guest::check(caller, at, len)?;
    let state = caller.data_mut();
    if u64::from(len) > state.limits.output {
        let detail = format!(
            "an output of {len} bytes passes the function's limit of {}; raise it at upload with \
             --output",
            state.limits.output
        );
        return Err(stop(CallError::new(Errno::Limit, detail)));
    }
    let before = state.output.len() as u64;
    state.growth.discharge(before);
    state.output = Bytes::new();
    if !state.growth.charge(u64::from(len)) {
        return Ok(Err(Errno::NoMem));
    }
    let bytes = guest::read_long(caller, at, len).await?;
    caller.data_mut().output = Bytes::from(bytes);
    Ok(Ok(0))
}

/// Chains a function of the same user.
pub async fn chain_name(
    caller: &mut Caller<'_, State>,
    name: &[u8],
    input: u32,
    len: u32,
) -> wasmtime::Result<Result<i32, Errno>> {
    let Ok(name) = std::str::from_utf8(name) else { return Ok(Err(Errno::Inval)) };
    chain(caller, Target::Name(name), input, len).await
}

/// Chains a call with this input; gives its handle.
pub async fn chain(
    caller: &mut Caller<'_, State>,
    target: Target<'_>,
    input: u32,
    len: u32,
) -> wasmtime::Result<Result<i32, Errno>> {
    guest::check(caller, input, len)?;
    if len > MAX_INPUT {
        return Ok(Err(Errno::TooBig));
    }
    if let Target::Table(index) = target
        && !is_entry(caller, index)
    {
        return Ok(Err(Errno::Inval));
    }
    let input = Bytes::from(guest::read_long(caller, input, len).await?);
    let host = caller.data().host.clone();
    let chained = waiting(caller, host.chain(target, input)).await;
    Ok(match chained {
        Ok(call) => i32::try_from(call).map_err(|_| Errno::Full),
        Err(error) => Err(error.code),
    })
}

/// Whether the caller's own table has a function to chain at this index. One that was added after
/// the start passes here and is refused in the new instance, which does not have it.
fn is_entry(caller: &mut Caller<'_, State>, index: u32) -> bool {
    let table = caller.get_export("__indirect_function_table").and_then(Extern::into_table);
    let entry = table.and_then(|table| table.get(&mut *caller, u64::from(index)));
    let Some(Ref::Func(Some(function))) = entry else { return false };
    function.typed::<(), i32>(&*caller).is_ok()
}

/// Waits for a child: its result, or an errno. Negative `ms` waits until the tree's deadline.
pub async fn wait(caller: &mut Caller<'_, State>, call: u32, ms: i64) -> i32 {
    let host = caller.data().host.clone();
    match awaiting(caller, call, host.wait(call, limit(ms))).await {
        Ok(result) => i32::from(result),
        Err(error) => error.code(),
    }
}

/// The output of a child, waiting for its end. The last one is kept, so that it can be read in
/// pieces.
pub async fn output(caller: &mut Caller<'_, State>, call: u32) -> Result<Bytes, Errno> {
    if let Some((kept, bytes)) = &caller.data().fetched
        && *kept == call
    {
        return Ok(bytes.clone());
    }
    let host = caller.data().host.clone();
    let bytes = awaiting(caller, call, host.output(call)).await?;
    caller.data_mut().fetched = Some((call, bytes.clone()));
    Ok(bytes)
}

/// Waits for a child. Who keeps locks hears of it: a child that wants one of this call's would
/// wait for ever.
async fn awaiting<T>(
    caller: &mut Caller<'_, State>,
    child: u32,
    wait: impl Future<Output = T>,
) -> T {
    let known = caller.data().host.child_id(child);
    let state = caller.data().views.open_host().filter(|_| known.is_some()).cloned();
    if let Some(state) = &state {
        state.awaits(known);
    }
    let done = waiting(caller, wait).await;
    if let Some(state) = &state {
        state.awaits(None);
    }
    done
}

/// Polls a wait; when it does wait, the call's turn goes to others and its pace starts anew.
pub async fn waiting<T>(caller: &mut Caller<'_, State>, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    if let std::task::Poll::Ready(done) = futures_util::poll!(wait.as_mut()) {
        return done;
    }
    caller.data().begin_wait();
    let done = wait.await;
    caller.data_mut().end_wait();
    done
}

/// Ends the guest with this error.
pub fn stop(error: CallError) -> wasmtime::Error {
    wasmtime::Error::new(Stop::Fail(error))
}

async fn wait_any(caller: &mut Caller<'_, State>, ids: u32, n: u32, ms: i64) -> Code {
    if !(1..=MAX_AWAITED).contains(&n) {
        return Ok(Errno::Inval.code());
    }
    let bytes = guest::read(caller, ids, n * 4)?;
    let ids = bytes.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]));
    let host = caller.data().host.clone();
    let first = waiting(caller, host.wait_any(ids.collect(), limit(ms))).await;
    Ok(match first {
        Ok(call) => i32::try_from(call).unwrap_or(i32::MAX),
        Err(error) => error.code(),
    })
}

async fn copy_out(caller: &mut Caller<'_, State>, bytes: &[u8], at: u32, len: u32) -> Code {
    let count = bytes.len().min(len as usize);
    guest::write_long(caller, at, &bytes[..count]).await?;
    Ok(size(count))
}

fn limit(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

fn size(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

fn code(result: wasmtime::Result<Result<i32, Errno>>) -> Code {
    Ok(result?.unwrap_or_else(Errno::code))
}
