//! Fuzzes a hello.
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| drop(targets::hello(input)));
