//! Pointers into copies of values: mapping them, and giving them back.

use std::sync::Arc;

use wasmtime::Caller;

use super::state::{CREATE, Outcome, PULL, host, resting};
use super::{guest, heap};
use crate::errno::Errno;
use crate::function::State;
use crate::function::memfd::PAGE;
use crate::function::regions::{Kind, Window};
use crate::function::values::{Missing, Part, Value};

/// A pointer to all of a value; its size is written to the guest.
pub async fn get_all(
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
    let Some(place) = caller.data().growth.window() else { return Ok(Err(Errno::Limit)) };
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
    let kind = Kind::Window(Arc::new(Window { file, off, len, held: Box::new((held, place)) }));
    let address = match heap::map(caller, len, kind).await? {
        Ok(address) => address,
        // The guest's memory ends before it does.
        Err(Errno::NoMem) => return Ok(Err(Errno::TooBig)),
        Err(error) => return Ok(Err(error)),
    };
    let views = &mut caller.data_mut().views;
    Ok(views.add(key, value.clone(), window, address, part).ok_or(Errno::TooBig))
}

/// Gives a pointer back.
pub fn release(caller: &mut Caller<'_, State>, pointer: u32) -> i32 {
    match caller.data_mut().views.release(pointer) {
        Ok(Some(address)) => {
            heap::unmap(caller, address);
            0
        }
        Ok(None) => 0,
        Err(error) => error.code(),
    }
}
