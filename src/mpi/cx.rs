//! A call of MPI while it is made: the instance that makes it, and its rank.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::{Caller, Extern, Ref, Val};

use super::api;
use super::engine::Endpoint;
use super::error::{Error, Result};
use super::memory::Memory;
use super::rank::Rank;
use super::turns;
use crate::function::{State, Stop};
use crate::host::{heap, waits};

/// Most arguments of a function of the standard.
const MOST: usize = 16;

/// The arguments of a call: numbers as the program gave them, whatever their width.
#[derive(Debug, Clone, Copy)]
pub struct Args {
    values: [i64; MOST],
    /// Whether counts are `MPI_Count`, in arrays too.
    pub large: bool,
    /// The function's name, with `_c` if it has one.
    pub name: &'static str,
}

impl Args {
    /// Of these values.
    pub fn new(name: &'static str, large: bool, given: impl Iterator<Item = i64>) -> Self {
        let mut values = [0; MOST];
        values.iter_mut().zip(given).for_each(|(place, value)| *place = value);
        Self { values, large, name }
    }

    /// A number: an `int`, `MPI_Count`, `MPI_Aint` or `MPI_Offset`.
    pub fn int(&self, at: usize) -> i64 {
        self.values.get(at).copied().unwrap_or(0)
    }

    /// An `int`, or a handle.
    #[allow(clippy::cast_possible_truncation, reason = "the program gave 32 bits")]
    pub fn i32(&self, at: usize) -> i32 {
        self.int(at) as i32
    }

    /// An address.
    pub fn ptr(&self, at: usize) -> u32 {
        self.i32(at).cast_unsigned()
    }
}

/// See the top.
pub struct Cx<'a> {
    caller: Caller<'a, State>,
    rank: Option<Box<Rank>>,
    memory: Memory,
    /// The function's name.
    call: &'static str,
}

impl<'a> Cx<'a> {
    /// Begins a call: takes the rank out of the instance.
    pub fn begin(mut caller: Caller<'a, State>, call: &'static str) -> Result<Self> {
        let memory = Memory::new(heap::door(&mut caller)?);
        let mut rank = match caller.data_mut().mpi.take().map(|rank| rank.downcast::<Rank>()) {
            Some(Ok(rank)) => rank,
            _ => Box::new(Rank::new(Endpoint::alone())),
        };
        rank.endpoint.has_memory(&memory);
        rank.turn.begins();
        Ok(Self { caller, rank: Some(rank), memory, call })
    }

