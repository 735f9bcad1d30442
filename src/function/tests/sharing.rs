//! Shared regions in guest memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::ftruncate;
use rustix::io::pread;
use wasmtime::{Caller, Linker};

use super::support::{Call, World, error, options, wait_until};
use crate::errno::Errno;
use crate::function::memfd::Memfd;
use crate::function::regions::{Kind, Window};
use crate::function::{EndReason, State};
use crate::host::heap;
use crate::wire::function::Limits;

/// What the input's first byte selects.
const END: u8 = 0;
const TRAP: u8 = 1;
const LOOP: u8 = 2;
const PASS_THE_LOG_LIMIT: u8 = 3;
const PANIC: u8 = 4;
const PEEK: u8 = 5;

const SECRET: u8 = 0x5e;

/// Maps the test's file and writes the secret to it, then ends as it was told. When told to peek,
/// grows its memory to where the file was, and gives what it finds there.
const MODULE: &str = r#"(module
    (import "test" "map" (func $map (result i32)))
    (import "test" "written" (func $written))
    (import "test" "panic" (func $panic))
    (import "faasm" "input_read" (func $input (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 2)
    (data (i32.const 64) "\00\00\00\00\00\00\01\00")
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "free") (param i32))
    (func (export "_start") (local $mode i32)
        (drop (call $input (i32.const 0) (i32.const 1)))
        (local.set $mode (i32.load8_u (i32.const 0)))
        (if (i32.eq (local.get $mode) (i32.const 5)) (then
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const 2)) (then unreachable))
            (call $exit (i32.load8_u (i32.const 131172)))))
        (if (i32.ne (call $map) (i32.const 131072)) (then unreachable))
        (i32.store8 (i32.const 131172) (i32.const 0x5e))
        (call $written)
        (if (i32.eq (local.get $mode) (i32.const 1)) (then unreachable))
        (if (i32.eq (local.get $mode) (i32.const 2)) (then (loop (br 0))))
        (if (i32.eq (local.get $mode) (i32.const 3)) (then (loop
            (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)))
            (br 0))))
        (if (i32.eq (local.get $mode) (i32.const 4)) (then (call $panic)))))"#;

struct Shared {
    file: Arc<Memfd>,
    written: Arc<AtomicBool>,
}

fn extend(linker: &mut Linker<State>, shared: &Shared) -> wasmtime::Result<()> {
    let file = shared.file.clone();
    linker.func_wrap_async("test", "map", move |mut caller: Caller<'_, State>, ()| {
        let file = file.clone();
        Box::new(async move {
            // As a value's window is mapped.
            let len = file.len();
            let window = Window { file, off: 0, len, held: Box::new(()) };
            let mapped = heap::map(&mut caller, len, Kind::Window(Arc::new(window))).await?;
            Ok::<_, wasmtime::Error>(mapped.map_or_else(Errno::code, |at| at as i32))
        })
    })?;
    linker.func_wrap("test", "unmap", |mut caller: Caller<'_, State>, at: u32| {
        i32::from(heap::unmap(&mut caller, at))
    })?;
    let written = shared.written.clone();
    linker.func_wrap("test", "written", move || written.store(true, Ordering::SeqCst))?;
    linker.func_wrap("test", "panic", || -> () { panic!("on purpose") })?;
    Ok(())
}

fn world(instances: usize) -> (World, Shared) {
    let file = Arc::new(Memfd::new(1).unwrap());
    let shared = Shared { file, written: Arc::default() };
    let world = World::with(options(instances), |linker| extend(linker, &shared));
    (world, shared)
}

fn first_byte_written(file: &Memfd) -> u8 {
    let mut byte = [0];
    assert_eq!(pread(file, &mut byte, 100).unwrap(), 1);
    byte[0]
}

#[test]
fn a_shared_region_never_reaches_the_next_instance() {
    // One place, so that every instance has the memory of the one before.
    let (world, shared) = world(1);
    let entry = world.module(MODULE);
    let told = |mode: &'static [u8]| world.start(Call::main(entry.clone()).input(mode));
    for mode in [&[END], &[TRAP], &[LOOP], &[PASS_THE_LOG_LIMIT], &[PANIC]] {
        shared.written.store(false, Ordering::SeqCst);
        let call = told(mode);
        wait_until("the secret is written, or the call ended", || {
            shared.written.load(Ordering::SeqCst) || !call.pending()
        });
        assert!(shared.written.load(Ordering::SeqCst), "{:?}", call.wait().result);
        if mode == &[LOOP] {
            call.control.end(EndReason::Cancelled);
        }
        drop(call.wait());
        assert_eq!(first_byte_written(&shared.file), SECRET, "mode {mode:?} lost the shared value");
        let peeked = told(&[PEEK]).wait().result;
        assert_eq!(peeked, Ok(0), "after mode {mode:?} the next instance saw the secret");
    }
}

