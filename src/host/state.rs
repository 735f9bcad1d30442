//! Imports of module `faasm`: state.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::wasi_poll::Away;
use super::{calls, guest, heap};
use crate::errno::Errno;
use crate::function::memfd::PAGE;
use crate::function::regions::{Kind, Window};
use crate::function::values::{Missing, Mode, Part, Pushed, Reach, StateHost, Value, Written};
use crate::function::{State, yield_now};

/// Longest key, in bytes.
const MAX_KEY: usize = 512;
/// Flag of `state_get`: fetch what changed, also when a copy is here.
const PULL: u32 = 1;
/// Flag of `state_get`: make the value where there is none.
const CREATE: u32 = 2;
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

/// A key, copied out of the guest without taking memory for it.
pub struct Key {
    bytes: [u8; MAX_KEY],
    len: usize,
}

impl Key {
    /// Reads one; `None` when it cannot be a key.
    pub fn read(
        caller: &mut Caller<'_, State>,
        at: u32,
        len: u32,
    ) -> wasmtime::Result<Option<Self>> {
        let mut key = Self { bytes: [0; MAX_KEY], len: len as usize };
        let Some(bytes) = key.bytes.get_mut(..len as usize) else {
            guest::check(caller, at, len)?;
            return Ok(None);
        };
        guest::read_into(caller, at, bytes)?;
        let fine = !bytes.is_empty() && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        Ok(fine.then_some(key))
    }

    /// Reads one that ends with a NUL; `None` when it cannot be a key.
    pub fn read_c(caller: &mut Caller<'_, State>, at: u32) -> wasmtime::Result<Option<Self>> {
        let size = guest::memory(caller)?.data_size(&*caller);
        let room = size.saturating_sub(at as usize).min(MAX_KEY);
        let mut key = Self { bytes: [0; MAX_KEY], len: 0 };
        if let Some(bytes) = key.bytes.get_mut(..room.max(1)) {
            guest::read_into(caller, at, bytes)?;
        }
        let end = key.bytes.iter().position(|byte| *byte == 0).unwrap_or(MAX_KEY);
        // Of one that is as long as can be the NUL is the next byte.
        if end == room && guest::read(caller, at.saturating_add(room as u32), 1)? != [0] {
            return Ok(None);
        }
        key.len = end;
        let bytes = key.bytes.get(..end).unwrap_or_default();
        let fine = !bytes.is_empty() && std::str::from_utf8(bytes).is_ok();
        Ok(fine.then_some(key))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        // It was checked when it was read.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

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

async fn get_all(
    caller: &mut Caller<'_, State>,
    key: &str,
    size_at: u32,
    flags: u32,
) -> Outcome<u32> {
    guest::check(caller, size_at, if size_at == 0 { 0 } else { 8 })?;
    if flags & !(PULL | CREATE) != 0 || (size_at == 0 && flags & CREATE != 0) {
        return Ok(Err(Errno::Inval));
    }
    let missing = match flags & CREATE {
        0 => Missing::Fail,
        _ => {
            let mut bytes = [0; 8];
            guest::read_into(caller, size_at, &mut bytes)?;
            Missing::Create(u64::from_le_bytes(bytes))
        }
    };
    let (pointer, size) = match get(caller, key, None, missing, flags & PULL).await? {
        Ok(got) => got,
        Err(error) => return Ok(Err(error)),
    };
    if size_at != 0 {
        guest::write(caller, size_at, &size.to_le_bytes())?;
    }
    Ok(Ok(pointer))
}

/// A pointer to a value, or a part of it, and the value's size.
pub async fn get(
    caller: &mut Caller<'_, State>,
    key: &str,
    part: Option<Part>,
    missing: Missing,
    flags: u32,
) -> Outcome<(u32, u64)> {
    if flags & PULL == 0
        && let Some(found) = caller.data_mut().views.find(key, part)
    {
        return Ok(Ok(found));
    }
    let host = match host(caller) {
        Ok(host) => host,
        Err(error) => return Ok(Err(error)),
    };
    let hint = part.unwrap_or(Part { off: 0, len: u64::MAX });
    let value = match resting(caller, host.value(key, missing, Some(hint))).await {
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    let pulled = flags & PULL != 0 && part.is_none();
    if pulled {
        // What changed may be its size: that is to be known before it is mapped.
        let all = Part { off: 0, len: value.size() };
        if let Err(error) = resting(caller, value.fill(all, true)).await {
            return Ok(Err(error));
        }
    }
    let part = part.unwrap_or(Part { off: 0, len: value.size() });
    if part.end().is_ok_and(|end| end > value.size()) || part.end().is_err() {
        return Ok(Err(Errno::Inval));
    }
    let mapped = match map(caller, key, &value, part).await? {
        Ok(pointer) => pointer,
        Err(error) => return Ok(Err(error)),
    };
    if let Err(error) = resting(caller, value.fill(part, flags & PULL != 0 && !pulled)).await {
        release(caller, mapped);
        return Ok(Err(error));
    }
    // Now that it is here the window counts as filled.
    let views = &mut caller.data_mut().views;
    Ok(Ok((views.mapped(key, value.as_ref(), part).unwrap_or(mapped), value.size())))
}

/// Maps a part of a value, unless it is mapped.
async fn map(
    caller: &mut Caller<'_, State>,
    key: &str,
    value: &Arc<dyn Value>,
    part: Part,
) -> Outcome<u32> {
    let views = &mut caller.data_mut().views;
    if let Some(pointer) = views.pointer(key, value.as_ref(), part) {
        return Ok(Ok(pointer));
    }
    if !views.has_room() {
        return Ok(Err(Errno::Limit));
    }
    let off = part.off / PAGE * PAGE;
    let end = part.end().unwrap_or(u64::MAX).max(off + 1).checked_next_multiple_of(PAGE);
    let Some(len) = end.map(|end| end - off).filter(|len| *len < 1 << 32) else {
        return Ok(Err(Errno::TooBig));
    };
    let window = Part { off, len };
    let held = match resting(caller, value.map(window)).await {
        Ok(held) => held,
        Err(error) => return Ok(Err(error)),
    };
    let file = value.file().clone();
    let kind = Kind::Window(Arc::new(Window { file, off, len, held }));
    let address = match heap::map(caller, len, kind).await? {
        Ok(address) => address,
        // The guest's memory ends before it does.
        Err(Errno::NoMem) => return Ok(Err(Errno::TooBig)),
        Err(error) => return Ok(Err(error)),
    };
    let views = &mut caller.data_mut().views;
    Ok(views.add(key, value.clone(), window, address, part).ok_or(Errno::TooBig))
}

fn release(caller: &mut Caller<'_, State>, pointer: u32) -> i32 {
    match caller.data_mut().views.release(pointer) {
        Ok(Some(address)) => {
            heap::unmap(caller, address);
            0
        }
        Ok(None) => 0,
        Err(error) => error.code(),
    }
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
