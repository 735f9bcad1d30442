//! WASI: the files of a rank, below one folder that is `/`. Functions that are no ranks have none:
//! every call says so.

use wasmtime::{Caller, Linker};

use super::disk::{Asked, DIRECTORY, Disk, FIRST, Open, REGULAR, error};
use super::guest;
use super::wasi::{self, MODULE, errno};
use crate::function::State;
use crate::function::files::{Entry, FileError, Files};

/// Longest path of a call, in bytes.
const MAX_PATH: u32 = 4096;
/// Most bytes copied by one call; a guest goes on where it was cut.
const MAX_COPY: usize = 256 << 10;

type Answer = wasmtime::Result<i32>;

/// The files of the caller; `errno::BADF` if it has none.
fn disk<'a>(caller: &'a mut Caller<'_, State>) -> Asked<&'a mut Disk> {
    wasi::of(caller).disk.as_deref_mut().ok_or(errno::BADF)
}

/// Does something that gives nothing with the caller's files.
fn act(
    caller: &mut Caller<'_, State>,
    act: impl FnOnce(&mut Disk) -> Asked<()>,
) -> wasmtime::Result<i32> {
    Ok(disk(caller).and_then(act).err().unwrap_or(errno::SUCCESS))
}

fn name(caller: &mut Caller<'_, State>, at: u32, len: u32) -> wasmtime::Result<Asked<String>> {
    if len > MAX_PATH {
        return Ok(Err(errno::NAMETOOLONG));
    }
    Ok(String::from_utf8(guest::read(caller, at, len)?).map_err(|_| errno::INVAL))
}

/// Writes what a call gives to its place, if it gives something.
fn give(caller: &mut Caller<'_, State>, at: u32, given: Asked<Vec<u8>>) -> Answer {
    match given {
        Err(error) => Ok(error),
        Ok(bytes) => guest::write(caller, at, &bytes).map(|()| errno::SUCCESS),
    }
}

/// Whether a descriptor is one of these files'.
pub fn is_file(fd: u32) -> bool {
    fd >= FIRST
}

/// Closes one.
pub fn close(caller: &mut Caller<'_, State>, fd: u32) -> i32 {
    let index = fd.saturating_sub(FIRST) as usize;
    let open = disk(caller).ok().and_then(|disk| disk.open.get_mut(index)).and_then(Option::take);
    if open.is_some() { errno::SUCCESS } else { errno::BADF }
}

/// Moves the place of one.
pub fn seek(
    caller: &mut Caller<'_, State>,
    fd: u32,
    offset: i64,
    whence: u32,
    into: u32,
) -> Answer {
    let at = disk(caller).and_then(|disk| disk.seek(fd, offset, whence));
    give(caller, into, at.map(|at| at.to_le_bytes().to_vec()))
}

/// Tells about one.
pub fn fdstat(caller: &mut Caller<'_, State>, fd: u32, into: u32) -> Answer {
    let stat = disk(caller).and_then(|disk| disk.get(fd)).map(|open| {
        let (kind, flags, rights) = match open {
            Open::Folder(_) => (DIRECTORY, 0, u64::MAX),
            Open::File { flags, .. } => (REGULAR, *flags, u64::MAX),
        };
        let mut stat = vec![0; 24];
        stat[0] = kind;
        stat[2..4].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        stat[16..24].copy_from_slice(&rights.to_le_bytes());
        stat
    });
    give(caller, into, stat)
}

/// Reads into buffers of the guest; how many bytes.
pub fn read(
    caller: &mut Caller<'_, State>,
    fd: u32,
    buffers: &[(u32, u32)],
    at: Option<u64>,
) -> wasmtime::Result<Asked<u32>> {
    let room: usize = buffers.iter().map(|(_, len)| *len as usize).sum();
    let bytes = match disk(caller).and_then(|disk| disk.read(fd, at, room.min(MAX_COPY))) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    let mut rest = bytes.as_slice();
    for (into, len) in buffers {
        let (part, left) = rest.split_at(rest.len().min(*len as usize));
        guest::write(caller, *into, part)?;
        rest = left;
    }
    Ok(Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))
}

/// Writes; how many bytes.
pub fn write(caller: &mut Caller<'_, State>, fd: u32, bytes: &[u8], at: Option<u64>) -> Asked<u32> {
    let disk = disk(caller)?;
    let (file, to) = disk.target(fd, at)?;
    disk.files.write(&file, to, bytes).map_err(error)?;
    if at.is_none() {
        let (_, own, ..) = disk.file(fd)?;
        *own = to + bytes.len() as u64;
    }
    Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

/// Adds the rest: what only files have.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_folder(linker)?;
    add_descriptors(linker)?;
    add_positions(linker)?;
    add_paths(linker)
}

/// The one folder that is open from the beginning.
fn add_folder(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_prestat_get",
        |mut caller: Caller<'_, State>, fd: u32, at: u32| {
            let root =
                disk(&mut caller).and_then(|_| (fd == FIRST).then_some(()).ok_or(errno::BADF));
            give(&mut caller, at, root.map(|()| vec![0, 0, 0, 0, 1, 0, 0, 0]))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_prestat_dir_name",
        |mut caller: Caller<'_, State>, fd: u32, at: u32, len: u32| {
            let root = disk(&mut caller);
            let root =
                root.and_then(|_| (fd == FIRST && len >= 1).then_some(()).ok_or(errno::BADF));
            give(&mut caller, at, root.map(|()| b"/".to_vec()))
        },
    )?;
    Ok(())
}

