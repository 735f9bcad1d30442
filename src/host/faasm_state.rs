//! The second door: state, under the names and types that existing Faasm functions have. A value
//! that is missing begins with the length that the caller names; its first push makes it.

use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::calls;
use super::state::{self, Outcome};
use super::state_key::Key;
use super::state_windows;
use crate::errno::{CallError, Errno};
use crate::function::State;
use crate::function::values::{Missing, Mode, Part, Pushed, Reach, Value, Written};

const MODULE: &str = "env";

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_reads(linker)?;
    add_pointers(linker)?;
    add_writes(linker)?;
    add_appends(linker)?;
    add_flags(linker)?;
    add_transfers(linker)?;
    add_locks(linker)
}

fn add_reads(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "__faasm_read_state",
        |mut caller, (key, into, len): (u32, u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let read = read_state(&mut caller, key.as_ref(), into, len).await?;
                told("read_state", key.as_ref(), read)
            })
        },
    )?;
    linker
        .func_wrap_async(
            MODULE,
            "__faasm_read_state_offset",
            |mut caller, (key, total, off, into, len): (u32, i32, i32, u32, i32)| {
                Box::new(async move {
                    let key = Key::read_c(&mut caller, key)?;
                    let read = match (part(off, len), missing(total)) {
                        (Ok(part), Ok(missing)) => {
                            read_part(&mut caller, key.as_ref(), part, missing, into).await?
                        }
                        (Err(error), _) | (_, Err(error)) => Err(error),
                    };
                    told("read_state_offset", key.as_ref(), read.map(|()| 0)).map(drop)
                })
            },
        )
        .map(drop)
}

fn add_pointers(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "__faasm_read_state_ptr",
        |mut caller, (key, total): (u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let got = pointer(&mut caller, key.as_ref(), total, None).await?;
                told("read_state_ptr", key.as_ref(), got.map(u32::cast_signed))
            })
        },
    )?;
    linker
        .func_wrap_async(
            MODULE,
            "__faasm_read_state_offset_ptr",
            |mut caller, (key, total, off, len): (u32, i32, i32, i32)| {
                Box::new(async move {
                    let key = Key::read_c(&mut caller, key)?;
                    let got = match part(off, len) {
                        Ok(part) => pointer(&mut caller, key.as_ref(), total, Some(part)).await?,
                        Err(error) => Err(error),
                    };
                    told("read_state_offset_ptr", key.as_ref(), got.map(u32::cast_signed))
                })
            },
        )
        .map(drop)
}

