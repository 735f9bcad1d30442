//! Which ranks of a group share a node, and who leads them. Pure.

use crate::id::NodeId;
use crate::mpi::group::Group;

/// Where the ranks of a group are, as one of them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The ranks of each node, in order; the nodes in the order of their first ranks.
    nodes: Vec<Vec<u32>>,
    /// The node of each rank, and which of its ranks that is.
    places: Vec<(u32, u32)>,
    /// This rank's node.
    here: u32,
    /// The world's ranks on this node.
    near: Group,
    in_order: bool,
}

impl Layout {
    /// Of a group, for one of its ranks; `node_of` has the node of a rank of the world.
    pub fn new(group: &Group, me: u32, node_of: impl Fn(u32) -> Option<NodeId>) -> Self {
        let (mut known, mut nodes) = (Vec::new(), Vec::<Vec<u32>>::new());
        let mut places = Vec::with_capacity(group.members().len());
        for (rank, world) in (0..).zip(group.members()) {
            let node = node_of(*world);
            let at = known.iter().position(|other| *other == node).unwrap_or_else(|| {
                known.push(node);
                nodes.push(Vec::new());
                nodes.len() - 1
            });
            if let Some(ranks) = nodes.get_mut(at) {
                places.push((number(at), number(ranks.len())));
                ranks.push(rank);
            }
        }
        let here = places.get(me as usize).map_or(0, |(node, _)| *node);
        let in_order = nodes.iter().flatten().copied().eq(0..group.size());
        let near = nodes.get(here as usize).into_iter().flatten();
        let near = Group::new(near.filter_map(|rank| group.world_rank(*rank)).collect());
        Self { nodes, places, here, near, in_order }
    }

    /// How many nodes there are.
    pub fn count(&self) -> u32 {
        number(self.nodes.len())
    }

    /// The ranks of each node.
    pub fn nodes(&self) -> &[Vec<u32>] {
        &self.nodes
    }

    /// The ranks of a node.
    pub fn ranks(&self, node: u32) -> &[u32] {
        self.nodes.get(node as usize).map_or(&[], Vec::as_slice)
    }

    /// This rank's node.
    pub fn here(&self) -> u32 {
        self.here
    }

    /// The ranks of the world on this node, in the order of [`Self::ranks`].
    pub fn near(&self) -> &Group {
        &self.near
    }

    /// The node of a rank, and which of the node's ranks it is.
    pub fn place(&self, rank: u32) -> (u32, u32) {
        self.places.get(rank as usize).copied().unwrap_or_default()
    }

    /// Whether the ranks of the nodes, one node after the other, are those of the group in order.
    pub fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// Who leads each node: its first rank, but the root on its own.
    pub fn leaders(&self, root: Option<u32>) -> Vec<u32> {
        let mut leaders: Vec<u32> =
            self.nodes.iter().filter_map(|ranks| ranks.first()).copied().collect();
        if let Some(root) = root
            && let Some(leader) = leaders.get_mut(self.place(root).0 as usize)
        {
            *leader = root;
        }
        leaders
    }

    /// What there is for each rank, as what there is for each node.
    pub fn by_node<T: Clone>(&self, of: &[T]) -> Vec<Vec<T>> {
        let some = |ranks: &Vec<u32>| {
            ranks.iter().filter_map(|rank| of.get(*rank as usize).cloned()).collect()
        };
        self.nodes.iter().map(some).collect()
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(nodes: &[u64], me: u32) -> Layout {
        // The ranks of the world are those of the group, backwards.
        let last = number(nodes.len()) - 1;
        let group = Group::new((0..=last).rev().collect());
        Layout::new(&group, me, |world| Some(NodeId(nodes[(last - world) as usize])))
    }

    #[test]
    fn ranks_are_put_together_by_their_nodes() {
        let mixed = layout(&[3, 1, 3, 2, 1], 2);
        assert_eq!(mixed.nodes(), [vec![0, 2], vec![1, 4], vec![3]]);
        assert_eq!((mixed.count(), mixed.here(), mixed.is_in_order()), (3, 0, false));
        assert_eq!(mixed.near().members(), [4, 2]);
        assert_eq!((mixed.place(4), mixed.place(3)), ((1, 1), (2, 0)));
        assert_eq!(mixed.leaders(None), [0, 1, 3]);
        assert_eq!(mixed.leaders(Some(4)), [0, 4, 3]);
        assert_eq!(
            mixed.by_node(&["a", "b", "c", "d", "e"]),
            [vec!["a", "c"], vec!["b", "e"], vec!["d"]]
        );
        assert!(layout(&[2, 2, 1, 3, 3], 0).is_in_order());
        assert!(!layout(&[2, 1, 2], 0).is_in_order());
    }
}
