use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::errno::Errno;
use crate::id::{Attempt, BlobHash, CallId};
use crate::net::{Peer, PeerStatus};
use crate::wire::calls::{Times, Work};
use crate::wire::function::{Options, Policy};

fn record() -> Record {
    Record {
        call: CallId(0xab),
        user: "alice".into(),
        name: "count".into(),
        parent: None,
        home: NodeId(1),
        home_incarnation: Incarnation(4),
        home_session: 4,
        node: Some(NodeId(2)),
        attempt: Attempt(1),
        phase: Phase::Done,
        result: Some(Ok(3)),
        output: Kept::Inline(5),
        log: Kept::At(crate::wire::calls::KeptAt {
            node: NodeId(2),
            incarnation: Incarnation(1),
            attempt: Attempt(1),
            len: 70_000,
        }),
        times: Times { accepted_us: 1, started_us: 2, ended_us: 3 },
        requested_us: 1,
        work: vec![Work { node: NodeId(2), function: "count".into(), calls: 9, busy_us: 80 }],
        trace: 0xf,
        job: None,
    }
}

#[test]
fn a_record_becomes_the_documented_json() {
    let value = serde_json::to_value(CallView::from(&record())).unwrap();
    let expected = json!({
        "call": "000000000000000000000000000000ab",
        "function": "alice/count",
        "phase": "done",
        "node": "n2",
        "home": "n1",
        "parent": null,
        "result": 3,
        "error": null,
        "output_bytes": 5,
        "log_bytes": 70_000,
        "times": { "accepted_us": 1, "started_us": 2, "ended_us": 3 },
        "requested_us": 1,
        "work": [{ "node": "n2", "function": "count", "calls": 9, "busy_us": 80 }],
        "attempt": 1,
        "trace": "0000000000000000000000000000000f",
    });
    assert_eq!(value, expected);
}

#[test]
fn a_failed_record_has_an_error_and_no_result() {
    let mut failed = record();
    failed.result = Some(Err(CallError::new(Errno::Failed, "it trapped")));
    let value = serde_json::to_value(CallView::from(&failed)).unwrap();
    assert_eq!(value["result"], json!(null));
    assert_eq!(value["error"], json!({ "code": "FAASM_EFAILED", "detail": "it trapped" }));
}

#[test]
fn a_function_shows_its_limits_and_placement() {
    let entry = FunctionEntry {
        wasm: BlobHash([1; 32]),
        size: 10,
        version: 7,
        uploaded_ms: 5,
        limits: Limits::default(),
        options: Options { policy: Policy::Spread, retries: 2, pin: vec![NodeId(3)] },
    };
    let key = FunctionKey::new("alice", "count").unwrap();
    let value = serde_json::to_value(FunctionView::new(&key, &entry)).unwrap();
    assert_eq!(value["function"], "alice/count");
    assert_eq!(value["hash"], "01".repeat(32));
    assert_eq!(value["policy"], "spread");
    assert_eq!(value["pin"], json!(["n3"]));
    assert_eq!(value["limits"]["run_ms"], 300_000);
}

#[test]
fn nodes_join_what_consensus_and_the_connections_know() {
    let member = |id, session| MemberView {
        keys: Vec::new(),
        draining: false,
        node: NodeId(id),
        voter: true,
        leader: false,
        caught_up: None,
        quic: format!("127.0.0.1:710{id}"),
        http: format!("127.0.0.1:700{id}"),
        session,
    };
    let members =
        [member(1, Some(Incarnation(2))), member(2, Some(Incarnation(1))), member(3, None)];
    let since = Instant::now();
    let up = Some(Peer { node: NodeId(2), incarnation: Incarnation(1), link: 1 });
    let rtt = Some(Duration::from_micros(120));
    let peers: PeerTable = BTreeMap::from([
        (NodeId(2), PeerStatus { up, since, rtt, last_error: None }),
        (NodeId(3), PeerStatus { up: None, since, rtt: None, last_error: Some("refused".into()) }),
    ]);
    let raft = RaftStatus { leader: Some(NodeId(2)), term: 5, ..RaftStatus::default() };
    let view = NodesView::new((NodeId(1), Incarnation(2)), &members, &peers, &raft);
    assert_eq!((view.answered_by.as_str(), view.leader.as_deref()), ("n1", Some("n2")));
    let rows: Vec<_> = view
        .nodes
        .iter()
        .map(|n| (n.node.as_str(), n.leader, n.connected, n.rtt_us, n.session.as_deref()))
        .collect();
    let expected = [
        ("n1", false, true, None, Some("i2")),
        ("n2", true, true, Some(120), Some("i1")),
        ("n3", false, false, None, None),
    ];
    assert_eq!(rows, expected);
    assert_eq!(view.nodes[2].error.as_deref(), Some("refused"));
}
