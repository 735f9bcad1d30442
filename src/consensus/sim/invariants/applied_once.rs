//! However often a proposal stands in the log, it is done once, at its first place. The registry
//! is compared with that of a model which knows nothing of windows and lives.

use std::collections::{BTreeMap, BTreeSet};

use super::committed_never_lost::Log;
use crate::consensus::conf::Conf;
use crate::consensus::core::Core;
use crate::consensus::image::decode_entry;
use crate::consensus::machine::Machine;
use crate::consensus::sim::disk::{CHANGE, SimDisk};
use crate::wire::consensus::{Command, RequestId};

/// Compares a node's functions with what the log says, read by the model.
pub fn check(log: &Log, groups: &BTreeMap<u64, Conf>, core: &Core<SimDisk>) -> Result<(), String> {
    let model = model(log, groups)?;
    let functions = core.machine().functions().iter();
    let found: BTreeMap<_, _> =
        functions.map(|(key, entry)| (key.name.to_string(), entry.version)).collect();
    if found == model {
        return Ok(());
    }
    Err(format!("the registry is {found:?}, and the log says {model:?}"))
}

/// Members that were removed propose in vain; who they are is read from a state of its own, which
/// went through the whole log without snapshots and restarts.
fn model(log: &Log, groups: &BTreeMap<u64, Conf>) -> Result<BTreeMap<String, u64>, String> {
    let mut functions = BTreeMap::new();
    let mut done: BTreeSet<RequestId> = BTreeSet::new();
    let mut replay = Machine::begin(1, groups.get(&1).cloned().unwrap_or_default());
    for (index, data) in log.entries() {
        if let Some(conf) = groups.get(&index) {
            replay.reconfigure(index, conf.clone());
        }
        if data.is_empty() || data.first() == Some(&CHANGE) {
            continue;
        }
        let proposal = decode_entry(data).map_err(|error| error.to_string())?;
        let id = proposal.id;
        let removed = replay.members().was_removed(id.node);
        replay.apply(index, data).map_err(|error| error.to_string())?;
        let newest = done.iter().filter(|other| other.node == id.node).max();
        let older_life = newest.is_some_and(|newest| newest.incarnation > id.incarnation);
        if removed || older_life || !done.insert(id) {
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
