//! WASI as a C library uses it.

use super::support::{Call, World, error};
use crate::errno::Errno;

#[test]
fn arguments_are_the_functions_name_and_its_own() {
    let world = World::new(2);
    let entry = world.module(
        r#"(module
            (import "wasi_snapshot_preview1" "args_sizes_get"
                (func $sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
            (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (if (call $sizes (i32.const 0) (i32.const 4)) (then unreachable))
                (if (i32.ne (i32.load (i32.const 0)) (i32.const 3)) (then unreachable))
                (if (call $args (i32.const 16) (i32.const 100)) (then unreachable))
                ;; argv[1] points behind "function\00".
                (if (i32.ne (i32.load (i32.const 20)) (i32.const 109)) (then unreachable))
                (drop (call $write (i32.const 100) (i32.load (i32.const 4))))))"#,
    );
    let args = vec!["-n".to_owned(), "two words".to_owned()];
    let outcome = world.run(Call { args, ..Call::main(entry) });
    assert_eq!(outcome.result, Ok(0));
    assert_eq!(outcome.output, "function\0-n\0two words\0");
}

#[test]
fn both_streams_go_to_the_log_in_order_until_they_are_closed() {
    let world = World::new(2);
    let outcome = world.main(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\20\00\00\00\02\00\00\00\22\00\00\00\01\00\00\00")
            (data (i32.const 32) "ab\n")
            (func $say (param $fd i32) (param $n i32) (result i32)
                (call $write (local.get $fd) (i32.const 0) (local.get $n) (i32.const 64)))
            (func (export "_start")
                (drop (call $say (i32.const 1) (i32.const 1)))
                (if (call $say (i32.const 2) (i32.const 2)) (then unreachable))
                (if (i32.ne (i32.load (i32.const 64)) (i32.const 3)) (then unreachable))
                (if (call $close (i32.const 1)) (then unreachable))
                (if (i32.ne (call $say (i32.const 1) (i32.const 1)) (i32.const 8))
                    (then unreachable))
                (if (i32.ne (call $say (i32.const 0) (i32.const 1)) (i32.const 8))
                    (then unreachable))
                (if (i32.ne (call $say (i32.const 7) (i32.const 1)) (i32.const 8))
                    (then unreachable))))"#,
    );
    assert_eq!(outcome.result, Ok(0));
    assert_eq!(outcome.log, "abab\n");
}

#[test]
fn there_are_clocks_and_randomness_but_no_files() {
    let world = World::new(2);
    let outcome = world.main(
        r#"(module
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get"
                (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get"
                (func $prestat (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 0) "etc")
            (func (export "_start")
                (if (call $clock (i32.const 0) (i64.const 1) (i32.const 8)) (then unreachable))
                (if (i64.lt_u (i64.load (i32.const 8)) (i64.const 1600000000000000000))
                    (then unreachable))
                (if (call $clock (i32.const 1) (i64.const 1) (i32.const 8)) (then unreachable))
                (if (i32.ne (call $clock (i32.const 9) (i64.const 1) (i32.const 8))
                    (i32.const 28)) (then unreachable))
                (if (call $random (i32.const 64) (i32.const 70000)) (then unreachable))
                (if (i64.eqz (i64.or (i64.load (i32.const 64)) (i64.load (i32.const 70048))))
                    (then unreachable))
                (if (call $environ (i32.const 8) (i32.const 12)) (then unreachable))
                (if (i32.load (i32.const 8)) (then unreachable))
                (if (i32.ne (call $prestat (i32.const 3) (i32.const 8)) (i32.const 8))
                    (then unreachable))
                (if (i32.ne (i32.const 8) (call $open (i32.const 3) (i32.const 0) (i32.const 0)
                    (i32.const 3) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0)
                    (i32.const 8))) (then unreachable))))"#,
    );
    assert_eq!(outcome.result, Ok(0));
}

#[test]
fn a_hostile_poll_is_an_error_and_allocates_nothing() {
    let world = World::new(2);
    let poll = |n: i32| {
        world.main(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "poll_oneoff"
                    (func $poll (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start")
                    (call $exit (call $poll
                        (i32.const 0) (i32.const 100) (i32.const {n}) (i32.const 8)))))"#
        ))
    };
    for n in [0, -1, 1025] {
        assert_eq!(poll(n).result, Ok(28));
    }
    let failed = error(world.main(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (drop (call $poll
                (i32.const -48) (i32.const 100) (i32.const 1) (i32.const 8)))))"#,
    ));
    assert_eq!(failed.code, Errno::Failed);
}
