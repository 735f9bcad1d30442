//! One instance: made for one call, gone with it.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{Engine, Func, Instance, ModuleExport, Ref, Store, Trap, WasmParams, WasmResults};

use super::ending::{Stop, c_stack_overflow, exit, stopped};
use super::memory::Door;
use super::module::Ready;
use super::state::State;
use crate::errno::{CallError, Errno};
use crate::wire::calls::Entry;

/// A store with its instance. Dropping it takes everything down in the order that keeps the slot
/// clean: copies end, regions are un-mapped, then the memory goes back to the pool.
pub struct Cell {
    store: Store<State>,
}

impl Cell {
    /// A store without an instance yet.
    pub fn new(engine: &Engine, state: State) -> Self {
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.growth);
        store.epoch_deadline_callback(State::slice_ended);
        store.set_epoch_deadline(1);
        Self { store }
    }

    /// Makes the instance. A future that is dropped leaves it half-made.
    pub async fn instantiate(&mut self, module: &Ready) -> Result<Instance, CallError> {
        let pre = module.pre.as_ref().map_err(Clone::clone)?;
        let made = pre.instantiate_async(&mut self.store).await;
        let instance = made.map_err(|error| self.failed(&error))?;
        if let Some(memory) = &module.exports.memory {
            let memory = instance.get_module_export(&mut self.store, memory);
            self.store.data_mut().memory = memory.and_then(|export| export.into_memory());
        }
        Ok(instance)
    }

    /// Runs it to the call's result.
    pub async fn run(
        &mut self,
        module: &Ready,
        instance: Instance,
        start: Entry,
    ) -> Result<u8, CallError> {
        let ended = match start {
            Entry::Main => self.main(module, instance).await,
            Entry::Table(index) => self.table_entry(module, instance, index).await,
        };
        match ended {
            Ok(code) => exit(code),
            Err(error) if self.c_stack_overflowed(&error, instance) => Err(c_stack_overflow()),
            Err(error) => stopped(&error, self.store.data().growth.refused()),
        }
    }

    /// Whether the stack that C keeps in the instance's memory overflowed. The linker puts it at
    /// the memory's start, so that its pointer then wraps below 0, past the end of the memory.
    fn c_stack_overflowed(&mut self, error: &wasmtime::Error, instance: Instance) -> bool {
        if !matches!(error.downcast_ref::<Trap>(), Some(Trap::MemoryOutOfBounds)) {
            return false;
        }
        let pointer = instance.get_global(&mut self.store, "__stack_pointer");
        let memory = self.store.data().memory;
        let (Some(pointer), Some(memory)) = (pointer, memory) else { return false };
        let at = pointer.get(&mut self.store).i32().unwrap_or(0).cast_unsigned();
        at as usize > memory.data_size(&self.store)
    }

    /// The last output, or the files that a rank wrote; and the log.
    pub fn results(&mut self) -> (Bytes, Bytes) {
        let state = self.store.data_mut();
        let mut output = std::mem::take(&mut state.output);
        if output.is_empty()
            && let Some(disk) = &state.wasi.disk
        {
            output = disk.written(state.limits.output);
        }
        (output, state.log.take())
    }

    /// Bytes of memory that the end of this instance may have to clear.
    pub fn memory(&self) -> u64 {
        self.store.data().growth.private()
    }

    fn failed(&self, error: &wasmtime::Error) -> CallError {
        match stopped(error, self.store.data().growth.refused()) {
            Err(error) => error,
            Ok(code) => {
                let detail = format!("it ended with {code} before it began");
                CallError::new(Errno::Failed, detail)
            }
        }
    }

    async fn main(&mut self, module: &Ready, instance: Instance) -> wasmtime::Result<i32> {
        let exports = &module.exports;
        if let Some(start) = &exports.start {
            let start = self.function(instance, start)?;
            self.call::<(), ()>(start, ()).await?;
            return Ok(0);
        }
        let Some(main) = &exports.main else {
            return Err(refuse(
                Errno::Failed,
                "the module exports neither `_start` nor `main`: link it as a command".into(),
            ));
        };
        self.construct(module, instance).await?;
        let main = self.function(instance, main)?;
        let code = if main.typed::<(), i32>(&self.store).is_ok() {
            self.call::<(), i32>(main, ()).await?
        } else {
            // Without a `_start` there is nobody to build argv.
            self.call::<(i32, i32), i32>(main, (0, 0)).await?
        };
        self.flush(module, instance).await?;
        Ok(code)
    }

    async fn table_entry(
        &mut self,
        module: &Ready,
        instance: Instance,
        index: u32,
    ) -> wasmtime::Result<i32> {
        // Looked up before any guest code runs: only the module's initial table counts.
        let entry = self.initial_entry(module, instance, index)?;
        self.construct(module, instance).await?;
        if let Some(zygote) = &module.exports.zygote {
            let zygote = self.function(instance, zygote)?;
            if zygote.typed::<(), i32>(&self.store).is_ok() {
                self.call::<(), i32>(zygote, ()).await?;
            } else {
                self.call::<(), ()>(zygote, ()).await?;
            }
        }
        let code = self.call::<(), i32>(entry, ()).await?;
        self.flush(module, instance).await?;
        Ok(code)
    }

    fn initial_entry(
        &mut self,
        module: &Ready,
        instance: Instance,
        index: u32,
    ) -> wasmtime::Result<Func> {
        let invalid = |why: &str| refuse(Errno::Inval, format!("function pointer {index} {why}"));
        let export = module.exports.table.as_ref().ok_or_else(|| {
            invalid("cannot be called: the module does not export its function table")
        })?;
        let table = instance.get_module_export(&mut self.store, export);
        let table = table.and_then(|export| export.into_table());
        let entry = table.and_then(|table| table.get(&mut self.store, u64::from(index)));
        let Some(Ref::Func(Some(entry))) = entry else {
            return Err(invalid("is not in the module's initial table"));
        };
        match entry.typed::<(), i32>(&self.store) {
            Ok(_) => Ok(entry),
            Err(_) => Err(invalid("is no function of type int (*)(void)")),
        }
    }

    /// Runs the constructors of a module that is not entered by `_start`.
    async fn construct(&mut self, module: &Ready, instance: Instance) -> wasmtime::Result<()> {
        let exports = &module.exports;
        let Some(constructors) = exports.constructors.as_ref().or(exports.initialize.as_ref())
        else {
            return Ok(());
        };
        let constructors = self.function(instance, constructors)?;
        self.call::<(), ()>(constructors, ()).await
    }

    /// Has the guest's libc write what it still buffers to the log.
    async fn flush(&mut self, module: &Ready, instance: Instance) -> wasmtime::Result<()> {
        let Some(flush) = &module.exports.flush else { return Ok(()) };
        let flush = self.function(instance, flush)?;
        if flush.typed::<i32, i32>(&self.store).is_ok() {
            self.call::<i32, i32>(flush, 0).await?;
        }
        Ok(())
    }

    fn function(&mut self, instance: Instance, export: &ModuleExport) -> wasmtime::Result<Func> {
        let found = instance.get_module_export(&mut self.store, export);
        found.and_then(|export| export.into_func()).ok_or_else(|| {
            refuse(Errno::Failed, "an exported function of the module is none".into())
        })
    }

    async fn call<P, R>(&mut self, function: Func, params: P) -> wasmtime::Result<R>
    where
        P: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let function = function.typed::<P, R>(&self.store).map_err(|error| {
            refuse(Errno::Failed, format!("the module's entry has another type: {error}"))
        })?;
        function.call_async(&mut self.store, params).await
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let state = self.store.data_mut();
        if let Some(door) = state.door.take() {
            Arc::<Door>::as_ref(&door).close();
        }
        state.regions.release_all();
    }
}

fn refuse(code: Errno, detail: String) -> wasmtime::Error {
    wasmtime::Error::new(Stop::Fail(CallError::new(code, detail)))
}
