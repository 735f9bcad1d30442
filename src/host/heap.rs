//! Room for the host in a guest's memory.

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, Extern, Func, TypedFunc, Val};

use super::guest;
use crate::errno::Errno;
use crate::function::State;
use crate::function::memfd::PAGE;
use crate::function::memory::Door;
use crate::function::regions::{Kind, Regions};

/// Allocates guest memory with the guest's own `malloc`; 0 when it has none left.
/// `FAASM_ENOSYS` when the module does not export `malloc`. An error ends the call.
pub async fn malloc(
    caller: &mut Caller<'_, State>,
    len: u32,
) -> wasmtime::Result<Result<u32, Errno>> {
    match function::<u32, u32>(caller, "malloc") {
        Some(malloc) => call_back(caller, &malloc, len).await.map(Ok),
        None => Ok(Err(Errno::NoSys)),
    }
}

/// Maps a region of at least `bytes` bytes into the guest's memory, growing it where there is no
/// room; gives its address. An error ends the call.
///
/// The guest's libc takes all memory below `memory.size` for its heap at its first `malloc`, so
/// that has to happen before the first growth: `FAASM_ENOSYS` when the module does not export
/// `malloc`.
pub async fn map(
    caller: &mut Caller<'_, State>,
    bytes: u64,
    kind: Kind,
) -> wasmtime::Result<Result<u32, Errno>> {
    if let Some(address) = try_map(caller, bytes, &kind)? {
        return Ok(address);
    }
    if !caller.data().primed {
        match malloc(caller, 1).await? {
            Ok(pointer) => free(caller, pointer).await?,
            Err(error) => return Ok(Err(error)),
        }
        caller.data_mut().primed = true;
    }
    if !grow(caller, bytes)? {
        return Ok(Err(Errno::NoMem));
    }
    Ok(try_map(caller, bytes, &kind)?.unwrap_or(Err(Errno::NoMem)))
}

/// The memory as others may reach it; they hold it until the instance ends.
pub fn door(caller: &mut Caller<'_, State>) -> wasmtime::Result<Arc<Door>> {
    let memory = guest::memory(caller)?;
    let size = memory.data_size(&*caller);
    if let Some(door) = &caller.data().door {
        // SAFETY: `size` bytes are accessible, and it never shrinks.
        unsafe { door.grown(size) };
        return Ok(door.clone());
    }
    let base = memory.data_ptr(caller.as_context_mut());
    // SAFETY: the store keeps the memory until it is dropped, and closes the door before that
    // (`Cell`); `size` bytes of it are accessible, and it never shrinks.
    let door = Arc::new(unsafe { Door::open(base, size) });
    caller.data_mut().door = Some(door.clone());
    Ok(door)
}

/// Un-maps the region at this address; `false` when none starts there.
pub fn unmap(caller: &mut Caller<'_, State>, address: u32) -> bool {
    caller.data_mut().regions.release(u64::from(address))
}

/// A region in the room that there is; `None` when there is none.
fn try_map(
    caller: &mut Caller<'_, State>,
    bytes: u64,
    kind: &Kind,
) -> wasmtime::Result<Option<Result<u32, Errno>>> {
    let base = guest::memory(caller)?.data_ptr(caller.as_context_mut());
    let regions = &mut caller.data_mut().regions;
    // SAFETY: `base` is the memory of the instance whose store holds these regions, and `grow`
    // gave them only ranges that this memory was grown by. Host calls hold no reference into it.
    let mapped = unsafe { regions.map(base, bytes, kind.clone()) };
    Ok(match mapped {
        Ok(None) => None,
        Ok(Some(range)) => Some(u32::try_from(range.start).map_err(|_| Errno::NoMem)),
        Err(error) => {
            tracing::warn!(%error, "a region could not be mapped");
            Some(Err(Errno::NoMem))
        }
    })
}

/// Grows the memory for the host; `false` when it cannot.
fn grow(caller: &mut Caller<'_, State>, bytes: u64) -> wasmtime::Result<bool> {
    let Some(len) = Regions::pages(bytes) else { return Ok(false) };
    let memory = guest::memory(caller)?;
    caller.data_mut().growth.for_region(true);
    let grown = memory.grow(caller.as_context_mut(), len / PAGE);
    caller.data_mut().growth.for_region(false);
    let Ok(pages) = grown else { return Ok(false) };
    let start = pages * PAGE;
    caller.data_mut().regions.grown(start..start + len);
    let size = memory.data_size(&*caller);
    if let Some(door) = &caller.data().door {
        // SAFETY: the memory has just grown to this size, and never shrinks.
        unsafe { door.grown(size) };
    }
    Ok(true)
}

/// Gives memory of `malloc` back.
pub async fn free(caller: &mut Caller<'_, State>, pointer: u32) -> wasmtime::Result<()> {
    match function::<u32, ()>(caller, "free") {
        Some(free) => call_back(caller, &free, pointer).await,
        None => Ok(()),
    }
}

/// Most calls back into a guest at once, each within the one before: each takes a stack from the
/// pool.
const MOST_NESTED: u32 = 8;

/// Begins to call back.
fn enter(caller: &mut Caller<'_, State>) -> wasmtime::Result<()> {
    let nested = &mut caller.data_mut().callbacks;
    if *nested >= MOST_NESTED {
        return Err(wasmtime::Error::msg(format!(
            "callbacks of the function made calls that need callbacks themselves, {MOST_NESTED} \
             deep",
        )));
    }
    *nested += 1;
    Ok(())
}

/// Calls the guest within its host call.
async fn call_back<P, R>(
    caller: &mut Caller<'_, State>,
    function: &TypedFunc<P, R>,
    params: P,
) -> wasmtime::Result<R>
where
    P: wasmtime::WasmParams + Sync,
    R: wasmtime::WasmResults + Sync,
{
    enter(caller)?;
    // A failure ends the call, and with it the count.
    let result = function.call_async(caller.as_context_mut(), params).await?;
    caller.data_mut().callbacks -= 1;
    Ok(result)
}

/// Calls a function of the guest within its host call, whatever its type. An error ends the call.
pub async fn call_back_any(
    caller: &mut Caller<'_, State>,
    function: &Func,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    enter(caller)?;
    function.call_async(caller.as_context_mut(), params, results).await?;
    caller.data_mut().callbacks -= 1;
    Ok(())
}

fn function<P, R>(caller: &mut Caller<'_, State>, name: &str) -> Option<TypedFunc<P, R>>
where
    P: wasmtime::WasmParams,
    R: wasmtime::WasmResults,
{
    match caller.get_export(name) {
        Some(Extern::Func(function)) => function.typed(&*caller).ok(),
        _ => None,
    }
}
