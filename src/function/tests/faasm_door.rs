//! The imports that existing Faasm functions have.

use super::support::{Call, FakeHost, World, error};
use crate::errno::Errno;

/// Imports, a memory, and a malloc that hands out one page after the other.
const PRELUDE: &str = r#"
    (import "env" "__faasm_read_input" (func $input (param i32 i32) (result i32)))
    (import "env" "__faasm_write_output" (func $output (param i32 i32)))
    (import "env" "__faasm_chain_name" (func $name (param i32 i32 i32) (result i32)))
    (import "env" "__faasm_chain_ptr" (func $pointer (param i32 i32 i32) (result i32)))
    (import "env" "__faasm_await_call" (func $await (param i32) (result i32)))
    (import "env" "__faasm_await_call_output" (func $result (param i32 i32 i32) (result i32)))
    (import "env" "__faasm_conf_flag" (func $flag (param i32) (result i32)))
    (import "env" "__faasm_backtrace" (func $trace (param i32)))
    (import "env" "__faasm_get_py_user" (func $user (param i32 i32)))
    (memory (export "memory") 4)
    (data (i32.const 0) "child\00")
    (global $next (mut i32) (i32.const 65536))
    (func (export "malloc") (param i32) (result i32) (global.get $next)
        (global.set $next (i32.add (global.get $next) (i32.const 65536))))"#;

#[test]
fn a_parent_gets_its_childs_output_in_memory_of_its_own() {
    let world = World::new(4);
    let child = world.module(&format!(
        r#"(module {PRELUDE} (func (export "_start")
            (if (i32.ne (call $input (i32.const 0) (i32.const 0)) (i32.const 3))
                (then unreachable))
            (if (i32.ne (call $input (i32.const 10) (i32.const 2)) (i32.const 2))
                (then unreachable))
            (call $output (i32.const 10) (i32.const 2))))"#
    ));
    let parent = world.module(&format!(
        r#"(module {PRELUDE} (func $main (export "_start")
            (if (call $flag (i32.const 0)) (then unreachable))
            (call $trace (i32.const 1))
            (call $user (i32.const 200) (i32.const 8))
            (if (call $result (call $name (i32.const 0) (i32.const 1) (i32.const 3))
                (i32.const 100) (i32.const 104)) (then unreachable))
            (call $output (i32.load (i32.const 100))
                (i32.add (i32.load (i32.const 104)) (i32.const 1)))))"#
    ));
    let host = FakeHost::chaining(&world.functions, &parent, &[("child", &child)]);
    let outcome = world.run(Call::main(parent).host(host));
    assert_eq!(outcome.result, Ok(0));
    assert_eq!(outcome.output, "hi\0");
    assert!(String::from_utf8_lossy(&outcome.log).starts_with("#0 main"), "{:?}", outcome.log);
}

#[test]
fn a_failed_child_is_a_number_that_is_not_zero() {
    let world = World::new(4);
    let child = world.module(r#"(module (func (export "_start") unreachable))"#);
    let parent = world.module(&format!(
        r#"(module {PRELUDE} (func (export "_start")
            (if (i32.eqz (call $await (call $name (i32.const 0) (i32.const 0) (i32.const 0))))
                (then unreachable))))"#
    ));
    let host = FakeHost::chaining(&world.functions, &parent, &[("child", &child)]);
    assert_eq!(world.run(Call::main(parent).host(host)).result, Ok(0));
}

#[test]
fn a_call_that_cannot_be_chained_ends_the_parent() {
    let world = World::new(4);
    let parent = world.module(&format!(
        r#"(module {PRELUDE} (func (export "_start")
            (drop (call $name (i32.const 0) (i32.const 0) (i32.const 0)))))"#
    ));
    assert_eq!(error(world.run(Call::main(parent))).code, Errno::NoEnt);
}
