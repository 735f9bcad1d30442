//! What a peer says about calls, though no healthy one would: given to a real node's calls, which
//! stay in order.

mod common;
#[path = "fuzz/corpus.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "fuzz/mutate.rs"]
#[allow(dead_code)]
mod mutate;
#[path = "fuzz/raft.rs"]
#[allow(dead_code)]
mod raft;

use bytes::Bytes;
use common::cluster::{Cluster, wait_until};
use common::guests::guest;
use faasm::id::{Attempt, BlobHash, CallId, Incarnation, NodeId};
use faasm::net::{Inbound, Peer};
use faasm::wire::calls::{CallMessage, Entry, Start};
use faasm::wire::encode;
use faasm::wire::function::Limits;

fn peer(node: u64) -> Peer {
    Peer { node: NodeId(node), incarnation: Incarnation(1), link: 1 }
}

fn say(cluster: &Cluster, from: u64, message: CallMessage) {
    let said = cluster.node(0).handles().calls.message(peer(from), &encode(&message), Bytes::new());
    said.expect("it is well-formed");
}

/// A start of a guest that runs until it is ended.
async fn start(cluster: &Cluster) -> Start {
    let wasm = std::fs::read(guest("loop")).expect("the guest was compiled");
    cluster.upload(0, "loop", &wasm, Limits::default()).await;
    let entry = cluster
        .node(0)
        .handles()
        .consensus
        .function(&faasm::id::FunctionKey::new("alice", "loop").expect("a name"));
    let mut start = corpus::start(0);
    start.name = "loop".to_owned();
    start.wasm = BlobHash::of(&wasm);
    start.version = entry.expect("it is registered").version;
    (start.entry, start.args) = (Entry::Main, Vec::new());
    start.tree.left_ms = 60_000;
    start
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_sent_twice_lives_once() {
    let cluster = Cluster::builder().start().await;
    let start = start(&cluster).await;
    let functions = cluster.node(0).handles().functions.clone();
    say(&cluster, 7, CallMessage::Start(start.clone()));
    wait_until("the call runs", || functions.live() == 1).await;
    say(&cluster, 7, CallMessage::Start(start.clone()));
    // Another node has nothing to say about it.
    let newer = Start { attempt: Attempt(1), ..start.clone() };
    say(&cluster, 8, CallMessage::Start(newer.clone()));
    assert_eq!(functions.live(), 1, "it lives twice, and one of the two nobody can end");
    // A newer try of the same node takes its place.
    say(&cluster, 7, CallMessage::Start(newer));
    wait_until("the older try has ended", || functions.live() == 1).await;
    say(&cluster, 7, CallMessage::Cancel(start.call, Attempt(1)));
    wait_until("nothing is left", || functions.live() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_at_the_end_of_time_stops_nobody() {
    let cluster = Cluster::builder().start().await;
    let mut start = start(&cluster).await;
    start.tree.clock = u64::MAX;
    start.tree.depth = u32::MAX;
    for call in 1..4 {
        start.call = CallId(call);
        say(&cluster, 7, CallMessage::Start(start.clone()));
    }
    let functions = cluster.node(0).handles().functions.clone();
    wait_until("the calls run", || functions.live() == 3).await;
    for call in 1..4 {
        say(&cluster, 7, CallMessage::Cancel(CallId(call), Attempt(0)));
    }
    wait_until("nothing is left", || functions.live() == 0).await;
}
