//! Locks among the instances of a node: in the order in which they were asked for, so neither
//! readers nor writers starve; not re-entrant; a wait that would never end fails at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::table::Slot;
use crate::errno::Errno;
use crate::id::CallId;
use crate::wire::locks::Mode;

/// Most calls that wait for one lock.
const MAX_WAITERS: usize = 100_000;

/// A call's view of the state, as a holder of locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(u64);

impl Who {
    /// Another one.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The lock of a key.
#[derive(Debug, Default)]
pub struct Lock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writer: Option<Who>,
    readers: Vec<Who>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    who: Who,
    mode: Mode,
    told: oneshot::Sender<Result<(), Errno>>,
}

impl State {
    fn holds(&self, who: Who) -> bool {
        self.writer == Some(who) || self.readers.contains(&who)
    }

    fn is_free(&self, mode: Mode) -> bool {
        self.writer.is_none() && (mode == Mode::Read || self.readers.is_empty())
    }

    fn give(&mut self, who: Who, mode: Mode) {
        match mode {
            Mode::Read => self.readers.push(who),
            Mode::Write => self.writer = Some(who),
        }
    }

    fn take_back(&mut self, who: Who, mode: Mode) -> bool {
        match mode {
            Mode::Write if self.writer == Some(who) => {
                self.writer = None;
                true
            }
            Mode::Write => false,
            Mode::Read => match self.readers.iter().position(|reader| *reader == who) {
                Some(at) => {
                    self.readers.swap_remove(at);
                    true
                }
                None => false,
            },
        }
    }

    /// Grants it to those in front whom nothing keeps from it.
    fn grant(&mut self) {
        while let Some(first) = self.queue.front()
            && self.is_free(first.mode)
        {
            let Some(next) = self.queue.pop_front() else { return };
            // Who does not listen any more has given up.
            if next.told.send(Ok(())).is_ok() {
                self.give(next.who, next.mode);
            }
        }
    }

    /// Whom a waiter waits for: the holders, and those in front of it.
    fn blockers(&self, who: Who) -> Vec<Who> {
        if self.holds(who) {
            return Vec::new();
        }
        let before = self.queue.iter().map(|waiter| waiter.who).take_while(|waiter| *waiter != who);
        self.writer.iter().copied().chain(self.readers.iter().copied()).chain(before).collect()
    }
}

impl Lock {
    /// Takes it if that needs no waiting. `FAASM_EDEADLK` when the call has it already.
    pub fn try_take(&self, who: Who, mode: Mode) -> Option<Result<(), Errno>> {
        let mut state = self.state.lock();
        if state.holds(who) {
            return Some(Err(Errno::DeadLk));
        }
        if !state.is_free(mode) || !state.queue.is_empty() {
            return None;
        }
        state.give(who, mode);
        Some(Ok(()))
    }

    /// Releases it; `FAASM_EPERM` when the call does not hold it so.
    pub fn release(&self, who: Who, mode: Mode) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !state.take_back(who, mode) {
            return Err(Errno::Perm);
        }
        state.grant();
        Ok(())
    }

    /// Whether nobody has it or waits for it.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.writer.is_none() && state.readers.is_empty() && state.queue.is_empty()
    }

    fn leave(&self, who: Who, mode: Mode, granted: bool) {
        let mut state = self.state.lock();
        state.queue.retain(|waiter| waiter.who != who);
        if granted {
            state.take_back(who, mode);
        }
        state.grant();
    }

    fn fail(&self, who: Who) {
        let mut state = self.state.lock();
        if let Some(at) = state.queue.iter().position(|waiter| waiter.who == who)
            && let Some(waiter) = state.queue.remove(at)
        {
            // Who does not listen any more has given up.
            let _ = waiter.told.send(Err(Errno::DeadLk));
            state.grant();
        }
    }
}

/// What a call waits for.
#[derive(Clone)]
enum Edge {
    Lock(Arc<Slot>),
    Child(CallId),
}

/// Who waits for what on this node: for finding waits that would never end.
#[derive(Default)]
pub struct Waits {
    graph: Mutex<Graph>,
}

