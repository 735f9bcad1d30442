//! A call from its start to its outcome.

use super::support::{Call, FakeHost, World, error};
use crate::errno::Errno;

#[test]
fn a_no_op_gives_zero_and_frees_its_place() {
    let world = World::new(4);
    let entry = world.module(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    for _ in 0..20 {
        let outcome = world.run(Call::main(entry.clone()));
        assert_eq!(outcome.result, Ok(0));
        assert!(outcome.times.started_us <= outcome.times.ended_us);
        assert_eq!(world.functions.live(), 0);
    }
    assert!(world.functions.has(&entry.wasm));
}

#[test]
fn a_function_chains_another_by_name_and_reads_its_output() {
    let world = World::new(4);
    let echo = world.module(
        r#"(module
            (import "faasm" "input_size" (func $size (result i32)))
            (import "faasm" "input_read" (func $read (param i32 i32) (result i32)))
            (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (drop (call $read (i32.const 0) (call $size)))
                (drop (call $write (i32.const 0) (call $size)))))"#,
    );
    let parent = world.module(
        r#"(module
            (import "faasm" "chain_name" (func $chain (param i32 i32 i32 i32) (result i32)))
            (import "faasm" "await" (func $await (param i32 i64) (result i32)))
            (import "faasm" "output_size" (func $size (param i32) (result i64)))
            (import "faasm" "output_read" (func $read (param i32 i32 i32) (result i32)))
            (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "echohello")
            (func (export "_start") (local $call i32)
                (local.set $call
                    (call $chain (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 5)))
                (if (call $await (local.get $call) (i64.const -1)) (then unreachable))
                (drop (call $read (local.get $call) (i32.const 100)
                    (i32.wrap_i64 (call $size (local.get $call)))))
                (drop (call $write (i32.const 100) (i32.const 5)))))"#,
    );
    let host = FakeHost::chaining(&world.functions, &parent, &[("echo", &echo)]);
    let outcome = world.run(Call::main(parent).host(host));
    assert_eq!(outcome.result, Ok(0));
    assert_eq!(outcome.output, "hello");
}

#[test]
fn a_full_node_refuses_at_once() {
    let world = World::new(1);
    let endless = world.module(r#"(module (func (export "_start") (loop (br 0))))"#);
    let first = world.start(Call::main(endless.clone()));
    let refused = error(world.run(Call::main(endless)));
    assert_eq!(refused.code, Errno::Full);
    first.control.end(crate::function::EndReason::Cancelled);
    assert_eq!(error(first.wait()).code, Errno::Cancelled);
    assert_eq!(world.functions.live(), 0);
}
