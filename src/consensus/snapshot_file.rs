//! A snapshot of the state in a file of its own: written beside, synced, renamed into place; read
//! with its checksum.
//!
//! Layout: magic (8 bytes), format version (4), index (8), term (8), length (8), BLAKE3 of all the
//! rest (32), data. Numbers are big-endian.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::log::{DiskError, Position};

const MAGIC: &[u8; 8] = b"faasmSNP";
const VERSION: u32 = 1;
const HEADER: usize = 68;
const PREFIX: &str = "snapshot-";

/// Writes a snapshot; durable on return.
pub fn write(dir: &Path, at: Position, data: &[u8]) -> Result<(), DiskError> {
    let path = path(dir, at);
    let beside = path.with_extension("new");
    let all = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&header(at, data))?;
        file.write_all(data)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(dir)?.sync_all()
    };
    all().map_err(|error| DiskError::Io {
        what: format!("writing {}", path.display()),
        why: error.to_string(),
    })
}

/// Reads and verifies a snapshot.
pub fn read(dir: &Path, at: Position) -> Result<Vec<u8>, DiskError> {
    let path = path(dir, at);
    let corrupt =
        |why: &str| DiskError::Corrupt { what: path.display().to_string(), why: why.to_owned() };
    let mut data = fs::read(&path).map_err(|error| corrupt(&error.to_string()))?;
    if data.len() < HEADER {
        return Err(corrupt("it is shorter than its header"));
    }
    let stored: Vec<u8> = data.drain(..HEADER).collect();
    if stored[..8] != MAGIC[..] {
        return Err(corrupt("it is no snapshot file"));
    }
    if stored[8..12] != VERSION.to_be_bytes() {
        return Err(corrupt("it has a format that this build does not read"));
    }
    if stored != header(at, &data) {
        return Err(corrupt("its checksum does not match"));
    }
    Ok(data)
}

/// Deletes all snapshot files but one, also half-written ones. Failing is harmless: the next
/// snapshot tries again.
pub fn remove_others(dir: &Path, keep: Option<Position>) {
    let keep = keep.map(|at| path(dir, at));
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && Some(&path) != keep.as_ref() {
            let _ = fs::remove_file(&path);
        }
    }
}

fn path(dir: &Path, at: Position) -> PathBuf {
    dir.join(format!("{PREFIX}{:020}-{}", at.index, at.term))
}

fn header(at: Position, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    for number in [at.index, at.term, data.len() as u64] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes);
    hasher.update(data);
    bytes.extend_from_slice(hasher.finalize().as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { index: 7, term: 2 };

    #[test]
    fn a_snapshot_reads_back_and_replaces_older_ones() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), Position { index: 3, term: 1 }, b"old").unwrap();
        write(dir.path(), AT, b"state").unwrap();
        fs::write(dir.path().join("snapshot-half.new"), b"x").unwrap();
        remove_others(dir.path(), Some(AT));
        assert_eq!(read(dir.path(), AT).unwrap(), b"state");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), AT, b"state").unwrap();
        let file = path(dir.path(), AT);
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, &bad).unwrap();
            let error = read(dir.path(), AT).unwrap_err();
            assert!(matches!(error, DiskError::Corrupt { .. }), "byte {at}: {error}");
            fs::write(&file, &good[..at]).unwrap();
            assert!(read(dir.path(), AT).is_err(), "cut at {at}");
        }
        fs::remove_file(&file).unwrap();
        assert!(read(dir.path(), AT).unwrap_err().to_string().contains("snapshot-"));
    }
}
