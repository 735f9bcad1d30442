//! Collectives whose ranks are on several nodes. Those of a node give what they have to their
//! leader, in memory; the leaders do the collective among themselves, each for all ranks of its
//! node, by messages; each rank then takes what is for it from what its leader tells.

use bytes::Bytes;

use super::layout::Layout;
use super::local::{piece, pieces, readers, take_piece};
use super::meeting::{Attendance, Gift, Need, Piece};
use super::places::{copy, pack, unpack};
use super::tree::cut;
use super::{Peers, Plan, Root, SMALL, Work, bundle, choice, reducing, ring, traffic, tree};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::Result;

/// Longest block of an exchange of all with all that goes through leaders: longer ones go straight,
/// which takes more messages and fewer copies.
const EXCHANGED: u64 = 4 << 10;

/// Whether leaders should do it, as all ranks see it in the same way.
pub fn pays(work: &Work, layout: &Layout) -> bool {
    match work {
        Work::Alltoall { equal, .. } => equal.is_some_and(|len| len <= EXCHANGED),
        Work::Neighbours { .. } | Work::Scan { .. } => false,
        Work::Reduce { combine, .. }
        | Work::Allreduce { combine, .. }
        | Work::ReduceScatter { combine, .. } => combine.commutes() || layout.is_in_order(),
        _ => true,
    }
}

/// Runs one.
pub async fn run(plan: &Plan, layout: &Layout, room: &Attendance<'_>) -> Result<()> {
    let root = match &plan.work {
        Work::Bcast { root: Root::At(root), .. }
        | Work::Gather { root: Root::At(root), .. }
        | Work::Scatter { root: Root::At(root), .. }
        | Work::Reduce { root: Root::At(root), .. } => Some(*root),
        _ => None,
    };
    let leaders = layout.leaders(root);
    let leader = leaders.get(layout.here() as usize).copied().unwrap_or(0);
    let me = plan.comm.rank;
    traffic::with_leader(&plan.work, me, leader, |from, to, bytes| plan.moved(from, to, bytes));
    let root_node = root.map_or(0, |root| layout.place(root).0);
    let site = Site { plan, layout, room, me, root_node };
    match Peers::leaders(plan, &leaders) {
        None => site.follow().await,
        Some(peers) => {
            let came = site.lead(&peers).await;
            if let Err(error) = &came {
                room.meeting().fail(error.class().unwrap_or(c::MPI_ERR_OTHER));
            }
            came
        }
    }
}

/// One rank's part.
struct Site<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    room: &'a Attendance<'a>,
    me: u32,
    root_node: u32,
}

