//! WASI: the three standard streams. stdin is empty but for a rank that has input; stdout and stderr go to the call's log.

use wasmtime::{Caller, Linker};

use super::guest;
use super::wasi::{self, MODULE, errno};
use super::wasi_files;
use crate::function::State;

/// Most buffers of one write, as POSIX's IOV_MAX.
const MAX_BUFFERS: u32 = 1024;
/// Bytes copied to the log at once; more are refused as a short write, which is the guest's to
/// repeat.
const MAX_WRITE: usize = 256 << 10;
const STDIN: u32 = 0;
/// A character device: line-buffered by the guest's libc, so that lines of stdout and stderr stay
/// in order, and a trap loses at most one.
const CHARACTER_DEVICE: u8 = 2;
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;

type Result = wasmtime::Result<i32>;

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "fd_write", fd_write)?;
    linker.func_wrap(MODULE, "fd_read", fd_read)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", fd_fdstat_get)?;
    linker.func_wrap(MODULE, "fd_close", |mut caller: Caller<'_, State>, fd: u32| {
        if wasi_files::is_file(fd) {
            return wasi_files::close(&mut caller, fd);
        }
        if wasi::of(&mut caller).close(fd) { errno::SUCCESS } else { errno::BADF }
    })?;
    linker.func_wrap(
        MODULE,
        "fd_seek",
        |mut caller: Caller<'_, State>, fd: u32, offset: i64, whence: u32, at: u32| {
            if wasi_files::is_file(fd) {
                return wasi_files::seek(&mut caller, fd, offset, whence, at);
            }
            Ok(if wasi::of(&mut caller).is_open(fd) { errno::SPIPE } else { errno::BADF })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_renumber",
        |mut caller: Caller<'_, State>, from: u32, to: u32| {
            let wasi = wasi::of(&mut caller);
            let open = wasi.is_open(from) && wasi.is_open(to);
            if open { errno::NOTSUP } else { errno::BADF }
        },
    )?;
    Ok(())
}

/// Addresses and lengths of a call's buffers; `None` when there are too many.
pub fn buffers(
    caller: &mut Caller<'_, State>,
    table: u32,
    n: u32,
) -> wasmtime::Result<Option<Vec<(u32, u32)>>> {
    if n > MAX_BUFFERS {
        return Ok(None);
    }
    let table = guest::read(caller, table, n * 8)?;
    Ok(Some(table.chunks_exact(8).map(buffer).collect()))
}

/// What is in a call's buffers, or the beginning of it; `None` when there are too many.
pub fn gather(
    caller: &mut Caller<'_, State>,
    table: u32,
    n: u32,
) -> wasmtime::Result<Option<Vec<u8>>> {
    let Some(buffers) = buffers(caller, table, n)? else { return Ok(None) };
    let mut bytes = Vec::new();
    for (at, len) in buffers {
        guest::check(caller, at, len)?;
        let most = MAX_WRITE - bytes.len();
        let len = len.min(u32::try_from(most).unwrap_or(u32::MAX));
        bytes.extend(guest::read(caller, at, len)?);
    }
    Ok(Some(bytes))
}

fn fd_write(mut caller: Caller<'_, State>, fd: u32, buffers: u32, n: u32, written: u32) -> Result {
    let is_file = wasi_files::is_file(fd);
    if !is_file && (!wasi::of(&mut caller).is_open(fd) || fd == STDIN) {
        return Ok(errno::BADF);
    }
    let Some(text) = gather(&mut caller, buffers, n)? else { return Ok(errno::INVAL) };
    if is_file {
        return match wasi_files::write(&mut caller, fd, &text, None) {
            Err(error) => Ok(error),
            Ok(len) => guest::write_u32(&mut caller, written, len).map(|()| errno::SUCCESS),
        };
    }
    guest::write_u32(&mut caller, written, u32::try_from(text.len()).unwrap_or(u32::MAX))?;
    caller.data_mut().write_log(&text).map_err(wasmtime::Error::new)?;
    Ok(errno::SUCCESS)
}

fn fd_read(mut caller: Caller<'_, State>, fd: u32, buffers: u32, n: u32, read: u32) -> Result {
    if wasi_files::is_file(fd) {
        let Some(buffers) = self::buffers(&mut caller, buffers, n)? else {
            return Ok(errno::INVAL);
        };
        return match wasi_files::read(&mut caller, fd, &buffers, None)? {
            Err(error) => Ok(error),
            Ok(len) => guest::write_u32(&mut caller, read, len).map(|()| errno::SUCCESS),
        };
    }
    if !wasi::of(&mut caller).is_open(fd) || fd != STDIN {
        return Ok(errno::BADF);
    }
    if caller.data().stdin.is_empty() {
        guest::write_u32(&mut caller, read, 0)?;
        return Ok(errno::SUCCESS);
    }
    if n > MAX_BUFFERS {
        return Ok(errno::INVAL);
    }
    let table = guest::read(&mut caller, buffers, n * 8)?;
    let mut total = 0;
    for (at, len) in table.chunks_exact(8).map(buffer) {
        let most = MAX_WRITE - total;
        let stdin = caller.data().stdin.clone();
        let part = stdin.slice(..stdin.len().min(len as usize).min(most));
        guest::write(&mut caller, at, &part)?;
        caller.data_mut().stdin = stdin.slice(part.len()..);
        total += part.len();
    }
    guest::write_u32(&mut caller, read, u32::try_from(total).unwrap_or(u32::MAX))?;
    Ok(errno::SUCCESS)
}

fn fd_fdstat_get(mut caller: Caller<'_, State>, fd: u32, at: u32) -> Result {
    if wasi_files::is_file(fd) {
        return wasi_files::fdstat(&mut caller, fd, at);
    }
    if !wasi::of(&mut caller).is_open(fd) {
        return Ok(errno::BADF);
    }
    let rights = if fd == STDIN { RIGHT_READ } else { RIGHT_WRITE };
    let mut stat = [0; 24];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&rights.to_le_bytes());
    guest::write(&mut caller, at, &stat)?;
    Ok(errno::SUCCESS)
}

/// Address and length of an iovec.
fn buffer(bytes: &[u8]) -> (u32, u32) {
    let field =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (field(0), field(4))
}
