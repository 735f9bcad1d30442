//! Room for the host in a guest's memory.

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, Extern, TypedFunc};

use super::guest;
use crate::errno::Errno;
use crate::function::State;
use crate::function::memfd::PAGE;
use crate::function::regions::{Kind, Regions};

/// Allocates guest memory with the guest's own `malloc`; 0 when it has none left.
/// `FAASM_ENOSYS` when the module does not export `malloc`. An error ends the call.
pub async fn malloc(
    caller: &mut Caller<'_, State>,
    len: u32,
) -> wasmtime::Result<Result<u32, Errno>> {
    let Some(malloc) = function::<u32, u32>(caller, "malloc") else {
        return Ok(Err(Errno::NoSys));
    };
    Ok(Ok(malloc.call_async(caller.as_context_mut(), len).await?))
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
    if let Some(door) = caller.data().door.as_ref().map(Arc::clone) {
        // SAFETY: the memory has just grown to this size, and never shrinks.
        unsafe { door.grown(size) };
    }
    Ok(true)
}

async fn free(caller: &mut Caller<'_, State>, pointer: u32) -> wasmtime::Result<()> {
    if let Some(free) = function::<u32, ()>(caller, "free") {
        free.call_async(caller.as_context_mut(), pointer).await?;
    }
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
