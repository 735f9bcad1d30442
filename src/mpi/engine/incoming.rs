//! What other nodes say about a world. Nothing of it is believed before it is checked.

use std::sync::Arc;

use bytes::Bytes;

use super::far::credit;
use super::inbox::{Body, OVERHEAD, Unexpected};
use super::world::World;
use super::{Envelope, Status};
use crate::mpi::constants as c;
use crate::net::{BulkStream, Peer};
use crate::wire::Malformed;
use crate::wire::mpi::{MAX_EAGER, MAX_WHY, Mark, MpiPull, MpiTold, Route};

/// What no honest peer sends.
pub fn wrong(why: &str) -> Malformed {
    Malformed { what: "MPI message", why: why.to_owned() }
}

impl World {
    /// A message of another node.
    pub(super) fn told(
        self: &Arc<Self>,
        peer: Peer,
        what: MpiTold,
        body: Bytes,
    ) -> Result<(), Malformed> {
        let Some(far) = &self.far else { return Ok(()) };
        if !self.other_nodes_have(peer) {
            return Err(wrong("of a job in which the node has no rank"));
        }
        if !far.knows(peer.node, peer.link) {
            return Ok(());
        }
        if !body.is_empty() && !matches!(what, MpiTold::Eager(..)) {
            return Err(wrong("bytes beside a message that has none"));
        }
        match what {
            MpiTold::Eager(route, mark, number) => self.eager(peer, route, mark, number, body),
            MpiTold::Ask(route, mark, bytes, number) => {
                self.asked(peer, route, mark, bytes, number)
            }
            MpiTold::Taken(route, number) => self.answered(peer, route, number, Status::EMPTY),
            MpiTold::Refused(route, number) => {
                self.answered(peer, route, number, Status::failed(c::MPI_ERR_NO_MEM))
            }
            MpiTold::Cancelled(route, number) => {
                let cancelled = Status { cancelled: true, ..Status::EMPTY };
                self.answered(peer, route, number, cancelled)
            }
            MpiTold::Credit(route, bytes) => {
                self.check(peer, route)?;
                far.books.lock().refund(route.to, route.from, bytes);
                Ok(())
            }
            MpiTold::Cancel(route, number) => self.withdrawn(peer, route, number),
            MpiTold::Ended(rank, finalized) => {
                if self.nodes.get(rank as usize) != Some(&peer.node) {
                    return Err(wrong("the end of a rank of another node"));
                }
                let why = format!("rank {rank} of the MPI job ended without MPI_Finalize");
                self.ended(rank, finalized, &why);
                Ok(())
            }
            MpiTold::Abort(code, why) => {
                if why.len() > MAX_WHY {
                    return Err(wrong("a reason that is too long"));
                }
                self.aborted(code, &why);
                Ok(())
            }
            MpiTold::Revoke(context) => {
                self.revoked(context);
                Ok(())
            }
            MpiTold::Parted(rank, context, tag, class) => {
                if self.nodes.get(rank as usize) != Some(&peer.node) {
                    return Err(wrong("of a rank of another node"));
                }
                self.parted(rank, context, tag, class);
                Ok(())
            }
            MpiTold::Absent => {
                self.node_lost(peer.node);
                Ok(())
            }
        }
    }

    fn other_nodes_have(&self, peer: Peer) -> bool {
        peer.node != self.me && self.nodes.contains(&peer.node)
    }

    /// Whether a peer may say this: from a rank of its own, to one that is here.
    fn check(&self, peer: Peer, route: Route) -> Result<(), Malformed> {
        if self.nodes.get(route.from as usize) != Some(&peer.node) {
            return Err(wrong("from a rank that is not on the node that sent it"));
        }
        match self.here(route.to) {
            Some(_) => Ok(()),
            None => Err(wrong("to a rank that is not on this node")),
        }
    }

