//! The pin counter under every order of its threads: nobody copies once the memory is taken away.

mod sync {
    pub mod atomic {
        pub use loom::sync::atomic::{AtomicU64, Ordering};
    }
}

#[path = "../src/function/pins.rs"]
mod pins;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pins::Pins;

struct Slot {
    pins: Pins,
    memory: UnsafeCell<u32>,
}

/// Copies into the memory under a pin, if it gets one. loom fails the test when this can happen
/// beside, or unordered with, another access.
fn copy(slot: &Slot) {
    if slot.pins.pin() {
        // SAFETY: loom checks that no write is beside this read; that is the test.
        let seen = slot.memory.with(|memory| unsafe { *memory });
        assert_eq!(seen, 1, "the memory was taken away");
        slot.pins.unpin();
    }
}

#[test]
fn no_pin_outlives_the_wait_for_them() {
    let mut model = loom::model::Builder::new();
    // All orders with this many switches; the known ways to break the counter need two.
    model.preemption_bound = Some(3);
    model.check(|| {
        let slot = Arc::new(Slot { pins: Pins::default(), memory: UnsafeCell::new(1) });
        let copiers: Vec<_> = (0..2)
            .map(|_| {
                let slot = slot.clone();
                thread::spawn(move || copy(&slot))
            })
            .collect();
        slot.pins.close();
        while !slot.pins.idle() {
            thread::yield_now();
        }
        // SAFETY: as in `copy`.
        slot.memory.with_mut(|memory| unsafe { *memory = 0 });
        copiers.into_iter().for_each(|copier| copier.join().unwrap());
        assert!(!slot.pins.pin());
    });
}
