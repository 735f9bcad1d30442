//! Running one call: load its module, make an instance, run it, and tell how it ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;
use wasmtime::Engine;

use super::ModuleError;
use super::cell::Cell;
use super::count::Count;
use super::delivery::{Order, Task, now_us};
use super::growth::Budget;
use super::job::{Control, Outcome};
use super::loader::Modules;
use super::metrics::Meters;
use super::module::Ready;
use super::pace::Gate;
use super::state::State;
use crate::errno::{CallError, Errno};
use crate::wire::calls::Times;

/// An instance with more memory than this, in bytes, is taken down on the control runtime's
/// blocking threads: giving a gibibyte back to the kernel takes some 50 ms.
const LARGE: u64 = 8 << 20;

/// What all instances share.
pub struct Runner {
    /// The engine.
    pub engine: Engine,
    /// The modules.
    pub modules: Arc<Modules>,
    /// The control runtime: its timers serve the waits of guests.
    pub control: Handle,
    /// The runtime that guests run on.
    pub workers: Handle,
    /// Turns of long-running calls.
    pub gate: Arc<Gate>,
    /// Memory of all guests.
    pub budget: Arc<Budget>,
    /// Live instances.
    pub count: Arc<Count>,
    /// Where to count.
    pub meters: Arc<Meters>,
}

impl Runner {
    /// Runs a task to its outcome. When the future is dropped, or panics, the outcome is
    /// `FAASM_EFAILED`.
    pub async fn run(&self, task: Task) {
        let Task { mut order, delivery, .. } = task;
        let control = order.control.clone();
        let mut cell = None;
        // Boxed, since every future around it would have room for it, some twice; and a waiting
        // call should be small.
        let guest = Box::pin(self.drive(&mut order, &mut cell));
        let result = self.watch(&control, guest).await;
        // The slot is free before anyone hears of the end.
        let (output, log) = match cell {
            Some(cell) => self.take_down(cell).await,
            None => (Bytes::new(), Bytes::new()),
        };
        let ended_us = now_us();
        let started_us = match control.started_us() {
            0 => ended_us,
            started => started,
        };
        self.meters.ended(&result);
        let times = Times { accepted_us: 0, started_us, ended_us };
        delivery.deliver(Outcome { result, output, log, times });
    }

    /// Ends an instance; gives its output and log.
    async fn take_down(&self, mut cell: Cell) -> (Bytes, Bytes) {
        let results = cell.results();
        if cell.memory() <= LARGE {
            drop(cell);
        } else if let Err(error) = self.control.spawn_blocking(move || drop(cell)).await {
            tracing::error!(%error, "a large instance was not taken down in order");
        }
        results
    }

    async fn drive(&self, order: &mut Order, slot: &mut Option<Cell>) -> Result<u8, CallError> {
        let module = self.module(order).await?;
        order.control.set_started_us(now_us());
        order.host.started();
        let timed = self.meters.started().then(Instant::now);
        let state = State::new(order, self.budget.clone(), self.gate.clone(), self.workers.clone());
        let cell = slot.insert(Cell::new(&self.engine, state));
        let instance = cell.instantiate(&module).await?;
        if let Some(begun) = timed {
            self.meters.instantiated(begun.elapsed());
        }
        cell.run(&module, instance, order.start).await
    }

    async fn module(&self, order: &Order) -> Result<Arc<Ready>, CallError> {
        if let Some(ready) = self.modules.ready(&order.entry.wasm) {
            return Ok(ready);
        }
        let loaded = self.modules.load(order.entry.wasm, None).await;
        loaded.map_err(|error| match &error {
            ModuleError::Invalid(_) => CallError::new(Errno::Failed, error.to_string()),
            ModuleError::Unavailable(_) => CallError::new(Errno::Unavailable, error.to_string()),
        })
    }

    /// Polls a guest as it must be: within the control runtime, and only until its control says
    /// that it is to end. The future is dropped before this returns.
    async fn watch(
        &self,
        control: &Control,
        mut guest: Pin<Box<impl Future<Output = Result<u8, CallError>>>>,
    ) -> Result<u8, CallError> {
        std::future::poll_fn(move |cx| {
            let _timers = self.control.enter();
            match control.poll_ended(cx) {
                Some(reason) => Poll::Ready(Err(control.error(reason))),
                None => guest.as_mut().poll(cx),
            }
        })
        .await
    }
}
