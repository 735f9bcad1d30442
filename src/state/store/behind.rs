//! Short writes to the files of a shard that are held back: appends and their bounds mostly go
//! behind one another, and one call for many of them is worth it. The log has them until a
//! checkpoint, which writes all that is held back first.

use std::collections::HashMap;

use crate::state::values::{Fault, FileId};
use crate::wire::state::CHUNK;

/// Longest write that is held back.
const SHORT: usize = CHUNK as usize;
/// Bytes that are held back of one file.
const MAX_BYTES: usize = 8 << 10;
/// What stays when the rest is written: the end is what the next one needs.
const STAYS: usize = CHUNK as usize;
/// Files of which something is held back.
const MAX_FILES: usize = 32;

/// Writes bytes to a file, from an offset on.
type Put<'a> = &'a dyn Fn(FileId, u64, &[u8]) -> Result<(), Fault>;

/// Bytes of one file, from an offset on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Run {
    /// Where they belong.
    off: u64,
    /// What they are.
    bytes: Vec<u8>,
    /// So many of the first are in the file already.
    clean: usize,
}

impl Run {
    fn end(&self) -> u64 {
        self.off + self.bytes.len() as u64
    }

    /// Takes a write that begins within, or right behind; false if it does not.
    fn join(&mut self, off: u64, bytes: &[u8]) -> bool {
        if off < self.off || off > self.end() {
            return false;
        }
        let at = (off - self.off) as usize;
        self.clean = self.clean.min(at);
        let within = bytes.len().min(self.bytes.len() - at);
        let (inside, behind) = bytes.split_at(within);
        if let Some(place) = self.bytes.get_mut(at..at + within) {
            place.copy_from_slice(inside);
        }
        self.bytes.extend_from_slice(behind);
        true
    }

    /// Writes what the file does not have.
    fn put(&mut self, file: FileId, put: Put<'_>) -> Result<(), Fault> {
        let new = self.bytes.get(self.clean..).unwrap_or_default();
        if !new.is_empty() {
            put(file, self.off + self.clean as u64, new)?;
        }
        self.clean = self.bytes.len();
        Ok(())
    }

    /// All of it was written; its end may be needed soon.
    fn keep_end(&mut self) {
        let gone = self.bytes.len().saturating_sub(STAYS);
        self.bytes.drain(..gone);
        self.off += gone as u64;
        self.clean = self.bytes.len();
    }
}

/// What is held back, of all files of a shard.
#[derive(Debug, Default)]
pub struct Behind {
    runs: HashMap<FileId, Run>,
}

impl Behind {
    /// Holds a write back if it is short. `put` writes what is to be written now.
    pub fn write(
        &mut self,
        file: FileId,
        (off, bytes): (u64, &[u8]),
        put: Put<'_>,
    ) -> Result<(), Fault> {
        let short = bytes.len() <= SHORT;
        if let Some(run) = self.runs.get_mut(&file) {
            if short && run.join(off, bytes) {
                if run.bytes.len() > MAX_BYTES {
                    run.put(file, put)?;
                    run.keep_end();
                }
                return Ok(());
            }
            self.flush(file, put)?;
        }
        if !short {
            return put(file, off, bytes);
        }
        self.begin(file, Run { off, bytes: bytes.to_vec(), clean: 0 }, put)
    }

    /// Remembers a chunk that was read from a file: mostly it is written next.
    pub fn remember(
        &mut self,
        file: FileId,
        (off, bytes): (u64, &[u8]),
        put: Put<'_>,
    ) -> Result<(), Fault> {
        if bytes.len() != SHORT || self.runs.contains_key(&file) {
            return Ok(());
        }
        self.begin(file, Run { off, bytes: bytes.to_vec(), clean: bytes.len() }, put)
    }

    fn begin(&mut self, file: FileId, run: Run, put: Put<'_>) -> Result<(), Fault> {
        if self.runs.len() >= MAX_FILES
            && let Some(other) = self.runs.keys().next().copied()
        {
            self.flush(other, put)?;
        }
        self.runs.insert(file, run);
        Ok(())
    }

