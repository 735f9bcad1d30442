//! Where ranks of one node meet for a collective: each says where its elements lie and waits for
//! what it needs of the others; then they copy or combine, memory to memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};
use crate::mpi::group::Group;
use crate::mpi::turns;

/// Which collective: its context, its tag, which start of a persistent one, and the first rank of
/// the group, as `MPI_COMM_SELF` has one context on all ranks.
pub type Key = (u64, i32, u32, u32);

/// What a rank brings for one other.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A copy.
    Bytes(Bytes),
    /// Where it lies; it stays there until all have finished.
    Span(Span),
}

/// What a rank brings.
#[derive(Debug, Default)]
pub struct Gift {
    /// One piece for everybody, or one for each.
    pub pieces: Vec<Piece>,
    /// For whom they are, where there are not as many for each.
    pub to: Vec<u32>,
    /// Where its part of what is combined goes.
    pub into: Option<Span>,
}

impl Gift {
    /// The piece for a rank.
    pub fn piece(&self, rank: u32) -> Option<&Piece> {
        match &self.pieces[..] {
            [one] => Some(one),
            all => all.get(rank as usize),
        }
    }

    /// All pieces that say that they are for a rank.
    pub fn pieces_to(&self, rank: u32) -> impl Iterator<Item = &Piece> {
        self.to.iter().zip(&self.pieces).filter(move |(to, _)| **to == rank).map(|(_, piece)| piece)
    }

    /// One piece for everybody, or one for each, and no more.
    pub fn of(pieces: Vec<Piece>) -> Self {
        Self { pieces, ..Self::default() }
    }
}

/// What a rank waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// That this one has come.
    Arrived(u32),
    /// That all have.
    AllArrived,
    /// That this one has finished.
    Finished(u32),
    /// That all have.
    AllFinished,
    /// That everything is combined.
    Combined,
    /// That the leader has told what came of it.
    Told,
}

/// The meetings of a world on one node.
#[derive(Debug, Default)]
pub struct Meetings {
    rooms: Mutex<HashMap<Key, Arc<Meeting>>>,
    any_failed: AtomicBool,
    failed: Mutex<BTreeMap<u32, i32>>,
    closed: AtomicBool,
}

/// One.
#[derive(Debug)]
pub struct Meeting {
    group: Group,
    state: Mutex<State>,
    /// Counts changes of the state: who looks for one needs no lock to see that there was none.
    changes: AtomicU64,
    /// The next piece of work of those that all share.
    pub next: AtomicU64,
    /// Pieces of work that are done.
    pub done: AtomicU64,
    /// What is combined for the leader.
    pub sum: Mutex<Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    gifts: Vec<Option<Arc<Gift>>>,
    arrived: usize,
    finished: Vec<bool>,
    finished_count: usize,
    left: usize,
    combined: bool,
    told: Option<Arc<Gift>>,
    /// The class of what went wrong, once something did.
    class: Option<i32>,
    waiting: Vec<(u32, Need, Waker)>,
}

impl Meetings {
    /// Comes to a meeting of a group, as this rank of it.
    pub fn attend<'m>(&'m self, key: Key, group: &Group, me: u32) -> Attendance<'m> {
        let size = group.size() as usize;
        let mut rooms = self.rooms.lock();
        let meeting = rooms.entry(key).or_insert_with(|| {
            let state =
                State { gifts: vec![None; size], finished: vec![false; size], ..State::default() };
            Arc::new(Meeting {
                group: group.clone(),
                state: Mutex::new(state),
                changes: AtomicU64::new(0),
                next: AtomicU64::new(0),
                done: AtomicU64::new(0),
                sum: Mutex::default(),
            })
        });
        let meeting = meeting.clone();
        drop(rooms);
        if self.any_failed.load(Ordering::Acquire) {
            let failed = self.failed.lock().clone();
            failed.iter().for_each(|(rank, class)| meeting.lost(*rank, *class));
        }
        Attendance {
            meetings: self,
            meeting,
            key,
            me,
            seen: AtomicU64::new(u64::MAX),
            ended: false,
        }
    }

    /// A rank of the world has ended: who waits for it, now or later, gets this class.
    pub fn rank_failed(&self, world_rank: u32, class: i32) {
        self.failed.lock().entry(world_rank).or_insert(class);
        self.any_failed.store(true, Ordering::Release);
        let rooms: Vec<_> = self.rooms.lock().values().cloned().collect();
        rooms.iter().for_each(|room| room.lost(world_rank, class));
    }

    /// A communicator, by its context, is of no use any more: who waits in it gets this class.
    pub fn context_failed(&self, context: u64, class: i32) {
        let rooms = self.rooms.lock();
        let of = rooms.iter().filter(|(key, _)| key.0 == context);
        let of: Vec<_> = of.map(|(_, room)| room.clone()).collect();
        drop(rooms);
        of.iter().for_each(|room| room.fail(class));
    }

    /// Ranks exchange messages instead.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether they do.
    pub fn are_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.rooms.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Meeting {
    /// Something went wrong: the class for all who wait.
    pub fn fail(&self, class: i32) {
        let mut state = self.state.lock();
        state.class.get_or_insert(class);
        self.changed(&mut state);
    }

    /// A rank of the world has ended. One that had finished here is not missed.
    fn lost(&self, world_rank: u32, class: i32) {
        let Some(rank) = self.group.rank_of(world_rank) else { return };
        if !self.state.lock().met(Need::Finished(rank)) {
            self.fail(class);
        }
    }

    fn changed(&self, state: &mut State) {
        self.changes.fetch_add(1, Ordering::Release);
        state.wake();
    }

    fn check(&self) -> Result<()> {
        self.state.lock().class.map_or(Ok(()), |class| Err(failed(class)))
    }
}

