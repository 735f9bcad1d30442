//! Imports of module `faasm`: state.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::state_key::Key;
use super::state_windows::{get, get_all, release};
use super::waits::Away;
use super::{calls, guest};
use crate::errno::Errno;
use crate::function::values::{Missing, Mode, Part, Pushed, Reach, StateHost, Value, Written};
use crate::function::{State, yield_now};

/// Flag of `state_get`: fetch what changed, also when a copy is here.
pub const PULL: u32 = 1;
/// Flag of `state_get`: make the value where there is none.
pub const CREATE: u32 = 2;
/// Bits of `state_lock`: for writing; of the cluster.
const WRITE: u32 = 1;
const CLUSTER: u32 = 2;
/// Bytes copied before the others of this worker have their turn.
const PIECE: u32 = 256 << 10;
/// Longest element to append, in bytes.
const MAX_ELEMENT: u32 = 1 << 20;

type Code = wasmtime::Result<i32>;
/// What an import gives, or an error code; the outer error ends the call.
pub type Outcome<T> = wasmtime::Result<Result<T, Errno>>;

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let module = "faasm";
    linker.func_wrap_async(
        module,
        "state_get",
        |mut caller, (key, len, size, flags): (u32, u32, u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(INVALID) };
                Ok(long(get_all(&mut caller, key.as_str(), size, flags).await?))
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "state_get_offset",
        |mut caller, (key, key_len, off, len, flags): (u32, u32, u64, u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(INVALID) };
                let part = Part { off, len: u64::from(len) };
                if flags & !PULL != 0 {
                    return Ok(INVALID);
                }
                let got = get(&mut caller, key.as_str(), Some(part), Missing::Fail, flags).await?;
                Ok(long(got.map(|(pointer, _)| pointer)))
            })
        },
    )?;
    linker.func_wrap(module, "state_release", |mut caller: Caller<'_, State>, pointer: u32| {
        release(&mut caller, pointer)
    })?;
    add_writes(linker, module)?;
    add_transfers(linker, module)?;
    add_values(linker, module)?;
    add_locks(linker, module)
}

fn add_writes(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        module,
        "state_set",
        |mut caller, (key, key_len, at, len): (u32, u32, u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(EINVAL) };
                let what = Written::All(u64::from(len));
                code(set(&mut caller, key.as_str(), what, 0, at, len).await?)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "state_set_offset",
        |mut caller, (key, key_len, at, len, off): (u32, u32, u32, u32, u64)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(EINVAL) };
                let part = Part { off, len: u64::from(len) };
                let what = Written::Part(part, Missing::Fail);
                code(set(&mut caller, key.as_str(), what, off, at, len).await?)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "state_append",
        |mut caller, (key, key_len, at, len): (u32, u32, u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(EINVAL) };
                code(append(&mut caller, key.as_str(), at, len).await?)
            })
        },
    )?;
    linker
        .func_wrap_async(
            module,
            "state_flag",
            |mut caller, (key, key_len, off, len): (u32, u32, u64, u64)| {
                Box::new(async move {
                    let Some(key) = Key::read(&mut caller, key, key_len)? else {
                        return Ok(EINVAL);
                    };
                    let part = Part { off, len };
                    code(host(&mut caller).and_then(|host| host.flag(key.as_str(), Some(part))))
                })
            },
        )
        .map(drop)
}

fn add_transfers(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "state_push", |mut caller, (key, len): (u32, u32)| {
        Box::new(async move {
            let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
            code(push(&mut caller, key.as_str(), Pushed::Chunks).await)
        })
    })?;
    linker.func_wrap_async(
        module,
        "state_push_offset",
        |mut caller, (key, key_len, off, len): (u32, u32, u64, u64)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(EINVAL) };
                code(push(&mut caller, key.as_str(), Pushed::Part(Part { off, len })).await)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "state_push_flagged",
        |mut caller, (key, len): (u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
                code(push(&mut caller, key.as_str(), Pushed::Flagged).await)
            })
        },
    )?;
    linker.func_wrap_async(module, "state_pull", |mut caller, (key, len): (u32, u32)| {
        Box::new(async move {
            let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
            code(pull(&mut caller, key.as_str(), None).await)
        })
    })?;
    linker
        .func_wrap_async(
            module,
            "state_pull_offset",
            |mut caller, (key, key_len, off, len): (u32, u32, u64, u64)| {
                Box::new(async move {
                    let Some(key) = Key::read(&mut caller, key, key_len)? else {
                        return Ok(EINVAL);
                    };
                    code(pull(&mut caller, key.as_str(), Some(Part { off, len })).await)
                })
            },
        )
        .map(drop)
}

