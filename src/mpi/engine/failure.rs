//! What ends before its time: ranks, their nodes, communicators, the job.
//!
//! A rank that ends without `MPI_Finalize`, or whose node is lost, has failed. What depends on it
//! is complete then, with `MPIX_ERR_PROC_FAILED`. Unless a rank here can handle its errors, the job
//! ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inbox::{Body, Posted, Unexpected};
use super::parted::Parted;
use super::world::{Place, World, fail_all};
use super::{Pattern, far};
use crate::function::{Control, EndReason};
use crate::id::NodeId;
use crate::mpi::constants as c;
use crate::wire::jobs::waited;
use crate::wire::mpi::{MAX_WHY, MpiTold};

/// Most communicators of a job that can be revoked, and most whose members are known.
const MOST_CONTEXTS: usize = 1 << 16;

/// From this bit on, those of contexts say that they are not a communicator's own.
const SPECIAL: u32 = 61;

/// What is known to have ended.
#[derive(Debug, Default)]
pub struct Fate {
    /// Ranks that have ended; whether they failed.
    pub gone: BTreeMap<u32, bool>,
    revoked: BTreeSet<u64>,
    /// Why the job was aborted, and with which code.
    pub aborted: Option<(i32, String)>,
    /// The ranks of communicators, and how many ranks of this node have it; of one that is not
    /// here, all.
    members: HashMap<u64, (Arc<[u32]>, usize)>,
    /// Failures that a rank has acknowledged for a communicator.
    acknowledged: HashMap<(u32, u64), BTreeSet<u32>>,
    /// Ranks that could not do their part in a collective.
    pub parted: Parted,
}

impl Fate {
    fn failed(&self) -> impl Iterator<Item = u32> {
        self.gone.iter().filter(|(_, failed)| **failed).map(|(rank, _)| *rank)
    }

    /// Whether a communicator has a rank that failed, and this is what its collectives say: none of
    /// those can be completed by all any more, so none of its ranks is to wait for another.
    fn is_broken(&self, context: u64) -> bool {
        let members = self.members.get(&(context & !1));
        let of = |failed: u32| members.is_none_or(|(members, _)| members.contains(&failed));
        is_collective(context) && self.failed().any(of)
    }

    /// Failed ranks of a communicator that a rank has not acknowledged.
    fn unknown(&self, rank: u32, context: u64) -> bool {
        let members = self.members.get(&(context & !1));
        let acknowledged = self.acknowledged.get(&(rank, context & !1));
        self.failed().any(|failed| {
            members.is_none_or(|(members, _)| members.contains(&failed))
                && acknowledged.is_none_or(|known| !known.contains(&failed))
        })
    }

    /// Why nothing can be done in a context.
    fn is_over(&self, context: u64) -> Option<i32> {
        match &self.aborted {
            Some(_) => Some(c::MPI_ERR_PROC_ABORTED),
            None => self.revoked.contains(&(context & !1)).then_some(c::MPIX_ERR_REVOKED),
        }
    }

    /// Why a rank cannot receive this, if nothing is there that it takes.
    fn no_receive(&self, pattern: &Pattern) -> Option<i32> {
        if let Some(class) = self.is_over(pattern.context) {
            return Some(class);
        }
        let lost = pattern.world_source.is_some_and(|source| self.gone.contains_key(&source));
        let failed = (lost || self.is_broken(pattern.context)).then_some(c::MPIX_ERR_PROC_FAILED);
        failed.or_else(|| self.parted.no_receive(pattern))
    }

    /// Whether a receive from any source may wait for one that has failed, and its rank has not
    /// acknowledged that.
    fn is_doubtful(&self, rank: u32, pattern: &Pattern) -> bool {
        pattern.source.is_none() && self.unknown(rank, pattern.context)
    }
}

/// Whether messages of a communicator's collectives have this context: it is odd, and none of the
/// special ones.
pub fn is_collective(context: u64) -> bool {
    context & 1 == 1 && context >> SPECIAL == 0
}

impl World {
    /// Why a message cannot be sent. Look with the receiver's inbox locked, if it is here.
    pub(super) fn no_send(&self, to: u32, context: u64) -> Option<i32> {
        if !self.trouble.load(Ordering::Acquire) {
            return None;
        }
        let fate = self.fate.lock();
        let lost = || fate.gone.contains_key(&to) || fate.is_broken(context);
        fate.is_over(context).or_else(|| lost().then_some(c::MPIX_ERR_PROC_FAILED))
    }

