//! What a peer with a certificate sends: frames that are whole and say nonsense, frames with
//! changed bytes, streams without end, and connections that begin and end.

use std::collections::BTreeMap;
use std::time::Duration;

use faasm::consensus::fuzzing as consensus;
use faasm::errno::{CallError, Errno};
use faasm::id::{Attempt, BlobHash, CallId, Incarnation, NodeId};
use faasm::net::fuzzing as net;
use faasm::wire::blobs::Have;
use faasm::wire::calls::{CallMessage, CallRequest, Kept, KeptAt, Phase, Room};
use faasm::wire::consensus::{Message, Part, Renewal, Request, SessionId};
use faasm::wire::load::{Load, Report};
use faasm::wire::{Encode, encode};
use quinn::Connection;
use rand::Rng;

use super::common::intruder::{Intruder, Shows, last_words};
use super::common::processes::Processes;
use super::mutate::Mutator;
use super::{corpus, raft};

const CONSENSUS: u8 = 1;
const CALLS: u8 = 2;
const BLOBS: u8 = 3;
const LOAD: u8 = 4;
/// Frames with changed bytes, of all: each ends a connection, and connections cost time.
const BROKEN_PART: usize = 80;
/// Frames on a connection before another takes its place.
const LONG: usize = 5_000;
/// Longest wait for the end of a connection that has to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection that may go on is listened to.
const PAUSE: Duration = Duration::from_millis(25);

/// What was sent and what came of it.
#[derive(Default)]
struct Count {
    whole: usize,
    broken: usize,
    others: usize,
    connections: usize,
    ends: BTreeMap<String, usize>,
}

/// Sends `count` frames.
pub fn send(cluster: &Processes, count: usize, seed: u64) {
    let term = cluster.metric(2, "faasm_consensus_term", "").unwrap_or(1.0) as u64;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tally = runtime.expect("a runtime").block_on(async {
        let intruder = Intruder::new(cluster, Shows::Certificate);
        let mut storm = Storm {
            mutator: Mutator::new(seed, corpus::log_entries(), 1024),
            broken: Mutator::new(seed, corpus::frames(), 64 << 10),
            intruder,
            term,
            tally: Count::default(),
        };
        storm.run(count).await;
        storm.tally
    });
    println!(
        "{} whole frames, {} broken ones, {} streams, hellos and datagrams on {} connections",
        tally.whole, tally.broken, tally.others, tally.connections
    );
    for (end, times) in tally.ends {
        println!("{times:8} {end}");
    }
}

struct Storm {
    mutator: Mutator,
    broken: Mutator,
    intruder: Intruder,
    term: u64,
    tally: Count,
}

impl Storm {
    async fn run(&mut self, count: usize) {
        while self.tally.whole + self.tally.broken + self.tally.others < count {
            self.whole(LONG.min(count)).await;
            for _ in 0..LONG.min(count) / BROKEN_PART / 4 {
                self.broken().await;
                self.strange().await;
                self.hello().await;
            }
        }
    }

    async fn enter(&mut self) -> Option<Connection> {
        let conn = self.intruder.enter().await;
        self.tally.connections += 1;
        if conn.is_none() {
            self.ended("the hello failed".to_owned());
        }
        conn
    }

    fn ended(&mut self, why: String) {
        let why: String = why.chars().filter(|c| !c.is_ascii_digit()).take(70).collect();
        if self.tally.ends.len() < 60 || self.tally.ends.contains_key(&why) {
            *self.tally.ends.entry(why).or_default() += 1;
        }
    }

