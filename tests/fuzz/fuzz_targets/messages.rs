//! Fuzzes the head of a message of any service.
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| drop(targets::messages(input)));