fn add_writes(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "__faasm_write_state",
        |mut caller, (key, at, len): (u32, u32, u32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let set = match &key {
                    Some(key) => {
                        let what = Written::All(u64::from(len));
                        state::set(&mut caller, key.as_str(), what, 0, at, len).await?
                    }
                    None => Err(Errno::Inval),
                };
                told("write_state", key.as_ref(), set.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_write_state_offset",
        |mut caller, (key, total, off, at, len): (u32, i32, i32, u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let set = match (&key, part(off, len), missing(total)) {
                    (Some(key), Ok(part), Ok(missing)) => {
                        let what = Written::Part(part, missing);
                        let len = len.cast_unsigned();
                        state::set(&mut caller, key.as_str(), what, part.off, at, len).await?
                    }
                    _ => Err(Errno::Inval),
                };
                told("write_state_offset", key.as_ref(), set.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker
        .func_wrap_async(
            MODULE,
            "__faasm_write_state_from_file",
            |mut caller, (key, path): (u32, u32)| {
                Box::new(async move {
                    // Both are read as they would be; there are no files.
                    let key = Key::read_c(&mut caller, key)?;
                    super::guest::read_string(&mut caller, path)?;
                    told("write_state_from_file", key.as_ref(), Err(Errno::NoEnt))
                })
            },
        )
        .map(drop)
}

fn add_appends(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "__faasm_append_state",
        |mut caller, (key, at, len): (u32, u32, u32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let appended = match &key {
                    Some(key) => state::append(&mut caller, key.as_str(), at, len).await?,
                    None => Err(Errno::Inval),
                };
                told("append_state", key.as_ref(), appended.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_read_appended_state",
        |mut caller, (key, at, len, elements): (u32, u32, u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let read = match (&key, u64::try_from(elements)) {
                    (Some(key), Ok(elements)) => {
                        let key = key.as_str();
                        state::read_appended(&mut caller, key, elements, at, len).await?
                    }
                    _ => Err(Errno::Inval),
                };
                told("read_appended_state", key.as_ref(), read.map(|_| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_clear_appended_state",
        |mut caller, (key,): (u32,)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let cleared = match &key {
                    Some(key) => state::clear_appended(&mut caller, key.as_str()).await,
                    None => Err(Errno::Inval),
                };
                told("clear_appended_state", key.as_ref(), cleared.map(|()| 0)).map(drop)
            })
        },
    )?;
    Ok(())
}

fn add_flags(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "__faasm_flag_state_dirty",
        |mut caller, (key, total): (u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let flagged = flag(&mut caller, key.as_ref(), total, part(0, total)).await;
                told("flag_state_dirty", key.as_ref(), flagged.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker
        .func_wrap_async(
            MODULE,
            "__faasm_flag_state_offset_dirty",
            |mut caller, (key, total, off, len): (u32, i32, i32, i32)| {
                Box::new(async move {
                    let key = Key::read_c(&mut caller, key)?;
                    let flagged = flag(&mut caller, key.as_ref(), total, part(off, len)).await;
                    told("flag_state_offset_dirty", key.as_ref(), flagged.map(|()| 0)).map(drop)
                })
            },
        )
        .map(drop)
}

fn add_transfers(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for (name, flagged) in [("push_state", false), ("push_state_partial", true)] {
        let import = format!("__faasm_{name}");
        linker.func_wrap_async(MODULE, &import, move |mut caller, (key,): (u32,)| {
            Box::new(async move {
                let what = if flagged { Pushed::Flagged } else { Pushed::Chunks };
                let key = Key::read_c(&mut caller, key)?;
                let pushed = match &key {
                    Some(key) => state::push(&mut caller, key.as_str(), what).await,
                    None => Err(Errno::Inval),
                };
                told(name, key.as_ref(), pushed.map(|()| 0)).map(drop)
            })
        })?;
    }
    linker.func_wrap_async(
        MODULE,
        "__faasm_push_state_partial_mask",
        |mut caller, (key, mask): (u32, u32)| {
            Box::new(async move {
                let (key, mask) = (Key::read_c(&mut caller, key)?, Key::read_c(&mut caller, mask)?);
                let pushed = match (&key, mask) {
                    (Some(key), Some(mask)) => {
                        let what = Pushed::Masked(mask.as_str().to_owned());
                        state::push(&mut caller, key.as_str(), what).await
                    }
                    _ => Err(Errno::Inval),
                };
                told("push_state_partial_mask", key.as_ref(), pushed.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_pull_state",
        |mut caller, (key, _len): (u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let pulled = match &key {
                    Some(key) => state::pull(&mut caller, key.as_str(), None).await,
                    None => Err(Errno::Inval),
                };
                told("pull_state", key.as_ref(), pulled.map(|()| 0)).map(drop)
            })
        },
    )?;
    Ok(())
}

fn add_locks(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let locks = [
        ("lock_state_read", true, Mode::Read),
        ("unlock_state_read", false, Mode::Read),
        ("lock_state_write", true, Mode::Write),
        ("unlock_state_write", false, Mode::Write),
    ];
    for (name, take, mode) in locks {
        let import = format!("__faasm_{name}");
        linker.func_wrap_async(MODULE, &import, move |mut caller, (key,): (u32,)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let done = match &key {
                    None => Err(Errno::Inval),
                    Some(key) if take => {
                        state::lock(&mut caller, key.as_str(), Reach::Node, mode, None).await
                    }
                    Some(key) => state::unlock(&mut caller, key.as_str(), Reach::Node, mode).await,
                };
                told(name, key.as_ref(), done.map(|()| 0)).map(drop)
            })
        })?;
    }
    Ok(())
}

/// Copies a value, at most `len` bytes; gives their number, or the size when `len` is 0. A value
/// that is missing has size 0.
async fn read_state(
    caller: &mut Caller<'_, State>,
    key: Option<&Key>,
    into: u32,
    len: i32,
) -> Outcome<i32> {
    let (Some(key), Ok(len)) = (key, u64::try_from(len)) else { return Ok(Err(Errno::Inval)) };
    let value = match open(caller, key, Missing::Fail).await {
        Err(Errno::NoEnt) if len == 0 => return Ok(Ok(0)),
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    let size = value.size();
    let count = u32::try_from(size.min(len)).unwrap_or(u32::MAX);
    if count > 0
        && let Err(error) = state::read(caller, &value, 0, into, count).await?
    {
        return Ok(Err(error));
    }
    let told = if len == 0 { size } else { u64::from(count) };
    Ok(i32::try_from(told).map_err(|_| Errno::TooBig))
}

async fn read_part(
    caller: &mut Caller<'_, State>,
    key: Option<&Key>,
    part: Part,
    missing: Missing,
    into: u32,
) -> Outcome<()> {
    let Some(key) = key else { return Ok(Err(Errno::Inval)) };
    let value = match open(caller, key, missing).await {
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    if part.end().is_ok_and(|end| end > value.size()) {
        return Ok(Err(Errno::Inval));
    }
    let len = u32::try_from(part.len).unwrap_or(u32::MAX);
    state::read(caller, &value, part.off, into, len).await
}

async fn pointer(
    caller: &mut Caller<'_, State>,
    key: Option<&Key>,
    total: i32,
    part: Option<Part>,
) -> Outcome<u32> {
    let (Some(key), Ok(missing)) = (key, missing(total)) else { return Ok(Err(Errno::Inval)) };
    let got = state_windows::get(caller, key.as_str(), part, missing, 0).await?;
    Ok(got.and_then(|(pointer, size)| {
        // Whoever asks for more than there is would go on past its end.
        let enough = part.is_some() || size >= u64::try_from(total).unwrap_or_default();
        if enough { Ok(pointer) } else { Err(Errno::Inval) }
    }))
}

async fn flag(
    caller: &mut Caller<'_, State>,
    key: Option<&Key>,
    total: i32,
    part: Result<Part, Errno>,
) -> Result<(), Errno> {
    let (key, part) = (key.ok_or(Errno::Inval)?, part?);
    let flagged = caller.data_mut().views.host()?.flag(key.as_str(), Some(part));
    if flagged != Err(Errno::NoEnt) {
        return flagged;
    }
    open(caller, key, missing(total)?).await?;
    caller.data_mut().views.host()?.flag(key.as_str(), Some(part))
}

async fn open(
    caller: &mut Caller<'_, State>,
    key: &Key,
    missing: Missing,
) -> Result<Arc<dyn Value>, Errno> {
    let host = state::host(caller)?;
    state::resting(caller, host.value(key.as_str(), missing, None)).await
}

/// What an import without room for an error gives; an error ends the call, and says of which value
/// and why.
fn told(what: &str, key: Option<&Key>, result: Result<i32, Errno>) -> wasmtime::Result<i32> {
    result.map_err(|error| {
        let of = key.map_or("a key that is none", Key::as_str);
        let why = match key {
            Some(_) => why(error),
            None => "a key has 1 to 512 bytes of UTF-8 before its NUL",
        };
        let detail = format!("__faasm_{what} of {of}: {why}; this import cannot return an error");
        calls::stop(CallError::new(error, detail))
    })
}

/// What an error of a value means.
fn why(error: Errno) -> &'static str {
    match error {
        Errno::Inval => "a length or an offset is negative, or outside of the value",
        Errno::NoEnt => "there is no such value, or no such file",
        Errno::Exist => "there is such a value already",
        Errno::NoMem => "the node has no memory for another copy, or all is mapped or not pushed",
        Errno::Limit => "the function uses too many values, or its memory is full",
        Errno::Quota => "the user's quota is used up, or the value would be too long",
        Errno::Perm => "the call holds no such lock, or only a lock for reading",
        Errno::Locked => "another call holds the global write lock",
        Errno::LockLost => "the call lost its global lock",
        Errno::DeadLk => "the call has the lock already, or waiting for it would never end",
        Errno::Stale => "the value was deleted, and perhaps made anew, since it was mapped",
        Errno::Again => "the value changed too often meanwhile",
        Errno::TooBig => "the value does not fit the memory or the numbers of a function",
        Errno::Unavailable => "no owner of the value answered in time",
        Errno::TimedOut => "the lock was not granted in time",
        Errno::Io => "the nodes' disks are full, or an owner answered nonsense",
        _ => "it cannot be done",
    }
}

fn part(off: i32, len: i32) -> Result<Part, Errno> {
    let number = |value: i32| u64::try_from(value).map_err(|_| Errno::Inval);
    Ok(Part { off: number(off)?, len: number(len)? })
}

fn missing(total: i32) -> Result<Missing, Errno> {
    u64::try_from(total).map(Missing::Begin).map_err(|_| Errno::Inval)
}
