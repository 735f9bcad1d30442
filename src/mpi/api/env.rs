//! Environment: the beginning and end of MPI, errors, time.

use crate::mpi::abi::Function;
use crate::mpi::cx::{Args, Cx, end};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::{Error, Result};
use crate::mpi::rank::Phase;

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Init", Handler::Now(init)),
    ("MPI_Finalize", Handler::Now(finalize)),
    ("MPI_Wtime", Handler::Time(wtime)),
];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Env {}

/// Whether a function may be called where the program is.
pub fn may_call(_cx: &mut Cx<'_>, _function: &Function) -> Result<()> {
    Ok(())
}

/// Does with an error what the error handler of what the call is about says; the call's code.
pub async fn raise(
    cx: &mut Cx<'_>,
    function: &Function,
    _args: &Args,
    error: Error,
) -> wasmtime::Result<i32> {
    let text = format!("{}: {error:?}", function.name);
    cx.state().write_log(text.as_bytes())?;
    match end(&text) {
        Error::End(error) => Err(error),
        _ => Ok(1),
    }
}

fn init(cx: &mut Cx<'_>, _args: &Args) -> Result<()> {
    cx.rank().phase = Phase::Active;
    Ok(())
}

fn finalize(cx: &mut Cx<'_>, _args: &Args) -> Result<()> {
    cx.rank().phase = Phase::Finalized;
    Ok(())
}

fn wtime(_cx: &mut Cx<'_>) -> f64 {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}
