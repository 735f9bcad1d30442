//! Fuzzes what a node finds on its disk.
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    // A refusal is as good as a success.
    let _ = match kind % 5 {
        0 => targets::log_entry(input),
        1 => targets::image(input),
        2 => targets::snapshot_file(input),
        3 => targets::blob_file(input),
        _ => targets::identity_file(input),
    };
});
