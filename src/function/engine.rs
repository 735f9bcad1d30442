//! The engine: pooled instances, copy-on-write images, fibers, epochs.

use std::hash::{Hash, Hasher};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

use crate::wire::function::Limits;

/// Stack left to host calls on a fiber beyond the guest's own, in bytes. A debug build that prints
/// a panic needs most of it; it is address space until it is touched.
const STACK_MARGIN: usize = 256 << 10;
/// Guest pages that a free slot keeps, in bytes: what a small function touches, so that the next
/// call faults none of them in again.
const KEEP_RESIDENT: usize = 128 << 10;
/// The same for a slot's table.
const KEEP_TABLE: usize = 16 << 10;
/// Largest function table, in elements. A large C++ program has some 20,000.
pub const TABLE_ELEMENTS: usize = 1 << 16;
/// Stacks beyond one an instance: a host call that calls back into its guest (for `malloc`) needs
/// another one for some microseconds.
const SPARE_STACKS: u32 = 256;
/// Instances alive at once that may throw exceptions, at most: each needs a heap for them.
const MAX_THROWING: u32 = 512;
/// Mappings an instance can need: two for its stack and the guard page, four for its memory (below
/// the image, the image, above it, the rest of the slot).
const MAPS_PER_INSTANCE: usize = 6;
/// Mappings left to the rest of the process: code, heaps, threads, and regions mapped by guests.
const MAPS_SPARE: usize = 4_000;
/// What Linux allows where `vm.max_map_count` cannot be read.
const MAPS_DEFAULT: usize = 65_530;

/// How many instances fit: as many as wanted, or as `vm.max_map_count` allows; at least one.
pub fn capacity(wanted: usize, max_map_count: usize) -> usize {
    wanted.min(max_map_count.saturating_sub(MAPS_SPARE) / MAPS_PER_INSTANCE).max(1)
}

/// How many windows of values may be mapped beside so many instances. Each takes two mappings, since
/// it cuts the memory that it is in; half of what is spare is left to the rest.
pub fn windows(instances: usize, max_map_count: usize) -> usize {
    max_map_count.saturating_sub(instances * MAPS_PER_INSTANCE + MAPS_SPARE / 2) / 2
}

/// The kernel's limit on mappings of one process.
pub fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(MAPS_DEFAULT)
}

/// Builds an engine whose pool holds this many instances.
pub fn build(instances: usize) -> wasmtime::Result<Engine> {
    let count = u32::try_from(instances).unwrap_or(u32::MAX);
    let throwing = count.min(MAX_THROWING);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(count)
        // Such a heap takes the place of a memory.
        .total_memories(count.saturating_add(throwing))
        .total_gc_heaps(throwing)
        .total_tables(count)
        .total_stacks(count.saturating_add(SPARE_STACKS))
        .max_memory_size(usize::try_from(Limits::MAX_MEMORY).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS);
    // Without the scan the reset would write zeros over all kept pages, and so into the memory
    // behind a shared region: no scan, no kept pages.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_TABLE);
    } else {
        tracing::warn!("no PAGEMAP_SCAN in this kernel (needs 6.7): instances start slower");
    }

    let stack = usize::try_from(Limits::MAX_STACK).unwrap_or(usize::MAX);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // The engine has one value for all: a function's smaller `stack` limit is not enforced.
        .max_wasm_stack(stack)
        .async_stack_size(stack + STACK_MARGIN)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .memory_reservation(Limits::MAX_MEMORY)
        .memory_may_move(false)
        .cranelift_opt_level(OptLevel::Speed)
        // Atomic instructions on a memory of its own are sound, and guests need them for regions
        // that others map too. Shared memories stay refused: they would not be pooled.
        .wasm_threads(true)
        .wasm_exceptions(true)
        .wasm_simd(true)
        .wasm_bulk_memory(true);
    Engine::new(&config)
}

/// Names the code that this engine makes and takes: equal on nodes of the same build and CPU.
pub fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_lowered_to_what_the_kernel_can_map() {
        assert_eq!(capacity(12_000, 262_144), 12_000);
        assert_eq!(capacity(12_000, 65_530), 10_255);
        assert_eq!(capacity(12_000, 0), 1);
    }

    #[test]
    fn windows_leave_mappings_to_instances_and_to_the_rest() {
        assert_eq!(windows(12_000, 262_144), 94_072);
        assert_eq!(windows(capacity(12_000, 65_530), 65_530), 1_000);
        assert_eq!(windows(12_000, 0), 0);
    }

    #[test]
    fn equal_engines_have_equal_fingerprints() {
        let one = build(1).unwrap();
        assert_eq!(fingerprint(&one), fingerprint(&build(2).unwrap()));
    }
}