    /// Writes what is held back of a file. What could not be written is still held back.
    pub fn flush(&mut self, file: FileId, put: Put<'_>) -> Result<(), Fault> {
        let Some(run) = self.runs.get_mut(&file) else { return Ok(()) };
        run.put(file, put)?;
        self.runs.remove(&file);
        Ok(())
    }

    /// Forgets what is held back of a file.
    pub fn forget(&mut self, file: FileId) {
        self.runs.remove(&file);
    }

    /// Files of which something is held back.
    pub fn files(&self) -> Vec<FileId> {
        self.runs.keys().copied().collect()
    }

    /// Nothing is.
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// Whether a range is held back as a whole.
    pub fn covers(&self, file: FileId, off: u64, len: usize) -> bool {
        let run = self.runs.get(&file);
        run.is_some_and(|run| run.off <= off && off + len as u64 <= run.end())
    }

    /// Puts what is held back over what was read from the file.
    pub fn lay_over(&self, file: FileId, off: u64, into: &mut [u8]) {
        let Some(run) = self.runs.get(&file) else { return };
        let (start, end) = (run.off.max(off), run.end().min(off + into.len() as u64));
        if start >= end {
            return;
        }
        let from = (start - run.off) as usize..(end - run.off) as usize;
        let to = (start - off) as usize..(end - off) as usize;
        if let (Some(bytes), Some(place)) = (run.bytes.get(from), into.get_mut(to)) {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const FILE: FileId = FileId::Value(7);

    #[test]
    fn what_is_read_is_what_was_written_in_whatever_order() {
        let disk = RefCell::new(vec![0; 1 << 17]);
        let put = |_, off: u64, bytes: &[u8]| {
            let at = off as usize;
            disk.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        let (mut behind, mut model) = (Behind::default(), vec![0; 1 << 17]);
        let mut seed = 7_u64;
        let mut next = |most: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % most
        };
        let mut at = 0;
        for round in 0..20_000_u32 {
            let len = if next(50) == 0 { 5_000 } else { 1 + next(200) };
            let off = if next(10) == 0 { next(100_000) } else { at };
            let bytes = vec![round as u8 | 1; len as usize];
            behind.write(FILE, (off, &bytes), &put).unwrap();
            model[off as usize..(off + len) as usize].copy_from_slice(&bytes);
            at = (off + len) % 100_000;
            let (from, many) = (next(100_000), 1 + next(9_000) as usize);
            let many = if next(3) == 0 { SHORT } else { many };
            let mut read = disk.borrow()[from as usize..from as usize + many].to_vec();
            behind.lay_over(FILE, from, &mut read);
            assert!(read == model[from as usize..from as usize + many], "round {round}");
            behind.remember(FILE, (from, &read), &put).unwrap();
            if next(20) == 0 {
                behind.flush(FILE, &put).unwrap();
            }
        }
    }

    #[test]
    fn what_could_not_be_written_is_still_there_and_little_is_held_back() {
        let mut behind = Behind::default();
        let refused = |_, _, _: &[u8]| Err(Fault::Full);
        behind.write(FILE, (0, b"abc"), &refused).unwrap();
        assert_eq!(behind.flush(FILE, &refused), Err(Fault::Full));
        assert_eq!(behind.write(FILE, (100, b"d"), &refused), Err(Fault::Full));
        let mut read = [0; 3];
        behind.lay_over(FILE, 0, &mut read);
        assert_eq!(&read, b"abc");
        for file in 0..100 {
            for at in 0..100 {
                behind
                    .write(FileId::Value(file), (at * 1_000, &[1; 1_000]), &|_, _, _| Ok(()))
                    .unwrap();
            }
        }
        assert!(behind.runs.len() <= MAX_FILES);
        assert!(behind.runs.values().all(|run| run.bytes.len() <= MAX_BYTES));
    }
}
