//! Ends that are not the guest's own, and what the node makes of them.

use std::time::Duration;

use super::support::{Call, FakeHost, World, error, options, wait_until};
use crate::errno::Errno;
use crate::function::EndReason;

const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;
const NO_OP: &str = r#"(module (func (export "_start")))"#;

#[test]
fn a_panic_in_a_host_call_ends_that_call_and_the_actor_is_replaced() {
    let world = World::with(options(8), |linker| {
        linker.func_wrap("test", "panic", || -> () { panic!("on purpose") }).map(drop)
    });
    let bystander = world.start(Call::main(world.module(LOOP)));
    bystander.running();
    let panics = world.module(
        r#"(module (import "test" "panic" (func $panic)) (func (export "_start") (call $panic)))"#,
    );
    let failed = error(world.run(Call::main(panics)));
    assert_eq!(failed.code, Errno::Failed);
    wait_until("the actor is replaced", || world.functions.inner.crew.idle() == 1);
    assert_eq!(world.run(Call::main(world.module(NO_OP))).result, Ok(0));
    bystander.control.end(EndReason::Cancelled);
    assert_eq!(error(bystander.wait()).code, Errno::Cancelled);
    assert_eq!(world.functions.live(), 0);
}

#[test]
fn a_loop_ends_for_each_reason_with_its_error() {
    let world = World::new(2);
    let entry = world.module(LOOP);
    for reason in [EndReason::Cancelled, EndReason::RunLimit, EndReason::SessionLapsed] {
        let call = world.start(Call::main(entry.clone()));
        call.running();
        call.control.end(reason);
        assert_eq!(error(call.wait()), reason.error());
    }
}

#[test]
fn a_call_that_waits_for_a_child_ends_at_once() {
    let world = World::new(4);
    let parent = world.module(
        r#"(module
            (import "faasm" "chain_name" (func $chain (param i32 i32 i32 i32) (result i32)))
            (import "faasm" "await" (func $await (param i32 i64) (result i32)))
            (import "faasm" "cancel" (func $cancel (param i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 0) "loop")
            (func (export "_start") (local $call i32)
                (local.set $call (call $chain
                    (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0)))
                ;; -6 is FAASM_ETIMEDOUT.
                (if (i32.ne (call $await (local.get $call) (i64.const 1)) (i32.const -6))
                    (then unreachable))
                (drop (call $await (local.get $call) (i64.const -1)))
                unreachable))"#,
    );
    let child = world.module(LOOP);
    let host = FakeHost::chaining(&world.functions, &parent, &[("loop", &child)]);
    let call = world.start(Call::main(parent).host(host.clone()));
    wait_until("both run", || world.functions.live() == 2);
    call.control.end(EndReason::TimedOut);
    assert_eq!(error(call.wait()).code, Errno::TimedOut);
    crate::function::CallHost::cancel(&*host, 0).unwrap();
    wait_until("the child ends", || world.functions.live() == 0);
}

#[test]
fn a_call_ended_before_it_begins_does_not_run() {
    let world = World::new(1);
    let entry = world.module(NO_OP);
    let first = world.start(Call::main(entry));
    first.control.end(EndReason::Stopping);
    // Ended or run: one of the two, and once.
    let outcome = first.wait();
    assert!(outcome.result == Ok(0) || outcome.result == Err(EndReason::Stopping.error()));
}

#[test]
fn the_end_of_the_component_fails_what_still_runs() {
    let world = World::new(2);
    let call = world.start(Call::main(world.module(LOOP)));
    call.running();
    drop(world.functions);
    assert_eq!(error(call.wait()).code, Errno::Failed);
}

#[test]
fn unknown_imports_are_accepted_and_named_when_called() {
    let world = World::new(2);
    let unused = r#"(module
        (import "env" "__kmpc_fork_call" (func $fork (param i32 i32 i32 i32)))
        (func (export "_start")))"#;
    assert_eq!(world.main(unused).result, Ok(0));
    let used = world.module(
        r#"(module
            (import "env" "__kmpc_fork_call" (func $fork (param i32 i32 i32 i32)))
            (func (export "_start")
                (call $fork (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#,
    );
    let bytes = world.source.blobs.lock()[&used.wasm].clone();
    world.control.block_on(world.functions.compile(used.wasm, bytes)).unwrap();
    let failed = error(world.run(Call::main(used)));
    assert_eq!(failed.code, Errno::NoSys);
    assert!(failed.detail.contains("`env::__kmpc_fork_call`"), "{failed}");
    let memory = error(
        world.main(r#"(module (import "env" "memory" (memory 1)) (func (export "_start")))"#),
    );
    assert!(memory.detail.contains("`env::memory`"), "{memory}");
}

#[test]
fn results_outside_a_byte_and_modules_without_an_entry_fail() {
    let world = World::new(2);
    let exit = |code: i32| {
        world.main(&format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {code}))))"#
        ))
    };
    assert_eq!(exit(0).result, Ok(0));
    assert_eq!(exit(42).result, Ok(42));
    assert_eq!(error(exit(256)).code, Errno::Failed);
    assert_eq!(error(exit(-1)).code, Errno::Failed);
    let main = r#"(module (global $set (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $set (i32.const 7)))
        (func (export "main") (param i32 i32) (result i32) (global.get $set)))"#;
    assert_eq!(world.main(main).result, Ok(7));
    let none = error(world.main("(module)"));
    assert!(none.detail.contains("neither `_start` nor `main`"), "{none}");
    let typed = error(world.main(r#"(module (func (export "_start") (param i32)))"#));
    assert!(typed.detail.contains("another type"), "{typed}");
}

#[test]
fn a_sleep_gives_its_slot_back_and_can_be_cancelled() {
    let world = World::new(2);
    let sleeper = |nanos: u64| {
        world.module(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "poll_oneoff"
                    (func $poll (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "_start")
                    (i32.store (i32.const 16) (i32.const 1))
                    (i64.store (i32.const 24) (i64.const {nanos}))
                    (if (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))
                        (then unreachable))
                    (if (i32.ne (i32.load (i32.const 200)) (i32.const 1)) (then unreachable))))"#
        ))
    };
    let host = std::sync::Arc::new(FakeHost::default());
    let brief = Duration::from_millis(20);
    let begun = std::time::Instant::now();
    let call = Call::main(sleeper(brief.as_nanos() as u64)).host(host.clone());
    assert_eq!(world.run(call).result, Ok(0));
    assert!(begun.elapsed() >= brief);
    let counts = || {
        use std::sync::atomic::Ordering::SeqCst;
        (host.waits.load(SeqCst), host.resumes.load(SeqCst))
    };
    assert_eq!(counts(), (1, 1));
    let long = world.start(Call::main(sleeper(u64::MAX)).host(host.clone()));
    wait_until("it sleeps", || counts() == (2, 1));
    long.control.end(EndReason::Cancelled);
    assert_eq!(error(long.wait()).code, Errno::Cancelled);
    assert_eq!(counts(), (2, 2));
}
