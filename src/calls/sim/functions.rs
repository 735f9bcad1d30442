//! The functions of the simulated cluster.

use std::sync::Arc;

use crate::id::{BlobHash, FunctionKey};
use crate::wire::function::{FunctionEntry, Limits, Options, Policy};

thread_local! {
    static KNOWN: std::cell::RefCell<std::collections::BTreeMap<String, Arc<FunctionEntry>>> =
        const { std::cell::RefCell::new(std::collections::BTreeMap::new()) };
}

/// How often a function's call is run again when its node is lost.
pub fn retries(name: &str) -> u32 {
    if name == "again" { 2 } else { 0 }
}

/// A function's registry entry; the same one at each call.
pub fn entry(key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
    let name = key.name.as_str();
    if !super::guests::FUNCTIONS.contains(&name) {
        return None;
    }
    KNOWN.with_borrow_mut(|known| {
        Some(known.entry(key.to_string()).or_insert_with(|| make(name)).clone())
    })
}

fn make(name: &str) -> Arc<FunctionEntry> {
    let mut limits = Limits::default();
    match name {
        "narrow" => limits.instances = 3,
        "short" => limits.run_ms = 400,
        _ => {}
    }
    let policy = match name {
        "again" => Policy::Spread,
        "narrow" => Policy::Locality,
        _ => Policy::BinPack,
    };
    let options = Options { retries: retries(name), policy, ..Options::default() };
    Arc::new(FunctionEntry {
        wasm: BlobHash::of(name.as_bytes()),
        size: 1,
        version: 1,
        uploaded_ms: 0,
        limits,
        options,
    })
}
