//! Keys of values, as guests give them.

use wasmtime::Caller;

use super::guest;
use crate::function::State;

/// Longest key, in bytes.
const MAX_KEY: usize = 512;

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
