//! The second door: state, under the names and types that existing Faasm functions have. A value
//! that is missing begins with the length that the caller names; its first push makes it.

use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::faasm::must;
use super::state::{self, Outcome};
use super::state_key::Key;
use super::state_windows;
use crate::errno::Errno;
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
                let read = read_state(&mut caller, key, into, len).await?;
                must("read_state", read)
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
                            read_part(&mut caller, key, part, missing, into).await?
                        }
                        (Err(error), _) | (_, Err(error)) => Err(error),
                    };
                    must("read_state_offset", read.map(|()| 0)).map(drop)
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
                let got = pointer(&mut caller, key, total, None).await?;
                must("read_state_ptr", got.map(u32::cast_signed))
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
                        Ok(part) => pointer(&mut caller, key, total, Some(part)).await?,
                        Err(error) => Err(error),
                    };
                    must("read_state_offset_ptr", got.map(u32::cast_signed))
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
                let set = match Key::read_c(&mut caller, key)? {
                    Some(key) => {
                        let what = Written::All(u64::from(len));
                        state::set(&mut caller, key.as_str(), what, 0, at, len).await?
                    }
                    None => Err(Errno::Inval),
                };
                must("write_state", set.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_write_state_offset",
        |mut caller, (key, total, off, at, len): (u32, i32, i32, u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let set = match (key, part(off, len), missing(total)) {
                    (Some(key), Ok(part), Ok(missing)) => {
                        let what = Written::Part(part, missing);
                        let len = len.cast_unsigned();
                        state::set(&mut caller, key.as_str(), what, part.off, at, len).await?
                    }
                    _ => Err(Errno::Inval),
                };
                must("write_state_offset", set.map(|()| 0)).map(drop)
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
                    Key::read_c(&mut caller, key)?;
                    super::guest::read_string(&mut caller, path)?;
                    must("write_state_from_file", Err(Errno::NoEnt))
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
                let appended = match Key::read_c(&mut caller, key)? {
                    Some(key) => state::append(&mut caller, key.as_str(), at, len).await?,
                    None => Err(Errno::Inval),
                };
                must("append_state", appended.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_read_appended_state",
        |mut caller, (key, at, len, elements): (u32, u32, u32, i32)| {
            Box::new(async move {
                let key = Key::read_c(&mut caller, key)?;
                let read = match (key, u64::try_from(elements)) {
                    (Some(key), Ok(elements)) => {
                        let key = key.as_str();
                        state::read_appended(&mut caller, key, elements, at, len).await?
                    }
                    _ => Err(Errno::Inval),
                };
                must("read_appended_state", read.map(|_| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_clear_appended_state",
        |mut caller, (key,): (u32,)| {
            Box::new(async move {
                let cleared = match Key::read_c(&mut caller, key)? {
                    Some(key) => state::clear_appended(&mut caller, key.as_str()).await,
                    None => Err(Errno::Inval),
                };
                must("clear_appended_state", cleared.map(|()| 0)).map(drop)
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
                let flagged = flag(&mut caller, key, total, part(0, total)).await;
                must("flag_state_dirty", flagged.map(|()| 0)).map(drop)
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
                    let flagged = flag(&mut caller, key, total, part(off, len)).await;
                    must("flag_state_offset_dirty", flagged.map(|()| 0)).map(drop)
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
                let pushed = match Key::read_c(&mut caller, key)? {
                    Some(key) => state::push(&mut caller, key.as_str(), what).await,
                    None => Err(Errno::Inval),
                };
                must(name, pushed.map(|()| 0)).map(drop)
            })
        })?;
    }
    linker.func_wrap_async(
        MODULE,
        "__faasm_push_state_partial_mask",
        |mut caller, (key, mask): (u32, u32)| {
            Box::new(async move {
                let (key, mask) = (Key::read_c(&mut caller, key)?, Key::read_c(&mut caller, mask)?);
                let pushed = match (key, mask) {
                    (Some(key), Some(mask)) => {
                        let what = Pushed::Masked(mask.as_str().to_owned());
                        state::push(&mut caller, key.as_str(), what).await
                    }
                    _ => Err(Errno::Inval),
                };
                must("push_state_partial_mask", pushed.map(|()| 0)).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "__faasm_pull_state",
        |mut caller, (key, _len): (u32, i32)| {
            Box::new(async move {
                let pulled = match Key::read_c(&mut caller, key)? {
                    Some(key) => state::pull(&mut caller, key.as_str(), None).await,
                    None => Err(Errno::Inval),
                };
                must("pull_state", pulled.map(|()| 0)).map(drop)
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
                let done = match Key::read_c(&mut caller, key)? {
                    None => Err(Errno::Inval),
                    Some(key) if take => {
                        state::lock(&mut caller, key.as_str(), Reach::Node, mode, None).await
                    }
                    Some(key) => state::unlock(&mut caller, key.as_str(), Reach::Node, mode).await,
                };
                must(name, done.map(|()| 0)).map(drop)
            })
        })?;
    }
    Ok(())
}

/// Copies a value, at most `len` bytes; gives their number, or the size when `len` is 0. A value
/// that is missing has size 0.
async fn read_state(
    caller: &mut Caller<'_, State>,
    key: Option<Key>,
    into: u32,
    len: i32,
) -> Outcome<i32> {
    let (Some(key), Ok(len)) = (key, u64::try_from(len)) else { return Ok(Err(Errno::Inval)) };
    let value = match open(caller, &key, Missing::Fail).await {
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
    key: Option<Key>,
    part: Part,
    missing: Missing,
    into: u32,
) -> Outcome<()> {
    let Some(key) = key else { return Ok(Err(Errno::Inval)) };
    let value = match open(caller, &key, missing).await {
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
    key: Option<Key>,
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
    key: Option<Key>,
    total: i32,
    part: Result<Part, Errno>,
) -> Result<(), Errno> {
    let (key, part) = (key.ok_or(Errno::Inval)?, part?);
    let flagged = caller.data_mut().views.host()?.flag(key.as_str(), Some(part));
    if flagged != Err(Errno::NoEnt) {
        return flagged;
    }
    open(caller, &key, missing(total)?).await?;
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

fn part(off: i32, len: i32) -> Result<Part, Errno> {
    let number = |value: i32| u64::try_from(value).map_err(|_| Errno::Inval);
    Ok(Part { off: number(off)?, len: number(len)? })
}

fn missing(total: i32) -> Result<Missing, Errno> {
    u64::try_from(total).map(Missing::Begin).map_err(|_| Errno::Inval)
}
