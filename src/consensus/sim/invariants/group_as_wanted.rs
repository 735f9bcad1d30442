//! After healing the group is what the rules ask for: all members are in it, as many vote as
//! should, and each of them is up and stays.

use crate::consensus::core::Core;
use crate::consensus::sim::disk::SimDisk;
use crate::consensus::voters::wanted;
use crate::id::NodeId;

/// Looks at one node's state.
pub fn check(core: &Core<SimDisk>) -> Result<(), String> {
    let (conf, members) = (core.machine().conf(), core.machine().members());
    let all: Vec<NodeId> = members.all().keys().copied().collect();
    if conf.joint() || conf.all().collect::<Vec<_>>() != all {
        return Err(format!("the members are {all:?}, and the group is {conf:?}"));
    }
    let staying = members.all().values().filter(|member| !member.draining).count();
    if staying > 0 && conf.voters().len() != wanted(staying) {
        let waits = core.status().waits;
        return Err(format!("{staying} nodes stay, and {:?} vote; {waits:?}", conf.voters()));
    }
    let bad = conf.voters().iter().find(|id| {
        let drains = members.get(**id).is_none_or(|member| member.draining);
        staying > 0 && drains || core.machine().session(**id).is_none()
    });
    match bad {
        Some(bad) => Err(format!("{bad} votes, and drains or is down")),
        None => Ok(()),
    }
}
