//! The files of a rank, in memory: those that came with its job, and what it writes. They are gone
//! with it; what rank 0 wrote goes into the job's output.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::growth::Budget;
use crate::wire::bundle;

/// Most files and folders of a rank.
const MAX_ENTRIES: usize = 20_000;
/// Most bytes that a rank's files may take beyond those that came with its job.
const MAX_BYTES: u64 = 1 << 30;

/// Why something cannot be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// There is none.
    Missing,
    /// There is one.
    Exists,
    /// It is a folder.
    IsFolder,
    /// It is none.
    NoFolder,
    /// The folder is not empty.
    NotEmpty,
    /// No room.
    Full,
    /// The path cannot be.
    Invalid,
}

/// What the files of one rank take, of the node's budget for guest memory too.
struct Room {
    used: AtomicU64,
    budget: Arc<Budget>,
}

impl Room {
    fn take(&self, bytes: u64) -> Result<(), FileError> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used <= MAX_BYTES && self.budget.take(bytes) {
            return Ok(());
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Err(FileError::Full)
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.give(bytes);
    }
}

/// What a file holds.
pub struct Content {
    given: Bytes,
    own: Option<Vec<u8>>,
    /// What `own` takes of the room.
    taken: u64,
    room: Arc<Room>,
}

/// One file, also after its name is gone.
pub type File = Arc<Mutex<Content>>;

/// What a name stands for.
#[derive(Clone)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file.
    File(File),
}

/// A rank's tree of files. Paths are as [`bundle::normal`] gives them; the root is empty.
pub struct Files {
    entries: BTreeMap<String, Entry>,
    room: Arc<Room>,
}

impl Content {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.own.as_deref().unwrap_or(&self.given)
    }

    /// Takes the room that it needs to be of so many bytes of its own.
    fn takes(&mut self, len: u64) -> Result<(), FileError> {
        match len.checked_sub(self.taken) {
            Some(more) => self.room.take(more)?,
            None => self.room.give(self.taken - len),
        }
        self.taken = len;
        Ok(())
    }

    /// Becomes of this length.
    fn resize(&mut self, len: u64) -> Result<(), FileError> {
        // What is given is copied first.
        self.takes(len.max(self.bytes().len() as u64))?;
        let own = self.own();
        own.resize(usize::try_from(len).map_err(|_| FileError::Full)?, 0);
        own.shrink_to_fit();
        self.takes(len)
    }

    fn own(&mut self) -> &mut Vec<u8> {
        self.own.get_or_insert_with(|| self.given.to_vec())
    }

    /// Writes at a place; what is between the end and there becomes zeros.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let own = self.own();
        let end = at + bytes.len();
        if own.len() < end {
            own.resize(end, 0);
        }
        if let Some(place) = own.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.room.give(self.taken);
    }
}

impl Files {
    /// None; what is written is charged to the budget.
    pub fn new(budget: Arc<Budget>) -> Self {
        let room = Arc::new(Room { used: AtomicU64::new(0), budget });
        Self { entries: BTreeMap::new(), room }
    }

