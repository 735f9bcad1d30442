//! Whether the node at the other end may be a peer: a pure decision over its hello, its
//! certificate and what is known here. Made on both sides of a connection.

use crate::id::{ClusterId, Incarnation, NodeId};
use crate::net::error::removed_text;
use crate::net::identity::CertName;
use crate::net::stamp::Shown;
use crate::wire::hello::Hello;
use crate::wire::members::KeyHash;

/// What is known of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its newest incarnation seen.
    pub seen: Incarnation,
    /// The keys that it may show; empty for any.
    pub keys: Vec<KeyHash>,
}

/// How a node stands with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// A peer.
    Known(Known),
    /// It was a peer.
    Removed,
    /// Neither.
    Unknown,
}

/// Which end of a connection this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It dialed this node.
    Dials(NodeId),
    /// It was dialed.
    Accepts,
    /// It was dialed by a node that only proves a new key.
    Renews,
}

/// What this node expects of the other end.
pub(super) struct Expected<'a> {
    /// What this node says of itself.
    pub ours: &'a Hello,
    /// How the node that the other end says it is stands with this one.
    pub standing: &'a Standing,
    /// Which end this is.
    pub side: Side,
    /// The other end's certificate, which TLS has verified.
    pub certificate: Shown,
    /// The generation of this node's own.
    pub generation: u64,
}

/// Why a node is no peer. Both sides print it, so it says what each of them claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "{node} speaks protocol {theirs_min} to {theirs_max}, {us} speaks {ours_min} to {ours_max}: \
         upgrade the older one"
    )]
    Protocol {
        node: NodeId,
        theirs_min: u16,
        theirs_max: u16,
        us: NodeId,
        ours_min: u16,
        ours_max: u16,
    },
    #[error(
        "{node} belongs to cluster {theirs}, {us} to cluster {ours}: check their addresses and \
         cluster ids"
    )]
    Cluster { node: NodeId, theirs: ClusterId, us: NodeId, ours: ClusterId },
    #[error("{claimed} shows a certificate of {named}: give every node its own certificate")]
    Certificate { claimed: NodeId, named: CertName },
    #[error("{dialed} was dialed, and {answered} answered: check the address of {dialed}")]
    NotDialed { dialed: NodeId, answered: NodeId },
    #[error(
        "{node} is no member of the cluster that {us} knows: it was removed, or {us} has not heard \
         of it yet; a new node joins with `faasm node --join`"
    )]
    Unknown { node: NodeId, us: NodeId },
    #[error("{}", removed_text(*node))]
    Removed { node: NodeId },
    #[error(
        "{node} shows a certificate whose key is not registered for it: it was rotated away, or \
         made elsewhere; if it is lost, let a new node take its place: `faasm node --join ADDR \
         --token TOKEN --replace {node}` with an empty data directory"
    )]
    Key { node: NodeId },
    #[error("{node} must wait for {us} to dial: of two nodes the one with the lower number dials")]
    Direction { node: NodeId, us: NodeId },
    #[error("{node} comes in incarnation {theirs}, and {seen} was seen: it is an older process")]
    Stale { node: NodeId, theirs: Incarnation, seen: Incarnation },
}

