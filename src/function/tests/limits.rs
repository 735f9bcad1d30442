//! What a guest must not do ends its call with an error that says so.

use super::support::{Call, World, error, options};
use crate::errno::Errno;
use crate::wire::function::Limits;

const PAGE: u64 = 64 << 10;

#[test]
fn growth_past_the_memory_limit_is_refused_and_named_when_the_guest_gives_up() {
    let world = World::new(2);
    let wat = r#"(module (memory (export "memory") 1)
        (func (export "_start")
            (if (i32.ne (memory.grow (i32.const 2)) (i32.const 1)) (then unreachable))
            (if (i32.ne (memory.grow (i32.const 2)) (i32.const -1)) (then (return)))
            unreachable))"#;
    let limits = Limits { memory: 4 * PAGE, ..Limits::default() };
    let failed = error(world.run(Call::main(world.module_with(wat, limits))));
    assert_eq!(failed.code, Errno::Limit);
    assert!(failed.detail.contains("memory limit of 262144 bytes"), "{failed}");
}

#[test]
fn a_guest_that_copes_with_refused_memory_goes_on() {
    let world = World::new(2);
    let wat = r#"(module (memory (export "memory") 1)
        (func (export "_start") (drop (memory.grow (i32.const 100)))))"#;
    let limits = Limits { memory: 4 * PAGE, ..Limits::default() };
    assert_eq!(world.run(Call::main(world.module_with(wat, limits))).result, Ok(0));
}

#[test]
fn an_initial_memory_over_the_limit_does_not_start() {
    let world = World::new(2);
    let limits = Limits { memory: PAGE, ..Limits::default() };
    let entry = world
        .module_with(r#"(module (memory (export "memory") 2) (func (export "_start")))"#, limits);
    assert_eq!(error(world.run(Call::main(entry))).code, Errno::Limit);
}

#[test]
fn the_nodes_budget_refuses_growth_and_gets_it_back() {
    let mut options = options(2);
    options.memory_percent = 0;
    let world = World::with(options, |_| Ok(()));
    let failed = error(world.main(
        r#"(module (memory (export "memory") 1) (func (export "_start")
            (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))))"#,
    ));
    assert_eq!(failed.code, Errno::NoMem);
    assert_eq!(world.functions.memory_used(), 0);
}

#[test]
fn a_recursion_without_end_names_the_stack() {
    let world = World::new(2);
    let failed = error(world.main(r#"(module (func $down (export "_start") (call $down)))"#));
    assert_eq!(failed.code, Errno::Limit);
    assert!(failed.detail.contains("stack of 524288 bytes"), "{failed}");
}

#[test]
fn a_trap_names_its_cause_and_function() {
    let world = World::new(2);
    let failed = error(world.main(
        r#"(module (func $divide (drop (i32.div_u (i32.const 1) (i32.const 0))))
            (func $main (export "_start") (call $divide)))"#,
    ));
    assert_eq!(failed.code, Errno::Failed);
    assert!(failed.detail.contains("integer divide by zero in divide < main"), "{failed}");
}

#[test]
fn an_output_over_the_limit_ends_the_call() {
    let world = World::new(2);
    let wat = r#"(module
        (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (call $write (i32.const 0) (i32.const 10)))
            (drop (call $write (i32.const 0) (i32.const 11)))))"#;
    let limits = Limits { output: 10, ..Limits::default() };
    let failed = error(world.run(Call::main(world.module_with(wat, limits))));
    assert_eq!(failed.code, Errno::Limit);
    assert!(failed.detail.contains("output of 11 bytes"), "{failed}");
}

#[test]
fn the_last_output_wins() {
    let world = World::new(2);
    let outcome = world.main(
        r#"(module
            (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 0) "firstsecond")
            (func (export "_start")
                (drop (call $write (i32.const 0) (i32.const 5)))
                (drop (call $write (i32.const 5) (i32.const 6)))))"#,
    );
    assert_eq!(outcome.output, "second");
    assert_eq!(world.functions.memory_used(), 0);
}

#[test]
fn endless_logging_ends_the_call_and_keeps_the_beginning() {
    let world = World::new(2);
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\04\00\00\00")
        (data (i32.const 16) "abc\n")
        (func (export "_start") (loop
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br 0))))"#;
    let limits = Limits { log: 10, ..Limits::default() };
    let outcome = world.run(Call::main(world.module_with(wat, limits)));
    assert_eq!(outcome.log, "abc\nabc\nab");
    let failed = error(outcome);
    assert_eq!(failed.code, Errno::Limit);
    assert!(failed.detail.contains("log passed the function's limit of 10 bytes"), "{failed}");
}

#[test]
fn a_write_of_a_gibibyte_to_the_log_copies_no_more_than_fits() {
    let world = World::new(2);
    let outcome = world.main(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 16384)
            (func (export "_start")
                (i32.store (i32.const 4) (i32.const 1073741824))
                (loop (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
                    (br 0))))"#,
    );
    assert_eq!(outcome.log.len() as u64, Limits::default().log);
    assert_eq!(error(outcome).code, Errno::Limit);
}

#[test]
fn a_bad_pointer_traps_that_instance() {
    let world = World::new(2);
    for (at, len) in [(65_536, 1), (65_535, 2), (-1, -1), (0, -1)] {
        let failed = error(world.main(&format!(
            r#"(module
                (import "faasm" "output_write" (func $write (param i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "_start")
                    (drop (call $write (i32.const {at}) (i32.const {len})))))"#
        )));
        assert_eq!(failed.code, Errno::Failed);
        assert!(failed.detail.contains("out of bounds"), "{failed}");
    }
}
