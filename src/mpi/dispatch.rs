//! From an import to the call of ours that serves it, and from its error to what the standard says
//! of errors. Both `MPI_` and `PMPI_` names are imports; neither is ever missing.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::abi::{self, Function, Pass};
use super::api;
use super::cx::{Args, Cx};
use super::engine::{Request, Status};
use super::error::{Error, Result};
use crate::function::State;

/// A call of the standard.
#[derive(Clone, Copy)]
pub enum Handler {
    /// One that waits for nobody and calls nobody back.
    Now(fn(&mut Cx<'_>, &Args) -> Result<()>),
    /// One that may.
    Wait(for<'x, 'a> fn(&'x mut Cx<'a>, &'x Args) -> BoxFuture<'x, Result<()>>),
    /// One that waits for one request and nothing else: how it begins, and how it ends. Short
    /// messages are that often, so it costs no future when the request is complete soon.
    Request(Begin, End),
    /// One whose result is a handle, a number or an address instead of an error code.
    Value(fn(&mut Cx<'_>, &Args) -> i64),
    /// One whose result is a time; it needs no rank.
    Time(fn() -> f64),
}

/// Begins a request.
pub type Begin = fn(&mut Cx<'_>, &Args) -> Result<Arc<Request>>;
/// Ends a call whose request is complete, with this status.
pub type End = fn(&mut Cx<'_>, &Args, &Status) -> Result<()>;

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
    for function in abi::functions() {
        let import = Import { function, handler: handlers.get(function.base).copied() };
        for name in [function.name.to_owned(), format!("P{}", function.name)] {
            match import.handler {
                Some(Handler::Time(time)) => {
                    linker.func_wrap("env", &name, time)?;
                }
                _ if import.is_narrow() => import.link_narrow(linker, &name)?,
                _ => import.link_any(linker, &name)?,
            }
        }
    }
    Ok(())
}

/// What an import gives to the program, later.
type Given<'a> = Box<dyn Future<Output = wasmtime::Result<i32>> + Send + 'a>;

/// An import: a function of the standard, and what serves it; nothing, if that is not supported.
#[derive(Clone, Copy)]
struct Import {
    function: &'static Function,
    handler: Option<Handler>,
}

/// How far a call came at once.
enum Begun {
    /// To its end.
    Done(i32),
    /// To an error, with which its error handler is to be called.
    Failed(Error),
    /// To where it has to wait for this.
    Waits(Arc<Request>),
    /// Nowhere: it may have to wait, or operations of the program wait to be called.
    Not,
}

impl Import {
    /// Whether all that it is given, and gives, has 32 bits: as nearly all functions, and all that
    /// short messages need. WebAssembly's types are known to the compiler then.
    fn is_narrow(&self) -> bool {
        let mut parameters = self.function.parameters.iter();
        parameters.all(|p| value_type(p.pass).is_i32()) && value_type(self.function.result).is_i32()
    }

    fn link_narrow(self, linker: &mut Linker<State>, name: &str) -> wasmtime::Result<()> {
        macro_rules! link {
            ($($n:literal => ($($value:ident)*),)*) => {
                match self.function.parameters.len() {
                    $($n => linker.func_wrap_async(
                        "env",
                        name,
                        move |caller, ($($value,)*): ($(narrow!($value),)*)| {
                            self.serve(caller, &[$($value),*])
                        },
                    ),)*
                    _ => return self.link_any(linker, name),
                }
            };
        }
        macro_rules! narrow {
            ($value:ident) => {
                i32
            };
        }
        link! {
            0 => (),
            1 => (a),
            2 => (a b),
            3 => (a b c),
            4 => (a b c d),
            5 => (a b c d e),
            6 => (a b c d e f),
            7 => (a b c d e f g),
            8 => (a b c d e f g h),
            9 => (a b c d e f g h i),
            10 => (a b c d e f g h i j),
            11 => (a b c d e f g h i j k),
            12 => (a b c d e f g h i j k l),
        }?;
        Ok(())
    }

    fn link_any(self, linker: &mut Linker<State>, name: &str) -> wasmtime::Result<()> {
        let types = self.function.parameters.iter().map(|parameter| value_type(parameter.pass));
        let of = FuncType::new(linker.engine(), types, [value_type(self.function.result)]);
        linker.func_new_async("env", name, of, move |caller, given, results| {
            let values = given.iter().map(|value| match value {
                Val::I32(value) => i64::from(*value),
                Val::I64(value) => *value,
                _ => 0,
            });
            let args = self.args(values);
            Box::new(async move {
                let code = Pin::from(self.begin(caller, args)).await?;
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(code);
                }
                Ok(())
            })
        })?;
        Ok(())
    }

    fn args(&self, given: impl Iterator<Item = i64>) -> Args {
        Args::new(self.function.name, self.function.large, given)
    }

    fn serve<'a>(self, caller: Caller<'a, State>, given: &[i32]) -> Given<'a> {
        let args = self.args(given.iter().map(|value| i64::from(*value)));
        self.begin(caller, args)
    }

    /// Serves a call, at once if that needs no wait.
    fn begin(self, caller: Caller<'_, State>, args: Args) -> Given<'_> {
        let mut cx = match Cx::begin(caller, self.function.name) {
            Ok(cx) => cx,
            Err(error) => return Box::new(std::future::ready(Err(ended(error)))),
        };
        match self.at_once(&mut cx, &args) {
            Begun::Done(code) => {
                cx.end();
                Box::new(std::future::ready(Ok(code)))
            }
            Begun::Failed(error) => Box::new(self.fail(cx, args, error)),
            Begun::Waits(request) => Box::new(self.finish(cx, args, Some(request))),
            Begun::Not => Box::new(self.finish(cx, args, None)),
        }
    }

    fn at_once(&self, cx: &mut Cx<'_>, args: &Args) -> Begun {
        if cx.rank().coll.queue.is_used() {
            return Begun::Not;
        }
        match self.handler {
            Some(Handler::Wait(_)) => Begun::Not,
            Some(Handler::Request(begin, end)) => {
                let begun = self.may(cx).and_then(|()| begin(cx, args));
                match begun.map(|request| (cx.look_out(request.done()), request)) {
                    Ok((Some(status), _)) => match end(cx, args, &status) {
                        Ok(()) => Begun::Done(0),
                        Err(error) => Begun::Failed(error),
                    },
                    Ok((None, request)) => Begun::Waits(request),
                    Err(error) => Begun::Failed(error),
                }
            }
            _ => self.call(cx, args),
        }
    }

    fn may(&self, cx: &mut Cx<'_>) -> Result<()> {
        api::env::may_call(cx, self.function)
    }

    /// A call that does not wait.
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Begun {
        let done = match self.handler {
            Some(Handler::Now(call)) => self.may(cx).and_then(|()| call(cx, args)),
            #[allow(clippy::cast_possible_truncation, reason = "such results have 32 bits")]
            Some(Handler::Value(call)) => return Begun::Done(call(cx, args) as i32),
            Some(Handler::Wait(_) | Handler::Request(..) | Handler::Time(_)) => return Begun::Not,
            None => Err(Error::unsupported(self.function.name)),
        };
        match done {
            Ok(()) => Begun::Done(0),
            Err(error) => Begun::Failed(error),
        }
    }

    /// Serves a call that has to wait, for this if it has begun.
    async fn finish(
        self,
        mut cx: Cx<'_>,
        args: Args,
        begun: Option<Arc<Request>>,
    ) -> wasmtime::Result<i32> {
        if begun.is_none() && cx.rank().coll.queue.is_used() {
            Box::pin(api::coll::serve(&mut cx)).await;
        }
        let done = match (self.handler, begun) {
            (Some(Handler::Request(_, end)), Some(request)) => {
                let status = ended_request(&mut cx, &request).await;
                end(&mut cx, &args, &status).map(|()| 0)
            }
            (Some(Handler::Request(begin, end)), None) => {
                match self.may(&mut cx).and_then(|()| begin(&mut cx, &args)) {
                    Ok(request) => {
                        let status = ended_request(&mut cx, &request).await;
                        end(&mut cx, &args, &status).map(|()| 0)
                    }
                    Err(error) => Err(error),
                }
            }
            (Some(Handler::Wait(call)), _) => match self.may(&mut cx) {
                Ok(()) => call(&mut cx, &args).await.map(|()| 0),
                Err(error) => Err(error),
            },
            _ => match self.call(&mut cx, &args) {
                Begun::Done(code) => Ok(code),
                Begun::Failed(error) => Err(error),
                Begun::Not | Begun::Waits(_) => Ok(0),
            },
        };
        match cx.rank().coll.ended.take().map_or(done, Err) {
            Ok(code) => {
                cx.end();
                Ok(code)
            }
            Err(error) => Box::pin(self.fail(cx, args, error)).await,
        }
    }

    /// The end of a call that failed.
    async fn fail(self, mut cx: Cx<'_>, args: Args, error: Error) -> wasmtime::Result<i32> {
        let code = match error {
            Error::End(error) => Err(error),
            error => api::env::raise(&mut cx, self.function, &args, error).await,
        };
        cx.end();
        code
    }
}

async fn ended_request(cx: &mut Cx<'_>, request: &Arc<Request>) -> Status {
    let endpoint = cx.rank().endpoint.clone();
    cx.wait(endpoint.received(request)).await
}

fn value_type(pass: Pass) -> ValType {
    match pass {
        Pass::Int | Pass::Address | Pass::Aint => ValType::I32,
        Pass::Long => ValType::I64,
        Pass::Double => ValType::F64,
    }
}

fn ended(error: Error) -> wasmtime::Error {
    match error {
        Error::End(error) => error,
        Error::Mpi(_, why) => wasmtime::Error::msg(why),
        Error::Code(code) => wasmtime::Error::msg(format!("MPI error {code}")),
    }
}