    /// Ends it: gives the rank back.
    pub fn end(mut self) -> Caller<'a, State> {
        if let Some(rank) = &mut self.rank {
            rank.turn.ends(&self.caller.data().workers);
        }
        self.put_back();
        self.caller
    }

    /// The rank.
    ///
    /// # Panics
    /// Never: it is away only while the program is called back.
    pub fn rank(&mut self) -> &mut Rank {
        self.rank.as_mut().unwrap_or_else(|| unreachable!("it is here while a call is made"))
    }

    /// The program's memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Gives what is there already, or soon: that needs no leave, and nobody to wake.
    pub fn look_out<F: Future>(&self, what: F) -> Option<F::Output> {
        let mut what = std::pin::pin!(what);
        let mut look = || what.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match (look(), &self.rank) {
            (Poll::Ready(done), _) => Some(done),
            (Poll::Pending, Some(rank)) if !turns::woke() => rank.endpoint.look_out(look),
            (Poll::Pending, _) => None,
        }
    }

    /// Waits for something; the call's slot is free meanwhile.
    pub async fn wait<F: Future + Send>(&mut self, what: F) -> F::Output
    where
        F::Output: Send,
    {
        let mut what = std::pin::pin!(what);
        if let Some(done) = self.look_out(what.as_mut()) {
            return done;
        }
        turns::gives_way();
        let queue = match &self.rank {
            Some(rank) if rank.coll.queue.is_used() && self.caller.data().callbacks <= 1 => {
                rank.coll.queue.clone()
            }
            _ => return self.away(what).await,
        };
        // Operations of the program that collectives ask for are called meanwhile.
        loop {
            let either = std::future::poll_fn(|context| match what.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => queue.poll(context).map(Err),
            });
            match self.away(either).await {
                Ok(done) => return done,
                Err(job) => api::coll::serve_job(self, job).await,
            }
        }
    }

    /// Waits without a look; it is said in which call meanwhile.
    async fn away<F: Future + Send>(&mut self, what: F) -> F::Output
    where
        F::Output: Send,
    {
        self.says_where(Some(self.call));
        let done = waits::away(&mut self.caller, what).await;
        self.says_where(None);
        done
    }

    fn says_where(&self, call: Option<&'static str>) {
        if let Some(rank) = &self.rank {
            rank.endpoint.waits_in(call);
        }
    }

    /// Calls a function of the program by its place in the table. It may call MPI itself. `result`
    /// says whether it gives an `int`.
    pub async fn call(&mut self, function: u32, args: &[Val], result: bool) -> Result<Option<i32>> {
        let table = self.caller.get_export("__indirect_function_table");
        let found = match table {
            Some(Extern::Table(table)) => table.get(&mut self.caller, u64::from(function)),
            _ => {
                let why = "a callback needs the module to export its function table: link it with \
                           --export-table, as faasm-mpicc does";
                return Err(end(why));
            }
        };
        let Some(Ref::Func(Some(function))) = found else {
            return Err(end("a callback is no function of the module"));
        };
        self.put_back();
        let (args, fits) = fitted(args, function.ty(&self.caller).params().len());
        if !fits {
            self.take();
            return Err(end("a callback is a function of another type"));
        }
        let mut results = [Val::I32(0)];
        let results = if result { &mut results[..] } else { &mut [] };
        let called = heap::call_back_any(&mut self.caller, &function, &args, results).await;
        self.take();
        called?;
        Ok(results.first().and_then(Val::i32))
    }

    /// Allocates memory of the program; `None` when it has none left.
    pub async fn malloc(&mut self, len: u32) -> Result<Option<u32>> {
        self.put_back();
        let made = heap::malloc(&mut self.caller, len).await;
        self.take();
        match made? {
            Ok(0) => Ok(None),
            Ok(pointer) => Ok(Some(pointer)),
            Err(_) => Err(end("this call needs the module to export `malloc`: link it with \
                               --export=malloc, as faasm-mpicc does")),
        }
    }

    /// Gives such memory back.
    pub async fn free(&mut self, pointer: u32) -> Result<()> {
        self.put_back();
        let freed = heap::free(&mut self.caller, pointer).await;
        self.take();
        Ok(freed?)
    }

    /// The instance's own data, for its log, name and arguments.
    pub fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Writes a string with its NUL, and its length without that, where the standard has a buffer
    /// of `most` bytes.
    pub fn write_text(&self, at: u32, len_at: u32, text: &[u8], most: i32) -> Result<()> {
        let most = usize::try_from(most).unwrap_or(0);
        let len = text.len().min(most.saturating_sub(1));
        self.memory.write_string(at, text, most)?;
        self.memory.write_i32(len_at, i32::try_from(len).unwrap_or(0))
    }

    /// The job ends with this exit code, for a reason that goes to the log.
    pub fn abort(&mut self, code: i32, why: &str) -> Error {
        let line = format!("{why}\n");
        self.rank().endpoint.abort(code, why);
        match self.state().write_log(line.as_bytes()) {
            Ok(()) => Self::exit(code),
            Err(stop) => Error::End(wasmtime::Error::new(stop)),
        }
    }

    /// The rank ends with this exit code.
    pub fn exit(code: i32) -> Error {
        Error::End(wasmtime::Error::new(Stop::Exit(code)))
    }

    fn put_back(&mut self) {
        if let Some(rank) = self.rank.take() {
            self.caller.data_mut().mpi = Some(rank);
        }
    }

    fn take(&mut self) {
        let rank = self.caller.data_mut().mpi.take().map(|rank| rank.downcast::<Rank>());
        if let Some(Ok(rank)) = rank {
            self.rank = Some(rank);
        }
        // The program may have more memory now.
        drop(heap::door(&mut self.caller));
    }
}

/// The arguments for a function of so many parameters. A variadic function has one more, for what
/// comes after those that it names; nothing does.
fn fitted(args: &[Val], parameters: usize) -> (Vec<Val>, bool) {
    let mut args = args.to_vec();
    if parameters == args.len() + 1 {
        args.push(Val::I32(0));
    }
    let fits = parameters == args.len();
    (args, fits)
}

/// The rank ends for this reason.
pub fn end(why: &str) -> Error {
    let detail = crate::errno::CallError::new(crate::errno::Errno::Failed, why);
    Error::End(wasmtime::Error::new(Stop::Fail(detail)))
}

/// A rank for an instance: what `State::mpi` is given.
pub fn seat(endpoint: Arc<Endpoint>) -> Box<dyn std::any::Any + Send + Sync> {
    Box::new(Rank::new(endpoint))
}
