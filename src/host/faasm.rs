//! The second door: imports of module `env` with the names and types that existing Faasm functions
//! have. Thin forms of `calls`. Where their types leave no room for an error, the call ends with
//! it. What is not here is an unknown import, which says its name when it is called.

use wasmtime::{Caller, Linker, WasmBacktrace};

use super::{calls, guest, heap};
use crate::errno::{CallError, Errno};
use crate::function::{State, Target};

/// Adds them.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let module = "env";
    linker.func_wrap_async(module, "__faasm_read_input", |mut caller, (at, len): (u32, i32)| {
        Box::new(async move {
            match u32::try_from(len) {
                Ok(len) if len > 0 => calls::input_read(&mut caller, at, len).await,
                _ => Ok(i32::try_from(caller.data().input.len()).unwrap_or(i32::MAX)),
            }
        })
    })?;
    linker.func_wrap_async(
        module,
        "__faasm_write_output",
        |mut caller, (at, len): (u32, u32)| {
            Box::new(async move {
                must("write_output", calls::output_write(&mut caller, at, len).await?).map(drop)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "__faasm_chain_name",
        |mut caller, (name, input, len): (u32, u32, u32)| {
            Box::new(async move {
                let chained = match guest::read_string(&mut caller, name)? {
                    Some(name) => calls::chain_name(&mut caller, &name, input, len).await?,
                    None => Err(Errno::Inval),
                };
                must("chain_name", chained)
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "__faasm_chain_ptr",
        |mut caller, (index, input, len): (u32, u32, u32)| {
            Box::new(async move {
                let chained = calls::chain(&mut caller, Target::Table(index), input, len).await?;
                must("chain_ptr", chained)
            })
        },
    )?;
    linker.func_wrap_async(module, "__faasm_await_call", |mut caller, (call,): (u32,)| {
        Box::new(async move { Ok::<_, wasmtime::Error>(calls::wait(&mut caller, call, -1).await) })
    })?;
    linker.func_wrap_async(
        module,
        "__faasm_await_call_output",
        |mut caller, (call, output, len): (u32, u32, u32)| {
            Box::new(async move { await_output(&mut caller, call, output, len).await })
        },
    )?;
    add_small(linker, module)
}

fn add_small(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap(module, "__faasm_conf_flag", |_key: u32| 0u32)?;
    linker.func_wrap(module, "__faasm_backtrace", backtrace)?;
    for name in ["__faasm_get_py_user", "__faasm_get_py_func", "__faasm_get_py_entry"] {
        linker.func_wrap(module, name, |mut caller: Caller<'_, State>, at: u32, len: u32| {
            // An empty string.
            if len > 0 { guest::write(&mut caller, at, &[0]) } else { Ok(()) }
        })?;
    }
    Ok(())
}

/// Waits for a child and gives its output in memory that the guest frees: `*output`, `*len`. The
/// result as for `await`; a failed child has no output.
async fn await_output(
    caller: &mut Caller<'_, State>,
    call: u32,
    output: u32,
    len: u32,
) -> wasmtime::Result<i32> {
    guest::write_u32(caller, output, 0)?;
    guest::write_u32(caller, len, 0)?;
    let result = calls::wait(caller, call, -1).await;
    if result < 0 {
        return Ok(result);
    }
    let bytes = match calls::output(caller, call).await {
        Ok(bytes) => bytes,
        Err(error) => return Ok(error.code()),
    };
    // A NUL that is not counted follows.
    let Some(size) = u32::try_from(bytes.len()).ok().and_then(|size| size.checked_add(1)) else {
        return Ok(Errno::TooBig.code());
    };
    let pointer = match heap::malloc(caller, size).await? {
        Ok(0) => return Ok(Errno::NoMem.code()),
        Ok(pointer) => pointer,
        Err(_) => {
            let detail = "__faasm_await_call_output needs the module to export `malloc`: link it \
                          with --export=malloc, as faasm-cc does";
            return Err(calls::stop(CallError::new(Errno::NoSys, detail)));
        }
    };
    guest::check(caller, pointer, size)?;
    guest::write_long(caller, pointer, &bytes).await?;
    guest::write(caller, pointer.wrapping_add(size - 1), &[0])?;
    guest::write_u32(caller, output, pointer)?;
    guest::write_u32(caller, len, size - 1)?;
    Ok(result)
}

/// Writes the guest's stack to the log, `depth` frames of it (all, when that is not positive).
fn backtrace(caller: Caller<'_, State>, depth: i32) -> wasmtime::Result<()> {
    let mut caller = caller;
    let trace = WasmBacktrace::force_capture(&caller);
    let most = usize::try_from(depth).ok().filter(|depth| *depth > 0).unwrap_or(usize::MAX);
    let mut text = String::new();
    for (n, frame) in trace.frames().iter().take(most).enumerate() {
        let name = frame.func_name().unwrap_or("?");
        text.push_str(&format!("#{n} {name} (function {})\n", frame.func_index()));
    }
    caller.data_mut().write_log(text.as_bytes()).map_err(wasmtime::Error::new)
}

/// What an import without room for an error gives; an error ends the call.
pub fn must(what: &str, result: Result<i32, Errno>) -> wasmtime::Result<i32> {
    result.map_err(|error| {
        let detail = format!("__faasm_{what} failed, and cannot tell the function so");
        calls::stop(CallError::new(error, detail))
    })
}
