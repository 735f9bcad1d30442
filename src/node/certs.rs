//! Certificates of a running cluster: each node keeps its own in step with the authority, and any
//! node can be asked to rotate all, or the authority. The steps are `rotation.rs`'s.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::rotation::{self, Held, Step, View};
use crate::consensus::members::Members;
use crate::consensus::{Applied, Consensus, ProposeError};
use crate::id::NodeId;
use crate::net::{CertificateAuthority, Handover, Identity, IdentityError, Net, NetError, Shown};
use crate::wire::consensus::{Command, Response};
use crate::wire::members::{Authority, MemberCommand};

/// How often a node looks again after a step that failed.
const LOOK: Duration = Duration::from_secs(1);
/// How long one step may take. A key that a peer has not taken by then is used nevertheless: an
/// admin who rotates keys may have lost one.
const STEP: Duration = Duration::from_secs(20);

/// Why certificates were not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Certificates are made elsewhere.
    #[error(
        "the cluster has no signing key: none of its first nodes had `ca-key.pem` beside its \
         certificate when it began; make certificates with `faasm cert issue`"
    )]
    NoAuthority,
    /// One change of the authority at a time.
    #[error(
        "the authority is being replaced: {} still to follow; wait for them, or lock them out with \
         `faasm cert rotate --finish`", list(.0)
    )]
    UnderWay(Vec<NodeId>),
    /// There is nothing to finish.
    #[error("the authority is not being replaced: `faasm cert rotate --authority` begins that")]
    NotUnderWay,
    /// The state does not take it.
    #[error("{0}")]
    Refused(String),
    /// The change could not be made.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// A certificate could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The new certificate is of no use.
    #[error(transparent)]
    Net(#[from] NetError),
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

/// What an admin can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// New keys and certificates for all nodes.
    Keys,
    /// A new authority too.
    Authority,
    /// End a change of the authority without the nodes that are down.
    Finish,
}

/// Rotates certificates; gives the authority's generation. The nodes follow by themselves.
pub async fn rotate(
    consensus: &Consensus,
    net: &Net,
    what: Rotate,
    deadline: Instant,
) -> Result<u64, RotateError> {
    let membership = consensus.membership();
    let now = membership.authority().ok_or(RotateError::NoAuthority)?;
    let next = match what {
        Rotate::Finish if now.previous.is_none() => return Err(RotateError::NotUnderWay),
        Rotate::Finish => Authority { previous: None, ..now.clone() },
        Rotate::Keys => Authority { generation: now.generation + 1, ..now.clone() },
        Rotate::Authority if now.previous.is_some() => {
            return Err(RotateError::UnderWay(behind(&membership, net)?));
        }
        Rotate::Authority => successor(now)?,
    };
    let generation = next.generation;
    tracing::info!(generation, ?what, "certificates are rotated");
    change(consensus, MemberCommand::SetAuthority(next), deadline).await?;
    if what == Rotate::Authority {
        revoke_join_tokens(consensus, deadline).await?;
    }
    Ok(generation)
}

/// Join tokens name the authority that a new node is to find. Those of the one before are void, and
/// shall not be listed either.
async fn revoke_join_tokens(consensus: &Consensus, deadline: Instant) -> Result<(), RotateError> {
    for token in consensus.membership().join_tokens() {
        let name = token.hash.name();
        let revoke = Command::Member(MemberCommand::RemoveJoinToken(name));
        // Whatever it finds: one that is gone meanwhile was used or revoked.
        consensus.propose(revoke, deadline).await?;
    }
    Ok(())
}

fn successor(now: &Authority) -> Result<Authority, IdentityError> {
    let before = CertificateAuthority::from_pem(now.cert_pem.clone(), &now.key_pem)?;
    let next = CertificateAuthority::create(before.cluster())?;
    Ok(Authority {
        generation: now.generation + 1,
        cert_pem: next.cert_pem().to_owned(),
        key_pem: next.key_pem(),
        previous: Some(Handover::previous(&before, &next)?),
    })
}

/// What this node and the peers that it is connected to show.
pub fn shown(net: &Net) -> Result<Vec<Shown>, IdentityError> {
    let own = net.identity().borrow().shown()?;
    Ok(net.shown().into_iter().chain([own]).collect())
}

/// The members that are not known to show a certificate of the authority's generation.
pub fn behind(membership: &Members, net: &Net) -> Result<Vec<NodeId>, IdentityError> {
    let generation = membership.authority().map_or(0, |authority| authority.generation);
    let shown = shown(net)?;
    let follows = |node: &NodeId| {
        let is = |shown: &Shown| shown.name.node == *node && shown.stamp.generation >= generation;
        shown.iter().any(is)
    };
    Ok(membership.all().keys().copied().filter(|node| !follows(node)).collect())
}

async fn change(
    consensus: &Consensus,
    command: MemberCommand,
    deadline: Instant,
) -> Result<Applied, RotateError> {
    let applied = consensus.propose(Command::Member(command), deadline).await?;
    match applied.response {
        Response::Refused(why) => Err(RotateError::Refused(why)),
        Response::NotFound => Err(RotateError::Refused("the node is no member any more".into())),
        _ => Ok(applied),
    }
}