fn add_values(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        module,
        "state_create",
        |mut caller, (key, len, size): (u32, u32, u64)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
                let Some(host) = known(host(&mut caller)) else { return Ok(ENOSYS) };
                code(resting(&mut caller, host.create(key.as_str(), size)).await)
            })
        },
    )?;
    linker.func_wrap_async(module, "state_size", |mut caller, (key, len): (u32, u32)| {
        Box::new(async move {
            let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(INVALID) };
            Ok(match size(&mut caller, key.as_str()).await {
                Ok(size) => i64::try_from(size).unwrap_or(i64::MAX),
                Err(error) => i64::from(error.code()),
            })
        })
    })?;
    linker.func_wrap_async(module, "state_delete", |mut caller, (key, len): (u32, u32)| {
        Box::new(async move {
            let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
            let Some(host) = known(host(&mut caller)) else { return Ok(ENOSYS) };
            code(resting(&mut caller, host.delete(key.as_str())).await)
        })
    })?;
    linker.func_wrap_async(
        module,
        "state_read_appended",
        |mut caller, (key, key_len, elements, at, len): (u32, u32, u64, u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, key_len)? else { return Ok(INVALID) };
                let read = read_appended(&mut caller, key.as_str(), elements, at, len).await?;
                Ok(long(read))
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "state_clear_appended",
        |mut caller, (key, len): (u32, u32)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
                code(clear_appended(&mut caller, key.as_str()).await)
            })
        },
    )?;
    Ok(())
}

fn add_locks(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        module,
        "state_lock",
        |mut caller, (key, len, what, ms): (u32, u32, u32, i64)| {
            Box::new(async move {
                let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
                let Some((reach, mode)) = lock_of(what) else { return Ok(EINVAL) };
                let limit = u64::try_from(ms).ok().map(Duration::from_millis);
                code(lock(&mut caller, key.as_str(), reach, mode, limit).await)
            })
        },
    )?;
    linker.func_wrap_async(module, "state_unlock", |mut caller, params: (u32, u32, u32)| {
        Box::new(async move {
            let (key, len, what) = params;
            let Some(key) = Key::read(&mut caller, key, len)? else { return Ok(EINVAL) };
            let Some((reach, mode)) = lock_of(what) else { return Ok(EINVAL) };
            code(unlock(&mut caller, key.as_str(), reach, mode).await)
        })
    })?;
    Ok(())
}

const EINVAL: i32 = -(Errno::Inval as i32);
const INVALID: i64 = EINVAL as i64;
const ENOSYS: i32 = -(Errno::NoSys as i32);

/// The call's view of the state.
pub fn host(caller: &mut Caller<'_, State>) -> Result<Arc<dyn StateHost>, Errno> {
    caller.data_mut().views.host().cloned()
}

fn known(host: Result<Arc<dyn StateHost>, Errno>) -> Option<Arc<dyn StateHost>> {
    host.ok()
}

/// Polls a wait; when it does wait, the call gives its slot and its turn to others meanwhile.
pub async fn resting<T>(caller: &mut Caller<'_, State>, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    if let std::task::Poll::Ready(done) = futures_util::poll!(wait.as_mut()) {
        return done;
    }
    let _away = Away::begin(caller.data().host.clone());
    calls::waiting(caller, wait).await
}