    /// Frames that are what they should be, with content that makes no sense.
    async fn whole(&mut self, count: usize) {
        let Some(conn) = self.enter().await else { return };
        let reader = tokio::spawn(read_all(conn.clone()));
        let mut streams = Vec::new();
        for service in [CONSENSUS, CALLS, BLOBS] {
            let Ok(mut stream) = conn.open_uni().await else { return };
            if stream.write_all(&[service]).await.is_err() {
                return;
            }
            streams.push((service, stream));
        }
        for _ in 0..count {
            let at = self.mutator.rng().random_range(0..streams.len());
            let (service, stream) = &mut streams[at];
            let frame = self.frame(*service);
            if stream.write_all(&frame).await.is_err() {
                break;
            }
            self.tally.whole += 1;
            if self.mutator.rng().random_range(0..16) == 0 {
                let report = Report { own: self.load(), rumors: Vec::new() };
                let load = [&[LOAD], &encode(&report)[..]].concat();
                self.tally.others += usize::from(conn.send_datagram(load.into()).is_ok());
            }
        }
        for (_, stream) in &mut streams {
            let _ = stream.finish();
        }
        // All of it is to be read, and nothing of it may end the connection.
        let read = async {
            for (_, stream) in &streams {
                let _ = stream.stopped().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE * 10, read).await;
        let why = last_words(&conn, Duration::ZERO).await;
        assert!(why.is_none(), "frames that are whole ended the connection: {why:?}");
        reader.abort();
        conn.close(0_u32.into(), b"");
    }

    fn frame(&mut self, service: u8) -> Vec<u8> {
        let (request, id) = match self.mutator.rng().random_range(0..8) {
            0 => (3, self.mutator.number(1).max(1)),
            1 => (4, self.mutator.number(1).max(1)),
            2 => (2, self.mutator.number(1).max(1)),
            _ => (1, 0),
        };
        let kind = if service == BLOBS && request == 1 { 2 } else { request };
        let id = if kind == 1 { 0 } else { id.max(1) };
        let (head, body) = match (service, kind) {
            (_, 3 | 4) => {
                let noise = self.mutator.input();
                (noise[..noise.len().min(512)].to_vec(), Vec::new())
            }
            (CONSENSUS, 2) => {
                let index = self.mutator.number(1);
                (bytes(&Request::WaitApplied { index, wait_ms: 1 }), Vec::new())
            }
            (CONSENSUS, _) => self.consensus(),
            (CALLS, 2) => (bytes(&self.call_request()), Vec::new()),
            (CALLS, _) => self.call(),
            _ => {
                let hashes = self.mutator.rng().random_range(0..1024);
                (bytes(&Have(vec![BlobHash([7; 32]); hashes])), Vec::new())
            }
        };
        net::frame(kind, id, &head, &body).expect("short parts")
    }

    fn consensus(&mut self) -> (Vec<u8>, Vec<u8>) {
        let session = SessionId {
            node: NodeId(self.mutator.number(1)),
            incarnation: Incarnation(self.mutator.number(1)),
            opened: self.mutator.number(3),
        };
        let number = self.mutator.number(4);
        let message = match self.mutator.rng().random_range(0..4) {
            0 => Message::Renew(Renewal { session, number, applied: number }),
            1 => Message::Renewed { session, number },
            2 => {
                let mut proposals = corpus::proposals();
                // Of another node: those of one's own are carried out.
                proposals.iter_mut().for_each(|p| p.id.number = number);
                Message::Propose(proposals)
            }
            _ => {
                let mut message = raft::next(&mut self.mutator, self.term, 9);
                (message.from, message.to) = (1, 2);
                let plain = raft::KINDS[..raft::KINDS.len() - 2].contains(&message.get_msg_type())
                    && message.priority == 0;
                let reads = format!("{:?}", message.get_msg_type()).contains("ReadIndex");
                let leads = ["Append", "Heartbeat", "Snapshot"]
                    .contains(&&format!("{:?}", message.get_msg_type())[3..]);
                // One that claims later terms for long is believed in the end: that is a test of
                // its own.
                message.term = match leads {
                    true => self.term.saturating_sub(1).max(1),
                    false => message.term.clamp(1, self.term.max(1)),
                };
                if format!("{:?}", message.get_msg_type()) == "MsgReadIndex" {
                    message.term = 0;
                }
                if !plain || (reads && message.entries.len() != 1) {
                    message = raft::usual(raft::KINDS[8], self.term, 0);
                    (message.from, message.to) = (1, 2);
                }
                let part = Message::Raft(Part { message: 1, part: 0, parts: 1 });
                return (bytes(&part), consensus::raft_bytes(&message));
            }
        };
        (bytes(&message), Vec::new())
    }

    fn call_id(&mut self) -> CallId {
        CallId(u128::from(self.mutator.number(5)))
    }

    fn room(&mut self) -> Room {
        let mut number = || u32::try_from(self.mutator.number(1)).unwrap_or(u32::MAX);
        Room { free_slots: number(), free_places: number(), running: number() }
    }

    fn load(&mut self) -> Load {
        let cpu_percent = self.mutator.rng().random();
        // A node that takes nothing: else honest calls are sent to it.
        let accepting = false;
        Load {
            seq: self.mutator.number(1),
            room: self.room(),
            cpu_percent,
            accepting,
            ..Load::default()
        }
    }

    fn call_request(&mut self) -> CallRequest {
        match self.mutator.rng().random_range(0..4) {
            0 => CallRequest::Lookup(self.call_id()),
            1 => CallRequest::Cancel(self.call_id()),
            2 => CallRequest::List(u32::try_from(self.mutator.number(5)).unwrap_or(u32::MAX)),
            _ => CallRequest::Claim(Box::new(self.record())),
        }
    }

    fn call(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (call, attempt) = (self.call_id(), Attempt(self.mutator.rng().random_range(0..3)));
        let room = self.room();
        let message = match self.mutator.rng().random_range(0..64) {
            0 => {
                let mut start = corpus::start(0);
                (start.call, start.attempt) = (call, attempt);
                start.user = format!("user{}", self.mutator.rng().random_range(0..1_000_000));
                start.wasm = BlobHash([self.mutator.rng().random(); 32]);
                start.version = self.mutator.number(1);
                start.limits.memory = self.mutator.number(1 << 20);
                start.limits.run_ms = self.mutator.number(100);
                start.limits.output = self.mutator.number(100);
                start.limits.instances =
                    u32::try_from(self.mutator.number(100)).unwrap_or(u32::MAX);
                start.tree.left_ms = self.mutator.rng().random_range(0..200);
                start.tree.depth = u32::try_from(self.mutator.number(1)).unwrap_or(u32::MAX);
                start.tree.clock = self.mutator.number(1);
                start.may_queue = self.mutator.rng().random();
                CallMessage::Start(start)
            }
            1..12 => CallMessage::Accepted(call, attempt, room),
            12..24 => {
                let error = CallError::new(Errno::Full, "no");
                CallMessage::Refused(call, attempt, error, room)
            }
            24..36 => {
                let mut done = corpus::done(0);
                (done.call, done.attempt, done.room) = (call, attempt, room);
                done.clock = self.mutator.number(1);
                done.times.ended_us = self.mutator.number(1);
                CallMessage::Done(done)
            }
            36..44 => CallMessage::Cancel(call, attempt),
            44..48 => CallMessage::CancelTree(call),
            48..52 => CallMessage::CancelBelow(call),
            _ => CallMessage::Keep(Box::new(self.record())),
        };
        (bytes(&message), Vec::new())
    }

    fn record(&mut self) -> faasm::wire::calls::Record {
        let mut record = corpus::record();
        record.call = self.call_id();
        record.phase = if self.mutator.rng().random() { Phase::Done } else { Phase::Queued };
        record.home = NodeId(self.mutator.number(2));
        record.times.started_us = self.mutator.number(1);
        let len = self.mutator.number(7);
        let (node, incarnation) = (NodeId(9), Incarnation(len));
        let at = KeptAt { node, incarnation, attempt: Attempt(0), len };
        record.output = Kept::At(at);
        record
    }

    /// A stream with changed bytes, on a connection of its own.
    async fn broken(&mut self) {
        let Some(conn) = self.enter().await else { return };
        let input = self.broken.input();
        let Some((service, frames)) = input.split_first() else { return };
        let Ok(mut stream) = conn.open_uni().await else { return };
        let service = if *service < 8 { service % 3 + 1 } else { *service };
        let _ = stream.write_all(&[&[service], frames.get(1..).unwrap_or_default()].concat()).await;
        self.tally.broken += 1;
        let _ = stream.finish();
        let end = last_words(&conn, PAUSE).await;
        self.ended(end.unwrap_or_else(|| "(taken)".to_owned()));
        conn.close(0_u32.into(), b"");
    }

    /// Streams that are never finished, heads that never come, lengths that cannot be.
    async fn strange(&mut self) {
        let Some(conn) = self.enter().await else { return };
        let mut open = Vec::new();
        for _ in 0..40 {
            let opened = tokio::time::timeout(Duration::from_millis(50), conn.open_bi()).await;
            let Ok(Ok((mut send, recv))) = opened else { break };
            let service = self.mutator.rng().random_range(1..4);
            let head = corpus::heads()[5].first().cloned().unwrap_or_default();
            let len = match self.mutator.rng().random_range(0..40) {
                0 => u32::MAX,
                _ => head.len() as u32 + self.mutator.rng().random_range(1..9),
            };
            let _ = send.write_all(&[&[service], &len.to_le_bytes()[..], &head].concat()).await;
            self.tally.others += 1;
            open.push((send, recv));
        }
        let datagram: Vec<u8> = self.mutator.input();
        if self.mutator.rng().random() {
            self.tally.others += usize::from(conn.send_datagram(datagram.into()).is_ok());
        }
        let end = last_words(&conn, PAUSE).await;
        self.ended(end.unwrap_or_else(|| "(left open)".to_owned()));
        conn.close(0_u32.into(), b"");
    }

    /// Hellos that lie or are none.
    async fn hello(&mut self) {
        self.tally.connections += 1;
        self.tally.others += 1;
        let Ok(conn) = self.intruder.dial().await else { return };
        let Ok((mut send, _recv)) = conn.open_bi().await else { return };
        let mut hello = self.intruder.hello();
        match self.mutator.rng().random_range(0..6) {
            0 => hello.node = NodeId(self.mutator.number(3)),
            1 => hello.cluster.0 ^= 1,
            2 => hello.protocol_max = 0,
            3 => hello.protocol_min = u16::MAX,
            4 => hello.incarnation = Incarnation(0),
            _ => {}
        }
        let mut hello = hello.encode();
        if self.mutator.rng().random() {
            let at = self.mutator.rng().random_range(0..hello.len());
            hello[at] ^= 1 << self.mutator.rng().random_range(0..8);
        }
        let _ = send.write_all(&hello).await;
        let end = last_words(&conn, PAUSE).await;
        self.ended(end.unwrap_or_else(|| "(no word on a hello)".to_owned()));
        conn.close(0_u32.into(), b"");
    }
}

/// Reads what the victim answers, and lets it go.
async fn read_all(conn: Connection) {
    while let Ok(mut stream) = conn.accept_uni().await {
        tokio::spawn(
            async move { while let Ok(Some(_)) = stream.read_chunk(1 << 16, true).await {} },
        );
    }
}

fn bytes<T: Encode>(message: &T) -> Vec<u8> {
    encode(message).to_vec()
}
