//! The part of the state that says who belongs to the cluster. Pure and deterministic.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::machine::MAX_NODES;
use crate::config::{ClusterConfig, NodeAddress};
use crate::id::NodeId;
use crate::wire::consensus::Response;
use crate::wire::members::{Authority, JoinToken, KeyHash, Member, MemberCommand, TokenHash};

/// Join tokens that may be open at once.
pub const MAX_JOIN_TOKENS: usize = 1000;
/// Longest address of a node, in bytes.
pub const MAX_ADDRESS: usize = 256;
/// Keys that a node may show at once: the one in use, and the one that replaces it.
const MAX_KEYS: usize = 2;

/// Who belongs to the cluster, and what lets others in.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The nodes that vote from the first entry on; empty until the cluster is founded.
    founders: Vec<NodeId>,
    members: BTreeMap<NodeId, Member>,
    /// The largest id ever given: ids below it that are no members were removed.
    newest: u64,
    join_tokens: Vec<JoinToken>,
    authority: Option<Authority>,
}

impl Members {
    /// Whether the cluster was founded: before, the configuration says who belongs to it.
    pub fn founded(&self) -> bool {
        !self.founders.is_empty()
    }

    /// The members of the first entry.
    pub fn founders(&self) -> &[NodeId] {
        &self.founders
    }

