//! The files of values, and what is kept of replaced chunks.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::behind::Behind;
use crate::state::values::{Fault, FileId, Files};
use crate::wire::state::CHUNK;

/// Most files that are held open, of each shard.
const MAX_OPEN: usize = 16;
/// Most chunks kept for readers: 1 GiB.
const MAX_KEPT: u64 = (1 << 30) / CHUNK;

/// Replaced chunks, in a file without a name, for all shards.
#[derive(Debug)]
pub struct Kept {
    file: File,
    places: Mutex<(Vec<u64>, u64)>,
}

impl Kept {
    /// An empty one, in this folder.
    pub fn new(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join("replaced");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file, places: Mutex::new((Vec::new(), 0)) })
    }

    fn put(&self, bytes: &[u8]) -> Option<u64> {
        let place = {
            let mut places = self.places.lock();
            match places.0.pop() {
                Some(place) => place,
                None if places.1 < MAX_KEPT => {
                    places.1 += 1;
                    places.1 - 1
                }
                None => return None,
            }
        };
        match self.file.write_all_at(bytes, place * CHUNK) {
            Ok(()) => Some(place),
            Err(_) => {
                self.free(&mut vec![place]);
                None
            }
        }
    }

    /// Reads one.
    pub fn read(&self, place: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.file.read_exact_at(into, place * CHUNK).map_err(|error| fault("replaced", &error))
    }

    /// Gives places back.
    pub fn free(&self, places: &mut Vec<u64>) {
        if places.is_empty() {
            return;
        }
        let mut all = self.places.lock();
        all.0.append(places);
        if all.0.len() as u64 == all.1 {
            *all = (Vec::new(), 0);
            // What is not given back stays until the next time.
            let _ = self.file.set_len(0);
        }
    }
}

/// The files of one shard.
#[derive(Debug)]
pub struct ShardFiles {
    dir: PathBuf,
    kept: Arc<Kept>,
    open: Mutex<HashMap<FileId, Arc<File>>>,
    behind: Mutex<Behind>,
    /// To be removed after the next checkpoint.
    pub doomed: Vec<FileId>,
}

impl ShardFiles {
    /// Those in this folder; makes it.
    pub fn new(dir: PathBuf, kept: Arc<Kept>) -> Self {
        let (open, behind) = (Mutex::default(), Mutex::default());
        Self { dir, kept, open, behind, doomed: Vec::new() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, file: FileId) -> PathBuf {
        self.dir.join(name(file))
    }

    fn get(&self, file: FileId, make: bool) -> Result<Option<Arc<File>>, Fault> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(&file) {
            return Ok(Some(Arc::clone(file)));
        }
        let path = self.path(file);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(make).truncate(false);
        let opened = options.open(&path).or_else(|error| {
            // Too many files are open: others can do without theirs.
            if is_not_found(&error) {
                return Err(error);
            }
            open.clear();
            options.open(&path)
        });
        let opened = match opened {
            Ok(file) => Arc::new(file),
            Err(error) if is_not_found(&error) && !make => return Ok(None),
            Err(error) => return Err(fault(&name(file), &error)),
        };
        if open.len() >= MAX_OPEN
            && let Some(first) = open.keys().next().copied()
        {
            open.remove(&first);
        }
        open.insert(file, Arc::clone(&opened));
        Ok(Some(opened))
    }

    /// A file to be read without holding the shard.
    pub fn reader(&self, file: FileId) -> Result<Option<Arc<File>>, Fault> {
        self.flush_one(file)?;
        self.get(file, false)
    }

    /// Writes what is held back. What could not be written is still held back.
    pub fn flush(&self) -> Result<(), Fault> {
        let mut behind = self.behind.lock();
        let put = |file, off, bytes: &[u8]| self.put(file, off, bytes);
        behind.files().into_iter().try_for_each(|file| behind.flush(file, &put))
    }

    fn flush_one(&self, file: FileId) -> Result<(), Fault> {
        self.behind.lock().flush(file, &|file, off, bytes| self.put(file, off, bytes))
    }

    fn put(&self, file: FileId, off: u64, bytes: &[u8]) -> Result<(), Fault> {
        let Some(open) = self.get(file, true)? else { return Ok(()) };
        open.write_all_at(bytes, off).map_err(|error| fault(&name(file), &error))
    }

