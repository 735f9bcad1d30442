//! Ranks as calls: their start from the seats that a launcher gives them, and what they tell it.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::JobRun;
use crate::calls::Calls;
use crate::calls::cell::{CallCell, Ended};
use crate::calls::live::{LiveCall, Origin};
use crate::calls::place::{PlaceHere, Way};
use crate::calls::spec::{Role, Spec, Tree};
use crate::errno::{CallError, Errno};
use crate::function::RankNews;
use crate::id::{Attempt, CallId, FunctionKey, NodeId};
use crate::net::Peer;
use crate::scheduler::{FunctionBook, Needs};
use crate::wire::bundle;
use crate::wire::calls::{CallMessage, Entry, INLINE_MAX};
use crate::wire::function::Policy;
use crate::wire::jobs::{RankEnd, RankSummary, waited};
use crate::wire::mpi::Seat;

/// What a rank wrote is passed on in the next tick, or at once when there is so much, in bytes.
const SOON: usize = 32 << 10;

/// What a rank is given of the job's input: files are for all, all else is for rank 0.
fn input_of(rank: u32, input: &Bytes) -> Bytes {
    if rank == 0 { input.clone() } else { bundle::before_stdin(input) }
}

/// A rank that was started.
pub struct Started {
    /// Its rank.
    pub rank: u32,
    /// Its call.
    pub call: CallId,
    /// Its end.
    pub cell: Arc<CallCell>,
}

impl Started {
    /// Waits for its end.
    pub async fn wait(&self) -> (u32, Arc<Ended>) {
        (self.rank, self.cell.wait().await)
    }
}

impl Calls {
    /// Starts a job's ranks, each where a place is kept for it.
    pub(super) fn start_ranks(
        &self,
        job: &Arc<LiveCall>,
        run: &JobRun,
        epoch: u32,
        (nodes, ticket): (Vec<NodeId>, u64),
    ) -> Vec<Started> {
        let mut started = Vec::with_capacity(nodes.len());
        for (rank, node) in (0..run.gang.ranks).zip(nodes.clone()) {
            let seat = Seat { world: job.spec.call, epoch, rank, nodes: nodes.clone() };
            let cell = CallCell::new(Some(job.me.clone()));
            let call = CallId(self.draw());
            job.add_child(call, cell.clone());
            started.push(Started { rank, call, cell: cell.clone() });
            let role = Role::Rank(Arc::new(seat), ticket);
            match self.rank_spec(job, call, (rank, role), node) {
                Ok(spec) => self.start_rank(Arc::new(spec), cell, node),
                Err((spec, error)) => self.unstarted(&spec, &cell, error),
            }
        }
        started
    }

    fn rank_spec(
        &self,
        job: &LiveCall,
        call: CallId,
        (rank, role): (u32, Role),
        node: NodeId,
    ) -> Result<Spec, (Arc<Spec>, CallError)> {
        let of = &job.spec;
        // The bytes are those of the job, which counts them.
        let share = self.budget().take(&of.user, 0).map_err(|error| (of.clone(), error))?;
        Ok(Spec {
            call,
            function: of.function.clone(),
            user: of.user.clone(),
            start: Entry::Main,
            args: of.args.clone(),
            input: input_of(rank, &of.input),
            share,
            tree: Tree { depth: of.tree.depth.saturating_add(1), ..of.tree },
            above: job.above_children(),
            needs: Needs { policy: Policy::BinPack, pin: vec![node], wasm: of.needs.wasm },
            role,
        })
    }

    fn start_rank(&self, spec: Arc<Spec>, cell: Arc<CallCell>, node: NodeId) {
        if node != self.me() {
            let (attempt, place, tried) = (Attempt(0), None, Vec::new());
            return self.send(Way { spec, cell, attempt, place, tried }, node, true);
        }
        let kept = match &spec.role {
            Role::Rank(seat, ticket) => self.kept_place(node, seat.world, *ticket),
            _ => None,
        };
        let Some(place) = kept else { return self.unstarted(&spec, &cell, no_place()) };
        cell.placed(node, Attempt(0));
        let slot = self.scheduler().try_slot(&spec.user.holding);
        let live = LiveCall::new(self.clone(), spec, Attempt(0), Origin::Here(cell), place);
        self.enter(live, slot, false);
    }

    /// The place that a launcher had kept here for a rank.
    pub(in crate::calls) fn kept_place(
        &self,
        from: NodeId,
        world: CallId,
        ticket: u64,
    ) -> Option<PlaceHere> {
        self.places().lock().take((from, world, ticket))
    }

    /// How many instances of a function live here, to be counted.
    pub(super) fn book(&self, key: &FunctionKey) -> Arc<FunctionBook> {
        self.function(key).map(|function| function.book.clone()).unwrap_or_default()
    }

    /// What an instance is given to be a rank; nothing if its call is none.
    pub(in crate::calls) fn seat(
        &self,
        live: &LiveCall,
    ) -> Result<Option<Box<dyn Any + Send + Sync>>, CallError> {
        match (live.spec.role.seat(), &self.inner.ports.ranks) {
            (Some(seat), Some(space)) => space.seat(seat, &live.control).map(Some),
            _ => Ok(None),
        }
    }

