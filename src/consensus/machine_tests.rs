use super::*;
use crate::consensus::image::encode_entry;
use crate::consensus::testnet::{key, put};

fn request(node: u64, life: u64, number: u64) -> RequestId {
    RequestId { node: NodeId(node), incarnation: Incarnation(life), number }
}

fn apply(machine: &mut Machine, index: u64, id: RequestId, command: Command) -> Outcome {
    machine.apply(index, &encode_entry(&Proposal { id, command })).unwrap()
}

fn open(node: u64, life: u64) -> Command {
    Command::OpenSession {
        node: NodeId(node),
        incarnation: Incarnation(life),
        http: format!("http-{node}"),
        birth: 1,
        key: None,
    }
}

fn session(node: u64, life: u64, opened: u64) -> SessionId {
    SessionId { node: NodeId(node), incarnation: Incarnation(life), opened }
}

#[test]
fn a_functions_version_is_the_index_of_its_upload() {
    let mut machine = Machine::default();
    let outcome = apply(&mut machine, 7, request(1, 1, 1), put("f"));
    let entry = machine.functions()[&key("f")].clone();
    assert_eq!(entry.version, 7);
    assert_eq!(
        outcome,
        Outcome {
            id: request(1, 1, 1),
            index: 7,
            response: Response::Done,
            changes: vec![Change::Function(key("f"), Some(entry))],
        }
    );
    apply(&mut machine, 9, request(1, 1, 2), put("f"));
    assert_eq!(machine.functions()[&key("f")].version, 9);
    let delete = || Command::DeleteFunction { user: "alice".into(), name: "f".into() };
    let gone = apply(&mut machine, 10, request(1, 1, 3), delete());
    assert_eq!(gone.changes, vec![Change::Function(key("f"), None)]);
    let again = apply(&mut machine, 11, request(1, 1, 4), delete());
    assert_eq!((again.response, again.changes), (Response::NotFound, vec![]));
    assert_eq!((machine.weight, machine.applied()), (0, 11));
}

#[test]
fn a_repeat_changes_nothing_and_gets_the_first_answer() {
    let mut machine = Machine::default();
    apply(&mut machine, 7, request(1, 1, 1), put("f"));
    let repeat = apply(&mut machine, 8, request(1, 1, 1), put("f"));
    assert_eq!((repeat.index, repeat.response, repeat.changes), (7, Response::Done, vec![]));
    assert_eq!(machine.functions()[&key("f")].version, 7);
    assert_eq!(machine.answer(request(1, 1, 1)), Some((7, Response::Done)));
}

#[test]
fn names_pins_and_sizes_are_checked() {
    let mut machine = Machine::default();
    let Command::PutFunction { entry, .. } = put("f") else { panic!() };
    let bad = |user: &str, name: &str, pins: usize| {
        let mut entry = entry.clone();
        entry.options.pin = vec![NodeId(1); pins];
        Command::PutFunction { user: user.into(), name: name.into(), entry }
    };
    let cases = [bad("../x", "f", 0), bad("alice", "", 0), bad("alice", "f", MAX_PIN + 1)];
    for (number, command) in cases.into_iter().enumerate() {
        let outcome = apply(&mut machine, 5, request(1, 1, number as u64 + 1), command);
        assert!(matches!(outcome.response, Response::Refused(_)), "{outcome:?}");
    }
    machine.weight = MAX_REGISTRY;
    let full = apply(&mut machine, 9, request(1, 1, 9), put("f"));
    assert!(matches!(&full.response, Response::Refused(why) if why.contains("registry is full")));
    assert!(machine.functions().is_empty());
}

