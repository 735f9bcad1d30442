//! Copies into and out of instances that end at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rand::Rng;
use wasmtime::{Caller, Linker};

use super::support::{Call, World, options};
use crate::function::memory::{Door, MAX_PIN, PinError};
use crate::function::{EndReason, State};
use crate::host::heap;

const ROUNDS: usize = 300;
/// Where the copies go, in the guest.
const AT: u64 = 128 << 10;

/// Checks that nobody writes to its memory before it opens the door, opens it, and traps or loops.
const MODULE: &str = r#"(module
    (import "test" "open" (func $open))
    (import "faasm" "input_read" (func $input (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 32)
    (func (export "_start") (local $at i32)
        (local.set $at (i32.const 131072))
        (loop $check
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (call $exit (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if $check (i32.lt_u (local.get $at) (i32.const 1179648))))
        (call $open)
        (drop (call $input (i32.const 0) (i32.const 1)))
        (if (i32.load8_u (i32.const 0)) (then unreachable))
        (loop (br 0))))"#;

#[derive(Default)]
struct Doors {
    open: Mutex<Option<Arc<Door>>>,
    opened: AtomicUsize,
    copies: AtomicUsize,
    over: AtomicBool,
}

fn extend(linker: &mut Linker<State>, doors: &Arc<Doors>) -> wasmtime::Result<()> {
    let doors = doors.clone();
    linker.func_wrap("test", "open", move |mut caller: Caller<'_, State>| {
        *doors.open.lock() = Some(heap::door(&mut caller)?);
        doors.opened.fetch_add(1, Ordering::SeqCst);
        Ok(())
    })?;
    Ok(())
}

fn copy(doors: &Doors) {
    let mut buffer = vec![0xab; MAX_PIN];
    while !doors.over.load(Ordering::SeqCst) {
        let Some(door) = doors.open.lock().clone() else {
            std::thread::yield_now();
            continue;
        };
        let len = rand::rng().random_range(1..=MAX_PIN);
        match door.pin(AT, len) {
            Ok(pin) => {
                buffer.fill(0xab);
                assert_eq!(pin.write(&buffer), len);
                pin.read(&mut buffer[..len]);
                doors.copies.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => assert_eq!(error, PinError::Gone),
        }
    }
}

#[test]
fn copies_never_meet_an_unmapped_memory() {
    let doors = Arc::new(Doors::default());
    let world = World::with(options(1), |linker| extend(linker, &doors));
    let entry = world.module(MODULE);
    let copiers: Vec<_> = (0..2)
        .map(|_| {
            let doors = doors.clone();
            std::thread::spawn(move || copy(&doors))
        })
        .collect();
    for round in 1..=ROUNDS {
        let trap = rand::rng().random_bool(0.5);
        let call = Call::main(entry.clone()).input(if trap { &[1] } else { &[0] });
        let call = world.start(call);
        while doors.opened.load(Ordering::SeqCst) < round && call.pending() {
            std::thread::yield_now();
        }
        call.control.end(EndReason::Cancelled);
        let result = call.wait().result;
        assert!(result.is_err(), "a copy reached the next instance: {result:?}");
    }
    doors.over.store(true, Ordering::SeqCst);
    copiers.into_iter().for_each(|copier| copier.join().unwrap());
    assert!(doors.copies.load(Ordering::SeqCst) > 0, "no copy was made");
}
