//! Doors for tests that feed malformed bytes to what consensus takes from peers and from disk. No
//! part of the API.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message as RaftMessage, MessageType};

use super::conf::Conf;
use super::core::{Core, CoreSettings, Effect};
use super::disk_thread::Store;
use super::frames::Assembler;
use super::log::{Disk, DiskError, Loaded, Position, Write};
use super::machine::Machine;
use super::raft_node::RaftSettings;
use super::storage::EngineDisk;
use super::{guard, image, snapshot_file};
use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::{Command, Message, Proposal, Verdict};
use crate::wire::decode;

const ME: NodeId = NodeId(1);
/// The peer that sends what a [`Member`] takes.
pub const PEER: NodeId = NodeId(2);
const TICK: Duration = Duration::from_millis(100);

/// The bytes of a log entry.
pub fn entry(proposal: &Proposal) -> Vec<u8> {
    image::encode_entry(proposal)
}

/// Reads a log entry.
pub fn read_entry(bytes: &[u8]) -> Result<(), String> {
    image::decode_entry(bytes).map(drop).map_err(|error| error.to_string())
}

/// The image of a state in which these entries were applied.
pub fn image(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut machine = Machine::default();
    for (index, entry) in (1..).zip(entries) {
        // What a test made cannot be of a newer build.
        let _ = machine.apply(index, entry);
    }
    machine.snapshot()
}

/// Reads the image of a state, and writes it again.
pub fn read_image(bytes: &[u8]) -> Result<(), String> {
    let machine = Machine::restore(bytes).map_err(|error| error.to_string())?;
    Machine::restore(&machine.snapshot()).map(drop).map_err(|error| error.to_string())
}

/// Writes a snapshot file of index 7, term 2.
pub fn write_snapshot_file(dir: &Path, image: &[u8]) -> Result<(), String> {
    snapshot_file::write(dir, Position { index: 7, term: 2 }, image).map_err(|e| e.to_string())
}

/// Reads the file that [`write_snapshot_file`] wrote.
pub fn read_snapshot_file(dir: &Path) -> Result<(), String> {
    let read = snapshot_file::read(dir, Position { index: 7, term: 2 });
    read.map(drop).map_err(|error| error.to_string())
}

/// Opens a log directory as a node does at its start.
pub fn open_log(dir: &Path) -> Result<(), String> {
    let (disk, loaded) = EngineDisk::open(dir).map_err(|error| error.to_string())?;
    let settings = settings(&[ME]);
    Core::open(&settings, AtOnce(disk, 0), loaded).map(drop).map_err(|error| error.to_string())
}

