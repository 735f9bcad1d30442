//! What the host knows of the instance that runs a call: the data of its store.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use wasmtime::{Memory, StoreContextMut, UpdateDeadline};

use super::delivery::Order;
use super::ending::Stop;
use super::files::Files;
use super::growth::{Budget, Growth};
use super::job::CallHost;
use super::log::Log;
use super::memory::Door;
use super::pace::{Gate, Pace, Permit, Turn, yield_now};
use super::regions::Regions;
use super::views::Views;
use crate::errno::{CallError, Errno};
use crate::host::wasi::Wasi;
use crate::id::Name;
use crate::wire::function::Limits;

/// The data of one instance's store.
pub struct State {
    /// Chaining and slot accounting.
    pub host: Arc<dyn CallHost>,
    /// The input.
    pub input: Bytes,
    /// What is left to read of stdin: for a rank its input, else nothing.
    pub stdin: Bytes,
    /// The last output written.
    pub output: Bytes,
    /// stdout and stderr.
    pub log: Log,
    /// The function's name: the first argument of `main`.
    pub name: Name,
    /// The others.
    pub args: Vec<String>,
    /// The function's limits.
    pub limits: Limits,
    /// Memory taken.
    pub growth: Growth,
    /// The instance's memory, once it is instantiated.
    pub memory: Option<Memory>,
    /// What is mapped above the initial memory.
    pub regions: Regions,
    /// What it has of the state.
    pub views: Views,
    /// Whether the guest's libc has laid out its heap, so that the host may grow the memory.
    pub primed: bool,
    /// How many calls back into the guest there are, each within the one before.
    pub callbacks: u32,
    /// The memory as others see it, once something made it known to them.
    pub door: Option<Arc<Door>>,
    /// What it is in an MPI job, for the part that serves those.
    pub mpi: Option<Box<dyn Any + Send + Sync>>,
    /// WASI.
    pub wasi: Wasi,
    /// The output of a child that is being read piece by piece.
    pub fetched: Option<(u32, Bytes)>,
    /// The runtime that it runs on; the current one is that of its timers.
    pub workers: Handle,
    pace: Pace,
    /// Made when the call becomes long-running.
    permit: Option<Arc<Permit>>,
    gate: Arc<Gate>,
}

/// What a rank reads: the files that came with its job, and stdin, which is its input too.
fn files_and_stdin(input: &mut Bytes, budget: &Arc<Budget>) -> (Wasi, Bytes) {
    if let Ok((files, stdin, environment)) = Files::of(input, budget.clone()) {
        *input = stdin;
        return (Wasi::with(files, environment), input.clone());
    }
    (Wasi::with(Files::new(budget.clone()), Vec::new()), input.clone())
}

impl State {
    /// For one call, which starts to run now.
    pub fn new(order: &mut Order, budget: Arc<Budget>, gate: Arc<Gate>, workers: Handle) -> Self {
        let mut limits = order.entry.limits.clone();
        if order.rank.is_some() {
            limits.log = limits.rank_log();
        }
        let (wasi, stdin) = match order.rank.is_some() {
            true => files_and_stdin(&mut order.input, &budget),
            false => (Wasi::default(), Bytes::new()),
        };
        Self {
            host: order.host.clone(),
            input: std::mem::take(&mut order.input),
            stdin,
            output: Bytes::new(),
            log: Log::new(limits.log),
            name: order.key.name.clone(),
            args: std::mem::take(&mut order.args),
            growth: Growth::new(limits.memory, budget),
            memory: None,
            regions: Regions::default(),
            views: Views::new(order.state.take(), order.call, order.key.user.clone()),
            primed: false,
            callbacks: 0,
            door: None,
            mpi: order.rank.take(),
            wasi,
            fetched: None,
            limits,
            workers,
            pace: Pace::default(),
            permit: None,
            gate,
        }
    }

    /// The guest begins to wait: a long-running one gives its turn up meanwhile.
    pub fn begin_wait(&self) {
        if let Some(permit) = &self.permit {
            permit.release();
        }
    }

    /// The wait is over.
    pub fn end_wait(&mut self) {
        self.pace.waited();
    }

    /// Adds to the log; past its limit the call is over.
    pub fn write_log(&mut self, text: &[u8]) -> Result<(), Stop> {
        let room = self.log.room();
        self.host.wrote(text.get(..room).unwrap_or(text));
        if self.log.append(text) {
            return Ok(());
        }
        let detail = format!(
            "the log passed the function's limit of {} bytes; its beginning is kept; raise the \
             limit at upload with --log",
            self.limits.log
        );
        Err(CallError::new(Errno::Limit, detail).into())
    }

    /// At the end of a slice: who is next.
    pub fn slice_ended(cx: StoreContextMut<'_, Self>) -> wasmtime::Result<UpdateDeadline> {
        let mut cx = cx;
        let state = cx.data_mut();
        match state.pace.slice_ended() {
            Turn::Yield => return Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now()))),
            Turn::BecomesLong => state.host.long_running(),
            Turn::Queue => {}
        }
        let permit = state.permit.get_or_insert_default().clone();
        let next = permit.next(state.gate.clone());
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(next)))
    }
}
