//! What a failing run says of its nodes.

use super::world::{SimNode, World};
use crate::id::NodeId;

impl World {
    /// All that matters of each node, for people.
    pub fn describe(&self) -> String {
        let line = |(id, node): (&NodeId, &SimNode)| {
            let (life, last) = (node.life, node.last);
            let out = node.out.as_ref().map(|out| format!(", out: {out}")).unwrap_or_default();
            let wiped = if node.wiped { ", disk replaced" } else { "" };
            let core = node.core.as_ref().map_or_else(
                || "does not run".to_owned(),
                |core| {
                    let members = core.machine().members().all().values();
                    let drain = members.filter(|member| member.draining).map(|member| member.node);
                    let drain: Vec<NodeId> = drain.collect();
                    let sessions: Vec<NodeId> =
                        core.machine().sessions().map(|session| session.id.node).collect();
                    format!("{:?}, sessions {sessions:?}, draining {drain:?}", core.status())
                },
            );
            format!("\n  {id}: life {life}, {last} entries{wiped}{out}, {core}")
        };
        let nodes: String = self.nodes.iter().map(line).collect();
        format!("\n  at {} µs, removed: {:?}{nodes}", self.now, self.removed)
    }
}
