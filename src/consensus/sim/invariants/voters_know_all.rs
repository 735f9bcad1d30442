//! Nobody is made a voter who does not have what was committed: a group whose new voters are
//! empty cannot decide until they have caught up. Nobody who lost its log takes part again.

use std::collections::BTreeMap;

use crate::consensus::conf::Conf;
use crate::consensus::sim::world::SimNode;
use crate::id::NodeId;

/// Entries that a new voter may be behind.
const BEHIND: u64 = 512;

/// A change of the group was applied first at this index.
pub fn changed(
    index: u64,
    before: Option<&Conf>,
    conf: &Conf,
    nodes: &BTreeMap<NodeId, SimNode>,
) -> Result<(), String> {
    for id in conf.voters().iter().filter(|id| before.is_some_and(|conf| !conf.votes(**id))) {
        let Some(node) = nodes.get(id) else { continue };
        let last = node.last;
        if last == 0 || last + BEHIND < index {
            return Err(format!("{id} became a voter at {index}, and has {last} entries"));
        }
    }
    Ok(())
}
