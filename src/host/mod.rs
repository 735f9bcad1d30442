//! The host interface: thin functions that read guest memory and call a component's handle. One
//! file per section.
//!
//! An import that can ever wait is async, every other one is sync. No host call holds a guest
//! worker for more than 100 µs: copies are done piece by piece. An out-of-bounds pointer traps the
//! instance; every other misuse is an error code.

mod calls;
pub mod disk;
mod faasm;
mod faasm_state;
pub mod guest;
pub mod heap;
mod state;
mod state_key;
mod state_windows;
pub mod waits;
pub mod wasi;
mod wasi_files;
mod wasi_io;
mod wasi_poll;
mod wasi_process;

use wasmtime::{Engine, Linker};

use crate::function::State;

/// The whole interface, for modules of this engine.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::add(&mut linker)?;
    calls::add(&mut linker)?;
    state::add(&mut linker)?;
    faasm::add(&mut linker)?;
    faasm_state::add(&mut linker)?;
    Ok(linker)
}
