//! From how the guest stopped to the result of its call. Pure.

use wasmtime::{Trap, UnknownImportError, WasmBacktrace};

use super::growth::Refusal;
use crate::errno::{CallError, Errno};
use crate::wire::function::Limits;

/// Callers named in the text of a trap.
const FRAMES: usize = 5;

/// What a host function stops its guest with.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The guest asked to exit with this code.
    #[error("exit with {0}")]
    Exit(i32),
    /// The call is over with this error.
    #[error("{0}")]
    Fail(#[from] CallError),
}

/// The result of a call that ended with this code: its own within 0 to 255.
pub fn exit(code: i32) -> Result<u8, CallError> {
    u8::try_from(code).map_err(|_| {
        let detail = format!("the function ended with {code}; a result is within 0 to 255");
        CallError::new(Errno::Failed, detail)
    })
}

/// The result of a call whose guest stopped with an error. `refused` says whether it was refused
/// memory before.
pub fn stopped(error: &wasmtime::Error, refused: Option<Refusal>) -> Result<u8, CallError> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Exit(code) => exit(*code),
            Stop::Fail(error) => Err(error.clone()),
        };
    }
    if let Some(exited) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return exit(exited.0);
    }
    if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
        return Err(unknown_import(unknown.module(), unknown.name()));
    }
    if let Some(full) = error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>() {
        return Err(CallError::new(Errno::Full, format!("this node is full: {full}")));
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        return Err(stack_overflow(error));
    }
    // A guest that was refused memory mostly ends by a trap of its own, as abort() does; an
    // instance whose first memory is refused does not even begin.
    if let Some(refused) = refused {
        return Err(refused.error());
    }
    Err(CallError::new(Errno::Failed, describe(error)))
}

/// The error of a call that used an import which nobody offers.
pub fn unknown_import(module: &str, name: &str) -> CallError {
    let detail = format!("the import `{module}::{name}` is not offered here");
    CallError::new(Errno::NoSys, detail)
}

/// The error of a call whose C stack, in its own memory, overflowed.
pub fn c_stack_overflow() -> CallError {
    let text = "the function's C stack overflowed; is it a recursion without end? A larger one is \
                set when linking: -Wl,-z,stack-size=BYTES";
    CallError::new(Errno::Limit, text)
}

fn stack_overflow(error: &wasmtime::Error) -> CallError {
    let text = format!(
        "the function's stack of {} bytes overflowed{}; is it a recursion without end?",
        Limits::MAX_STACK,
        place(error)
    );
    CallError::new(Errno::Limit, text)
}

fn describe(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => format!("{trap}{}", place(error)),
        None => format!("{}{}", error.root_cause(), place(error)),
    }
}

/// Where it happened, as far as the module has names.
fn place(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let mut text = String::new();
    for frame in trace.frames().iter().take(FRAMES) {
        text.push_str(if text.is_empty() { " in " } else { " < " });
        match frame.func_name() {
            Some(name) => text.push_str(name),
            None => text.push_str(&format!("function {}", frame.func_index())),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_a_byte() {
        assert_eq!(exit(0), Ok(0));
        assert_eq!(exit(255), Ok(255));
        for code in [-1, 256] {
            let error = exit(code).unwrap_err();
            assert_eq!(error.code, Errno::Failed);
            assert!(error.detail.contains(&code.to_string()));
        }
    }

    #[test]
    fn errors_get_the_code_of_their_cause() {
        let code = |error: wasmtime::Error, refused| stopped(&error, refused).unwrap_err().code;
        let refused = Some(Refusal::Function(1));
        assert_eq!(code(Trap::UnreachableCodeReached.into(), None), Errno::Failed);
        assert_eq!(code(Trap::UnreachableCodeReached.into(), refused), Errno::Limit);
        assert_eq!(code(Trap::UnreachableCodeReached.into(), Some(Refusal::Node(1))), Errno::NoMem);
        assert_eq!(code(Trap::StackOverflow.into(), None), Errno::Limit);
        let quota = CallError::new(Errno::Quota, "x");
        assert_eq!(code(wasmtime::Error::new(Stop::Fail(quota)), refused), Errno::Quota);
        assert_eq!(stopped(&wasmtime::Error::new(Stop::Exit(3)), refused), Ok(3));
    }
}
