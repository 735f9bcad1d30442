//! Which nodes keep a blob: highest random weight over (blob, node). Pure; every node computes the
//! same answer from the same members, so that no table of locations is needed.

use xxhash_rust::xxh3::xxh3_64;

use crate::id::{BlobHash, NodeId};

/// All `nodes`, the most fitting for this blob first; without repetitions.
pub fn ranked(hash: &BlobHash, nodes: &[NodeId]) -> Vec<NodeId> {
    let mut weighted: Vec<(u64, NodeId)> =
        nodes.iter().map(|node| (weight(hash, *node), *node)).collect();
    weighted.sort_unstable_by(|a, b| b.cmp(a));
    weighted.dedup();
    weighted.into_iter().map(|(_, node)| node).collect()
}

/// The first `copies` of [`ranked`] (at least one), or all when there are fewer.
pub fn targets(hash: &BlobHash, nodes: &[NodeId], copies: usize) -> Vec<NodeId> {
    let mut ranked = ranked(hash, nodes);
    ranked.truncate(copies.max(1));
    ranked
}

/// How fitting a node is for a blob.
pub fn weight(hash: &BlobHash, node: NodeId) -> u64 {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&hash.0);
    key[32..].copy_from_slice(&node.0.to_le_bytes());
    xxh3_64(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOBS: u32 = 20_000;

    fn nodes(n: u64) -> Vec<NodeId> {
        (1..=n).map(NodeId).collect()
    }

    fn blobs() -> impl Iterator<Item = BlobHash> {
        (0..BLOBS).map(|i| BlobHash::of(&i.to_le_bytes()))
    }

    #[test]
    fn copies_are_spread_evenly() {
        for count in [3, 5, 16] {
            let nodes = nodes(count);
            let mut held = vec![0u32; count as usize + 1];
            for hash in blobs() {
                for node in targets(&hash, &nodes, 3) {
                    held[node.0 as usize] += 1;
                }
            }
            let fair = f64::from(BLOBS) * 3.0 / count as f64;
            for held in &held[1..] {
                let off = (f64::from(*held) - fair).abs() / fair;
                assert!(off < 0.05, "{count} nodes: one has {held}, {fair} were fair");
            }
        }
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_copies() {
        let before = nodes(7);
        let gone = NodeId(4);
        let after: Vec<NodeId> = before.iter().copied().filter(|n| *n != gone).collect();
        for hash in blobs() {
            let old = targets(&hash, &before, 3);
            let new = targets(&hash, &after, 3);
            let kept: Vec<NodeId> = old.iter().copied().filter(|n| *n != gone).collect();
            assert_eq!(new[..kept.len()], kept, "the remaining targets changed or moved");
            assert_eq!(new.len(), 3);
        }
    }

    #[test]
    fn the_order_of_members_and_repeated_members_do_not_matter() {
        let hash = BlobHash::of(b"x");
        let shuffled = [NodeId(3), NodeId(1), NodeId(3), NodeId(2)];
        assert_eq!(ranked(&hash, &nodes(3)), ranked(&hash, &shuffled));
    }

    #[test]
    fn small_clusters_and_silly_settings_have_a_target() {
        let hash = BlobHash::of(b"x");
        assert_eq!(targets(&hash, &nodes(1), 3), nodes(1));
        assert_eq!(targets(&hash, &nodes(3), 0).len(), 1);
        assert_eq!(targets(&hash, &nodes(2), 3).len(), 2);
    }
}