    /// Why a message of another node is of no use. Whether its communicator has lost a rank is not
    /// asked: a rank here may not have that communicator yet.
    pub(super) fn no_arrival(&self, to: u32, context: u64) -> bool {
        if !self.trouble.load(Ordering::Acquire) {
            return false;
        }
        let fate = self.fate.lock();
        fate.is_over(context).is_some() || fate.gone.contains_key(&to)
    }

    /// Why nothing can be received in a context, whatever is there already.
    pub(super) fn is_over(&self, context: u64) -> Option<i32> {
        if !self.trouble.load(Ordering::Acquire) {
            return None;
        }
        self.fate.lock().is_over(context)
    }

    /// Why a message will not come. Look with the rank's inbox locked.
    pub(super) fn no_receive(&self, pattern: &Pattern) -> Option<i32> {
        if !self.trouble.load(Ordering::Acquire) {
            return None;
        }
        self.fate.lock().no_receive(pattern)
    }

    /// Whether a message may not come. Look with the rank's inbox locked.
    pub(super) fn is_doubtful(&self, rank: u32, pattern: &Pattern) -> bool {
        self.trouble.load(Ordering::Acquire) && self.fate.lock().is_doubtful(rank, pattern)
    }

    pub(super) fn places_here(&self) -> impl Iterator<Item = (u32, &Arc<Place>)> {
        self.ranks_of(self.me).filter_map(|rank| Some((rank, self.here(rank)?)))
    }

    /// A rank has ended, in order or not.
    pub(super) fn ended(self: &Arc<Self>, rank: u32, finalized: bool, why: &str) {
        {
            let mut fate = self.fate.lock();
            if fate.gone.contains_key(&rank) {
                return;
            }
            fate.gone.insert(rank, !finalized);
            self.trouble.store(true, Ordering::Release);
        }
        let class = c::MPIX_ERR_PROC_FAILED;
        self.meetings.rank_failed(rank, class);
        if let Some(place) = self.here(rank) {
            let mut inbox = place.inbox.lock();
            let (posted, sent) = (inbox.drain_posted(|_| true), inbox.drain_unexpected(|_| true));
            drop(inbox);
            fail_all(posted, sent, class);
        }
        for (receiver, place) in self.places_here() {
            let mut inbox = place.inbox.lock();
            let fate = self.fate.lock();
            let lost = |posted: &Posted| fate.no_receive(&posted.pattern).is_some();
            let stays = |message: &Unexpected| matches!(message.body, Body::Host(_));
            let posted = inbox.drain_posted(lost);
            let doubtful = inbox.posted().filter(|p| fate.is_doubtful(receiver, &p.pattern));
            doubtful.for_each(|posted| posted.request.doubts());
            let broken = |m: &Unexpected| fate.is_broken(m.envelope.context);
            let sent = inbox.drain_unexpected(|m| match m.from == rank {
                true => !stays(m),
                false => m.request.is_some() && broken(m),
            });
            drop((fate, inbox));
            fail_all(posted, sent, class);
            place.stir();
        }
        if let Some(far) = &self.far {
            let fate = self.fate.lock();
            let lost = |to: u32| to == rank;
            far.fail_sends(
                |sending| lost(sending.to) || lost(sending.from) || fate.is_broken(sending.context),
                class,
            );
        }
        if !finalized {
            self.judge(why);
        }
    }

    /// A rank has failed: the job ends, unless a rank here can handle that. A node where none runs
    /// leaves it to the others.
    fn judge(self: &Arc<Self>, why: &str) {
        let running = self.running();
        let survives = |rank: &u32| {
            self.here(*rank).is_some_and(|place| place.survives.load(Ordering::Acquire))
        };
        if !running.is_empty() && !running.iter().any(survives) {
            self.abort(c::MPIX_ERR_PROC_FAILED, why, None);
        }
    }

    /// A rank sat down, maybe too late.
    pub(super) fn seated(self: &Arc<Self>, control: &Control) {
        let failed = self.failed().first().copied();
        if let Some(rank) = failed {
            self.judge(&format!("rank {rank} of the MPI job ended without MPI_Finalize"));
        }
        if let Some((_, why)) = &self.fate.lock().aborted {
            control.end_because(EndReason::JobAborted, why);
        }
    }

    /// A node was lost, and its ranks with it.
    pub(super) fn node_lost(self: &Arc<Self>, node: NodeId) {
        for rank in self.ranks_of(node) {
            self.ended(
                rank,
                false,
                &format!("rank {rank} of the MPI job was lost with its node {node}"),
            );
        }
    }

    /// Ends the job on all nodes; `but` is the rank that does this, and ends by itself.
    pub(super) fn abort(self: &Arc<Self>, code: i32, why: &str, but: Option<u32>) {
        if self.is_aborted_now(code, why) {
            // Told before the first rank here ends, which would be told as a failure of its own.
            let cut = far::cut(why, MAX_WHY).to_owned();
            self.tell_all(&MpiTold::Abort(code, cut));
            self.end_all(why, but);
        }
    }

