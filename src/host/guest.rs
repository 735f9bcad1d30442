//! Reading and writing guest memory: bounds first, then raw copies. Never a reference into it:
//! others may write there at the same time (pins, shared regions).

use wasmtime::{AsContextMut, Caller, Extern, Memory, Trap};

use crate::function::{State, yield_now};

/// Bytes copied before the others of this worker have their turn: some 50 µs.
const PIECE: usize = 512 << 10;
/// Longest C string read, in bytes, without its NUL.
pub const MAX_STRING: usize = 4096;

/// A range of guest memory that was checked against its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// Takes the range if it is within `size` bytes.
    fn check(at: u32, len: u32, size: usize) -> Result<Self, Trap> {
        let start = at as usize;
        let len = len as usize;
        match start.checked_add(len) {
            Some(end) if end <= size => Ok(Self { start, len }),
            _ => Err(Trap::MemoryOutOfBounds),
        }
    }
}

/// The instance's memory. An error ends the call.
pub fn memory(caller: &mut Caller<'_, State>) -> wasmtime::Result<Memory> {
    if let Some(memory) = caller.data().memory {
        return Ok(memory);
    }
    // A start function calls before the instance is known.
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(wasmtime::Error::msg("the module does not export its memory")),
    }
}

/// Checks a range; the trap ends the instance.
pub fn check(caller: &mut Caller<'_, State>, at: u32, len: u32) -> wasmtime::Result<()> {
    let size = memory(caller)?.data_size(&*caller);
    Span::check(at, len, size)?;
    Ok(())
}

/// Copies a short range out of the guest; use [`read_long`] for what may be long.
pub fn read(caller: &mut Caller<'_, State>, at: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
    let memory = memory(caller)?;
    let span = Span::check(at, len, memory.data_size(&*caller))?;
    let mut bytes = Vec::with_capacity(span.len);
    append(caller, memory, span, &mut bytes);
    Ok(bytes)
}

/// Copies a short range out of the guest, as long as `into`.
pub fn read_into(caller: &mut Caller<'_, State>, at: u32, into: &mut [u8]) -> wasmtime::Result<()> {
    let memory = memory(caller)?;
    let len = u32::try_from(into.len()).map_err(|_| Trap::MemoryOutOfBounds)?;
    let span = Span::check(at, len, memory.data_size(&*caller))?;
    let base = memory.data_ptr(caller.as_context_mut());
    // SAFETY: the source as in `write`, the target is `into`, which is host memory and as long.
    unsafe { std::ptr::copy_nonoverlapping(base.add(span.start), into.as_mut_ptr(), span.len) };
    Ok(())
}

/// Copies a range of any length, letting others run between pieces.
pub async fn read_long(
    caller: &mut Caller<'_, State>,
    at: u32,
    len: u32,
) -> wasmtime::Result<Vec<u8>> {
    let memory = memory(caller)?;
    let span = Span::check(at, len, memory.data_size(&*caller))?;
    let mut bytes = Vec::with_capacity(span.len);
    while bytes.len() < span.len {
        if !bytes.is_empty() {
            yield_now().await;
        }
        let start = span.start + bytes.len();
        let len = PIECE.min(span.len - bytes.len());
        append(caller, memory, Span { start, len }, &mut bytes);
    }
    Ok(bytes)
}

/// Copies bytes into the guest; use [`write_long`] for what may be long.
pub fn write(caller: &mut Caller<'_, State>, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let memory = memory(caller)?;
    let len = u32::try_from(bytes.len()).map_err(|_| Trap::MemoryOutOfBounds)?;
    let span = Span::check(at, len, memory.data_size(&*caller))?;
    let base = memory.data_ptr(caller.as_context_mut());
    // SAFETY: the range is within the memory (checked above), which neither moves nor shrinks and
    // stays mapped while its guest is in this call; `bytes` is host memory, so they do not
    // overlap. No reference into guest memory is made. Test: `a_bad_pointer_traps_that_instance`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(span.start), span.len) };
    Ok(())
}

/// Copies bytes of any length into the guest, letting others run between pieces.
pub async fn write_long(
    caller: &mut Caller<'_, State>,
    at: u32,
    bytes: &[u8],
) -> wasmtime::Result<()> {
    // All of the range is checked before any of it is written.
    let len = u32::try_from(bytes.len()).map_err(|_| Trap::MemoryOutOfBounds)?;
    check(caller, at, len)?;
    let mut at = at;
    for (n, piece) in bytes.chunks(PIECE).enumerate() {
        if n > 0 {
            yield_now().await;
        }
        write(caller, at, piece)?;
        // Within the range checked above, so it cannot wrap before the last piece.
        at = at.wrapping_add(PIECE as u32);
    }
    Ok(())
}

/// Reads a little-endian 32-bit value.
pub fn read_u32(caller: &mut Caller<'_, State>, at: u32) -> wasmtime::Result<u32> {
    let bytes = read(caller, at, 4)?;
    Ok(bytes.try_into().map_or(0, u32::from_le_bytes))
}

/// Writes a little-endian 32-bit value.
pub fn write_u32(caller: &mut Caller<'_, State>, at: u32, value: u32) -> wasmtime::Result<()> {
    write(caller, at, &value.to_le_bytes())
}

/// Reads a C string without its NUL; `None` when it is longer than [`MAX_STRING`].
pub fn read_string(caller: &mut Caller<'_, State>, at: u32) -> wasmtime::Result<Option<Vec<u8>>> {
    let size = memory(caller)?.data_size(&*caller);
    let room = size.saturating_sub(at as usize);
    let len = room.min(MAX_STRING + 1);
    let mut bytes = read(caller, at, u32::try_from(len).unwrap_or(u32::MAX))?;
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => {
            bytes.truncate(end);
            Ok(Some(bytes))
        }
        // The string runs out of memory.
        None if room <= MAX_STRING => Err(Trap::MemoryOutOfBounds.into()),
        None => Ok(None),
    }
}

fn append(caller: &mut Caller<'_, State>, memory: Memory, span: Span, into: &mut Vec<u8>) {
    into.reserve(span.len);
    let base = memory.data_ptr(caller.as_context_mut());
    // SAFETY: the source as in `write`; the target has room for `len` more bytes (reserved), all
    // of which are written before the length says so.
    unsafe {
        let target = into.as_mut_ptr().add(into.len());
        std::ptr::copy_nonoverlapping(base.add(span.start), target, span.len);
        into.set_len(into.len() + span.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_within_the_memory() {
        assert_eq!(Span::check(0, 10, 10), Ok(Span { start: 0, len: 10 }));
        assert_eq!(Span::check(10, 0, 10), Ok(Span { start: 10, len: 0 }));
        for (at, len) in [(0, 11), (11, 0), (u32::MAX, u32::MAX), (1, u32::MAX)] {
            assert_eq!(Span::check(at, len, 10), Err(Trap::MemoryOutOfBounds));
        }
    }
}
