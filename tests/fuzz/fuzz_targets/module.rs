//! Fuzzes the bytes of a module, compiled and run for a moment.
#![no_main]

#[path = "../modules.rs"]
mod modules;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| drop(modules::module(input)));
