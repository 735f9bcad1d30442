//! Guests that compute without end, and everybody else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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
fn a_start_does_not_queue_behind_a_hundred_loops() {
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
    let no_op = world.module(r#"(module (func (export "_start")))"#);
    world.run(Call::main(no_op.clone()));
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(world.run(Call::main(no_op.clone())).result, Ok(0));
            begun.elapsed()
        })
        .collect();
    times.sort();
    // Behind all of them it would be at least 50 ms on two workers; the machine may be busy.
    assert!(times[25] < Duration::from_millis(25), "median {:?}, all {times:?}", times[25]);
    for call in &loops {
        call.control.end(EndReason::Cancelled);
    }
    loops.into_iter().for_each(|call| drop(call.wait()));
}