impl State {
    fn met(&self, need: Need) -> bool {
        let at = |rank: u32| rank as usize;
        match need {
            Need::Arrived(rank) => self.gifts.get(at(rank)).is_none_or(Option::is_some),
            Need::AllArrived => self.arrived == self.gifts.len(),
            Need::Finished(rank) => self.finished.get(at(rank)).is_none_or(|finished| *finished),
            Need::AllFinished => self.finished_count == self.finished.len(),
            Need::Combined => self.combined,
            Need::Told => self.told.is_some(),
        }
    }

    /// Wakes those who have what they need.
    fn wake(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.waiting);
        for (rank, need, waker) in all {
            match self.class.is_some() || self.met(need) {
                true => turns::wake(waker),
                false => self.waiting.push((rank, need, waker)),
            }
        }
    }
}

/// A rank at a meeting. One that goes before it has finished has failed.
#[derive(Debug)]
pub struct Attendance<'m> {
    meetings: &'m Meetings,
    meeting: Arc<Meeting>,
    key: Key,
    me: u32,
    /// Changes up to which it has looked.
    seen: AtomicU64,
    ended: bool,
}

impl Attendance<'_> {
    /// The meeting.
    pub fn meeting(&self) -> &Meeting {
        &self.meeting
    }

    /// How many meet.
    pub fn size(&self) -> u32 {
        self.meeting.group.size()
    }

    /// Brings something; whether this rank is the last.
    pub fn give(&self, gift: Gift) -> bool {
        let mut state = self.meeting.state.lock();
        let Some(place) = state.gifts.get_mut(self.me as usize) else { return false };
        if place.replace(Arc::new(gift)).is_none() {
            state.arrived += 1;
        }
        self.meeting.changed(&mut state);
        state.met(Need::AllArrived)
    }

    /// Waits for something.
    pub async fn until(&self, need: Need) -> Result<()> {
        self.seen.store(u64::MAX, Ordering::Relaxed);
        std::future::poll_fn(|context| self.poll(need, context)).await
    }

    fn poll(&self, need: Need, context: &Context<'_>) -> Poll<Result<()>> {
        let looks_out = context.waker().will_wake(Waker::noop());
        let changes = self.meeting.changes.load(Ordering::Acquire);
        if self.seen.swap(changes, Ordering::Relaxed) == changes && looks_out {
            return Poll::Pending;
        }
        let mut state = self.meeting.state.lock();
        if state.met(need) {
            return Poll::Ready(Ok(()));
        }
        if let Some(class) = state.class {
            return Poll::Ready(Err(failed(class)));
        }
        if looks_out {
            return Poll::Pending;
        }
        let waker = context.waker();
        match state.waiting.iter_mut().find(|waiting| waiting.0 == self.me) {
            Some(waiting) => {
                waiting.1 = need;
                waiting.2.clone_from(waker);
            }
            None => state.waiting.push((self.me, need, waker.clone())),
        }
        Poll::Pending
    }

    /// What a rank brought.
    pub fn gift(&self, rank: u32) -> Result<Arc<Gift>> {
        self.meeting.check()?;
        let gift = self.meeting.state.lock().gifts.get(rank as usize).cloned().flatten();
        gift.ok_or_else(|| failed(c::MPI_ERR_INTERN))
    }

    /// What all brought.
    pub fn gifts(&self) -> Vec<Arc<Gift>> {
        self.meeting.state.lock().gifts.iter().flatten().cloned().collect()
    }

    /// This rank has taken what it needs.
    pub fn finish(&self) {
        let mut state = self.meeting.state.lock();
        if let Some(finished) = state.finished.get_mut(self.me as usize)
            && !std::mem::replace(finished, true)
        {
            state.finished_count += 1;
            self.meeting.changed(&mut state);
        }
    }

    /// Everything is combined.
    pub fn combined(&self) {
        let mut state = self.meeting.state.lock();
        state.combined = true;
        self.meeting.changed(&mut state);
    }

    /// Tells all what came of it, as their leader.
    pub fn tell(&self, gift: Gift) {
        let mut state = self.meeting.state.lock();
        state.told.get_or_insert_with(|| Arc::new(gift));
        self.meeting.changed(&mut state);
    }

    /// What the leader tells.
    pub async fn hear(&self) -> Result<Arc<Gift>> {
        self.until(Need::Told).await?;
        let told = self.meeting.state.lock().told.clone();
        told.ok_or_else(|| failed(c::MPI_ERR_INTERN))
    }

    /// Could not do its part. Who needs what it has not brought gets this class.
    pub fn withdraw(&self, class: i32) {
        let brought =
            self.meeting.state.lock().gifts.get(self.me as usize).is_some_and(Option::is_some);
        if !brought {
            self.meeting.fail(class);
        }
    }

    /// Goes. What this rank brought as a copy stays for the others.
    pub fn leave(mut self) {
        self.ended = true;
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if self.ended {
            self.finish();
        } else {
            self.meeting.fail(c::MPIX_ERR_PROC_FAILED);
        }
        let mut state = self.meeting.state.lock();
        state.waiting.retain(|waiting| waiting.0 != self.me);
        state.left += 1;
        let last = state.left == state.gifts.len();
        drop(state);
        if last {
            self.meetings.rooms.lock().remove(&self.key);
        }
    }
}

fn failed(class: i32) -> Error {
    Error::new(class, "a rank of this node ended during a collective, or could not do its part")
}
