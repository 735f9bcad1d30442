//! A rank's memory: for its own calls, and for those that send to it or receive from it. Every
//! access is a pin, of at most [`MAX_PIN`] bytes, so it is safe from any thread, also while the
//! rank ends. A range outside is an error, never a trap.

use std::sync::Arc;

use super::constants::MPI_ERR_BUFFER;
use super::error::{Error, Result};
use crate::function::memory::{Door, MAX_PIN, PinError};

/// The memory of one rank. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Door>);

impl Memory {
    /// Of the instance behind this door.
    pub fn new(door: Arc<Door>) -> Self {
        Self(door)
    }

    /// The door to it, for many small copies under one pin.
    pub fn door(&self) -> &Door {
        &self.0
    }

    /// Copies bytes out, all of them.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        let mut at = at;
        for piece in into.chunks_mut(MAX_PIN) {
            self.0.pin(at, piece.len()).map_err(outside)?.read(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Copies bytes in, all of them.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut at = at;
        for piece in bytes.chunks(MAX_PIN) {
            self.0.pin(at, piece.len()).map_err(outside)?.write(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Copies bytes of another rank's memory, or of this one's, where they may overlap, in one go.
    pub fn copy(&self, at: u64, from: &Memory, from_at: u64, len: u64) -> Result<()> {
        let mut done = 0;
        while done < len {
            let piece = usize::try_from(len - done).unwrap_or(MAX_PIN).min(MAX_PIN);
            let target = self.0.pin(at.wrapping_add(done), piece).map_err(outside)?;
            let source = from.0.pin(from_at.wrapping_add(done), piece).map_err(outside)?;
            target.copy(&source);
            done += piece as u64;
        }
        Ok(())
    }

    /// Copies bytes out into a vector of their own.
    pub fn read_vec(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        // Checked before the bytes are asked for.
        let end = at.checked_add(len as u64).ok_or_else(|| outside(PinError::OutOfBounds))?;
        self.0.pin(end, 0).map_err(outside)?;
        let mut bytes = vec![0; len];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads an `int`.
    pub fn read_i32(&self, at: u32) -> Result<i32> {
        let mut bytes = [0; 4];
        self.read(u64::from(at), &mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    }

    /// Writes an `int`, a handle, an `MPI_Aint` or a pointer.
    pub fn write_i32(&self, at: u32, value: i32) -> Result<()> {
        self.write(u64::from(at), &value.to_le_bytes())
    }

    /// Reads an `MPI_Count`.
    pub fn read_i64(&self, at: u32) -> Result<i64> {
        let mut bytes = [0; 8];
        self.read(u64::from(at), &mut bytes)?;
        Ok(i64::from_le_bytes(bytes))
    }

    /// Writes an `MPI_Count`.
    pub fn write_i64(&self, at: u32, value: i64) -> Result<()> {
        self.write(u64::from(at), &value.to_le_bytes())
    }

    /// Reads an array of `int`, handles or `MPI_Aint`; of `MPI_Count` when `wide`.
    pub fn read_array(&self, at: u32, count: usize, wide: bool) -> Result<Vec<i64>> {
        let size = if wide { 8 } else { 4 };
        let len = count.checked_mul(size).ok_or_else(|| outside(PinError::OutOfBounds))?;
        let bytes = self.read_vec(u64::from(at), len)?;
        let value = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        };
        Ok(bytes.chunks_exact(size).map(value).collect())
    }

    /// Writes an array of `int`, handles or `MPI_Aint`; of `MPI_Count` when `wide`.
    pub fn write_array(&self, at: u32, values: &[i64], wide: bool) -> Result<()> {
        let mut bytes = Vec::with_capacity(values.len() * 8);
        for value in values {
            let all = value.to_le_bytes();
            bytes.extend_from_slice(if wide { &all } else { &all[..4] });
        }
        self.write(u64::from(at), &bytes)
    }

    /// Reads a C string of at most `most` bytes without its NUL; `None` when it is longer.
    pub fn read_string(&self, at: u32, most: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while bytes.len() <= most {
            self.read(u64::from(at) + bytes.len() as u64, &mut byte)?;
            if byte[0] == 0 {
                return Ok(Some(bytes));
            }
            bytes.push(byte[0]);
        }
        Ok(None)
    }

    /// Writes a C string with its NUL, cut so that it takes at most `room` bytes.
    pub fn write_string(&self, at: u32, text: &[u8], room: usize) -> Result<()> {
        let mut bytes = text[..text.len().min(room.saturating_sub(1))].to_vec();
        bytes.push(0);
        self.write(u64::from(at), &bytes)
    }
}

/// The error of a range that cannot be reached.
pub fn outside(error: PinError) -> Error {
    Error::new(MPI_ERR_BUFFER, error.to_string())
}
