//! What waits for the disk: messages that would be lies if the disk forgot what they rest on, and
//! the word to raft-rs that a step is durable. The member goes on meanwhile. Pure.

use std::collections::VecDeque;

use raft::eraftpb::{Message as RaftMessage, MessageType};

use super::log::{Disk, DiskError, Write};

/// Bytes that may wait for the disk; past them no more entries are taken.
const MAX_WAITING: usize = 64 << 20;
/// Ticks without any progress of the disk after which a member falls silent, as if it stood still:
/// the others must not believe for ever in a leader that cannot write.
const STUCK_TICKS: u32 = 100;

/// A member's disk, and what waits for it.
pub struct Writer<D> {
    disk: D,
    /// The mark of the last write that somebody waits for.
    mark: u64,
    durable: u64,
    /// The mark of the last snapshot.
    snapshot: u64,
    /// The step that brought the last one that came from the leader, until it is durable.
    reset: Option<u64>,
    /// Writes that are not durable: their marks and sizes.
    waiting: VecDeque<(u64, usize)>,
    bytes: usize,
    /// Steps of raft-rs, and the marks that they wait for.
    steps: VecDeque<(u64, u64)>,
    held: VecDeque<(u64, RaftMessage)>,
    /// Ticks since the disk was idle or went on.
    behind: u32,
    /// Ticks that it needed to go on, the last time.
    took: u32,
}

impl<D: Disk> Writer<D> {
    /// Nothing waits.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            mark: 0,
            durable: 0,
            snapshot: 0,
            reset: None,
            waiting: VecDeque::new(),
            bytes: 0,
            steps: VecDeque::new(),
            held: VecDeque::new(),
            behind: 0,
            took: 0,
        }
    }

    /// Whether all that was written is durable, as far as was looked.
    pub fn is_idle(&self) -> bool {
        self.durable >= self.mark
    }

    /// Whether the last snapshot is durable, as far as was looked.
    pub fn has_snapshot(&self) -> bool {
        self.durable >= self.snapshot
    }

    /// Whether a step that brought a snapshot from the leader is not durable yet, as far as was
    /// looked.
    pub fn is_reset(&self) -> bool {
        self.reset.is_some()
    }

    /// Whether too much waits to take entries.
    pub fn is_full(&self) -> bool {
        self.bytes > MAX_WAITING
    }

    /// Whether the disk has made no progress for long.
    pub fn is_stuck(&self) -> bool {
        self.behind >= STUCK_TICKS
    }

    /// How many ticks the disk took the last time.
    pub fn took(&self) -> usize {
        self.took as usize
    }

    /// One tick.
    pub fn tick(&mut self) {
        self.behind = if self.is_idle() { 0 } else { self.behind.saturating_add(1) };
    }

    /// Hands a write to the disk.
    pub fn write(&mut self, write: Write) -> Result<(), DiskError> {
        if write.syncs() {
            self.mark += 1;
            self.bytes += write.bytes();
            self.waiting.push_back((self.mark, write.bytes()));
        }
        if matches!(write, Write::Reset { .. } | Write::Compact { .. }) {
            self.snapshot = self.mark;
        }
        self.disk.submit(self.mark, write)?;
        self.look()
    }

    /// Hands a write to the disk, and waits until it is durable.
    pub fn write_through(&mut self, write: Write) -> Result<(), DiskError> {
        self.write(write)?;
        self.disk.settle()?;
        self.look()
    }

    fn look(&mut self) -> Result<(), DiskError> {
        let durable = self.disk.durable()?;
        if durable > self.durable {
            self.durable = durable;
            self.took = std::mem::take(&mut self.behind);
        }
        while let Some((_, bytes)) = self.waiting.pop_front_if(|(mark, _)| *mark <= durable) {
            self.bytes -= bytes;
        }
        Ok(())
    }

    /// Sends a message as soon as what was written so far is durable.
    pub fn send(&mut self, message: RaftMessage, send: &mut dyn FnMut(RaftMessage)) {
        if self.is_idle() || is_free(&message) {
            send(message);
        } else {
            self.held.push_back((self.mark, message));
        }
    }

    /// A step of raft-rs was handed to the disk, maybe with a snapshot from the leader.
    pub fn stepped(&mut self, number: u64, reset: bool) {
        self.steps.push_back((self.mark, number));
        self.reset = if reset { Some(number) } else { self.reset };
    }

    /// Looks how far the disk is: sends what waited for it, and gives the last step that is
    /// durable now.
    pub fn done(&mut self, send: &mut dyn FnMut(RaftMessage)) -> Result<Option<u64>, DiskError> {
        self.look()?;
        let durable = self.durable;
        while let Some((_, message)) = self.held.pop_front_if(|(mark, _)| *mark <= durable) {
            send(message);
        }
        let mut last = None;
        while let Some((_, number)) = self.steps.pop_front_if(|(mark, _)| *mark <= durable) {
            last = Some(number);
        }
        self.reset = self.reset.filter(|reset| last < Some(*reset));
        Ok(last)
    }
}

/// Whether a message promises nothing that the disk could forget. An answer to a heartbeat says
/// that its sender knows of no later term now: were that term forgotten, it could still not have
/// voted for another leader before it answered.
fn is_free(message: &RaftMessage) -> bool {
    matches!(message.get_msg_type(), MessageType::MsgHeartbeatResponse | MessageType::MsgReadIndex)
}
