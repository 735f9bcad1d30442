//! A compiled module, made ready: its imports resolved, what it exports looked up.

use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{ExternType, InstancePre, Linker, Module, ModuleExport};

use super::ModuleError;
use super::ending::unknown_import;
use super::state::State;
use crate::errno::CallError;

/// The exports that the runtime uses, where the module has them.
pub struct Exports {
    /// `_start`: a command's beginning.
    pub start: Option<ModuleExport>,
    /// `_initialize`: a reactor's constructors.
    pub initialize: Option<ModuleExport>,
    /// `__wasm_call_ctors`: a command's constructors.
    pub constructors: Option<ModuleExport>,
    /// `_faasm_zygote`: what a function prepares once.
    pub zygote: Option<ModuleExport>,
    /// `main`, where there is no `_start`.
    pub main: Option<ModuleExport>,
    /// The function table.
    pub table: Option<ModuleExport>,
    /// The memory.
    pub memory: Option<ModuleExport>,
    /// `fflush`.
    pub flush: Option<ModuleExport>,
}

/// A module that can be instantiated.
pub struct Ready {
    /// Module and imports; or why no instance can be made.
    pub pre: Result<InstancePre<State>, CallError>,
    /// What it exports.
    pub exports: Exports,
    /// Bytes of its code and data in memory.
    pub size: usize,
    used: AtomicU64,
}

impl Ready {
    /// Resolves the imports. Unknown functions become traps that name them; another unknown
    /// import makes every call end with an error that names it.
    pub fn new(linker: &Linker<State>, module: &Module) -> Result<Self, ModuleError> {
        let range = module.image_range();
        let size = (range.end as usize).saturating_sub(range.start as usize);
        let exports = Exports::of(module);
        let pre = match unknown_value(module) {
            Some(error) => Err(error),
            None => Ok(resolve(linker, module)?),
        };
        Ok(Self { pre, exports, size, used: AtomicU64::new(0) })
    }

    /// Notes a use, for the cache: larger is later.
    pub fn touch(&self, clock: u64) {
        self.used.store(clock, Ordering::Relaxed);
    }

    /// When it was used last.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

fn resolve(linker: &Linker<State>, module: &Module) -> Result<InstancePre<State>, ModuleError> {
    let mut linker = linker.clone();
    linker
        .define_unknown_imports_as_traps(module)
        .and_then(|()| linker.instantiate_pre(module))
        .map_err(|error| ModuleError::Invalid(format!("its imports do not fit: {error:#}")))
}

/// The first import that is no function: the host offers none such.
fn unknown_value(module: &Module) -> Option<CallError> {
    module
        .imports()
        .find(|import| !matches!(import.ty(), ExternType::Func(_)))
        .map(|import| unknown_import(import.module(), import.name()))
}

impl Exports {
    fn of(module: &Module) -> Self {
        let function = |name| match module.get_export(name) {
            Some(ExternType::Func(_)) => module.get_export_index(name),
            _ => None,
        };
        let table = match module.get_export("__indirect_function_table") {
            Some(ExternType::Table(_)) => module.get_export_index("__indirect_function_table"),
            _ => None,
        };
        let memory = match module.get_export("memory") {
            Some(ExternType::Memory(_)) => module.get_export_index("memory"),
            _ => None,
        };
        Self {
            start: function("_start"),
            initialize: function("_initialize"),
            constructors: function("__wasm_call_ctors"),
            zygote: function("_faasm_zygote"),
            main: function("main").or_else(|| function("__main_void")),
            table,
            memory,
            flush: function("fflush"),
        }
    }
}
