//! The way to ranks on other nodes: what waits there, and who may still send how much.
//!
//! A short message travels with its envelope as long as its pair of ranks has credit; the receiver
//! keeps at most that much of it. Without credit, and when it is long, only the envelope travels:
//! the receiver asks for the bytes when a receive takes the message.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::inbox::{MOST_QUEUED, OVERHEAD, Unexpected};
use super::request::Where;
use super::world::World;
use super::{Envelope, Mode, Payload, Request, Status};
use crate::id::NodeId;
use crate::mpi::constants as c;
use crate::net::{Net, PeerTable, SendError, ServiceId};
use crate::wire::mpi::{MAX_EAGER, Mark, MpiMessage, MpiTold, Route, WorldId};

/// What a rank may hold of all others' short messages; shared out evenly, within limits.
const CREDIT_OF_RANK: u64 = 16 << 20;
const LEAST_CREDIT: u64 = 32 << 10;
const MOST_CREDIT: u64 = 256 << 10;

/// Bytes of short messages from one rank to another that may wait there.
pub fn credit(ranks: u32) -> u64 {
    (CREDIT_OF_RANK / u64::from(ranks.max(1))).clamp(LEAST_CREDIT, MOST_CREDIT)
}

/// Whoever is told when no rank of a world is left on this node.
pub trait Home: Send + Sync {
    /// Forgets the world.
    fn forget(&self, world: WorldId);
}

/// See the top.
pub struct Far {
    pub(super) net: Net,
    pub(super) control: Handle,
    pub(super) home: Weak<dyn Home>,
    pub(super) books: Mutex<Books>,
    /// The connections that the world began with; what comes over another one is not believed.
    links: Mutex<BTreeMap<NodeId, u64>>,
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Far").finish_non_exhaustive()
    }
}

/// A message that waits for its receiver to take it.
#[derive(Debug)]
pub struct Sending {
    /// Completed when it did.
    pub request: Arc<Request>,
    /// Its bytes; none, if they went with the envelope.
    pub payload: Option<Payload>,
    /// Who sends it.
    pub from: u32,
    /// To whom.
    pub to: u32,
    /// In which context.
    pub context: u64,
}

/// See [`Far`].
#[derive(Debug, Default)]
pub struct Books {
    number: u64,
    sends: HashMap<u64, Sending>,
    /// By the rank here and the other one.
    pairs: HashMap<(u32, u32), Pair>,
}

#[derive(Debug, Default)]
struct Pair {
    /// Credit that the rank here has used.
    spent: u64,
    /// Credit that the other one has used, as far as it does not know better.
    held: u64,
    /// Of that, what it is to be given back.
    owed: u64,
}

impl Books {
    fn add(&mut self, sending: Sending) -> u64 {
        self.number += 1;
        self.sends.insert(self.number, sending);
        self.number
    }

    /// The message with this number, if it goes that way.
    pub fn take(&mut self, number: u64, from: u32, to: u32) -> Option<Sending> {
        let its = self.sends.get(&number)?;
        (its.from == from && its.to == to).then(|| self.sends.remove(&number))?
    }

    /// The other rank sent a short message; `false` if it had no credit for that.
    pub fn hold(&mut self, here: u32, other: u32, cost: u64, most: u64) -> bool {
        let pair = self.pairs.entry((here, other)).or_default();
        pair.held += cost;
        pair.held <= most
    }

    /// It was taken. Gives what is to be given back now.
    fn release(&mut self, here: u32, other: u32, cost: u64, most: u64) -> Option<u64> {
        let pair = self.pairs.entry((here, other)).or_default();
        pair.owed += cost;
        if pair.owed < most / 2 {
            return None;
        }
        pair.held = pair.held.saturating_sub(pair.owed);
        Some(std::mem::take(&mut pair.owed))
    }

    /// The other rank gives credit back.
    pub fn refund(&mut self, here: u32, other: u32, cost: u64) {
        let pair = self.pairs.entry((here, other)).or_default();
        pair.spent = pair.spent.saturating_sub(cost);
    }

    fn spend(&mut self, here: u32, other: u32, cost: u64, most: u64) -> bool {
        let pair = self.pairs.entry((here, other)).or_default();
        let fits = pair.spent + cost <= most;
        pair.spent += if fits { cost } else { 0 };
        fits
    }
}

impl Far {
    /// Over these connections.
    pub fn new(net: Net, control: Handle, home: Weak<dyn Home>, nodes: &[NodeId]) -> Self {
        let up = |node: &NodeId| Some((*node, net.peers().borrow().get(node)?.up?.link));
        let links = Mutex::new(nodes.iter().filter_map(up).collect());
        Self { net, control, home, books: Mutex::default(), links }
    }

    /// Whether this is the connection that the world knows; the first one is.
    pub fn knows(&self, node: NodeId, link: u64) -> bool {
        *self.links.lock().entry(node).or_insert(link) == link
    }

    /// Of these nodes, those whose connection was lost.
    pub fn lost(&self, nodes: &[NodeId], table: &PeerTable) -> Vec<NodeId> {
        let mut links = self.links.lock();
        let mut lost = |node: &&NodeId| {
            let now = table.get(node).and_then(|status| status.up).map(|peer| peer.link);
            match (links.get(node), now) {
                (Some(known), now) => now != Some(*known),
                (None, Some(link)) => {
                    links.insert(**node, link);
                    false
                }
                (None, None) => false,
            }
        };
        nodes.iter().filter(|node| lost(node)).copied().collect()
    }