#[test]
fn a_new_life_ends_the_session_of_the_old_one_and_an_old_life_is_refused() {
    let mut machine = Machine::default();
    apply(&mut machine, 5, request(2, 1, 1), open(2, 1));
    let outcome = apply(&mut machine, 6, request(2, 3, 1), open(2, 3));
    let opened = Session { id: session(2, 3, 6), http: "http-2".into() };
    assert_eq!(
        outcome.changes,
        vec![Change::Ended(session(2, 1, 5)), Change::Opened(opened.clone())]
    );
    let late = apply(&mut machine, 7, request(2, 2, 1), open(2, 2));
    let why = match late.response {
        Response::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(why.contains("n2 has started as i3 before, and this is i2"), "{why}");
    assert_eq!(machine.session(NodeId(2)), Some(&opened));
    let foreign = apply(&mut machine, 8, request(1, 1, 1), open(2, 4));
    assert!(matches!(foreign.response, Response::Refused(_)), "n1 opened a session of n2");
}

#[test]
fn a_second_attempt_of_the_same_life_keeps_the_session() {
    let mut machine = Machine::default();
    apply(&mut machine, 5, request(2, 1, 1), open(2, 1));
    let again = apply(&mut machine, 6, request(2, 1, 2), open(2, 1));
    assert_eq!((again.response, again.changes), (Response::Done, vec![]));
    assert_eq!(machine.session(NodeId(2)).unwrap().id, session(2, 1, 5));
}

#[test]
fn an_expiry_ends_the_session_it_names_and_no_later_one() {
    let mut machine = Machine::default();
    let expire = |opened| Command::ExpireSession { session: session(2, 1, opened) };
    apply(&mut machine, 5, request(2, 1, 1), open(2, 1));
    let outcome = apply(&mut machine, 6, request(1, 1, 1), expire(5));
    assert_eq!(outcome.changes, vec![Change::Ended(session(2, 1, 5))]);
    apply(&mut machine, 7, request(2, 1, 2), open(2, 1));
    let late = apply(&mut machine, 8, request(1, 1, 2), expire(5));
    assert_eq!((late.response, late.changes), (Response::NotFound, vec![]));
    assert_eq!(machine.session(NodeId(2)).unwrap().id, session(2, 1, 7));
}

#[test]
fn the_last_artifact_recorded_counts_and_their_number_is_bounded() {
    let mut machine = Machine::default();
    let hash = |n: u32| BlobHash::of(&n.to_be_bytes());
    let record = |n: u32, artifact: u32| Command::RecordArtifact {
        wasm: hash(n),
        engine: 9,
        artifact: hash(artifact),
    };
    apply(&mut machine, 1, request(1, 1, 1), record(1, 100));
    apply(&mut machine, 2, request(1, 1, 2), record(1, 101));
    assert_eq!(machine.artifacts().collect::<Vec<_>>(), vec![(hash(1), 9, hash(101))]);
    for n in 0..MAX_ARTIFACTS as u32 - 1 {
        let key =
            BlobHash([(n >> 16) as u8, (n >> 8) as u8, n as u8, 7].repeat(8).try_into().unwrap());
        machine.artifacts.insert((key, 9), (3, key));
    }
    let outcome = apply(&mut machine, 4, request(1, 1, 3), record(2, 102));
    assert_eq!(machine.artifacts().count(), MAX_ARTIFACTS);
    assert_eq!(outcome.changes[1], Change::ArtifactGone(hash(1), 9), "the oldest gives way");
}

#[test]
fn a_snapshot_restores_the_very_state_request_ids_included() {
    let mut machine = Machine::default();
    apply(&mut machine, 1, request(1, 1, 1), open(1, 1));
    apply(&mut machine, 2, request(1, 1, 2), put("f"));
    apply(&mut machine, 3, request(2, 4, 9), put("g"));
    let artifact = BlobHash::of(b"a");
    let record = Command::RecordArtifact { wasm: BlobHash::of(b"w"), engine: 1, artifact };
    apply(&mut machine, 4, request(2, 4, 10), record);
    machine.skip(5);
    let restored = Machine::restore(&machine.snapshot()).unwrap();
    assert_eq!(restored, machine);
    assert_eq!(restored.answer(request(2, 4, 9)), Some((3, Response::Done)));
}

#[test]
fn an_entry_of_a_newer_build_stops_the_machine() {
    let mut entry = encode_entry(&Proposal { id: request(1, 1, 1), command: put("f") });
    entry[0] = 2;
    assert!(Machine::default().apply(1, &entry).is_err());
}
