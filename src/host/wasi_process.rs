//! WASI: arguments, environment, clocks, randomness, exit.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use wasmtime::{Caller, Linker};

use super::guest;
use super::wasi::{MODULE, errno};
use crate::function::{State, Stop, yield_now};

/// Random bytes made before the others of this worker have their turn.
const RANDOM_PIECE: usize = 16 << 10;
/// Resolution of both clocks, in nanoseconds.
const RESOLUTION: u64 = 1;
/// Zero of the monotonic clock: some moment in this process.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

type Result = wasmtime::Result<i32>;

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "args_sizes_get", args_sizes_get)?;
    linker.func_wrap(MODULE, "args_get", args_get)?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Caller<'_, State>, count: u32, size: u32| -> Result {
            guest::write_u32(&mut caller, count, 0)?;
            guest::write_u32(&mut caller, size, 0)?;
            Ok(errno::SUCCESS)
        },
    )?;
    // The environment is empty.
    linker.func_wrap(MODULE, "environ_get", |_: u32, _: u32| errno::SUCCESS)?;
    linker.func_wrap(MODULE, "clock_res_get", clock_res_get)?;
    linker.func_wrap(MODULE, "clock_time_get", clock_time_get)?;
    linker.func_wrap_async(MODULE, "random_get", |mut caller, (at, len): (u32, u32)| {
        Box::new(async move { random_get(&mut caller, at, len).await })
    })?;
    linker.func_wrap_async(MODULE, "sched_yield", |_, ()| {
        Box::new(async {
            yield_now().await;
            errno::SUCCESS
        })
    })?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Stop::Exit(code)))
    })?;
    Ok(())
}

/// The time of a clock in nanoseconds; `None` for a clock that is not offered.
pub fn clock(id: u32) -> Option<u64> {
    let since = match id {
        0 => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        1 => START.elapsed(),
        _ => return None,
    };
    Some(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn args_sizes_get(mut caller: Caller<'_, State>, count: u32, size: u32) -> Result {
    let args = args(&caller);
    let bytes: usize = args.iter().map(|arg| arg.len() + 1).sum();
    let args = u32::try_from(args.len()).unwrap_or(u32::MAX);
    guest::write_u32(&mut caller, count, args)?;
    guest::write_u32(&mut caller, size, u32::try_from(bytes).unwrap_or(u32::MAX))?;
    Ok(errno::SUCCESS)
}

fn args_get(mut caller: Caller<'_, State>, argv: u32, buffer: u32) -> Result {
    let mut pointers = Vec::new();
    let mut text = Vec::new();
    for arg in args(&caller) {
        let offset = u32::try_from(text.len()).unwrap_or(u32::MAX);
        pointers.extend_from_slice(&buffer.wrapping_add(offset).to_le_bytes());
        text.extend_from_slice(arg.as_bytes());
        text.push(0);
    }
    guest::write(&mut caller, argv, &pointers)?;
    guest::write(&mut caller, buffer, &text)?;
    Ok(errno::SUCCESS)
}

/// The function's name, then its arguments.
fn args<'a>(caller: &'a Caller<'_, State>) -> Vec<&'a str> {
    let state = caller.data();
    std::iter::once(state.name.as_str()).chain(state.args.iter().map(String::as_str)).collect()
}

fn clock_res_get(mut caller: Caller<'_, State>, id: u32, at: u32) -> Result {
    if clock(id).is_none() {
        return Ok(errno::INVAL);
    }
    guest::write(&mut caller, at, &RESOLUTION.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

fn clock_time_get(mut caller: Caller<'_, State>, id: u32, _precision: u64, at: u32) -> Result {
    let Some(now) = clock(id) else { return Ok(errno::INVAL) };
    guest::write(&mut caller, at, &now.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

async fn random_get(caller: &mut Caller<'_, State>, at: u32, len: u32) -> Result {
    guest::check(caller, at, len)?;
    let mut done = 0;
    while done < len {
        if done > 0 {
            yield_now().await;
        }
        let mut bytes = vec![0; RANDOM_PIECE.min((len - done) as usize)];
        rand::rng().fill_bytes(&mut bytes);
        guest::write(caller, at + done, &bytes)?;
        done += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    }
    Ok(errno::SUCCESS)
}
