//! What `getenv` tells a rank of its place, under the names that programs know from other MPIs.

use wasmtime::{Caller, Linker};

use super::rank::Rank;
use crate::function::State;
use crate::host::{guest, wasi};

/// Adds the two imports of WASI that are about the environment, in place of the host interface's.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap(wasi::MODULE, "environ_sizes_get", sizes)?;
    linker.func_wrap(wasi::MODULE, "environ_get", texts)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Each as `NAME=value`, with a NUL.
fn environment(state: &State) -> Vec<String> {
    let rank = state.mpi.as_ref().and_then(|mpi| mpi.downcast_ref::<Rank>());
    let Some(endpoint) = rank.map(|rank| &rank.endpoint) else { return Vec::new() };
    let (rank, size) = (endpoint.rank(), endpoint.size());
    let own = [
        format!("HOSTNAME={}\0", endpoint.node_name()),
        format!("OMPI_COMM_WORLD_RANK={rank}\0"),
        format!("OMPI_COMM_WORLD_SIZE={size}\0"),
        format!("PMI_RANK={rank}\0"),
        format!("PMI_SIZE={size}\0"),
        "OMP_NUM_THREADS=1\0".to_owned(),
    ];
    // What the job was given counts, the last of a name.
    let given = &state.wasi.environment;
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let later =
        |at: usize, text: &str| given.iter().skip(at).any(|other| name(other) == name(text));
    let mut all: Vec<String> = own.into_iter().filter(|text| !later(0, text)).collect();
    let last = given.iter().enumerate().filter(|(at, text)| !later(at + 1, text));
    all.extend(last.map(|(_, text)| format!("{text}\0")));
    all
}

fn sizes(mut caller: Caller<'_, State>, count: u32, size: u32) -> wasmtime::Result<i32> {
    let environment = environment(caller.data());
    let bytes: usize = environment.iter().map(String::len).sum();
    let texts = u32::try_from(environment.len()).unwrap_or(u32::MAX);
    guest::write_u32(&mut caller, count, texts)?;
    guest::write_u32(&mut caller, size, u32::try_from(bytes).unwrap_or(u32::MAX))?;
    Ok(wasi::errno::SUCCESS)
}

fn texts(mut caller: Caller<'_, State>, pointers: u32, buffer: u32) -> wasmtime::Result<i32> {
    let (mut starts, mut texts) = (Vec::new(), Vec::new());
    for text in environment(caller.data()) {
        let offset = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        starts.extend_from_slice(&buffer.wrapping_add(offset).to_le_bytes());
        texts.extend_from_slice(text.as_bytes());
    }
    guest::write(&mut caller, pointers, &starts)?;
    guest::write(&mut caller, buffer, &texts)?;
    Ok(wasi::errno::SUCCESS)
}
