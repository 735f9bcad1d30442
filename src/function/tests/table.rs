//! Calls by function pointer.

use super::support::{Call, World, error};
use crate::errno::Errno;

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\04\00\00\00")
    (data (i32.const 16) "czfx")
    (table (export "__indirect_function_table") 6 funcref)
    (elem (i32.const 1) $sum $typed $grow)
    (global $steps (mut i32) (i32.const 0))
    (func $step (param $digit i32)
        (global.set $steps
            (i32.add (i32.mul (global.get $steps) (i32.const 10)) (local.get $digit))))
    (func (export "__wasm_call_ctors") (call $step (i32.const 1)))
    (func (export "_faasm_zygote") (result i32) (call $step (i32.const 2)) (i32.const 9))
    (func $sum (result i32) (call $step (i32.const 3)) (global.get $steps))
    (func $typed (param i32) (result i32) (local.get 0))
    (func $grow (result i32) (drop (table.grow (ref.null func) (i32.const 10))) (i32.const 0))
    (func (export "fflush") (param i32) (result i32)
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;

#[test]
fn constructors_zygote_and_function_run_in_order_and_buffers_are_flushed() {
    let world = World::new(2);
    let entry = world.module(MODULE);
    for _ in 0..2 {
        let outcome = world.run(Call::table(entry.clone(), 1));
        assert_eq!(outcome.result, Ok(123));
        assert_eq!(outcome.log, "czfx");
    }
}

#[test]
fn pointers_that_are_not_in_the_initial_table_are_refused() {
    let world = World::new(2);
    let entry = world.module(MODULE);
    assert_eq!(world.run(Call::table(entry.clone(), 3)).result, Ok(0));
    // Null, of another type, past the end, far past the end.
    for index in [0, 2, 4, 6, u32::MAX] {
        let failed = error(world.run(Call::table(entry.clone(), index)));
        assert_eq!(failed.code, Errno::Inval, "{index}: {failed}");
    }
    let hidden = world.module(r#"(module (table 1 funcref) (func (export "_start")))"#);
    assert_eq!(error(world.run(Call::table(hidden, 0))).code, Errno::Inval);
}
