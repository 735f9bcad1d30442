//! What this component measures.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::errno::{CallError, Errno};

/// Instances alive.
pub const INSTANCES: &str = "faasm_instances";
/// Calls that began to run.
pub const STARTED: &str = "faasm_calls_started_total";
/// Instances that ended, by `result`: `ok` or the name of the error. Calls that ended are counted
/// where their end is made known, those that never began among them.
pub const ENDED: &str = "faasm_instances_ended_total";
/// Time to compile a module, in seconds.
pub const COMPILE: &str = "faasm_module_compile_seconds";
/// Bytes of compiled modules in memory.
pub const CACHE: &str = "faasm_module_cache_bytes";
/// Time to make an instance, in seconds; one of 64 is measured.
pub const INSTANTIATE: &str = "faasm_instantiate_seconds";

/// Of this many instances one is timed: a histogram costs a tenth of an instance.
const SAMPLE: u32 = 64;

/// The instruments, looked up once.
pub struct Meters {
    started: Counter,
    ok: Counter,
    failed: Vec<(Errno, Counter)>,
    compile: Histogram,
    cache: Gauge,
    instantiate: Histogram,
    turn: AtomicU32,
}

impl Meters {
    /// Describes and registers them.
    pub fn register() -> Self {
        describe_gauge!(INSTANCES, "Instances alive");
        describe_counter!(STARTED, "Calls that began to run");
        describe_counter!(ENDED, "Instances that ended, by result");
        describe_histogram!(COMPILE, "Time to compile a module, in seconds");
        describe_gauge!(CACHE, "Bytes of compiled modules in memory");
        describe_histogram!(INSTANTIATE, "Time to make an instance, in seconds (sampled)");
        let failed = |code: &Errno| (*code, counter!(ENDED, "result" => code.name()));
        Self {
            started: counter!(STARTED),
            ok: counter!(ENDED, "result" => "ok"),
            failed: Errno::ALL.iter().map(failed).collect(),
            compile: histogram!(COMPILE),
            cache: gauge!(CACHE),
            instantiate: histogram!(INSTANTIATE),
            turn: AtomicU32::new(0),
        }
    }

    /// A call began to run; `true` when its instantiation should be timed.
    pub fn started(&self) -> bool {
        self.started.increment(1);
        self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE)
    }

    /// An instance was made in this time.
    pub fn instantiated(&self, took: Duration) {
        self.instantiate.record(took.as_secs_f64());
    }

    /// A call ended.
    pub fn ended(&self, result: &Result<u8, CallError>) {
        match result {
            Ok(_) => self.ok.increment(1),
            Err(error) => {
                let counter = self.failed.iter().find(|(code, _)| *code == error.code);
                counter.inspect(|(_, counter)| counter.increment(1));
            }
        }
    }

    /// A module was compiled in this time.
    pub fn compiled(&self, took: Duration) {
        self.compile.record(took.as_secs_f64());
    }

    /// Modules in memory take this many bytes.
    pub fn cached(&self, bytes: usize) {
        self.cache.set(bytes as f64);
    }
}
