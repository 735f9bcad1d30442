//! Guests that compute without end, and everybody else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::support::{Call, FakeHost, World, wait_until};
use crate::function::EndReason;

const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

#[test]
fn a_long_running_call_is_reported_once() {
    let world = World::new(2);
    let host = Arc::new(FakeHost::default());
    let call = world.start(Call::main(world.module(LOOP)).host(host.clone()));
    wait_until("it is reported", || host.long.load(Ordering::SeqCst) == 1);
    // It goes on in turns: after many more it was still reported but once.
    let other = Arc::new(FakeHost::default());
    let second = world.start(Call::main(world.module(LOOP)).host(other.clone()));
    wait_until("the other is reported", || other.long.load(Ordering::SeqCst) == 1);
    assert_eq!(host.long.load(Ordering::SeqCst), 1);
    assert_eq!(host.starts.load(Ordering::SeqCst), 1);
    for call in [call, second] {
        call.control.end(EndReason::Cancelled);
        call.wait();
    }
}

#[test]
fn a_short_computation_does_not_queue_behind_a_hundred_loops() {
    let world = World::new(128);
    let hosts: Vec<_> = (0..100).map(|_| Arc::new(FakeHost::default())).collect();
    let endless = world.module(LOOP);
    let loops: Vec<_> = hosts
        .iter()
        .map(|host| world.start(Call::main(endless.clone()).host(host.clone())))
        .collect();
    wait_until("all of them run long", || {
        hosts.iter().all(|host| host.long.load(Ordering::SeqCst) == 1)
    });
    // Several slices long.
    let short = world.module(
        r#"(module (func (export "_start") (local $left i32)
            (local.set $left (i32.const 5000000))
            (loop
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if 0 (local.get $left)))))"#,
    );
    world.run(Call::main(short.clone()));
    // Counted in turns of the loops, not in time: the machine may be busy.
    let turns = || world.functions.inner.runner.gate.turns.load(Ordering::SeqCst);
    let mut waited: Vec<u64> = (0..15)
        .map(|_| {
            let before = turns();
            assert_eq!(world.run(Call::main(short.clone())).result, Ok(0));
            turns() - before
        })
        .collect();
    waited.sort();
    // Behind all of them it would wait for a hundred turns at each of its slices.
    assert!(waited[7] < 30, "median {}, all {waited:?}", waited[7]);
    for call in &loops {
        call.control.end(EndReason::Cancelled);
    }
    loops.into_iter().for_each(|call| drop(call.wait()));
}