    /// How a call left its job; `None` if it is no rank. What it wrote last has been passed on then.
    pub(in crate::calls) fn rank_end(&self, live: &LiveCall) -> Option<RankEnd> {
        let seat = live.spec.role.seat()?;
        self.pass_on(live);
        let mut end = live.rank.lock().end.clone();
        if let Some(space) = &self.inner.ports.ranks {
            end.sent = space.sent(seat.world, seat.epoch, seat.rank);
            end.aborted = space.aborted(seat.world, seat.epoch);
        }
        Some(end)
    }

    /// Where a rank that runs here is, for people; `None` if the call is none.
    pub(in crate::calls) fn rank_waits(&self, live: &LiveCall) -> Option<String> {
        let seat = live.spec.role.seat()?;
        let space = self.inner.ports.ranks.as_ref()?;
        Some(waited(seat.rank, space.waits_in(seat.world, seat.epoch, seat.rank)))
    }

    /// What a rank that runs here has sent.
    pub(in crate::calls) fn rank_summary(&self, spec: &Spec) -> Option<RankSummary> {
        let seat = spec.role.seat()?;
        let space = self.inner.ports.ranks.as_ref();
        let sent = space.map(|space| space.sent(seat.world, seat.epoch, seat.rank));
        let mut summary = RankSummary { rank: seat.rank, ..RankSummary::default() };
        for sent in sent.iter().flatten() {
            summary.messages = summary.messages.saturating_add(sent.messages);
            summary.bytes = summary.bytes.saturating_add(sent.bytes);
        }
        Some(summary)
    }

    /// A rank here has written.
    pub(in crate::calls) fn rank_wrote(&self, live: &LiveCall, text: &[u8]) {
        let (first, much) = {
            let mut rank = live.rank.lock();
            let first = rank.written.is_empty();
            rank.written.extend_from_slice(text);
            (first, rank.written.len() >= SOON)
        };
        if much {
            self.pass_on(live);
        } else if first {
            self.writers().lock().push(live.me.clone());
        }
    }

    /// Passes on what ranks here have written since.
    pub(in crate::calls) fn pass_all_on(&self) {
        let writers = std::mem::take(&mut *self.writers().lock());
        for live in writers.iter().filter_map(std::sync::Weak::upgrade) {
            self.pass_on(&live);
        }
    }

    /// Passes on what a rank has written. It is within the limit of its log, so what cannot be sent
    /// is no more than that, and is sent later.
    fn pass_on(&self, live: &LiveCall) {
        let Some(seat) = live.spec.role.seat() else { return };
        // Held while it is sent: in order.
        let mut rank = live.rank.lock();
        match &live.origin {
            Origin::Here(_) => {
                if let Some(run) = self.job_here(seat.world) {
                    run.output.wrote(seat.rank, &rank.written);
                }
                rank.written.clear();
            }
            Origin::Peer(peer) => {
                while !rank.written.is_empty() {
                    let part = rank.written.len().min(INLINE_MAX);
                    let text = Bytes::copy_from_slice(&rank.written[..part]);
                    let message = CallMessage::Printed(seat.world, seat.rank);
                    if self.net().send(peer.node, &message, text).is_err() {
                        self.writers().lock().push(live.me.clone());
                        return;
                    }
                    rank.written.drain(..part);
                }
            }
        }
    }

    /// A rank tells something of itself.
    pub(in crate::calls) fn rank_news(&self, live: &LiveCall, news: RankNews) {
        let Some(seat) = live.spec.role.seat() else { return };
        {
            let end = &mut live.rank.lock().end;
            match news {
                RankNews::Begun => end.begun = true,
                RankNews::Finalized => end.finalized = true,
                RankNews::Tolerates => {}
            }
        }
        if news == RankNews::Tolerates {
            match &live.origin {
                Origin::Here(_) => {
                    self.job_here(seat.world).inspect(|run| run.tolerates());
                }
                Origin::Peer(peer) => {
                    let message = CallMessage::Tolerates(seat.world, seat.rank);
                    let _ = self.net().send(peer.node, &message, Bytes::new());
                }
            }
        }
    }

    /// A job that this node launched and that has not ended.
    pub(in crate::calls) fn job_here(&self, world: CallId) -> Option<Arc<JobRun>> {
        self.live_call(world)?.spec.role.job().cloned()
    }

    /// A rank on another node has written.
    pub(in crate::calls) fn printed(&self, from: Peer, world: CallId, rank: u32, text: &[u8]) {
        if let Some(run) = self.job_here(world).filter(|run| run.is_on(rank, from.node)) {
            run.output.wrote(rank, text);
        }
    }

    /// A rank on another node handles errors itself.
    pub(in crate::calls) fn tolerates(&self, from: Peer, world: CallId, rank: u32) {
        if let Some(run) = self.job_here(world).filter(|run| run.is_on(rank, from.node)) {
            run.tolerates();
        }
    }
}

/// The error of a rank for which no place is kept.
pub(in crate::calls) fn no_place() -> CallError {
    let detail = "no place is kept for this rank: its launcher was too slow, or is gone";
    CallError::new(Errno::Full, detail)
}
