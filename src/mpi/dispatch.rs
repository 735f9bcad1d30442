//! From an import to the call of ours that serves it, and from its error to what the standard says
//! of errors. Both `MPI_` and `PMPI_` names are imports; neither is ever missing.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::abi::{self, Function, Pass};
use super::api;
use super::cx::{Args, Cx};
use super::error::{Error, Result};
use crate::function::State;

/// A call of the standard.
#[derive(Clone, Copy)]
pub enum Handler {
    /// One that waits for nobody and calls nobody back.
    Now(fn(&mut Cx<'_>, &Args) -> Result<()>),
    /// One that may.
    Wait(for<'x, 'a> fn(&'x mut Cx<'a>, &'x Args) -> BoxFuture<'x, Result<()>>),
    /// One whose result is a handle, a number or an address instead of an error code.
    Value(fn(&mut Cx<'_>, &Args) -> i64),
    /// One whose result is a time.
    Time(fn(&mut Cx<'_>) -> f64),
}

/// Calls by their names, without `_c`.
pub type Table = &'static [(&'static str, Handler)];

/// A call that may wait, for a [`Table`].
macro_rules! waits {
    ($function:path) => {
        $crate::mpi::dispatch::Handler::Wait(|cx, args| Box::pin($function(cx, args)))
    };
}
pub(crate) use waits;

/// Adds all imports of the standard.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::environment::link(linker)?;
    let tables = api::TABLES.iter().chain(api::env::TABLES);
    let handlers: HashMap<_, _> = tables.flat_map(|table| table.iter()).copied().collect();
    let engine = linker.engine().clone();
    for function in abi::functions() {
        let handler = handlers.get(function.base).copied();
        let types = function.parameters.iter().map(|parameter| value_type(parameter.pass));
        let of = FuncType::new(&engine, types, [value_type(function.result)]);
        for name in [function.name.to_owned(), format!("P{}", function.name)] {
            linker.func_new_async("env", &name, of.clone(), move |caller, given, results| {
                Box::new(serve(function, handler, caller, given, results))
            })?;
        }
    }
    Ok(())
}

fn value_type(pass: Pass) -> ValType {
    match pass {
        Pass::Int | Pass::Address | Pass::Aint => ValType::I32,
        Pass::Long => ValType::I64,
        Pass::Double => ValType::F64,
    }
}

async fn serve(
    function: &'static Function,
    handler: Option<Handler>,
    caller: Caller<'_, State>,
    given: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let values = given.iter().zip(&function.parameters).map(|(value, parameter)| match value {
        Val::I32(value) if parameter.pass == Pass::Address => i64::from(value.cast_unsigned()),
        Val::I32(value) => i64::from(*value),
        Val::I64(value) => *value,
        _ => 0,
    });
    let args = Args::new(function.name, function.large, values);
    let mut cx = Cx::begin(caller).map_err(ended)?;
    api::coll::serve(&mut cx).await;
    let done = match handler {
        None => Err(Error::unsupported(function.name)),
        Some(Handler::Now(call)) => {
            api::env::may_call(&mut cx, function).and_then(|()| call(&mut cx, &args))
        }
        Some(Handler::Wait(call)) => match api::env::may_call(&mut cx, function) {
            Ok(()) => call(&mut cx, &args).await,
            Err(error) => Err(error),
        },
        Some(Handler::Value(call)) => {
            let value = call(&mut cx, &args);
            #[allow(clippy::cast_possible_truncation, reason = "such results have 32 bits")]
            set(results, Val::I32(value as i32));
            cx.end();
            return Ok(());
        }
        Some(Handler::Time(call)) => {
            set(results, Val::F64(call(&mut cx).to_bits()));
            cx.end();
            return Ok(());
        }
    };
    let done = cx.rank().coll.ended.take().map_or(done, Err);
    let code = match done {
        Ok(()) => Ok(0),
        Err(Error::End(error)) => Err(error),
        Err(error) => api::env::raise(&mut cx, function, &args, error).await,
    };
    cx.end();
    set(results, Val::I32(code?));
    Ok(())
}

fn set(results: &mut [Val], value: Val) {
    if let Some(result) = results.first_mut() {
        *result = value;
    }
}

fn ended(error: Error) -> wasmtime::Error {
    match error {
        Error::End(error) => error,
        Error::Mpi(_, why) => wasmtime::Error::msg(why),
        Error::Code(code) => wasmtime::Error::msg(format!("MPI error {code}")),
    }
}
