//! Compiled modules on disk.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::id::BlobHash;

/// Largest artifact read, in bytes; compiled code is some ten times its module.
const MAX_ARTIFACT: u64 = 2 << 30;
/// Bytes of artifacts kept on disk; the oldest go first. They can be compiled again.
const MAX_DISK: u64 = 8 << 30;
const ENDING: &str = "cwasm";

/// The folder of artifacts of one engine.
pub struct Artifacts {
    dir: PathBuf,
    engine: u64,
    parts: AtomicU64,
}

impl Artifacts {
    /// Makes the folder, and removes what an earlier process left half-written.
    pub fn open(dir: PathBuf, engine: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "part") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { dir, engine, parts: AtomicU64::new(0) })
    }

    /// The bytes kept for a module, unchecked.
    pub fn read(&self, wasm: &BlobHash) -> Option<Bytes> {
        let file = fs::File::open(self.path(wasm)).ok()?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_ARTIFACT).read_to_end(&mut bytes);
        read.is_ok().then(|| Bytes::from(bytes))
    }

    /// Keeps the artifact of a module. A node that cannot (a full disk) compiles again later.
    pub fn write(&self, wasm: &BlobHash, bytes: &[u8]) {
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        let part = self.dir.join(format!("{}.part", part));
        let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, self.path(wasm)));
        if let Err(error) = written {
            tracing::warn!(%wasm, %error, "the compiled module could not be kept on disk");
            let _ = fs::remove_file(&part);
        }
        trim(&self.dir, MAX_DISK);
    }

    fn path(&self, wasm: &BlobHash) -> PathBuf {
        self.dir.join(format!("{wasm}-{:016x}.{ENDING}", self.engine))
    }
}

/// Removes the oldest artifacts until the rest fits.
fn trim(dir: &Path, limit: u64) {
    let Ok(listing) = fs::read_dir(dir) else { return };
    let mut files: Vec<_> = listing
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == ENDING))
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some((about.modified().ok()?, about.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if total <= limit {
            break;
        }
        if fs::remove_file(&path).is_ok() {
            total -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_kept_per_engine() {
        let dir = tempfile::tempdir().unwrap();
        let wasm = BlobHash::of(b"wasm");
        let one = Artifacts::open(dir.path().into(), 1).unwrap();
        one.write(&wasm, b"code");
        assert_eq!(one.read(&wasm).unwrap(), "code");
        assert_eq!(Artifacts::open(dir.path().into(), 2).unwrap().read(&wasm), None);
    }

    #[test]
    fn half_written_files_are_removed_and_the_disk_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("7.part"), b"x").unwrap();
        let artifacts = Artifacts::open(dir.path().into(), 1).unwrap();
        assert!(!dir.path().join("7.part").exists());
        for n in 0..4u8 {
            artifacts.write(&BlobHash([n; 32]), &[0; 10]);
        }
        trim(dir.path(), 20);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