/// Writes guest memory to the copy here.
pub async fn set(
    caller: &mut Caller<'_, State>,
    key: &str,
    what: Written,
    off: u64,
    at: u32,
    len: u32,
) -> Outcome<()> {
    guest::check(caller, at, len)?;
    let host = match host(caller) {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    let mut writer = match resting(caller, host.begin_write(key, what)).await {
        Ok(writer) => writer,
        Err(error) => return Ok(Err(error)),
    };
    let mut done = 0;
    while done < len {
        if done > 0 {
            yield_now().await;
        }
        let piece = PIECE.min(len - done);
        let bytes = guest::read(caller, at + done, piece)?;
        if let Err(error) = writer.write(off + u64::from(done), &bytes) {
            return Ok(Err(error));
        }
        done += piece;
    }
    writer.finish();
    Ok(Ok(()))
}

/// Copies a part of a value to guest memory.
pub async fn read(
    caller: &mut Caller<'_, State>,
    value: &Arc<dyn Value>,
    off: u64,
    at: u32,
    len: u32,
) -> Outcome<()> {
    guest::check(caller, at, len)?;
    let part = Part { off, len: u64::from(len) };
    if let Err(error) = resting(caller, value.fill(part, false)).await {
        return Ok(Err(error));
    }
    let mut buffer = vec![0; PIECE.min(len) as usize];
    let mut done = 0;
    while done < len {
        if done > 0 {
            yield_now().await;
        }
        let piece = PIECE.min(len - done);
        let Some(bytes) = buffer.get_mut(..piece as usize) else { break };
        if let Err(error) = value.read(off + u64::from(done), bytes) {
            return Ok(Err(error));
        }
        guest::write(caller, at + done, bytes)?;
        done += piece;
    }
    Ok(Ok(()))
}

/// Sends what was written here.
pub async fn push(caller: &mut Caller<'_, State>, key: &str, what: Pushed) -> Result<(), Errno> {
    let host = host(caller)?;
    resting(caller, host.push(key, what)).await
}

/// Makes the copy here equal to the value.
pub async fn pull(
    caller: &mut Caller<'_, State>,
    key: &str,
    part: Option<Part>,
) -> Result<(), Errno> {
    let host = host(caller)?;
    resting(caller, host.pull(key, part)).await
}

/// The size of a value.
pub async fn size(caller: &mut Caller<'_, State>, key: &str) -> Result<u64, Errno> {
    let host = host(caller)?;
    resting(caller, host.size(key)).await
}

/// Appends one element.
pub async fn append(caller: &mut Caller<'_, State>, key: &str, at: u32, len: u32) -> Outcome<()> {
    guest::check(caller, at, len)?;
    if len > MAX_ELEMENT {
        return Ok(Err(Errno::TooBig));
    }
    let bytes = Bytes::from(guest::read_long(caller, at, len).await?);
    let host = match host(caller) {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    Ok(resting(caller, host.append(key, bytes)).await)
}

/// Copies the first elements appended, as much as fits; gives how many bytes that is.
pub async fn read_appended(
    caller: &mut Caller<'_, State>,
    key: &str,
    elements: u64,
    at: u32,
    len: u32,
) -> Outcome<u32> {
    guest::check(caller, at, len)?;
    let host = match host(caller) {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    let pieces = match resting(caller, host.appended(key, elements, u64::from(len))).await {
        Ok(pieces) => pieces,
        Err(error) => return Ok(Err(error)),
    };
    let mut done = 0;
    for piece in pieces {
        guest::write_long(caller, at + done, &piece).await?;
        // They are no more than `len` bytes in all.
        done += u32::try_from(piece.len()).unwrap_or_default();
    }
    Ok(Ok(done))
}

/// Forgets what was appended.
pub async fn clear_appended(caller: &mut Caller<'_, State>, key: &str) -> Result<(), Errno> {
    let host = host(caller)?;
    resting(caller, host.clear_appended(key)).await
}

/// Takes a lock.
pub async fn lock(
    caller: &mut Caller<'_, State>,
    key: &str,
    reach: Reach,
    mode: Mode,
    limit: Option<Duration>,
) -> Result<(), Errno> {
    if reach == Reach::Node
        && let Some(taken) = caller.data_mut().views.host()?.try_lock(key, mode)
    {
        return taken;
    }
    let host = host(caller)?;
    resting(caller, host.lock(key, reach, mode, limit)).await
}

/// Releases a lock.
pub async fn unlock(
    caller: &mut Caller<'_, State>,
    key: &str,
    reach: Reach,
    mode: Mode,
) -> Result<(), Errno> {
    if reach == Reach::Node {
        return caller.data_mut().views.host()?.unlock_here(key, mode);
    }
    let host = host(caller)?;
    resting(caller, host.unlock(key, mode)).await
}

fn lock_of(what: u32) -> Option<(Reach, Mode)> {
    if what & !(WRITE | CLUSTER) != 0 {
        return None;
    }
    let reach = if what & CLUSTER != 0 { Reach::Cluster } else { Reach::Node };
    let mode = if what & WRITE != 0 { Mode::Write } else { Mode::Read };
    Some((reach, mode))
}

fn code(result: Result<(), Errno>) -> Code {
    Ok(result.map_or_else(Errno::code, |()| 0))
}

/// An address or a number of bytes, up to 2^32, or an error below 0.
fn long(result: Result<u32, Errno>) -> i64 {
    result.map_or_else(|error| i64::from(error.code()), i64::from)
}