    /// All members, by id.
    pub fn all(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// A member.
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// Whether a node was a member and is none any more.
    pub fn was_removed(&self, node: NodeId) -> bool {
        self.founded() && node.0 <= self.newest && !self.members.contains_key(&node)
    }

    /// The certificate authority, if the cluster has its key.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The join tokens that are left.
    pub fn join_tokens(&self) -> &[JoinToken] {
        &self.join_tokens
    }

    /// A node opens its session and shows this key; an error says why it may not.
    pub(super) fn opens(&mut self, node: NodeId, key: Option<KeyHash>) -> Result<bool, String> {
        if !self.founded() {
            return Ok(false);
        }
        let Some(member) = self.members.get_mut(&node) else {
            return Err(format!(
                "{node} is no member of the cluster: it was removed, or never joined; start it \
                 with an empty data directory and `--join`"
            ));
        };
        match key {
            Some(key) if member.keys.is_empty() => {
                member.keys.push(key);
                Ok(true)
            }
            Some(key) if !member.keys.contains(&key) => {
                Err(format!("{node} shows a key that is not its own"))
            }
            _ => Ok(false),
        }
    }

    /// Makes a change. Nothing changes unless the answer is [`Response::Done`] or
    /// [`Response::Joined`].
    pub(super) fn change(&mut self, command: MemberCommand) -> Response {
        match command {
            MemberCommand::Found { members, authority, .. } => self.found(members, authority),
            MemberCommand::PutJoinToken(token) => self.put_join_token(token),
            MemberCommand::RemoveJoinToken(name) => {
                let before = self.join_tokens.len();
                self.join_tokens.retain(|token| token.hash.name() != name);
                done_if(self.join_tokens.len() < before)
            }
            MemberCommand::Join { token, key, quic, http, replaces, now_ms } => {
                let joiner =
                    Member { node: NodeId(0), quic, http, keys: vec![key], draining: false };
                self.join(token, joiner, replaces, now_ms)
            }
            MemberCommand::SetDraining { node, draining } => match self.members.get_mut(&node) {
                Some(member) => {
                    member.draining = draining;
                    Response::Done
                }
                None => Response::NotFound,
            },
            MemberCommand::Remove { node } => self.remove(node),
            MemberCommand::AddKey { node, key } => self.add_key(node, key),
            MemberCommand::KeepKey { node, key } => match self.members.get_mut(&node) {
                Some(member) if member.keys.contains(&key) => {
                    member.keys = vec![key];
                    Response::Done
                }
                Some(_) => Response::Refused(format!("{node} has no such key")),
                None => Response::NotFound,
            },
            MemberCommand::SetAuthority(authority) => self.set_authority(authority),
        }
    }

    fn found(&mut self, members: Vec<Member>, authority: Option<Authority>) -> Response {
        if self.founded() {
            return Response::Refused("the cluster was founded before".into());
        }
        if members.is_empty() || members.len() > MAX_NODES {
            return Response::Refused(format!("a cluster has 1 to {MAX_NODES} nodes"));
        }
        self.founders = members.iter().map(|member| member.node).collect();
        self.newest = self.founders.iter().map(|node| node.0).max().unwrap_or(0);
        self.members = members.into_iter().map(|member| (member.node, member)).collect();
        self.authority = authority;
        Response::Done
    }

    fn put_join_token(&mut self, token: JoinToken) -> Response {
        if token.uses == 0 {
            return Response::Refused("a join token lets in at least one node".into());
        }
        if self.join_tokens.len() >= MAX_JOIN_TOKENS {
            let why = format!("{MAX_JOIN_TOKENS} join tokens are open; revoke some first");
            return Response::Refused(why);
        }
        self.join_tokens.retain(|old| old.hash != token.hash);
        self.join_tokens.push(token);
        Response::Done
    }

    fn join(
        &mut self,
        token: TokenHash,
        mut joiner: Member,
        replaces: Option<NodeId>,
        now_ms: u64,
    ) -> Response {
        // An answer that was lost is asked for again, perhaps with a token that is used up.
        let known = |member: &&Member| member.keys.iter().any(|key| joiner.keys.contains(key));
        if let Some(member) = self.members.values().find(known) {
            return Response::Joined(member.node);
        }
        self.join_tokens.retain(|token| token.expires_ms > now_ms);
        let Some(at) = self.join_tokens.iter().position(|known| known.hash == token) else {
            let why = "the join token is not known, expired, used up, or from before the authority \
                       was replaced; an admin makes one with `faasm nodes token`";
            return Response::Refused(why.into());
        };
        if joiner.quic.len() > MAX_ADDRESS || joiner.http.len() > MAX_ADDRESS {
            return Response::Refused(format!("an address has at most {MAX_ADDRESS} bytes"));
        }
        let taken = |member: &&Member| {
            Some(member.node) != replaces
                && (member.quic == joiner.quic || member.http == joiner.http)
        };
        if let Some(other) = self.members.values().find(taken) {
            let (node, quic, http) = (other.node, &other.quic, &other.http);
            return Response::Refused(format!(
                "{node} has that address already (QUIC {quic}, HTTP {http}): remove {node} first, \
                 or take its place with `--replace {node}`"
            ));
        }
        if replaces.is_some_and(|node| !self.members.contains_key(&node)) {
            return Response::NotFound;
        }
        if self.members.len() >= MAX_NODES && replaces.is_none() {
            return Response::Refused(format!("a cluster has at most {MAX_NODES} nodes"));
        }
        if let Some(node) = replaces {
            self.members.remove(&node);
        }
        self.newest += 1;
        joiner.node = NodeId(self.newest);
        self.members.insert(joiner.node, joiner);
        self.use_token(at);
        Response::Joined(NodeId(self.newest))
    }

    fn use_token(&mut self, at: usize) {
        if let Some(token) = self.join_tokens.get_mut(at) {
            token.uses -= 1;
        }
        self.join_tokens.retain(|token| token.uses > 0);
    }

    fn remove(&mut self, node: NodeId) -> Response {
        if !self.members.contains_key(&node) {
            return Response::NotFound;
        }
        if self.members.len() == 1 {
            return Response::Refused(format!("{node} is the only node of the cluster"));
        }
        self.members.remove(&node);
        Response::Done
    }

    fn add_key(&mut self, node: NodeId, key: KeyHash) -> Response {
        let taken = |member: &Member| member.node != node && member.keys.contains(&key);
        if self.members.values().any(taken) {
            return Response::Refused("another node has that key".into());
        }
        let Some(member) = self.members.get_mut(&node) else { return Response::NotFound };
        member.keys.retain(|known| *known != key);
        if member.keys.len() >= MAX_KEYS {
            member.keys.pop();
        }
        member.keys.push(key);
        Response::Done
    }

    fn set_authority(&mut self, authority: Authority) -> Response {
        let now = self.authority.as_ref().map_or(0, |old| old.generation);
        let same = self.authority.as_ref().is_some_and(|old| {
            old.generation == authority.generation
                && old.cert_pem == authority.cert_pem
                && authority.previous.is_none()
        });
        if !same && authority.generation != now + 1 {
            let why = format!("the authority was changed meanwhile: its generation is {now}");
            return Response::Refused(why);
        }
        self.authority = Some(authority);
        Response::Done
    }
}

/// The nodes of a configuration, as members.
pub fn configured(cluster: &ClusterConfig) -> Vec<Member> {
    let member = |node: &NodeAddress| Member {
        node: NodeId(node.id),
        quic: node.quic.to_string(),
        http: node.http.to_string(),
        keys: Vec::new(),
        draining: false,
    };
    cluster.nodes.iter().map(member).collect()
}

fn done_if(found: bool) -> Response {
    if found { Response::Done } else { Response::NotFound }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
