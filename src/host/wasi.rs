//! WASI preview 1; ranks of jobs have files, in memory. What almost every program calls is done here and costs no more
//! than a host call; everything else is wasmtime-wasi's, whose context is made at its first use.

use wasmtime::{Caller, Linker};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use super::disk::Disk;
use super::{wasi_files, wasi_io, wasi_poll, wasi_process};
use crate::function::State;
use crate::function::files::Files;

/// The wasm module of these imports.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// Error codes of the specification, those that are used here.
pub mod errno {
    /// No error.
    pub const SUCCESS: i32 = 0;
    /// Bad file descriptor.
    pub const BADF: i32 = 8;
    /// It exists.
    pub const EXIST: i32 = 20;
    /// Invalid argument.
    pub const INVAL: i32 = 28;
    /// It is a directory.
    pub const ISDIR: i32 = 31;
    /// Too many open files.
    pub const MFILE: i32 = 33;
    /// Too long a name.
    pub const NAMETOOLONG: i32 = 37;
    /// There is no such file.
    pub const NOENT: i32 = 44;
    /// No room left.
    pub const NOSPC: i32 = 51;
    /// It is no directory.
    pub const NOTDIR: i32 = 54;
    /// The directory is not empty.
    pub const NOTEMPTY: i32 = 55;
    /// Not supported.
    pub const NOTSUP: i32 = 58;
    /// Invalid seek.
    pub const SPIPE: i32 = 70;
}

/// The WASI state of one instance.
#[derive(Default)]
pub struct Wasi {
    /// Which of stdin, stdout, stderr the guest closed.
    closed: [bool; 3],
    /// The files, of a rank.
    pub disk: Option<Box<Disk>>,
    /// What a rank's job says to its environment, each as `NAME=value`.
    pub environment: Vec<String>,
    context: Option<Box<WasiP1Ctx>>,
}

impl Wasi {
    /// With these files, and this environment.
    pub fn with(files: Files, environment: Vec<String>) -> Self {
        Self { disk: Some(Box::new(Disk::new(files))), environment, ..Self::default() }
    }

    /// Whether this is one of the three streams, and open.
    pub fn is_open(&self, fd: u32) -> bool {
        self.closed.get(fd as usize).is_some_and(|closed| !closed)
    }

    /// Closes a stream; `false` when it was not open.
    pub fn close(&mut self, fd: u32) -> bool {
        match self.closed.get_mut(fd as usize) {
            Some(closed) => !std::mem::replace(closed, true),
            None => false,
        }
    }

    /// wasmtime-wasi's context: nothing to read, nowhere to write, no network.
    fn context(&mut self) -> &mut WasiP1Ctx {
        self.context.get_or_insert_with(|| Box::new(WasiCtxBuilder::new().build_p1()))
    }
}

/// Adds all of preview 1.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    p1::add_to_linker_async(linker, |state: &mut State| state.wasi.context())?;
    linker.allow_shadowing(true);
    wasi_process::add(linker)?;
    wasi_io::add(linker)?;
    wasi_files::add(linker)?;
    wasi_poll::add(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The state of the calling guest's WASI.
pub fn of<'a>(caller: &'a mut Caller<'_, State>) -> &'a mut Wasi {
    &mut caller.data_mut().wasi
}