    /// The files of a bundle; its stdin and its environment apart.
    pub fn of(
        input: &Bytes,
        budget: Arc<Budget>,
    ) -> Result<(Self, Bytes, Vec<String>), &'static str> {
        let mut files = Self::new(budget);
        let (mut stdin, mut environment) = (Bytes::new(), Vec::new());
        for (path, content) in bundle::files(input)? {
            if path == bundle::STDIN {
                stdin = content;
                continue;
            }
            if path == bundle::ENVIRONMENT {
                environment = bundle::environment(&content);
                continue;
            }
            files.folders_above(&path);
            let file = files.file(content);
            files.entries.insert(path, Entry::File(file));
        }
        Ok((files, stdin, environment))
    }

    fn file(&self, given: Bytes) -> File {
        let room = self.room.clone();
        Arc::new(Mutex::new(Content { given, own: None, taken: 0, room }))
    }

    fn folders_above(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default();
            self.entries.entry(above.to_owned()).or_insert(Entry::Folder);
        }
    }

    /// What is there.
    pub fn find(&self, path: &str) -> Result<Entry, FileError> {
        match self.entries.get(path) {
            _ if path.is_empty() => Ok(Entry::Folder),
            Some(entry) => Ok(entry.clone()),
            None => Err(FileError::Missing),
        }
    }

    /// Makes a file or a folder where nothing is.
    pub fn make(&mut self, path: &str, folder: bool) -> Result<Entry, FileError> {
        if self.find(path).is_ok() {
            return Err(FileError::Exists);
        }
        match self.find(above(path))? {
            Entry::Folder => {}
            Entry::File(_) => return Err(FileError::NoFolder),
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(FileError::Full);
        }
        let entry = if folder { Entry::Folder } else { Entry::File(self.file(Bytes::new())) };
        self.entries.insert(path.to_owned(), entry.clone());
        Ok(entry)
    }

    /// Removes a file or an empty folder; an open file lives on without its name.
    pub fn remove(&mut self, path: &str, folder: bool) -> Result<(), FileError> {
        match (self.find(path)?, folder) {
            (Entry::File(_), true) => return Err(FileError::NoFolder),
            (Entry::Folder, false) => return Err(FileError::IsFolder),
            (Entry::Folder, true) if path.is_empty() || !self.list(path).is_empty() => {
                return Err(FileError::NotEmpty);
            }
            _ => {}
        }
        self.entries.remove(path);
        Ok(())
    }

    /// Gives what is at `from` another path, in place of a file that is there.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let entry = self.find(from)?;
        if from == to {
            return Ok(());
        }
        if from.is_empty() || to.starts_with(&format!("{from}/")) {
            return Err(FileError::Invalid);
        }
        if let Entry::File(_) = self.find(above(to))? {
            return Err(FileError::NoFolder);
        }
        match (&entry, self.find(to)) {
            (Entry::File(_), Ok(Entry::Folder)) => return Err(FileError::IsFolder),
            (Entry::Folder, Ok(Entry::File(_))) => return Err(FileError::NoFolder),
            (Entry::Folder, Ok(Entry::Folder)) => self.remove(to, true)?,
            _ => {}
        }
        let below = format!("{from}/");
        let moved: Vec<String> =
            self.entries.keys().filter(|p| p.starts_with(&below)).cloned().collect();
        for path in moved {
            if let (Some(entry), Some(end)) = (self.entries.remove(&path), path.get(from.len()..)) {
                self.entries.insert(format!("{to}{end}"), entry);
            }
        }
        self.entries.remove(from);
        self.entries.insert(to.to_owned(), entry);
        Ok(())
    }

    /// The names in a folder, and whether each is a folder.
    pub fn list(&self, folder: &str) -> Vec<(String, bool)> {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let within = self.entries.range(below.clone()..).take_while(|(p, _)| p.starts_with(&below));
        let direct = within.filter_map(|(path, entry)| {
            let name = path.get(below.len()..)?;
            let folder = matches!(entry, Entry::Folder);
            (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), folder))
        });
        direct.collect()
    }

    /// Writes into a file; all or nothing.
    pub fn write(&self, file: &File, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        let mut content = file.lock();
        let end = at.checked_add(bytes.len() as u64).ok_or(FileError::Full)?;
        let len = end.max(content.bytes().len() as u64);
        content.takes(len)?;
        content.write(usize::try_from(at).map_err(|_| FileError::Full)?, bytes);
        Ok(())
    }

    /// Cuts a file, or lengthens it with zeros.
    pub fn resize(&self, file: &File, len: u64) -> Result<(), FileError> {
        file.lock().resize(len)
    }

    /// What was written, as a bundle within so many bytes; empty if that was nothing.
    pub fn written(&self, most: u64) -> Bytes {
        let mut archive = bundle::MAGIC.to_vec();
        for (path, entry) in &self.entries {
            let Entry::File(file) = entry else { continue };
            let content = file.lock();
            if let Some(own) = &content.own
                && (archive.len() + own.len()) as u64 + 4096 <= most
            {
                bundle::append(&mut archive, path, own);
            }
        }
        if archive.len() == bundle::MAGIC.len() {
            return Bytes::new();
        }
        bundle::finish(&mut archive);
        Bytes::from(archive)
    }
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(files: &mut Files, path: &str, text: &[u8]) {
        let Ok(Entry::File(made)) = files.make(path, false) else { panic!("{path} is not made") };
        files.write(&made, 0, text).unwrap();
    }

    fn budget() -> Arc<Budget> {
        Budget::new(1 << 20, 1)
    }

    fn given() -> Files {
        let mut input = bundle::MAGIC.to_vec();
        bundle::append(&mut input, "in/a", b"given");
        bundle::append(&mut input, bundle::ENVIRONMENT, b"A=1\0");
        bundle::append(&mut input, bundle::STDIN, b"typed");
        bundle::finish(&mut input);
        let (files, stdin, environment) = Files::of(&Bytes::from(input), budget()).unwrap();
        assert_eq!((&stdin[..], &environment[..]), (&b"typed"[..], &["A=1".to_owned()][..]));
        files
    }

    #[test]
    fn a_tree_of_files_behaves_as_one() {
        let mut files = given();
        assert_eq!(files.list(""), [("in".to_owned(), true)]);
        assert_eq!(files.make("no/b", false).err(), Some(FileError::Missing));
        assert_eq!(files.make("in/a/b", false).err(), Some(FileError::NoFolder));
        file(&mut files, "in/b", b"b");
        assert_eq!(files.remove("in", true), Err(FileError::NotEmpty));
        files.make("out", true).unwrap();
        files.rename("in", "out/in").unwrap();
        assert_eq!(files.rename("out", "out/x"), Err(FileError::Invalid));
        assert_eq!(files.find("in/a").err(), Some(FileError::Missing));
        let Ok(Entry::File(a)) = files.find("out/in/a") else { panic!("it did not move") };
        files.write(&a, 7, b"!").unwrap();
        assert_eq!(a.lock().bytes(), b"given\0\0!");
        files.remove("out/in/a", false).unwrap();
        assert_eq!(a.lock().bytes().len(), 8);
    }

    #[test]
    fn what_was_written_comes_back_and_what_was_given_does_not() {
        let mut files = given();
        assert!(files.written(1 << 20).is_empty());
        file(&mut files, "result", b"42");
        let back = bundle::files(&files.written(1 << 20)).unwrap();
        assert_eq!(back, [("result".to_owned(), Bytes::from_static(b"42"))]);
        assert!(files.written(1000).is_empty());
    }

    #[test]
    fn what_files_take_is_bounded_and_given_back() {
        let budget = budget();
        let mut files = Files::new(budget.clone());
        let mut make = |path| match files.make(path, false) {
            Ok(Entry::File(made)) => made,
            _ => panic!("{path} is not made"),
        };
        let (one, two) = (make("one"), make("two"));
        assert_eq!(files.write(&one, MAX_BYTES, b"x"), Err(FileError::Full));
        assert_eq!(files.write(&one, u64::MAX, b"x"), Err(FileError::Full));
        assert_eq!(files.resize(&one, MAX_BYTES + 1), Err(FileError::Full));
        // The node's budget counts, and what is written again and again counts once.
        let most = vec![1; 600 << 10];
        for _ in 0..5 {
            files.write(&one, 0, &most).unwrap();
            assert_eq!(budget.used(), 600 << 10);
            files.resize(&one, 0).unwrap();
            assert_eq!(budget.used(), 0);
        }
        files.write(&one, 0, &most).unwrap();
        assert_eq!(files.write(&two, 0, &most), Err(FileError::Full));
        files.remove("one", false).unwrap();
        assert_eq!(files.write(&two, 0, &most), Err(FileError::Full), "it is still open");
        drop(one);
        files.write(&two, 0, &most).unwrap();
        drop((two, files));
        assert_eq!(budget.used(), 0);
    }
}