fn add_descriptors(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_filestat_get",
        |mut caller: Caller<'_, State>, fd: u32, at: u32| {
            if wasi::of(&mut caller).is_open(fd) {
                // A stream: as a character device.
                let mut about = vec![0; 64];
                about[16] = 2;
                return give(&mut caller, at, Ok(about));
            }
            let about = disk(&mut caller).and_then(|disk| {
                let entry = match disk.get(fd)? {
                    Open::Folder(_) => Entry::Folder,
                    Open::File { file, .. } => Entry::File(file.clone()),
                };
                Ok(disk.about(&entry).to_vec())
            });
            give(&mut caller, at, about)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_size",
        |mut caller: Caller<'_, State>, fd: u32, size: u64| {
            act(&mut caller, |disk| {
                let (file, _) = disk.target(fd, Some(0))?;
                disk.files.resize(&file, size).map_err(error)
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_fdstat_set_flags",
        |mut caller: Caller<'_, State>, fd: u32, new: u32| {
            act(&mut caller, |disk| match disk.get(fd)? {
                Open::File { flags, .. } => {
                    *flags = u16::try_from(new).map_err(|_| errno::INVAL)?;
                    Ok(())
                }
                Open::Folder(_) => Ok(()),
            })
        },
    )?;
    for name in ["fd_sync", "fd_datasync"] {
        linker.func_wrap(MODULE, name, |mut caller: Caller<'_, State>, fd: u32| {
            act(&mut caller, |disk| disk.get(fd).map(|_| ()))
        })?;
    }
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_times",
        |mut caller: Caller<'_, State>, fd: u32, _: u64, _: u64, _: u32| {
            act(&mut caller, |disk| disk.get(fd).map(|_| ()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_readdir",
        |mut caller: Caller<'_, State>, fd: u32, into: u32, len: u32, cookie: u64, used: u32| {
            let room = (len as usize).min(MAX_COPY);
            match disk(&mut caller).and_then(|disk| disk.list(fd, cookie, room)) {
                Err(error) => Ok(error),
                Ok(bytes) => {
                    guest::write(&mut caller, into, &bytes)?;
                    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    guest::write_u32(&mut caller, used, len)?;
                    Ok::<_, wasmtime::Error>(errno::SUCCESS)
                }
            }
        },
    )?;
    Ok(())
}

fn add_positions(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_pread",
        |mut caller: Caller<'_, State>, fd: u32, buffers: u32, n: u32, at: u64, done: u32| {
            let Some(buffers) = super::wasi_io::buffers(&mut caller, buffers, n)? else {
                return Ok(errno::INVAL);
            };
            match read(&mut caller, fd, &buffers, Some(at))? {
                Err(error) => Ok(error),
                Ok(len) => guest::write_u32(&mut caller, done, len).map(|()| errno::SUCCESS),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_pwrite",
        |mut caller: Caller<'_, State>, fd: u32, buffers: u32, n: u32, at: u64, done: u32| {
            let Some(bytes) = super::wasi_io::gather(&mut caller, buffers, n)? else {
                return Ok(errno::INVAL);
            };
            match write(&mut caller, fd, &bytes, Some(at)) {
                Err(error) => Ok(error),
                Ok(len) => guest::write_u32(&mut caller, done, len).map(|()| errno::SUCCESS),
            }
        },
    )?;
    linker.func_wrap(MODULE, "fd_tell", |mut caller: Caller<'_, State>, fd: u32, into: u32| {
        seek(&mut caller, fd, 0, 1, into)
    })?;
    Ok(())
}

fn add_paths(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "path_open", path_open)?;
    linker.func_wrap(
        MODULE,
        "path_filestat_get",
        |mut caller: Caller<'_, State>, fd: u32, _flags: u32, path: u32, len: u32, into: u32| {
            let name = name(&mut caller, path, len)?;
            let about = disk(&mut caller).and_then(|disk| {
                let path = disk.path(fd, &name?)?;
                let entry = disk.files.find(&path).map_err(error)?;
                Ok(disk.about(&entry).to_vec())
            });
            give(&mut caller, into, about)
        },
    )?;
    type Change = fn(&mut Files, &str) -> Result<(), FileError>;
    let changes: [(&str, Change); 3] = [
        ("path_create_directory", |files, path| files.make(path, true).map(|_| ())),
        ("path_remove_directory", |files, path| files.remove(path, true)),
        ("path_unlink_file", |files, path| files.remove(path, false)),
    ];
    for (import, change) in changes {
        linker.func_wrap(
            MODULE,
            import,
            move |mut caller: Caller<'_, State>, fd: u32, path: u32, len: u32| {
                let name = name(&mut caller, path, len)?;
                act(&mut caller, |disk| {
                    let path = disk.path(fd, &name?)?;
                    change(&mut disk.files, &path).map_err(error)
                })
            },
        )?;
    }
    linker.func_wrap(
        MODULE,
        "path_rename",
        |mut caller: Caller<'_, State>, fd: u32, from: u32, n: u32, to_fd: u32, to: u32, m: u32| {
            let (from, to) = (name(&mut caller, from, n)?, name(&mut caller, to, m)?);
            act(&mut caller, |disk| {
                let (from, to) = (disk.path(fd, &from?)?, disk.path(to_fd, &to?)?);
                disk.files.rename(&from, &to).map_err(error)
            })
        },
    )?;
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "WASI's call has these")]
fn path_open(
    mut caller: Caller<'_, State>,
    fd: u32,
    _follow: u32,
    path: u32,
    len: u32,
    how: u32,
    rights: u64,
    _inheriting: u64,
    flags: u32,
    into: u32,
) -> Answer {
    let name = name(&mut caller, path, len)?;
    let flags = u16::try_from(flags).unwrap_or_default();
    let opened = disk(&mut caller).and_then(|disk| disk.open(fd, &name?, how, rights, flags));
    give(&mut caller, into, opened.map(|fd| fd.to_le_bytes().to_vec()))
}
