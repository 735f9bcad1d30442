use super::*;
use crate::consensus::conf::Conf;
use crate::consensus::log::{DiskError, Write};
use crate::consensus::testnet::{key, put};
use crate::id::Incarnation;
use crate::wire::consensus::{RequestId, SessionId, Verdict};

/// Notes what happened to it.
#[derive(Default)]
pub(super) struct NoteDisk {
    written: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
    submitted: u64,
    /// How far the disk is, if it is behind.
    slow: std::rc::Rc<std::cell::Cell<Option<u64>>>,
}

impl Disk for NoteDisk {
    fn submit(&mut self, mark: u64, write: Write) -> Result<(), DiskError> {
        self.submitted = mark;
        let text = match write {
            Write::Append { hard_state, entries, sync } => {
                let hard_state = if hard_state.is_some() { " hard state" } else { "" };
                format!("write {} entries{hard_state}, sync: {sync}", entries.len())
            }
            Write::Reset { snapshot, .. } => format!("reset to {}", snapshot.index),
            Write::Compact { snapshot, base, .. } => {
                format!("save snapshot {}, compact to {}", snapshot.index, base.index)
            }
            Write::Witness(births) => format!("witness {}", births.len()),
        };
        self.written.borrow_mut().push(text);
        Ok(())
    }

    fn durable(&mut self) -> Result<u64, DiskError> {
        Ok(self.slow.get().unwrap_or(self.submitted))
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

pub(super) struct Test {
    pub core: Core<NoteDisk>,
    slow: std::rc::Rc<std::cell::Cell<Option<u64>>>,
    /// Disk writes and messages, in order.
    notes: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
    now: Instant,
}

fn settings(me: u64, voters: u64) -> CoreSettings {
    let raft = RaftSettings {
        me: NodeId(me),
        founds: Some(Conf::new((1..=voters).map(NodeId).collect(), vec![])),
        snapshot_after: 4,
        seed: 1,
    };
    CoreSettings {
        raft,
        incarnation: Incarnation(1),
        session: Duration::from_secs(3),
        replace_after: Duration::from_secs(60),
        http: "here".into(),
        key: None,
        founding: None,
        numbers: Arc::default(),
        restarts: 0,
    }
}

impl Test {
    pub fn new(voters: u64) -> Self {
        let disk = NoteDisk::default();
        let (notes, slow) = (disk.written.clone(), disk.slow.clone());
        let mut core = Core::open(&settings(1, voters), disk, Loaded::default()).unwrap();
        for other in 2..=voters {
            core.message(NodeId(other), Message::Knocked(Verdict::Noted));
        }
        if voters > 1 {
            core.flush(Instant::now(), &mut |_| {}).unwrap();
        }
        notes.borrow_mut().clear();
        Self { core, slow, notes, now: Instant::now() }
    }

    pub fn flush(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let notes = self.notes.clone();
        let flushed = self.core.flush(self.now, &mut |effect| {
            if let Effect::Raft(message) = &effect {
                notes.borrow_mut().push(format!("send {:?}", message.get_msg_type()));
            }
            effects.push(effect);
        });
        flushed.unwrap();
        effects
    }

    pub fn tick(&mut self) -> Vec<Effect> {
        self.now += Duration::from_millis(100);
        let mut effects = Vec::new();
        self.core.tick(self.now, &mut |effect| effects.push(effect));
        effects.extend(self.flush());
        effects
    }

    /// The disk takes writes, and is not done with any until it is fast again.
    fn slow_disk(&mut self, slow: bool) {
        self.slow.set(slow.then_some(0));
    }

    /// A leader of three, which follower 2 answers.
    pub fn leader() -> Self {
        let mut test = Self::new(3);
        for _ in 0..40 {
            for effect in test.tick() {
                test.answer(effect);
            }
            test.flush().into_iter().for_each(|effect| test.answer(effect));
            if test.core.raft().leads() {
                test.notes.borrow_mut().clear();
                return test;
            }
        }
        panic!("it does not lead after 40 ticks");
    }

    /// Node 2 answers what it is asked.
    pub fn answer(&mut self, effect: Effect) {
        let Effect::Raft(message) = effect else { return };
        let kind = match message.get_msg_type() {
            MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
            MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
            MessageType::MsgHeartbeat => MessageType::MsgHeartbeatResponse,
            MessageType::MsgAppend => MessageType::MsgAppendResponse,
            _ => return,
        };
        if message.to == 2 {
            let mut answer = from_leader(kind);
            (answer.term, answer.context) = (message.term, message.context.clone());
            answer.index = message.index + message.entries.len() as u64;
            self.core.raft_message(answer).unwrap();
        }
    }

    /// What was written and sent since the last time.
    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.borrow_mut())
    }

