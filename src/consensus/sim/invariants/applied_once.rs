//! However often a proposal stands in the log, it is done once, at its first place. The registry
//! is compared with that of a model which knows nothing of windows and lives.

use std::collections::{BTreeMap, BTreeSet};

use super::committed_never_lost::Log;
use crate::consensus::core::Core;
use crate::consensus::image::decode_entry;
use crate::consensus::sim::disk::{CHANGE, SimDisk};
use crate::wire::consensus::{Command, RequestId};

/// Compares a node's functions with what the log says, read by the model.
pub fn check(log: &Log, core: &Core<SimDisk>) -> Result<(), String> {
    let model = model(log)?;
    let functions = core.machine().functions().iter();
    let found: BTreeMap<_, _> =
        functions.map(|(key, entry)| (key.name.to_string(), entry.version)).collect();
    if found == model {
        return Ok(());
    }
    Err(format!("the registry is {found:?}, and the log says {model:?}"))
}

fn model(log: &Log) -> Result<BTreeMap<String, u64>, String> {
    let mut functions = BTreeMap::new();
    let mut done: BTreeSet<RequestId> = BTreeSet::new();
    let says = |data: &[u8]| data.first().is_some_and(|first| *first != CHANGE);
    for (index, data) in log.entries().filter(|(_, data)| says(data)) {
        let proposal = decode_entry(data).map_err(|error| error.to_string())?;
        let id = proposal.id;
        let newest = done.iter().filter(|other| other.node == id.node).max();
        let older_life = newest.is_some_and(|newest| newest.incarnation > id.incarnation);
        if older_life || !done.insert(id) {
            continue;
        }
        match proposal.command {
            Command::PutFunction { name, .. } => drop(functions.insert(name, index)),
            Command::DeleteFunction { name, .. } => drop(functions.remove(&name)),
            _ => {}
        }
    }
    Ok(functions)
}
