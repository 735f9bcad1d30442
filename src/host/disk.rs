//! The open files of an instance: what the calls of WASI do to them.

use super::wasi::errno;
use crate::function::files::{Entry, File, FileError, Files};
use crate::wire::bundle;

/// The first descriptor that is a file: that of the folder.
pub const FIRST: u32 = 3;
/// A directory, in WASI's words.
pub const DIRECTORY: u8 = 3;
/// A file.
pub const REGULAR: u8 = 4;
/// Most files open at once.
const MAX_OPEN: usize = 1024;
/// Size of a directory entry without its name.
const DIRENT: usize = 24;
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;
const APPEND: u16 = 1;
const CREATE: u32 = 1;
const FOLDER: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;

/// What a call gives: a value, or the error of WASI.
pub type Asked<T> = Result<T, i32>;

/// An open descriptor.
pub enum Open {
    /// A folder, by its path.
    Folder(String),
    /// A file.
    File {
        /// Which.
        file: File,
        /// Where it is read and written next.
        at: u64,
        /// Whether it may be.
        rights: u64,
        /// WASI's flags.
        flags: u16,
    },
}

/// The files of an instance, and what it has open.
pub struct Disk {
    pub(super) files: Files,
    pub(super) open: Vec<Option<Open>>,
}

impl Disk {
    /// With the folder open.
    pub fn new(files: Files) -> Self {
        Self { files, open: vec![Some(Open::Folder(String::new()))] }
    }

    /// What was written, as a bundle of so many bytes at most.
    pub fn written(&self, most: u64) -> bytes::Bytes {
        self.files.written(most)
    }

    /// An open descriptor.
    pub fn get(&mut self, fd: u32) -> Asked<&mut Open> {
        let index = fd.checked_sub(FIRST).ok_or(errno::BADF)? as usize;
        self.open.get_mut(index).and_then(Option::as_mut).ok_or(errno::BADF)
    }

    /// An open file: its content, its place, its rights and flags.
    pub fn file(&mut self, fd: u32) -> Asked<(File, &mut u64, u64, u16)> {
        match self.get(fd)? {
            Open::Folder(_) => Err(errno::ISDIR),
            Open::File { file, at, rights, flags } => Ok((file.clone(), at, *rights, *flags)),
        }
    }

    /// The path that a name has in an open folder.
    pub fn path(&mut self, fd: u32, name: &str) -> Asked<String> {
        match self.get(fd)? {
            Open::File { .. } => Err(errno::NOTDIR),
            Open::Folder(folder) => bundle::normal(&format!("{folder}/{name}")).ok_or(errno::INVAL),
        }
    }

    fn add(&mut self, open: Open) -> Asked<u32> {
        let index = match self.open.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.open.len() >= MAX_OPEN => return Err(errno::MFILE),
            None => {
                self.open.push(None);
                self.open.len() - 1
            }
        };
        if let Some(place) = self.open.get_mut(index) {
            *place = Some(open);
        }
        u32::try_from(index).map(|index| index + FIRST).map_err(|_| errno::MFILE)
    }

    /// Opens or makes what a name stands for.
    pub fn open(&mut self, fd: u32, name: &str, how: u32, rights: u64, flags: u16) -> Asked<u32> {
        let path = self.path(fd, name)?;
        let entry = match self.files.find(&path) {
            Ok(_) if how & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE => return Err(errno::EXIST),
            Err(FileError::Missing) if how & CREATE != 0 => self.files.make(&path, false),
            found => found,
        };
        match entry.map_err(error)? {
            Entry::Folder if rights & RIGHT_WRITE != 0 && how & FOLDER == 0 => Err(errno::ISDIR),
            Entry::Folder => self.add(Open::Folder(path)),
            Entry::File(_) if how & FOLDER != 0 => Err(errno::NOTDIR),
            Entry::File(file) => {
                if how & TRUNCATE != 0 {
                    self.files.resize(&file, 0).map_err(error)?;
                }
                self.add(Open::File { file, at: 0, rights, flags })
            }
        }
    }

    /// Moves the place of a file.
    pub fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Asked<u64> {
        let (file, at, ..) = self.file(fd)?;
        let from = match whence {
            0 => 0,
            1 => *at,
            2 => file.lock().bytes().len() as u64,
            _ => return Err(errno::INVAL),
        };
        *at = from.checked_add_signed(offset).ok_or(errno::INVAL)?;
        Ok(*at)
    }

    /// Up to `len` bytes at the descriptor's place, or at another one.
    pub fn read(&mut self, fd: u32, at: Option<u64>, len: usize) -> Asked<Vec<u8>> {
        let (file, own, rights, _) = self.file(fd)?;
        if rights & RIGHT_READ == 0 {
            return Err(errno::BADF);
        }
        let from = usize::try_from(at.unwrap_or(*own)).map_err(|_| errno::INVAL)?;
        let content = file.lock();
        let rest = content.bytes().get(from..).unwrap_or_default();
        let bytes = rest.get(..len.min(rest.len())).unwrap_or_default().to_vec();
        if at.is_none() {
            *own += bytes.len() as u64;
        }
        Ok(bytes)
    }

    /// Where a write goes, and which file it is.
    pub fn target(&mut self, fd: u32, at: Option<u64>) -> Asked<(File, u64)> {
        let (file, own, rights, flags) = self.file(fd)?;
        if rights & RIGHT_WRITE == 0 {
            return Err(errno::BADF);
        }
        let end = file.lock().bytes().len() as u64;
        Ok((file, at.unwrap_or(if flags & APPEND != 0 { end } else { *own })))
    }

    /// What `stat` tells.
    pub fn about(&self, entry: &Entry) -> [u8; 64] {
        let (kind, size) = match entry {
            Entry::Folder => (DIRECTORY, 0),
            Entry::File(file) => (REGULAR, file.lock().bytes().len() as u64),
        };
        let mut about = [0; 64];
        about[8] = 1;
        about[16] = kind;
        about[24] = 1;
        about[32..40].copy_from_slice(&size.to_le_bytes());
        about
    }

    /// Entries of a folder from `cookie` on, as many as fit; the last one cut where the room ends.
    pub fn list(&mut self, fd: u32, cookie: u64, room: usize) -> Asked<Vec<u8>> {
        let Open::Folder(folder) = self.get(fd)? else { return Err(errno::NOTDIR) };
        let folder = folder.clone();
        let dots = [(".".to_owned(), true), ("..".to_owned(), true)];
        let names = dots.into_iter().chain(self.files.list(&folder));
        let mut bytes = Vec::new();
        for (next, (name, is_folder)) in (1u64..).zip(names) {
            if next <= cookie {
                continue;
            }
            let mut head = [0; DIRENT];
            head[..8].copy_from_slice(&next.to_le_bytes());
            head[8] = 1;
            let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
            head[16..20].copy_from_slice(&len.to_le_bytes());
            head[20] = if is_folder { DIRECTORY } else { REGULAR };
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(name.as_bytes());
            if bytes.len() >= room {
                break;
            }
        }
        bytes.truncate(room);
        Ok(bytes)
    }
}

/// The error of WASI.
pub fn error(error: FileError) -> i32 {
    match error {
        FileError::Missing => errno::NOENT,
        FileError::Exists => errno::EXIST,
        FileError::IsFolder => errno::ISDIR,
        FileError::NoFolder => errno::NOTDIR,
        FileError::NotEmpty => errno::NOTEMPTY,
        FileError::Full => errno::NOSPC,
        FileError::Invalid => errno::INVAL,
    }
}