    /// Another node ends the job.
    pub(super) fn aborted(self: &Arc<Self>, code: i32, why: &str) {
        if self.is_aborted_now(code, why) {
            self.end_all(why, None);
        }
    }

    /// Notes that the job is aborted; whether that is news.
    fn is_aborted_now(&self, code: i32, why: &str) -> bool {
        let mut fate = self.fate.lock();
        if fate.aborted.is_some() {
            return false;
        }
        fate.aborted = Some((code, why.to_owned()));
        self.trouble.store(true, Ordering::Release);
        true
    }

    /// Ends the ranks here, and all that they wait for.
    fn end_all(&self, why: &str, but: Option<u32>) {
        for (rank, place) in self.places_here() {
            if Some(rank) != but
                && let Some(control) = place.control.get()
            {
                let at = waited(rank, *place.waits_in.lock());
                control.end_because(EndReason::JobAborted, &format!("{why}{at}"));
            }
        }
        self.sweep(|_| true, c::MPI_ERR_PROC_ABORTED);
        (0..self.size()).for_each(|rank| self.meetings.rank_failed(rank, c::MPI_ERR_PROC_ABORTED));
    }

    /// A communicator is of no use any more; whether that is news. `None` when there are too many.
    pub(super) fn revoked(self: &Arc<Self>, context: u64) -> Option<bool> {
        {
            let mut fate = self.fate.lock();
            if fate.revoked.contains(&(context & !1)) {
                return Some(false);
            }
            if fate.revoked.len() >= MOST_CONTEXTS {
                return None;
            }
            fate.revoked.insert(context & !1);
            self.trouble.store(true, Ordering::Release);
        }
        self.sweep(|of| of & !1 == context & !1, c::MPIX_ERR_REVOKED);
        self.meetings.context_failed(context | 1, c::MPIX_ERR_REVOKED);
        Some(true)
    }

    fn sweep(&self, over: impl Fn(u64) -> bool, class: i32) {
        for (_, place) in self.places_here() {
            let mut inbox = place.inbox.lock();
            let posted = inbox.drain_posted(|posted| over(posted.pattern.context));
            let sent = inbox.drain_unexpected(|message| over(message.envelope.context));
            drop(inbox);
            fail_all(posted, sent, class);
            place.stir();
        }
        if let Some(far) = &self.far {
            far.fail_sends(|sending| over(sending.context), class);
        }
    }

    /// Which ranks failed.
    pub(super) fn failed(&self) -> Vec<u32> {
        self.fate.lock().failed().collect()
    }

    /// Whether a communicator was revoked.
    pub(super) fn is_revoked(&self, context: u64) -> bool {
        self.fate.lock().revoked.contains(&(context & !1))
    }

    /// Which ranks a communicator has: failures of others are none of its business.
    pub(super) fn has_members(&self, context: u64, members: &[u32]) {
        let mut fate = self.fate.lock();
        let room = fate.members.len() < MOST_CONTEXTS;
        match fate.members.get_mut(&(context & !1)) {
            Some((_, uses)) => *uses += 1,
            None if room => drop(fate.members.insert(context & !1, (members.into(), 1))),
            None => {}
        }
    }

    /// A rank has freed a communicator: when all have, its ranks are forgotten.
    pub(super) fn forgets_members(&self, context: u64) {
        let mut fate = self.fate.lock();
        if let Some((_, uses)) = fate.members.get_mut(&(context & !1)) {
            *uses -= 1;
            if *uses == 0 {
                fate.members.remove(&(context & !1));
            }
        }
    }

    /// A rank knows of the failures that there were; gives those in the communicator.
    pub(super) fn acknowledge(&self, rank: u32, context: u64) -> Vec<u32> {
        let inbox = self.here(rank).map(|place| place.inbox.lock());
        let mut fate = self.fate.lock();
        let members = fate.members.get(&(context & !1)).cloned();
        let of =
            |failed: &u32| members.as_ref().is_none_or(|(members, _)| members.contains(failed));
        let failed: BTreeSet<u32> = fate.failed().filter(of).collect();
        let known = failed.iter().copied().collect();
        if fate.acknowledged.len() < MOST_CONTEXTS {
            fate.acknowledged.insert((rank, context & !1), failed);
        }
        let all = inbox.iter().flat_map(|inbox| inbox.posted());
        let sure = all.filter(|posted| !fate.is_doubtful(rank, &posted.pattern));
        sure.for_each(|posted| posted.request.trusts());
        known
    }
}