/// Makes a log directory with some entries in it.
pub fn make_log(dir: &Path, entries: u64) -> Result<(), String> {
    let (disk, loaded) = EngineDisk::open(dir).map_err(|error| error.to_string())?;
    let mut core =
        Core::open(&settings(&[ME]), AtOnce(disk, 0), loaded).map_err(|error| error.to_string())?;
    let now = Instant::now();
    for number in 0..entries {
        let command = Command::DeleteFunction { user: "alice".into(), name: number.to_string() };
        // More than may be open at once are refused: so many are not needed.
        let _ = core.propose(command, 100, now + TICK * 100, now);
        core.flush(now, &mut |_| ()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A disk that is waited for, and how far it is.
struct AtOnce(EngineDisk, u64);

impl Disk for AtOnce {
    fn submit(&mut self, mark: u64, write: Write) -> Result<(), DiskError> {
        self.1 = mark;
        self.0.carry_out(&write, write.syncs())
    }

    fn durable(&mut self) -> Result<u64, DiskError> {
        Ok(self.1)
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A disk that takes everything and keeps nothing.
struct Nowhere;

impl Disk for Nowhere {
    fn submit(&mut self, _: u64, _: Write) -> Result<(), DiskError> {
        Ok(())
    }

    fn durable(&mut self) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

fn settings(voters: &[NodeId]) -> CoreSettings {
    let raft = RaftSettings {
        me: ME,
        founds: Some(Conf::new(voters.to_vec(), Vec::new())),
        snapshot_after: 50,
        seed: 1,
    };
    CoreSettings {
        raft,
        incarnation: Incarnation(1),
        session: Duration::from_secs(3),
        replace_after: Duration::from_secs(60),
        http: "127.0.0.1:8080".to_owned(),
        key: None,
        founding: None,
        numbers: Default::default(),
        restarts: 0,
    }
}

/// Node 1 of three voters, driven without threads, clock or disk.
pub struct Member {
    core: Core<Nowhere>,
    assembler: Assembler,
    now: Instant,
}

impl Member {
    /// One that has just started.
    pub fn new() -> Result<Self, String> {
        let settings = settings(&[ME, PEER, NodeId(3)]);
        let core = Core::open(&settings, Nowhere, Loaded::default()).map_err(|e| e.to_string())?;
        let mut member = Self { core, assembler: Assembler::default(), now: Instant::now() };
        for peer in [PEER, NodeId(3)] {
            member.core.message(peer, Message::Knocked(Verdict::Noted));
        }
        member.flush(true)?;
        Ok(member)
    }

    /// One that leads, with the votes and acknowledgements of its peers.
    pub fn leading() -> Result<Self, String> {
        let mut member = Self::new()?;
        for _ in 0..100 {
            member.tick()?;
            if member.core.raft().leads_firmly() {
                break;
            }
        }
        Ok(member)
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.core.raft().leads()
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.core.raft().term()
    }

    /// The last index of its log.
    pub fn last(&self) -> u64 {
        self.core.raft().log().last()
    }

    /// Takes a message of [`PEER`] and its body, as the network hands them over. `Err` with the
    /// text for malformed ones, and for those after which the member cannot go on.
    pub fn take(&mut self, head: &[u8], body: Bytes) -> Result<(), String> {
        match decode("consensus message", head).map_err(|error| error.to_string())? {
            Message::Raft(part) => {
                let whole = self.assembler.take(1, part, body).map_err(|e| e.to_string())?;
                whole.map_or(Ok(()), |bytes| self.raft(&bytes))
            }
            other => {
                self.core.message(PEER, other);
                self.flush(false)
            }
        }
    }

    /// Takes the bytes of a Raft message of [`PEER`].
    pub fn raft(&mut self, bytes: &[u8]) -> Result<(), String> {
        let message = guard::parse(PEER, ME, bytes).map_err(|error| error.to_string())?;
        self.core.raft_message(message).map_err(|error| error.to_string())?;
        self.flush(false)
    }

    /// One tick of its clock; its peers answer what it sends at it.
    pub fn tick(&mut self) -> Result<(), String> {
        self.now += TICK;
        let mut sent = Vec::new();
        self.core.tick(self.now, &mut |effect| sent.push(effect));
        self.answer(sent)?;
        self.flush(true)
    }

    fn flush(&mut self, answered: bool) -> Result<(), String> {
        let mut sent = Vec::new();
        self.core.flush(self.now, &mut |effect| sent.push(effect)).map_err(|e| e.to_string())?;
        if answered { self.answer(sent) } else { Ok(()) }
    }

    fn answer(&mut self, sent: Vec<Effect>) -> Result<(), String> {
        let answers: Vec<RaftMessage> = sent
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Raft(message) => answer(&message),
                _ => None,
            })
            .collect();
        if answers.is_empty() {
            return Ok(());
        }
        for message in answers {
            self.core.raft_message(message).map_err(|error| error.to_string())?;
        }
        self.flush(true)
    }
}

/// What a peer that is well answers.
fn answer(message: &RaftMessage) -> Option<RaftMessage> {
    let mut answer = RaftMessage::default();
    (answer.from, answer.to, answer.term) = (message.to, message.from, message.term);
    let kind = match message.get_msg_type() {
        MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
        MessageType::MsgAppend => {
            answer.index = message.entries.last().map_or(message.index, |entry| entry.index);
            MessageType::MsgAppendResponse
        }
        MessageType::MsgHeartbeat => {
            answer.context = message.context.clone();
            MessageType::MsgHeartbeatResponse
        }
        _ => return None,
    };
    answer.set_msg_type(kind);
    Some(answer)
}

/// The bytes of a Raft message.
pub fn raft_bytes(message: &RaftMessage) -> Vec<u8> {
    // Fails only where a required field is missing, and there are none.
    message.write_to_bytes().unwrap_or_default()
}