/// Keeps a node's certificate in step. Ends when consensus does.
pub async fn follow(me: NodeId, dir: PathBuf, net: Net, consensus: Consensus) {
    let mut keeper = Keeper { me, dir, net, consensus, next: None };
    let mut changes = keeper.consensus.watch_membership();
    let mut looks = tokio::time::interval(LOOK);
    let mut complaint = String::new();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = looks.tick() => {}
        }
        loop {
            match keeper.step().await {
                Ok(Step::Rest) => break complaint.clear(),
                Ok(step) => tracing::debug!(?step, "a step of a rotation is done"),
                Err(error) => {
                    // Said once, and not at every look.
                    let why = error.to_string();
                    if why != complaint {
                        tracing::warn!(error = why, "this node's certificate is not renewed yet");
                        complaint = why;
                    }
                    break;
                }
            }
        }
    }
}

struct Keeper {
    me: NodeId,
    dir: PathBuf,
    net: Net,
    consensus: Consensus,
    /// The certificate that is to be used next.
    next: Option<Identity>,
}

impl Keeper {
    /// Does one step, and says which.
    async fn step(&mut self) -> Result<Step, RotateError> {
        if !self.consensus.session_is_live() {
            return Ok(Step::Rest);
        }
        let membership = self.consensus.membership();
        let current = self.net.identity().borrow().clone();
        let (Some(authority), Some(member)) = (membership.authority(), membership.get(self.me))
        else {
            return Ok(Step::Rest);
        };
        let handover = Handover::of(&authority.cert_pem, authority.previous.as_deref())?;
        let step = rotation::next(&View {
            generation: authority.generation,
            trusted: &handover.trusted,
            trusts: &current.ca_pem,
            keys: &member.keys,
            current: held(&current)?,
            next: self.next.as_ref().map(held).transpose()?,
            completes: self.completes(&membership)?,
        });
        let deadline = Instant::now() + STEP;
        match step {
            Step::Rest => {}
            Step::Trust => {
                let trusting = Identity { ca_pem: handover.trusted, ..(*current).clone() };
                self.use_identity(trusting)?;
            }
            Step::Issue => {
                // What it trusts was saved before: the two files are a pair again.
                CertificateAuthority::refresh_key(&self.dir, &authority.key_pem)?;
                self.next = Some(issue(authority, &handover, self.me, &current)?);
            }
            Step::Register(key) => {
                let add = MemberCommand::AddKey { node: self.me, key };
                let applied = change(&self.consensus, add, deadline).await?;
                self.consensus.wait_applied_everywhere(applied.index, deadline).await?;
            }
            Step::Switch => {
                if let Some(next) = self.next.take() {
                    self.use_identity(next)?;
                }
            }
            Step::Keep(key) => {
                for (peer, why) in self.net.renew(deadline).await {
                    tracing::warn!(%peer, why, "the peer did not take the new key; its connection \
                                                is made again");
                }
                let keep = MemberCommand::KeepKey { node: self.me, key };
                change(&self.consensus, keep, Instant::now() + STEP).await?;
                tracing::info!(generation = authority.generation, "this node has a new key");
            }
            Step::Complete => {
                let last = Authority { previous: None, ..authority.clone() };
                let set = MemberCommand::SetAuthority(last);
                change(&self.consensus, set, deadline).await?;
                tracing::info!("the authority before is not trusted any more");
            }
        }
        Ok(step)
    }

    fn completes(&self, membership: &Members) -> Result<bool, IdentityError> {
        let under_way = membership.authority().is_some_and(|now| now.previous.is_some());
        let leads = self.consensus.status().leader == Some(self.me);
        Ok(under_way && leads && behind(membership, &self.net)?.is_empty())
    }

    /// On disk first: a node that uses a key that it can forget would be locked out.
    fn use_identity(&self, identity: Identity) -> Result<(), RotateError> {
        let key = identity.key()?;
        identity.save(&self.dir)?;
        self.net.set_identity(identity)?;
        self.consensus.set_key(key);
        Ok(())
    }
}

fn held(identity: &Identity) -> Result<Held, IdentityError> {
    let shown = identity.shown()?;
    Ok(Held { generation: shown.stamp.generation, key: shown.key })
}

/// A new certificate for the addresses of the one before.
fn issue(
    authority: &Authority,
    handover: &Handover,
    node: NodeId,
    before: &Identity,
) -> Result<Identity, IdentityError> {
    let ca = CertificateAuthority::from_pem(authority.cert_pem.clone(), &authority.key_pem)?;
    let fresh = ca.of_generation(authority.generation).issue(node, &before.addrs()?)?;
    let cert_pem = format!("{}{}", fresh.cert_pem, handover.bridge);
    Ok(Identity { ca_pem: handover.trusted.clone(), cert_pem, ..fresh })
}