    fn until_live(&mut self) {
        for _ in 0..40 {
            self.tick();
            if self.core.live_until().is_some() {
                return;
            }
        }
        panic!("no session after 40 ticks");
    }

    fn propose(&mut self, command: Command) -> u64 {
        let deadline = self.now + Duration::from_secs(5);
        self.core.propose(command, 10, deadline, self.now).unwrap()
    }
}

pub(super) fn from_leader(kind: MessageType) -> RaftMessage {
    let mut message = RaftMessage::default();
    message.set_msg_type(kind);
    message.from = 2;
    message.to = 1;
    (message.term, message.index, message.log_term) = (2, 1, 1);
    message
}

#[test]
fn one_voter_elects_itself_opens_its_session_and_applies() {
    let mut test = Test::new(1);
    test.until_live();
    assert_eq!(test.core.status().leader, Some(NodeId(1)));
    let number = test.propose(put("f"));
    let effects = test.flush();
    let [Effect::Changed(changes), Effect::Settled(settled, applied, _)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*settled, number);
    let entry = test.core.machine().functions()[&key("f")].clone();
    assert_eq!(entry.version, applied.index);
    assert_eq!(changes, &vec![Change::Function(key("f"), Some(entry))]);
}

#[test]
fn proposals_that_come_together_share_one_write_to_disk() {
    let mut test = Test::new(1);
    test.until_live();
    test.notes.borrow_mut().clear();
    test.propose(put("f"));
    test.propose(put("g"));
    test.flush();
    let synced: Vec<_> =
        test.notes.borrow().iter().filter(|note| note.ends_with("true")).cloned().collect();
    assert_eq!(synced, vec!["write 2 entries, sync: true"]);
}

#[test]
fn a_follower_acknowledges_what_is_synced_and_not_before() {
    let mut test = Test::new(3);
    let mut append = from_leader(MessageType::MsgAppend);
    let mut entry = raft::eraftpb::Entry::default();
    (entry.index, entry.term) = (2, 2);
    append.set_entries(vec![entry].into());
    test.core.raft_message(append).unwrap();
    test.flush();
    assert_eq!(
        *test.notes.borrow(),
        vec!["write 1 entries hard state, sync: true", "send MsgAppendResponse"]
    );
}

#[test]
fn a_vote_is_synced_before_it_is_given() {
    let mut test = Test::new(3);
    test.core.raft_message(from_leader(MessageType::MsgRequestVote)).unwrap();
    test.flush();
    assert_eq!(
        *test.notes.borrow(),
        vec!["write 0 entries hard state, sync: true", "send MsgRequestVoteResponse"]
    );
}

#[test]
fn while_the_disk_is_slow_nothing_is_promised_and_heartbeats_are_answered() {
    let mut test = Test::new(3);
    test.slow_disk(true);
    let mut append = from_leader(MessageType::MsgAppend);
    let mut entry = raft::eraftpb::Entry::default();
    (entry.index, entry.term) = (2, 2);
    append.set_entries(vec![entry].into());
    test.core.raft_message(append).unwrap();
    test.flush();
    assert_eq!(test.noted(), ["write 1 entries hard state, sync: true"]);
    for _ in 0..90 {
        test.core.raft_message(from_leader(MessageType::MsgHeartbeat)).unwrap();
        test.tick();
        assert_eq!(test.noted(), ["send MsgHeartbeatResponse"]);
    }
    test.slow_disk(false);
    test.flush();
    assert_eq!(test.noted(), ["send MsgAppendResponse"]);
}

#[test]
fn a_vote_waits_for_a_slow_disk_and_the_time_does_not_count_towards_an_election() {
    let mut test = Test::new(3);
    test.slow_disk(true);
    test.core.raft_message(from_leader(MessageType::MsgRequestVote)).unwrap();
    for _ in 0..50 {
        test.tick();
    }
    assert_eq!(test.noted(), ["write 0 entries hard state, sync: true"]);
    test.slow_disk(false);
    test.flush();
    assert_eq!(test.noted(), ["send MsgRequestVoteResponse"]);
}