    fn eager(
        self: &Arc<Self>,
        peer: Peer,
        route: Route,
        mark: Mark,
        number: u64,
        body: Bytes,
    ) -> Result<(), Malformed> {
        self.check(peer, route)?;
        if body.len() > MAX_EAGER {
            return Err(wrong("a short message that is long"));
        }
        let cost = body.len() as u64 + OVERHEAD;
        if let Some(far) = &self.far
            && !far.books.lock().hold(route.to, route.from, cost, credit(self.size()))
        {
            return Err(wrong("more short messages than it had credit for"));
        }
        self.take_in(route, mark, Body::Host(body), cost, number);
        Ok(())
    }

    fn asked(
        self: &Arc<Self>,
        peer: Peer,
        route: Route,
        mark: Mark,
        bytes: u64,
        number: u64,
    ) -> Result<(), Malformed> {
        self.check(peer, route)?;
        if number == 0 {
            return Err(wrong("a message that cannot be asked for"));
        }
        self.take_in(route, mark, Body::Away(bytes, number), 0, number);
        Ok(())
    }

    fn take_in(self: &Arc<Self>, route: Route, mark: Mark, body: Body, credit: u64, number: u64) {
        let Some(place) = self.here(route.to) else { return };
        let Mark { context, source, tag } = mark;
        let envelope = Envelope { context, source, tag };
        let message =
            Unexpected { envelope, from: route.from, body, request: None, credit, number };
        let inbox = place.inbox.lock();
        if self.no_arrival(route.to, context) {
            // Its sender hears, or has heard, why.
            return;
        }
        if self.is_idle(route.to, &envelope) {
            drop(inbox);
            return self.taken(route.to, &message);
        }
        if let Err(message) = self.arrive(route.to, place, inbox, message) {
            let back = Route { from: route.to, to: message.from };
            if let Some(node) = self.nodes.get(message.from as usize) {
                self.tell(*node, MpiTold::Refused(back, number), Bytes::new());
            }
        }
    }

    /// A message of a rank here met its end there.
    fn answered(
        self: &Arc<Self>,
        peer: Peer,
        route: Route,
        number: u64,
        status: Status,
    ) -> Result<(), Malformed> {
        self.check(peer, route)?;
        let taken =
            self.far.as_ref().and_then(|far| far.books.lock().take(number, route.to, route.from));
        if let Some(sending) = taken {
            sending.request.complete(status, None);
        }
        Ok(())
    }

    fn withdrawn(self: &Arc<Self>, peer: Peer, route: Route, number: u64) -> Result<(), Malformed> {
        self.check(peer, route)?;
        let Some(place) = self.here(route.to) else { return Ok(()) };
        let withdrawn = place.inbox.lock().withdraw_away(route.from, number);
        if let Some(message) = withdrawn {
            let back = Route { from: route.to, to: route.from };
            self.tell(peer.node, MpiTold::Cancelled(back, number), Bytes::new());
            // Only its credit.
            self.taken(route.to, &Unexpected { number: 0, ..message });
        }
        Ok(())
    }

    /// A receiver asks for the bytes of a message.
    pub(super) fn asked_for(
        self: &Arc<Self>,
        peer: Peer,
        ask: &MpiPull,
        stream: BulkStream,
    ) -> Result<(), Malformed> {
        self.check(peer, ask.route)?;
        let Some(far) = &self.far else { return Ok(()) };
        let taken = far.books.lock().take(ask.number, ask.route.to, ask.route.from);
        // One that is not there any more was failed or withdrawn meanwhile: the stream is dropped,
        // which the receiver sees.
        let Some(sending) = taken else { return Ok(()) };
        let bytes = sending.payload.as_ref().map_or(0, super::Payload::bytes);
        if ask.most > bytes {
            sending.request.fail(c::MPI_ERR_OTHER);
            return Err(wrong("asks for more bytes than the message has"));
        }
        self.push(ask, sending, stream);
        Ok(())
    }
}