    /// Of these nodes, those that there was no connection to yet.
    pub fn unseen(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let links = self.links.lock();
        nodes.iter().filter(|node| !links.contains_key(node)).copied().collect()
    }

    /// Fails the messages that `over` says.
    pub fn fail_sends(&self, over: impl Fn(&Sending) -> bool, class: i32) {
        let mut books = self.books.lock();
        let failed: Vec<_> =
            books.sends.extract_if(|_, sending| over(sending)).map(|(_, gone)| gone).collect();
        drop(books);
        failed.iter().for_each(|sending| sending.request.fail(class));
    }
}

impl World {
    /// Tells a node something.
    pub(super) fn tell(self: &Arc<Self>, node: NodeId, what: MpiTold, body: Bytes) -> bool {
        let Some(far) = &self.far else { return false };
        let message = MpiMessage { world: self.id, what };
        match far.net.send(node, ServiceId::Mpi, &message, body) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a message of an MPI job could not be sent");
                // The order is broken: for this job the node is gone. Not at once, for what is
                // locked here may be needed for that.
                let (world, lost) = (Arc::clone(self), !matches!(error, SendError::TooBig(_)));
                far.control.spawn(async move {
                    if lost {
                        world.node_lost(node);
                    }
                });
                false
            }
        }
    }

    /// Tells all other nodes something.
    pub(super) fn tell_all(self: &Arc<Self>, what: &MpiTold) {
        for node in self.other_nodes() {
            self.tell(node, what.clone(), Bytes::new());
        }
    }

    fn node_of(&self, rank: u32) -> NodeId {
        self.nodes.get(rank as usize).copied().unwrap_or(self.me)
    }

    /// Begins to send to a rank of another node.
    pub(super) fn send_far(
        self: &Arc<Self>,
        route: Route,
        envelope: Envelope,
        payload: Payload,
        mode: Mode,
        request: &Arc<Request>,
    ) {
        let Some(far) = &self.far else { return request.fail(c::MPI_ERR_RANK) };
        let Route { from, to } = route;
        let Envelope { context, source, tag } = envelope;
        let (mark, bytes) = (Mark { context, source, tag }, payload.bytes());
        let sending = |payload| Sending { request: request.clone(), payload, from, to, context };
        let mut short = None;
        if bytes <= MAX_EAGER as u64 {
            match payload.pack(0, bytes) {
                Ok(packed) => short = Some(packed),
                Err(error) => return request.fail(error.class().unwrap_or(c::MPI_ERR_BUFFER)),
            }
        }
        let mut books = far.books.lock();
        if books.sends.len() >= MOST_QUEUED {
            drop(books);
            return request.fail(c::MPI_ERR_NO_MEM);
        }
        let most = credit(self.size());
        let (what, body, number) = match short {
            Some(body) if books.spend(from, to, bytes + OVERHEAD, most) => {
                let number = match mode {
                    Mode::Synchronous => books.add(sending(None)),
                    Mode::Standard | Mode::Ready => 0,
                };
                (MpiTold::Eager(route, mark, number), body, number)
            }
            _ => {
                let number = books.add(sending(Some(payload)));
                (MpiTold::Ask(route, mark, bytes, number), Bytes::new(), number)
            }
        };
        drop(books);
        if number > 0 {
            request.waits(Where::Away(number));
        }
        // The rank may have ended since the caller looked.
        if let Some(class) = self.no_send(to, context) {
            far.books.lock().take(number, from, to);
            return request.fail(class);
        }
        if !self.tell(self.node_of(to), what, body) {
            far.books.lock().take(number, from, to);
            return request.fail(c::MPIX_ERR_PROC_FAILED);
        }
        if number == 0 {
            request.complete(Status::EMPTY, None);
        }
    }

    /// Asks the receiver's node to withdraw a message.
    pub(super) fn cancel_far(self: &Arc<Self>, number: u64, from: u32) {
        let Some(far) = &self.far else { return };
        let to = far.books.lock().sends.get(&number).filter(|s| s.from == from).map(|s| s.to);
        if let Some(to) = to {
            self.tell(self.node_of(to), MpiTold::Cancel(Route { from, to }, number), Bytes::new());
        }
    }

    /// A message from another node was taken by a rank here: its sender gets its credit back, and
    /// hears of it if it waits.
    pub(super) fn taken(self: &Arc<Self>, to: u32, message: &Unexpected) {
        let Some(far) = &self.far else { return };
        let (node, route) = (self.node_of(message.from), Route { from: to, to: message.from });
        if message.number > 0 {
            self.tell(node, MpiTold::Taken(route, message.number), Bytes::new());
        }
        if message.credit > 0 {
            let most = credit(self.size());
            let back = far.books.lock().release(to, message.from, message.credit, most);
            if let Some(back) = back {
                self.tell(node, MpiTold::Credit(route, back), Bytes::new());
            }
        }
    }
}

/// The longest beginning of a text of at most so many bytes.
pub fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
