//! Where modules come from, and which native code is trusted.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::support::{Call, Source, World, error, options, start, start_call};
use crate::errno::Errno;
use crate::function::ModuleError;
use crate::id::BlobHash;

fn exits(code: u8) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

fn compiled(source: &Source) -> usize {
    source.compiled.load(Ordering::SeqCst)
}

#[test]
fn many_calls_at_once_compile_a_module_once() {
    let world = World::new(64);
    let entry = world.module(&exits(3));
    let calls: Vec<_> = (0..50).map(|_| world.start(Call::main(entry.clone()))).collect();
    for call in calls {
        assert_eq!(call.wait().result, Ok(3));
    }
    assert_eq!(compiled(&world.source), 1);
    assert_eq!(world.source.fetched.load(Ordering::SeqCst), 1);
}

#[test]
fn a_restarted_node_loads_the_recorded_artifact_from_its_disk() {
    let world = World::new(2);
    let entry = world.module(&exits(3));
    assert_eq!(world.run(Call::main(entry.clone())).result, Ok(3));
    let fetched = world.source.fetched.load(Ordering::SeqCst);
    let dir = world.dir.path();
    let again = start(options(2), dir, world.source.clone(), &world.control, |_| Ok(()));
    assert_eq!(start_call(&again, Call::main(entry)).wait().result, Ok(3));
    assert_eq!(compiled(&world.source), 1);
    assert_eq!(world.source.fetched.load(Ordering::SeqCst), fetched);
}

#[test]
fn another_node_fetches_the_recorded_artifact() {
    let world = World::new(2);
    let entry = world.module(&exits(3));
    assert_eq!(world.run(Call::main(entry.clone())).result, Ok(3));
    let empty = tempfile::tempdir().unwrap();
    let other = start(options(2), empty.path(), world.source.clone(), &world.control, |_| Ok(()));
    assert_eq!(start_call(&other, Call::main(entry)).wait().result, Ok(3));
    assert_eq!(compiled(&world.source), 1);
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 1);
}

#[test]
fn an_artifact_that_nobody_recorded_is_not_loaded() {
    let world = World::new(2);
    let entry = world.module(&exits(3));
    assert_eq!(world.run(Call::main(entry.clone())).result, Ok(3));
    world.source.recorded.lock().clear();
    let again =
        start(options(2), world.dir.path(), world.source.clone(), &world.control, |_| Ok(()));
    assert_eq!(start_call(&again, Call::main(entry)).wait().result, Ok(3));
    assert_eq!(compiled(&world.source), 2);
}

#[test]
fn a_swapped_artifact_is_not_loaded() {
    let world = World::new(2);
    let (good, bad) = (world.module(&exits(3)), world.module(&exits(66)));
    for (entry, code) in [(&good, 3), (&bad, 66)] {
        assert_eq!(world.run(Call::main(entry.clone())).result, Ok(code));
    }
    let file = |hash: &BlobHash| {
        fs::read_dir(world.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains(&hash.to_string()))
            .unwrap()
    };
    // A valid artifact under another module's name, also where the cluster offers it.
    fs::copy(file(&bad.wasm), file(&good.wasm)).unwrap();
    let bytes = bytes::Bytes::from(fs::read(file(&bad.wasm)).unwrap());
    let recorded = world.source.recorded.lock()[&good.wasm];
    world.source.blobs.lock().insert(recorded, bytes);
    let restart =
        || start(options(2), world.dir.path(), world.source.clone(), &world.control, |_| Ok(()));
    let again = restart();
    assert_eq!(start_call(&again, Call::main(good.clone())).wait().result, Ok(3));
    assert_eq!(compiled(&world.source), 3);
    // A damaged one.
    let mut damaged = fs::read(file(&good.wasm)).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(file(&good.wasm), &damaged).unwrap();
    let recorded = world.source.recorded.lock()[&good.wasm];
    world.source.blobs.lock().remove(&recorded);
    assert_eq!(start_call(&restart(), Call::main(good)).wait().result, Ok(3));
    assert_eq!(compiled(&world.source), 4);
}

#[test]
fn a_module_that_could_not_be_loaded_is_tried_again() {
    let world = World::new(2);
    let entry = world.module(&exits(3));
    world.source.panics.store(true, Ordering::SeqCst);
    assert_eq!(error(world.run(Call::main(entry.clone()))).code, Errno::Unavailable);
    let bytes = world.source.blobs.lock().remove(&entry.wasm).unwrap();
    assert_eq!(error(world.run(Call::main(entry.clone()))).code, Errno::Unavailable);
    world.source.blobs.lock().insert(entry.wasm, bytes);
    assert_eq!(world.run(Call::main(entry)).result, Ok(3));
}

#[test]
fn what_is_no_module_is_refused_with_a_reason() {
    let world = World::new(2);
    let compile = |bytes: &[u8]| {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        world.control.block_on(world.functions.compile(BlobHash::of(&bytes), bytes))
    };
    assert!(matches!(compile(b"#!/bin/sh"), Err(ModuleError::Invalid(_))));
    assert!(matches!(compile(b""), Err(ModuleError::Invalid(_))));
    let misfit = wat::parse_str(
        r#"(module (import "faasm" "input_size" (func (param i64))) (func (export "_start")))"#,
    );
    let refused = compile(&misfit.unwrap()).unwrap_err();
    assert!(refused.to_string().contains("faasm::input_size"), "{refused}");
    let shared = wat::parse_str(r#"(module (memory 1 2 shared))"#).unwrap();
    assert!(matches!(compile(&shared), Err(ModuleError::Invalid(_))));
    // Nothing is recorded of them, and their hashes cannot be used for other bytes.
    assert_eq!(compiled(&world.source), 0);
    let good = wat::parse_str(exits(0)).unwrap();
    let other = world
        .control
        .block_on(world.functions.compile(BlobHash::of(b"other"), good.into()))
        .unwrap_err();
    assert!(matches!(other, ModuleError::Unavailable(_)));
}

#[test]
fn modules_are_listed_most_recently_used_first() {
    let world = World::new(2);
    let entries = [world.module(&exits(1)), world.module(&exits(2))];
    for entry in [0, 1, 0] {
        world.run(Call::main(Arc::clone(&entries[entry])));
    }
    let prefix = |n: usize| u64::from_be_bytes(entries[n].wasm.0[..8].try_into().unwrap());
    assert_eq!(world.functions.modules(10), [prefix(0), prefix(1)]);
    assert_eq!(world.functions.modules(1), [prefix(0)]);
}