/// The protocol version to speak, the newest that both know.
pub(super) fn decide(expected: &Expected<'_>, theirs: &Hello) -> Result<u16, Refusal> {
    let ours = expected.ours;
    let (node, us) = (theirs.node, ours.node);
    let version = theirs.protocol_max.min(ours.protocol_max);
    if version < theirs.protocol_min.max(ours.protocol_min) {
        return Err(Refusal::Protocol {
            node,
            theirs_min: theirs.protocol_min,
            theirs_max: theirs.protocol_max,
            us,
            ours_min: ours.protocol_min,
            ours_max: ours.protocol_max,
        });
    }
    if theirs.cluster != ours.cluster {
        let (theirs, ours) = (theirs.cluster, ours.cluster);
        return Err(Refusal::Cluster { node, theirs, us, ours });
    }
    let named = expected.certificate.name;
    if named != (CertName { node, cluster: theirs.cluster }) {
        return Err(Refusal::Certificate { claimed: node, named });
    }
    match expected.side {
        Side::Dials(dialed) if dialed != node => {
            return Err(Refusal::NotDialed { dialed, answered: node });
        }
        _ => {}
    }
    let Known { seen, keys } = match expected.standing {
        Standing::Known(known) => known,
        Standing::Removed => return Err(Refusal::Removed { node }),
        Standing::Unknown => return Err(Refusal::Unknown { node, us }),
    };
    if !expected.certificate.is_allowed(keys, expected.generation) {
        return Err(Refusal::Key { node });
    }
    if expected.side == Side::Accepts && node > us {
        return Err(Refusal::Direction { node, us });
    }
    let seen = *seen;
    if theirs.incarnation < seen {
        return Err(Refusal::Stale { node, theirs: theirs.incarnation, seen });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::stamp::Stamp;
    use crate::wire::{PROTOCOL_MAX, PROTOCOL_MIN};

    const CLUSTER: ClusterId = ClusterId(5);
    const KEY: KeyHash = KeyHash([7; 32]);

    fn said_by(node: u64) -> Hello {
        Hello::new(CLUSTER, NodeId(node), Incarnation(4))
    }

    /// Node 2 looks at `theirs`; it knows nodes 1 and 3, both last seen in incarnation 4, and that
    /// node 9 was removed.
    fn at_node_2(theirs: &Hello, named: u64, dialed: Option<u64>) -> Result<u16, Refusal> {
        let side = dialed.map_or(Side::Accepts, |node| Side::Dials(NodeId(node)));
        measured(theirs, named, side, &[])
    }

    fn measured(theirs: &Hello, named: u64, side: Side, keys: &[KeyHash]) -> Result<u16, Refusal> {
        measured_at(3, theirs, named, side, keys)
    }

    fn measured_at(
        generation: u64,
        theirs: &Hello,
        named: u64,
        side: Side,
        keys: &[KeyHash],
    ) -> Result<u16, Refusal> {
        let standing = match theirs.node.0 {
            1 | 3 => Standing::Known(Known { seen: Incarnation(4), keys: keys.to_vec() }),
            9 => Standing::Removed,
            _ => Standing::Unknown,
        };
        let name = CertName { node: NodeId(named), cluster: CLUSTER };
        let certificate = Shown { name, key: KEY, stamp: Stamp::now(3) };
        let ours = &said_by(2);
        let expected = Expected { ours, standing: &standing, side, certificate, generation };
        decide(&expected, theirs)
    }

    /// Else a node that was down while the others replaced their keys could not come back.
    #[test]
    fn a_node_that_missed_a_rotation_takes_certificates_that_are_newer_than_its_own() {
        let keys = [KeyHash([8; 32])];
        let taken = |ours| measured_at(ours, &said_by(1), 1, Side::Accepts, &keys);
        assert_eq!(taken(2), Ok(PROTOCOL_MAX));
        assert_eq!(taken(3), Err(Refusal::Key { node: NodeId(1) }));
    }

    #[test]
    fn only_a_registered_key_is_taken_where_there_are_any() {
        let other = KeyHash([8; 32]);
        let (node, side) = (NodeId(1), Side::Accepts);
        assert_eq!(measured(&said_by(1), 1, side, &[other, KEY]), Ok(PROTOCOL_MAX));
        assert_eq!(measured(&said_by(1), 1, side, &[other]), Err(Refusal::Key { node }));
        let dials = Side::Dials(node);
        assert_eq!(measured(&said_by(1), 1, dials, &[other]), Err(Refusal::Key { node }));
    }

    #[test]
    fn a_new_key_is_proven_in_both_directions() {
        assert_eq!(measured(&said_by(3), 3, Side::Renews, &[KEY]), Ok(PROTOCOL_MAX));
        assert_eq!(measured(&said_by(1), 1, Side::Renews, &[KEY]), Ok(PROTOCOL_MAX));
    }

    #[test]
    fn a_node_that_was_removed_is_told_so() {
        let refusal = at_node_2(&said_by(9), 9, None).unwrap_err();
        assert!(refusal.to_string().starts_with("n9 was removed from the cluster"), "{refusal}");
    }

    #[test]
    fn a_configured_peer_is_taken_in_its_current_or_next_life() {
        assert_eq!(at_node_2(&said_by(1), 1, None), Ok(PROTOCOL_MAX));
        assert_eq!(at_node_2(&said_by(3), 3, Some(3)), Ok(PROTOCOL_MAX));
        let restarted = Hello { incarnation: Incarnation(5), ..said_by(1) };
        assert_eq!(at_node_2(&restarted, 1, None), Ok(PROTOCOL_MAX));
    }

    #[test]
    fn the_newest_common_protocol_is_spoken() {
        let newer = Hello { protocol_min: PROTOCOL_MIN, protocol_max: 9, ..said_by(1) };
        assert_eq!(at_node_2(&newer, 1, None), Ok(PROTOCOL_MAX));
        let gap = Hello { protocol_min: 8, protocol_max: 9, ..said_by(1) };
        let refusal = at_node_2(&gap, 1, None).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "n1 speaks protocol 8 to 9, n2 speaks 2 to 2: upgrade the older one"
        );
    }

    #[test]
    fn everyone_else_is_refused_for_the_reason_that_applies() {
        let (node, us) = (NodeId(1), NodeId(2));
        let other = Hello { cluster: ClusterId(6), ..said_by(1) };
        assert_eq!(
            at_node_2(&other, 1, None),
            Err(Refusal::Cluster { node, theirs: ClusterId(6), us, ours: CLUSTER })
        );
        let named = CertName { node: NodeId(3), cluster: CLUSTER };
        assert_eq!(
            at_node_2(&said_by(1), 3, None),
            Err(Refusal::Certificate { claimed: node, named })
        );
        assert_eq!(
            at_node_2(&said_by(1), 1, Some(3)),
            Err(Refusal::NotDialed { dialed: NodeId(3), answered: node })
        );
        assert_eq!(at_node_2(&said_by(7), 7, None), Err(Refusal::Unknown { node: NodeId(7), us }));
        assert_eq!(
            at_node_2(&said_by(3), 3, None),
            Err(Refusal::Direction { node: NodeId(3), us })
        );
        let old = Hello { incarnation: Incarnation(3), ..said_by(1) };
        assert_eq!(
            at_node_2(&old, 1, None),
            Err(Refusal::Stale { node, theirs: Incarnation(3), seen: Incarnation(4) })
        );
    }
}