    /// Where replaced chunks are.
    pub fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Forgets files that nobody needs any more; tells where they are.
    pub fn close(&self, files: &[FileId]) -> Vec<PathBuf> {
        let (mut behind, mut open) = (self.behind.lock(), self.open.lock());
        let close = |file: &FileId| {
            behind.forget(*file);
            open.remove(file);
            self.path(*file)
        };
        files.iter().map(close).collect()
    }

    /// Removes files that nobody needs any more.
    pub fn remove(&self, files: &[FileId]) {
        // If one stays, the next start removes it.
        self.close(files).iter().for_each(|path| drop(std::fs::remove_file(path)));
    }

    /// Removes everything.
    pub fn wipe(&mut self) -> std::io::Result<()> {
        self.open.lock().clear();
        self.behind.lock().clear();
        self.doomed.clear();
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&self.dir)
    }

    /// All files that are there.
    pub fn list(&self) -> std::io::Result<Vec<FileId>> {
        let entries = std::fs::read_dir(&self.dir)?;
        let names = entries.filter_map(|entry| parse(entry.ok()?.file_name().to_str()?));
        Ok(names.collect())
    }
}

/// Reads from an open file; what is behind its end is zeros.
pub fn read_at(file: Option<&File>, off: u64, into: &mut [u8]) -> std::io::Result<()> {
    let mut done = 0;
    while let Some(file) = file {
        let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) else { break };
        match file.read_at(rest, off + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    into.get_mut(done..).unwrap_or_default().fill(0);
    Ok(())
}

impl Files for ShardFiles {
    fn read(&self, file: FileId, off: u64, into: &mut [u8]) -> Result<(), Fault> {
        let mut behind = self.behind.lock();
        let covered = behind.covers(file, off, into.len());
        if !covered {
            let open = self.get(file, false)?;
            read_at(open.as_deref(), off, into).map_err(|error| fault(&name(file), &error))?;
        }
        behind.lay_over(file, off, into);
        if covered || !matches!(file, FileId::Value(_)) {
            return Ok(());
        }
        behind.remember(file, (off, into), &|file, off, bytes| self.put(file, off, bytes))
    }

    fn write(&self, file: FileId, off: u64, bytes: &[u8]) -> Result<(), Fault> {
        let put = |file, off, bytes: &[u8]| self.put(file, off, bytes);
        self.behind.lock().write(file, (off, bytes), &put)
    }

    fn cut(&self, file: FileId, len: u64) -> Result<(), Fault> {
        self.flush_one(file)?;
        let Some(open) = self.get(file, false)? else { return Ok(()) };
        let there = open.metadata().map_err(|error| fault(&name(file), &error))?.len();
        if there <= len {
            return Ok(());
        }
        open.set_len(len).map_err(|error| fault(&name(file), &error))
    }

    fn adopt(&mut self, file: FileId, name: FileId) -> Result<bool, Fault> {
        self.flush_one(file)?;
        // What has the name is of a life before.
        self.remove(&[name]);
        match std::fs::hard_link(self.path(file), self.path(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::StorageFull => Err(Fault::Full),
            // The file system has no second names: the bytes are copied.
            Err(error) => {
                tracing::debug!(%error, "a value takes no staged file over");
                Ok(false)
            }
        }
    }

    fn same(&self, one: FileId, other: FileId) -> bool {
        let inode = |file| std::fs::metadata(self.path(file)).map(|found| found.ino()).ok();
        inode(one).is_some() && inode(one) == inode(other)
    }

    fn doom(&mut self, file: FileId) {
        self.doomed.push(file);
    }

    fn keep(&self, bytes: &[u8]) -> Option<u64> {
        self.kept.put(bytes)
    }
}

fn is_not_found(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn name(file: FileId) -> String {
    match file {
        FileId::Value(seq) => format!("v{seq:016x}"),
        FileId::Bounds(seq) => format!("b{seq:016x}"),
        FileId::Stage(seq) => format!("s{seq:016x}"),
        FileId::Packed(seq) => format!("p{seq:016x}"),
    }
}

fn parse(name: &str) -> Option<FileId> {
    let kind = name.chars().next()?;
    let seq = u64::from_str_radix(name.get(1..)?, 16).ok()?;
    match kind {
        'v' => Some(FileId::Value(seq)),
        'b' => Some(FileId::Bounds(seq)),
        's' => Some(FileId::Stage(seq)),
        'p' => Some(FileId::Packed(seq)),
        _ => None,
    }
}

/// What a failed call means.
pub fn fault(what: &str, error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
        _ => Fault::Io(format!("{what}: {error}")),
    }
}