#[test]
fn instances_see_each_others_writes_through_a_region() {
    let (world, shared) = world(4);
    let entry = world.module(
        r#"(module
            (import "test" "map" (func $map (result i32)))
            (import "test" "unmap" (func $unmap (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "_start") (local $at i32)
                (local.set $at (call $map))
                (i32.store8 offset=100 (local.get $at)
                    (i32.add (i32.load8_u offset=100 (local.get $at)) (i32.const 1)))
                ;; Un-mapped, the same addresses are zeros, and the next region's.
                (if (i32.ne (call $unmap (local.get $at)) (i32.const 1)) (then unreachable))
                (if (i32.load8_u offset=100 (local.get $at)) (then unreachable))
                (if (call $unmap (local.get $at)) (then unreachable))
                (if (i32.ne (call $map) (local.get $at)) (then unreachable))))"#,
    );
    for count in 1..=10 {
        assert_eq!(world.run(Call::main(entry.clone())).result, Ok(0));
        assert_eq!(first_byte_written(&shared.file), count);
    }
}

#[test]
fn one_byte_values_do_not_fault_and_cannot_shrink() {
    let (world, shared) = world(2);
    // The last byte of the page that a value of one byte is mapped in.
    let entry = world.module(
        r#"(module
            (import "test" "map" (func $map (result i32)))
            (import "test" "written" (func $written))
            (memory (export "memory") 1)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "_start") (local $at i32)
                (local.set $at (call $map))
                (i32.store8 offset=65535 (local.get $at) (i32.const 1))
                (call $written)
                (loop (br_if 0 (i32.load8_u offset=65535 (local.get $at))))))"#,
    );
    let reader = world.start(Call::main(entry));
    wait_until("it reads the page's last byte", || shared.written.load(Ordering::SeqCst));
    assert!(ftruncate(&shared.file, 0).is_err(), "it was shrunk under its reader");
    rustix::io::pwrite(&shared.file, &[0], 65_535).unwrap();
    assert_eq!(reader.wait().result, Ok(0));
}

/// A libc as small as can be: its first malloc takes all the memory there is, and later ones grow
/// the memory.
const LIBC: &str = r#"
    (global $heap (mut i32) (i32.const 1024))
    (global $end (mut i32) (i32.const 0))
    (func $malloc (export "malloc") (param $len i32) (result i32) (local $at i32)
        (if (i32.eqz (global.get $end)) (then
            (global.set $end (i32.mul (memory.size) (i32.const 65536)))))
        (local.set $at (global.get $heap))
        (if (i32.gt_u (i32.add (local.get $at) (local.get $len)) (global.get $end)) (then
            (local.set $at (i32.mul (memory.size) (i32.const 65536)))
            (drop (memory.grow (i32.div_u
                (i32.add (local.get $len) (i32.const 65535)) (i32.const 65536))))
            (global.set $end (i32.mul (memory.size) (i32.const 65536)))))
        (global.set $heap (i32.add (local.get $at) (local.get $len)))
        (local.get $at))"#;

#[test]
fn a_region_as_the_first_act_is_not_handed_out_as_heap() {
    let (world, shared) = world(2);
    let entry = world.module(&format!(
        r#"(module
            (import "test" "map" (func $map (result i32)))
            (memory (export "memory") 1)
            {LIBC}
            (func (export "_start") (local $region i32) (local $heap i32)
                (local.set $region (call $map))
                (i32.store8 offset=100 (local.get $region) (i32.const {SECRET}))
                ;; It would just fit into what a heap laid out only now had.
                (local.set $heap (call $malloc (i32.const 120000)))
                (memory.fill (local.get $heap) (i32.const 1) (i32.const 120000))
                (local.set $heap (call $malloc (i32.const 10485760)))
                (memory.fill (local.get $heap) (i32.const 1) (i32.const 10485760))))"#
    ));
    assert_eq!(world.run(Call::main(entry)).result, Ok(0));
    assert_eq!(first_byte_written(&shared.file), SECRET, "the heap grew into the region");
}

#[test]
fn a_module_without_malloc_gets_no_region() {
    let (world, _shared) = world(2);
    // -21 is FAASM_ENOSYS.
    let entry = world.module(
        r#"(module (import "test" "map" (func $map (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (if (i32.ne (call $map) (i32.const -21)) (then unreachable))))"#,
    );
    assert_eq!(world.run(Call::main(entry)).result, Ok(0));
}

#[test]
fn regions_do_not_count_to_the_functions_memory_but_end_with_the_address_space() {
    let (world, _shared) = world(2);
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let entry = world.module_with(
        r#"(module (import "test" "map" (func $map (result i32)))
            (memory (export "memory") 1 3)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "_start")
                (if (i32.ne (call $map) (i32.const 65536)) (then unreachable))
                (if (i32.ne (call $map) (i32.const 131072)) (then unreachable))
                ;; -4 is FAASM_ENOMEM.
                (if (i32.ne (call $map) (i32.const -4)) (then unreachable))))"#,
        limits,
    );
    assert_eq!(world.run(Call::main(entry)).result, Ok(0));
}

#[test]
fn a_malloc_that_asks_for_regions_does_not_nest_without_end() {
    let (world, _shared) = world(2);
    let entry = world.module(
        r#"(module (import "test" "map" (func $map (result i32)))
            (memory (export "memory") 1)
            (func (export "malloc") (param i32) (result i32) (call $map))
            (func (export "_start") (drop (call $map))))"#,
    );
    let failed = error(world.run(Call::main(entry)));
    assert_eq!(failed.code, Errno::Failed);
    assert!(failed.detail.contains("8 deep"), "{failed}");
}