impl Site<'_> {
    /// The part of a rank that does not lead its node.
    async fn follow(&self) -> Result<()> {
        let (room, (_, at)) = (self.room, self.layout.place(self.me));
        match &self.plan.work {
            Work::Barrier => {
                room.give(Gift::default());
                room.hear().await.map(drop)
            }
            Work::Bcast { buffer, .. } => {
                room.give(Gift::default());
                told(&*room.hear().await?, at, Some(buffer))
            }
            Work::Gather { send: Some(send), .. } => {
                room.give(Gift::of(vec![piece(send)?]));
                // A long one is read until then.
                if send.bytes() <= SMALL { Ok(()) } else { room.hear().await.map(drop) }
            }
            Work::Scatter { receive, .. } => {
                room.give(Gift { into: receive.clone(), ..Gift::default() });
                told(&*room.hear().await?, at, receive.as_ref())
            }
            Work::Allgather { send, receive, equal } => {
                self.give_own(send.as_ref(), receive)?;
                self.all_blocks(&*room.hear().await?, receive, *equal, send.is_none())
            }
            Work::Alltoall { send, receive, equal } => {
                room.give(Gift::of(pieces(send.as_ref().unwrap_or(receive))?));
                self.own_blocks(&*room.hear().await?, receive, *equal)
            }
            Work::Reduce { send, combine, .. } => {
                reducing::for_leader(room, false, send, combine).await.map(drop)
            }
            Work::Allreduce { send, receive, combine }
            | Work::ReduceScatter { send, receive, combine, .. } => {
                reducing::for_leader(room, false, send, combine).await?;
                told(&*room.hear().await?, at, Some(receive))
            }
            _ => Ok(()),
        }
    }

    /// The part of a leader.
    async fn lead(&self, peers: &Peers) -> Result<()> {
        match &self.plan.work {
            Work::Barrier => {
                self.room.give(Gift::default());
                self.room.until(Need::AllArrived).await?;
                tree::barrier(peers).await?;
                self.room.tell(Gift::default());
                Ok(())
            }
            Work::Bcast { root: Root::At(root), buffer } => self.bcast(peers, *root, buffer).await,
            Work::Gather { root: Root::At(root), send, receive, equal } => {
                self.gather(peers, *root, send.as_ref(), receive, *equal).await
            }
            Work::Scatter { root: Root::At(root), send, receive, equal } => {
                match self.me == *root {
                    true => self.scatter(peers, send, receive.as_ref(), *equal).await,
                    false => self.scattered(peers, receive.as_ref(), *equal).await,
                }
            }
            Work::Allgather { send, receive, equal } => {
                self.allgather(peers, send.as_ref(), receive, *equal).await
            }
            Work::Alltoall { send, receive, equal } => {
                self.alltoall(peers, send.as_ref().unwrap_or(receive), receive, *equal).await
            }
            _ => self.combine(peers).await,
        }
    }

    async fn combine(&self, peers: &Peers) -> Result<()> {
        let room = self.room;
        match &self.plan.work {
            Work::Reduce { send, receive, combine, .. } => {
                let sum = reducing::for_leader(room, true, send, combine).await?;
                match (choice::reduce(peers, self.root_node, sum, combine).await?, receive) {
                    (Some(sum), Some(span)) => unpack(span, &sum),
                    _ => Ok(()),
                }
            }
            Work::Allreduce { send, receive, combine } => {
                let sum = reducing::for_leader(room, true, send, combine).await?;
                let sum = choice::allreduce(peers, sum, combine).await?;
                room.tell(Gift::of(vec![Piece::Bytes(sum.clone())]));
                unpack(receive, &sum)
            }
            Work::ReduceScatter { send, receive, counts, combine } => {
                let sum = reducing::for_leader(room, true, send, combine).await?;
                let len = |count: &u64| count.saturating_mul(combine.element());
                let lens: Vec<u64> = counts.iter().map(len).collect();
                // What is for the ranks of a node comes together.
                let by_node = self.layout.by_node(&cut(&sum, &lens));
                let sum: Bytes = by_node.concat().concat().into();
                let lens = self.layout.by_node(&lens);
                let of_nodes: Vec<u64> = lens.iter().map(|lens| lens.iter().sum()).collect();
                let part = ring::reduce_scatter(peers, &sum, &of_nodes, combine).await?;
                let here = lens.get(self.layout.here() as usize).map_or(&[][..], Vec::as_slice);
                self.tell_each(cut(&part, here), Some(receive))
            }
            _ => Ok(()),
        }
    }

    async fn bcast(&self, peers: &Peers, root: u32, buffer: &Span) -> Result<()> {
        self.room.give(Gift::default());
        let tell = |bytes: &Bytes| self.room.tell(Gift::of(vec![Piece::Bytes(bytes.clone())]));
        if self.me == root {
            let bytes = pack(buffer)?;
            tell(&bytes);
            let len = bytes.len() as u64;
            return choice::bcast(peers, self.root_node, Some(bytes), len).await.map(drop);
        }
        let bytes = choice::bcast(peers, self.root_node, None, buffer.bytes()).await?;
        tell(&bytes);
        unpack(buffer, &bytes)
    }

    async fn gather(
        &self,
        peers: &Peers,
        root: u32,
        send: Option<&Span>,
        receive: &[Span],
        equal: Option<u64>,
    ) -> Result<()> {
        let own = send.map(piece).transpose()?;
        self.room.give(Gift::of(own.into_iter().collect()));
        self.room.until(Need::AllArrived).await?;
        let mut lens = self.bundles(receive, equal);
        // The root takes what is on its own node straight.
        if let Some(len) = lens.get_mut(self.root_node as usize) {
            *len = 0;
        }
        let mine = match self.me == root {
            true => {
                let here = self.layout.ranks(self.layout.here());
                for (rank, gift) in here.iter().zip(self.room.gifts()) {
                    if let (Some(piece), Some(into)) = (gift.piece(0), receive.get(*rank as usize))
                    {
                        take_piece(piece, into)?;
                    }
                }
                Bytes::new()
            }
            false => bundle::join(&self.given()?, equal)?,
        };
        self.room.tell(Gift::default());
        let known = equal.is_some();
        let bundles = choice::gather(peers, self.root_node, mine, &lens, known).await?;
        for (node, bundle) in (0..).zip(bundles.unwrap_or_default()) {
            if node != self.root_node {
                self.unpack_bundle(node, &bundle, receive, equal, None)?;
            }
        }
        Ok(())
    }

    /// The part of the root.
    async fn scatter(
        &self,
        peers: &Peers,
        send: &[Span],
        receive: Option<&Span>,
        equal: Option<u64>,
    ) -> Result<()> {
        self.room.give(Gift::default());
        let by_node = self.layout.by_node(send);
        let here = by_node.get(self.root_node as usize).map_or(&[][..], Vec::as_slice);
        self.room.tell(Gift::of(pieces(here)?));
        let mut bundles = Vec::with_capacity(by_node.len());
        for (node, spans) in (0..).zip(&by_node) {
            bundles.push(match node == self.root_node {
                true => Bytes::new(),
                false => bundle::join(&spans.iter().map(pack).collect::<Result<Vec<_>>>()?, equal)?,
            });
        }
        let lens: Vec<u64> = bundles.iter().map(|bundle| bundle.len() as u64).collect();
        let known = equal.is_some();
        choice::scatter(peers, self.root_node, Some(bundles), &lens, known).await?;
        if let (Some(receive), Some(own)) = (receive, send.get(self.me as usize)) {
            copy(own, receive)?;
        }
        readers(self.room, here).await
    }

    /// The part of another leader.
    async fn scattered(
        &self,
        peers: &Peers,
        receive: Option<&Span>,
        equal: Option<u64>,
    ) -> Result<()> {
        self.room.give(Gift { into: receive.cloned(), ..Gift::default() });
        let here = self.layout.here() as usize;
        let mut lens = self.bundles(&[], equal);
        if let Some(len) = lens.get_mut(self.root_node as usize) {
            *len = 0;
        }
        if let (None, Some(len)) = (equal, lens.get_mut(here)) {
            self.room.until(Need::AllArrived).await?;
            let gifts = self.room.gifts();
            let most = gifts.iter().map(|gift| gift.into.as_ref().map_or(0, Span::bytes));
            *len = bundle::len(most, None);
        }
        let known = equal.is_some();
        let bundle = choice::scatter(peers, self.root_node, None, &lens, known).await?;
        let count = self.layout.ranks(self.layout.here()).len();
        self.tell_each(bundle::split(&bundle, count, equal)?, receive)
    }

    async fn allgather(
        &self,
        peers: &Peers,
        send: Option<&Span>,
        receive: &[Span],
        equal: Option<u64>,
    ) -> Result<()> {
        self.give_own(send, receive)?;
        self.room.until(Need::AllArrived).await?;
        let mine = bundle::join(&self.given()?, equal)?;
        let bundles = choice::allgather(peers, mine, &self.bundles(receive, equal)).await?;
        let told = Gift::of(bundles.into_iter().map(Piece::Bytes).collect());
        let taken = self.all_blocks(&told, receive, equal, send.is_none());
        self.room.tell(told);
        taken
    }

    async fn alltoall(
        &self,
        peers: &Peers,
        send: &[Span],
        receive: &[Span],
        equal: Option<u64>,
    ) -> Result<()> {
        self.room.give(Gift::of(pieces(send)?));
        self.room.until(Need::AllArrived).await?;
        let gifts = self.room.gifts();
        let mut bundles = Vec::with_capacity(gifts.len());
        for ranks in self.layout.nodes() {
            let pairs = gifts.iter().flat_map(|gift| ranks.iter().map(move |to| gift.piece(*to)));
            let blocks: Result<Vec<_>> = pairs.map(|piece| bytes_of(piece)).collect();
            bundles.push(bundle::join(&blocks?, equal)?);
        }
        let lens: Vec<u64> = (self.layout.nodes().iter())
            .map(|ranks| vec![equal.unwrap_or(0); ranks.len() * gifts.len()])
            .map(|lens| bundle::len(lens, equal))
            .collect();
        let came = ring::alltoall(peers, bundles, &lens).await?;
        let told = Gift::of(came.into_iter().map(Piece::Bytes).collect());
        let taken = self.own_blocks(&told, receive, equal);
        self.room.tell(told);
        taken
    }

    /// Gives what this rank has for all.
    fn give_own(&self, send: Option<&Span>, receive: &[Span]) -> Result<()> {
        let own = send.or_else(|| receive.get(self.me as usize)).map(piece).transpose()?;
        self.room.give(Gift::of(own.into_iter().collect()));
        Ok(())
    }

    /// What the ranks of this node gave, copied.
    fn given(&self) -> Result<Vec<Bytes>> {
        self.room.gifts().iter().map(|gift| bytes_of(gift.piece(0))).collect()
    }

    /// How long the bundles of the nodes are.
    fn bundles(&self, receive: &[Span], equal: Option<u64>) -> Vec<u64> {
        let lens = |ranks: &Vec<u32>| {
            let of = |rank: &u32| receive.get(*rank as usize).map_or(0, Span::bytes);
            bundle::len(ranks.iter().map(|rank| equal.unwrap_or_else(|| of(rank))), equal)
        };
        self.layout.nodes().iter().map(lens).collect()
    }

    /// Tells each rank of this node its part, and takes the own one.
    fn tell_each(&self, parts: Vec<Bytes>, into: Option<&Span>) -> Result<()> {
        let gift = Gift::of(parts.into_iter().map(Piece::Bytes).collect());
        let taken = told(&gift, self.layout.place(self.me).1, into);
        self.room.tell(gift);
        taken
    }

    /// Takes the blocks of all ranks out of the bundles of all nodes.
    fn all_blocks(
        &self,
        told: &Gift,
        receive: &[Span],
        equal: Option<u64>,
        in_place: bool,
    ) -> Result<()> {
        let skip = in_place.then_some(self.me);
        for (node, piece) in (0..).zip(&told.pieces) {
            self.unpack_bundle(node, &bytes_of(Some(piece))?, receive, equal, skip)?;
        }
        Ok(())
    }

    fn unpack_bundle(
        &self,
        node: u32,
        bundle: &Bytes,
        receive: &[Span],
        equal: Option<u64>,
        skip: Option<u32>,
    ) -> Result<()> {
        let ranks = self.layout.ranks(node);
        for (rank, block) in ranks.iter().zip(bundle::split(bundle, ranks.len(), equal)?) {
            if let (Some(into), true) = (receive.get(*rank as usize), Some(*rank) != skip) {
                unpack(into, &block)?;
            }
        }
        Ok(())
    }

    /// Takes this rank's blocks out of the bundles of all nodes.
    fn own_blocks(&self, told: &Gift, receive: &[Span], equal: Option<u64>) -> Result<()> {
        let (here, at) = self.layout.place(self.me);
        let near = self.layout.ranks(here).len();
        for (ranks, piece) in self.layout.nodes().iter().zip(&told.pieces) {
            let blocks = bundle::split(&bytes_of(Some(piece))?, ranks.len() * near, equal)?;
            for (from, blocks) in ranks.iter().zip(blocks.chunks(near)) {
                if let (Some(into), Some(block)) =
                    (receive.get(*from as usize), blocks.get(at as usize))
                {
                    unpack(into, block)?;
                }
            }
        }
        Ok(())
    }
}

/// A piece, copied.
fn bytes_of(piece: Option<&Piece>) -> Result<Bytes> {
    match piece {
        Some(Piece::Bytes(bytes)) => Ok(bytes.clone()),
        Some(Piece::Span(span)) => pack(span),
        None => Ok(Bytes::new()),
    }
}

/// Takes what a leader told for the rank at a place of its node.
fn told(told: &Gift, at: u32, into: Option<&Span>) -> Result<()> {
    match (told.piece(at), into) {
        (Some(piece), Some(into)) => take_piece(piece, into),
        _ => Ok(()),
    }
}
