//! The log's disk, on a thread of its own: an fsync may take seconds on a busy machine, and
//! heartbeats and renewals of sessions must not wait behind it. What came while one ran shares the
//! next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::log::{Disk, DiskError, Write};
use super::metrics;

/// Writes carried out before it is told how far they are.
const MAX_BATCH: usize = 1024;
/// Writes that take longer are told of: whoever wonders why all is slow finds it in the log.
const LONG: Duration = Duration::from_secs(1);

/// What carries out writes; blocks on the disk.
pub trait Store: Send + 'static {
    /// Carries out one write. With `sync` it and all before it are durable on return; a
    /// snapshot always is.
    fn carry_out(&mut self, write: &Write, sync: bool) -> Result<(), DiskError>;
}

/// Told whenever more is durable, or the disk failed.
pub type Notify = Box<dyn Fn() + Send>;

/// A disk on a thread.
pub struct DiskThread {
    queue: Option<Sender<(u64, Write)>>,
    submitted: u64,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    durable: u64,
    failed: Option<DiskError>,
}

impl DiskThread {
    /// Starts a thread that writes to `store`.
    pub fn start(store: impl Store, notify: Notify) -> Result<Self, DiskError> {
        let (queue, writes) = channel();
        let progress = Arc::<Progress>::default();
        let theirs = progress.clone();
        let work = move || {
            let work = || Worker { store, progress: theirs.clone(), notify }.run(&writes);
            // Nothing is known of what is durable after a panic.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                theirs.fail(ended());
            }
        };
        let thread = std::thread::Builder::new().name("faasm-raft-disk".into()).spawn(work);
        let thread = thread.map_err(|error| DiskError::Io {
            what: "starting its thread".into(),
            why: error.to_string(),
        })?;
        Ok(Self { queue: Some(queue), submitted: 0, progress, thread: Some(thread) })
    }
}

fn ended() -> DiskError {
    DiskError::Io { what: "its thread".into(), why: "it panicked; see stderr".into() }
}

impl Disk for DiskThread {
    fn submit(&mut self, mark: u64, write: Write) -> Result<(), DiskError> {
        if write.syncs() {
            self.submitted = mark;
        }
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send((mark, write)).is_ok());
        if sent { Ok(()) } else { self.durable().and_then(|_| Err(ended())) }
    }

    fn durable(&mut self) -> Result<u64, DiskError> {
        self.progress.state.lock().durable()
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        let mut state = self.progress.state.lock();
        while state.durable()? < self.submitted {
            self.progress.changed.wait(&mut state);
        }
        Ok(())
    }
}

impl Drop for DiskThread {
    /// What was submitted is written before the log may be opened again.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends by itself; a panic was told.
            let _ = thread.join();
        }
    }
}

impl State {
    fn durable(&self) -> Result<u64, DiskError> {
        self.failed.clone().map_or(Ok(self.durable), Err)
    }
}

impl Progress {
    fn fail(&self, error: DiskError) {
        self.state.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }
}

struct Worker<S> {
    store: S,
    progress: Arc<Progress>,
    notify: Notify,
}

impl<S: Store> Worker<S> {
    fn run(mut self, writes: &Receiver<(u64, Write)>) {
        while let Ok(first) = writes.recv() {
            let mut batch = vec![first];
            batch.extend(writes.try_iter().take(MAX_BATCH - 1));
            let began = Instant::now();
            let written = self.write(&batch);
            let took = began.elapsed();
            ::metrics::histogram!(metrics::DISK_SECONDS).record(took.as_secs_f64());
            if took >= LONG {
                tracing::warn!(?took, writes = batch.len(), "the disk of the Raft log is slow");
            }
            let failed = written.is_err();
            match written {
                Ok(()) => {
                    let synced = batch.iter().rev().find(|(_, write)| write.syncs());
                    if let Some((mark, _)) = synced {
                        self.progress.state.lock().durable = *mark;
                        self.progress.changed.notify_all();
                    }
                }
                Err(error) => self.progress.fail(error),
            }
            (self.notify)();
            if failed {
                return;
            }
        }
    }

    fn write(&mut self, batch: &[(u64, Write)]) -> Result<(), DiskError> {
        for (at, (_, write)) in batch.iter().enumerate() {
            // One sync does for those that follow each other.
            let shared = batch.get(at + 1..).unwrap_or_default().iter().any(|(_, w)| w.syncs());
            self.store.carry_out(write, write.syncs() && !shared)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;
    use crate::consensus::log::Position;

    /// Writes when it is let, and notes what it wrote.
    struct Gate {
        open: Receiver<()>,
        written: Arc<Mutex<Vec<bool>>>,
        fails: bool,
    }

    impl Store for Gate {
        fn carry_out(&mut self, _: &Write, sync: bool) -> Result<(), DiskError> {
            let _ = self.open.recv();
            self.written.lock().push(sync);
            if self.fails { Err(ended()) } else { Ok(()) }
        }
    }

    type Test = (DiskThread, SyncSender<()>, Arc<Mutex<Vec<bool>>>, Receiver<()>);

    fn disk(fails: bool) -> Test {
        let (opener, open) = sync_channel(100);
        let (told, heard) = channel();
        let written = Arc::<Mutex<Vec<bool>>>::default();
        let gate = Gate { open, written: written.clone(), fails };
        let notify = Box::new(move || {
            let _ = told.send(());
        });
        (DiskThread::start(gate, notify).unwrap(), opener, written, heard)
    }

    fn append(sync: bool) -> Write {
        Write::Append { hard_state: None, entries: Vec::new(), sync }
    }

    #[test]
    fn nothing_waits_for_a_write_and_those_that_wait_share_a_sync() {
        let (mut disk, open, written, heard) = disk(false);
        disk.submit(1, append(true)).unwrap();
        assert_eq!(disk.durable(), Ok(0), "it is not written yet, and this does not wait for it");
        open.send(()).unwrap();
        heard.recv().unwrap();
        assert_eq!(disk.durable(), Ok(1));
        // The first of these may be taken alone; the others then share one sync.
        for mark in 2..=9 {
            disk.submit(mark, append(true)).unwrap();
        }
        disk.submit(9, append(false)).unwrap();
        assert_eq!(disk.durable(), Ok(1));
        (0..9).for_each(|_| open.send(()).unwrap());
        disk.settle().unwrap();
        assert_eq!(disk.durable(), Ok(9));
        drop(disk);
        let syncs = written.lock().iter().filter(|sync| **sync).count();
        assert!((2..=4).contains(&syncs), "{syncs} syncs for 9 writes");
    }

    #[test]
    fn what_was_submitted_is_written_before_it_ends() {
        let (mut disk, open, written, _heard) = disk(false);
        (1..=20).for_each(|mark| disk.submit(mark, append(true)).unwrap());
        (0..20).for_each(|_| open.send(()).unwrap());
        drop(disk);
        assert_eq!(written.lock().len(), 20);
    }

    #[test]
    fn a_failure_is_told_to_whoever_asks_and_ends_the_writing() {
        let (mut disk, open, written, heard) = disk(true);
        let at = Position { index: 1, term: 1 };
        disk.submit(1, Write::Compact { snapshot: at, data: Default::default(), base: at })
            .unwrap();
        open.send(()).unwrap();
        heard.recv().unwrap();
        assert_eq!(disk.durable(), Err(ended()));
        assert_eq!(disk.settle(), Err(ended()));
        drop(open);
        while disk.submit(2, append(true)).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(written.lock().len(), 1);
    }
}