#[derive(Default)]
struct Graph {
    edges: HashMap<Who, Edge>,
    calls: HashMap<CallId, Who>,
}

impl Graph {
    fn next(&self, who: Who) -> Vec<Who> {
        match self.edges.get(&who) {
            Some(Edge::Lock(slot)) => slot.lock.state.lock().blockers(who),
            Some(Edge::Child(child)) => self.calls.get(child).copied().into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The calls that `from` waits for, over as many others as there are; each with the one that
    /// waits for it.
    fn find(&self, from: Vec<Who>, wanted: Who) -> Option<Who> {
        let mut seen: HashSet<Who> = from.iter().copied().collect();
        let mut open = from;
        while let Some(who) = open.pop() {
            for next in self.next(who) {
                if next == wanted {
                    return Some(who);
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        None
    }
}

impl Waits {
    /// Makes a call known, so that others that await it are found to wait for what it waits for.
    pub fn enter(&self, call: CallId, who: Who) {
        self.graph.lock().calls.insert(call, who);
    }

    /// It is over.
    pub fn exit(&self, call: CallId, who: Who) {
        let mut graph = self.graph.lock();
        graph.edges.remove(&who);
        if graph.calls.get(&call) == Some(&who) {
            graph.calls.remove(&call);
        }
    }

    /// A call awaits a child, or none any more. A child that waits, whatever lies between, for a
    /// lock of this call will never end: its wait fails.
    pub fn awaits(&self, who: Who, child: Option<CallId>) {
        let mut graph = self.graph.lock();
        let Some(child) = child else {
            graph.edges.remove(&who);
            return;
        };
        graph.edges.insert(who, Edge::Child(child));
        let first: Vec<Who> = graph.calls.get(&child).copied().into_iter().collect();
        if let Some(waiter) = graph.find(first, who)
            && let Some(Edge::Lock(slot)) = graph.edges.get(&waiter)
        {
            slot.lock.fail(waiter);
        }
    }

    /// Takes a lock, waiting for it as long as the future lives.
    pub async fn take(&self, slot: &Arc<Slot>, who: Who, mode: Mode) -> Result<(), Errno> {
        let Some(mut waiting) = self.stand_in_line(slot, who, mode)? else { return Ok(()) };
        let told = (&mut waiting.told).await.unwrap_or(Err(Errno::DeadLk));
        waiting.over = true;
        self.graph.lock().edges.remove(&who);
        told
    }

    fn stand_in_line<'a>(
        &'a self,
        slot: &'a Arc<Slot>,
        who: Who,
        mode: Mode,
    ) -> Result<Option<Waiting<'a>>, Errno> {
        // Under this lock nobody else begins to wait; locks that become free meanwhile only make
        // the answer milder than it need be.
        let mut graph = self.graph.lock();
        let mut state = slot.lock.state.lock();
        if state.holds(who) {
            return Err(Errno::DeadLk);
        }
        if state.queue.is_empty() && state.is_free(mode) {
            state.give(who, mode);
            return Ok(None);
        }
        if state.queue.len() >= MAX_WAITERS {
            return Err(Errno::Full);
        }
        let (told, hears) = oneshot::channel();
        let blockers = state.blockers(who);
        state.queue.push_back(Waiter { who, mode, told });
        drop(state);
        graph.edges.insert(who, Edge::Lock(slot.clone()));
        let waiting = Waiting { waits: self, slot, who, mode, told: hears, over: false };
        let cycle = graph.find(blockers, who).is_some();
        drop(graph);
        // Dropping `waiting` leaves the line.
        if cycle { Err(Errno::DeadLk) } else { Ok(Some(waiting)) }
    }
}

/// A place in the line; dropping it gives it up.
struct Waiting<'a> {
    waits: &'a Waits,
    slot: &'a Arc<Slot>,
    who: Who,
    mode: Mode,
    told: oneshot::Receiver<Result<(), Errno>>,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.waits.graph.lock().edges.remove(&self.who);
        // It may have been granted just now.
        self.told.close();
        let granted = matches!(self.told.try_recv(), Ok(Ok(())));
        self.slot.lock.leave(self.who, self.mode, granted);
    }
}
