//! Fuzzes an options file.
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| drop(targets::options_file(input)));