#[test]
fn a_leader_with_a_slow_disk_leads_on_and_one_whose_disk_hangs_falls_silent() {
    let mut test = Test::leader();
    while test.core.led.is_none() {
        test.tick().into_iter().for_each(|effect| test.answer(effect));
    }
    test.slow_disk(true);
    test.propose(put("f"));
    let mut heartbeats = 0;
    for tick in 1..=200 {
        test.tick().into_iter().for_each(|effect| test.answer(effect));
        heartbeats += test.noted().iter().filter(|note| *note == "send MsgHeartbeat").count();
        if tick == 90 {
            assert!(test.core.raft().leads() && heartbeats >= 80, "{heartbeats} in 90 ticks");
            assert!(test.core.live_until().unwrap() > test.now, "its session is renewed");
            assert_eq!(test.core.machine().functions().len(), 0, "it is not durable here");
        }
        if tick == 110 {
            heartbeats = 0;
        }
    }
    assert_eq!(heartbeats, 0);
    test.slow_disk(false);
    for _ in 0..4 {
        test.tick().into_iter().for_each(|effect| test.answer(effect));
    }
    assert_eq!(test.core.machine().functions().len(), 1, "both of the majority have it");
}

#[test]
fn a_snapshot_is_saved_and_the_log_compacted_after_so_many_entries() {
    let mut test = Test::new(1);
    test.until_live();
    for n in 0..8 {
        test.propose(put(&format!("f{n}")));
        test.flush();
    }
    let notes = test.notes.borrow();
    let about: Vec<_> = notes.iter().filter(|note| note.contains("snapshot")).collect();
    assert_eq!(about, ["save snapshot 5, compact to 4", "save snapshot 9, compact to 8"]);
    assert_eq!(test.core.raft().snapshots(), 2);
}

#[test]
fn a_follower_hands_proposals_and_renewals_to_the_leader() {
    let mut test = Test::new(3);
    test.core.raft_message(from_leader(MessageType::MsgHeartbeat)).unwrap();
    let number = test.propose(put("f"));
    let effects = test.flush();
    let sent: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(NodeId(2), Message::Propose(proposals)) => Some(proposals),
            _ => None,
        })
        .flatten()
        .map(|proposal| proposal.id.number)
        .collect();
    assert_eq!(sent, vec![number - 1, number], "the one that opens the session, and the caller's");
}

#[test]
fn a_proposal_without_a_leader_is_given_up_at_its_deadline() {
    let mut test = Test::new(3);
    let number = test.propose(put("f"));
    for tick in 1..=50 {
        let effects = test.tick();
        let given_up = effects.iter().any(|e| matches!(e, Effect::GivenUp(n) if *n == number));
        assert_eq!(given_up, tick == 50, "at tick {tick}");
    }
}

#[test]
fn a_peer_proposes_in_its_own_name_and_ends_its_own_session_only() {
    let mut test = Test::new(1);
    test.until_live();
    let id = |node| RequestId { node: NodeId(node), incarnation: Incarnation(1), number: 1 };
    let mine = SessionId { node: NodeId(1), incarnation: Incarnation(1), opened: 3 };
    assert_eq!(test.core.machine().session(NodeId(1)).unwrap().id, mine);
    let expire = Proposal { id: id(2), command: Command::ExpireSession { session: mine } };
    let forged = Proposal { id: id(3), command: put("f") };
    test.core.message(NodeId(2), Message::Propose(vec![expire, forged]));
    test.flush();
    assert!(test.core.machine().session(NodeId(1)).is_some());
    assert!(test.core.machine().functions().is_empty());
    let honest = Proposal { id: id(2), command: put("f") };
    test.core.message(NodeId(2), Message::Propose(vec![honest]));
    test.flush();
    assert_eq!(test.core.machine().functions().len(), 1);
}

#[test]
fn a_node_that_closes_ends_its_own_session() {
    let mut test = Test::new(1);
    test.until_live();
    test.core.close(test.now + Duration::from_secs(1), test.now);
    assert_eq!(test.core.live_until(), None);
    test.flush();
    assert!(test.core.session_ended());
    assert!(test.core.machine().session(NodeId(1)).is_none());
}

#[test]
fn a_node_that_the_cluster_refuses_stands_back() {
    let mut test = Test::new(1);
    // A later life of this very node has been here.
    let id = RequestId { node: NodeId(1), incarnation: Incarnation(7), number: 1 };
    for _ in 0..40 {
        test.now += Duration::from_millis(100);
        let now = test.now;
        test.core.tick(now, &mut |_| {});
        let later = Proposal { id, command: put("f") };
        test.core.message(NodeId(1), Message::Propose(vec![later]));
        if let Err(fatal) = test.core.flush(now, &mut |_| {}) {
            let text = fatal.to_string();
            assert!(
                text.contains("refuses this node") && text.contains("data directory"),
                "{text}"
            );
            return;
        }
    }
    panic!("it went on");
}
