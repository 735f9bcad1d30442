//! Fencing at the owners of keys: what the lock's own node believes plays no part here. The requests
//! are those of a holder that lost its lock and does not know it.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::cluster::{Cluster, wait_until};
use faasm::consensus::Consensus;
use faasm::id::CallId;
use faasm::state::global::{Global, StateError, To};
use faasm::wire::locks::{Mode, Proof};
use faasm::wire::shards::StateKey;
use faasm::wire::state::{Extent, Only, Op, Pull, Push, Refusal, Write};

fn key() -> Arc<StateKey> {
    Arc::new(StateKey { user: "alice".into(), key: "fenced".into() })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn to(proof: Option<Proof>) -> To {
    To { key: key(), proof, deadline: soon() }
}

async fn push(node: &Arc<dyn Global>, proof: Option<Proof>, text: &'static str) -> Option<Refusal> {
    let push = Push {
        staged: None,
        extents: vec![Extent { off: 0, len: text.len() as u64 }],
        len: Some(text.len() as u64),
        create: true,
        replace: true,
        only: Only::Any,
    };
    match node.write(to(proof), Write::Push(push), Bytes::from(text)).await {
        Ok(_) => None,
        Err(StateError::Refused(refusal)) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

async fn read(node: &Arc<dyn Global>, proof: Option<Proof>) -> Result<Bytes, StateError> {
    let range = Extent { off: 0, len: 1 << 20 };
    let pull = Op::Pull(Pull { range, since: None, also: Vec::new(), at: None });
    node.read(to(proof), pull).await.map(|(_, bytes)| bytes)
}

async fn lock(node: &Consensus, call: u128, mode: Mode) -> Proof {
    let grant = node.lock(&key(), mode, CallId(call), soon()).await.expect("the lock is free");
    Proof { token: grant.token, mode, epoch: grant.epoch }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_refuse_whoever_lost_the_lock_and_whoever_has_none() {
    let cluster = Cluster::builder().nodes(3).start().await;
    let global = |at: usize| cluster.node(at).handles().state.global();
    let consensus = |at: usize| cluster.node(at).handles().consensus.clone();
    let (one, two) = (global(0), global(1));
    assert_eq!(push(&one, None, "at first").await, None);

    let old = lock(&consensus(0), 1, Mode::Write).await;
    assert_eq!(push(&one, Some(old), "by the first").await, None);
    assert_eq!(push(&two, None, "by nobody").await, Some(Refusal::Locked));
    consensus(0).unlock(&key(), Mode::Write, CallId(1)).expect("it is held");

    let new = lock(&consensus(1), 2, Mode::Write).await;
    assert!(new.token > old.token, "tokens grow: {old:?}, {new:?}");
    // Before the new holder did anything: its grant alone is enough, once the owner knows of it.
    for at in 0..3 {
        let consensus = consensus(at);
        wait_until("the grant is known", || consensus.applied_index() >= new.token).await;
    }
    assert_eq!(push(&one, Some(old), "too late").await, Some(Refusal::LockLost));
    assert_eq!(&read(&two, Some(new)).await.expect("it reads")[..], b"by the first");
    consensus(1).unlock(&key(), Mode::Write, CallId(2)).expect("it is held");

    // The lock is free again, and the owner remembers who was there last, by a read alone.
    let late = read(&one, Some(old)).await;
    assert_eq!(late, Err(StateError::Refused(Refusal::LockLost)));
    // Nobody took it since the last one, of whom something is still under way.
    for at in 0..3 {
        let consensus = consensus(at);
        wait_until("its end is known", || consensus.write_locked(&key()).is_none()).await;
    }
    assert_eq!(push(&two, None, "by nobody").await, None);
    assert_eq!(push(&two, Some(new), "too late").await, Some(Refusal::LockLost));
    assert_eq!(&read(&one, None).await.expect("it reads")[..], b"by nobody");
    let reader = lock(&consensus(2), 3, Mode::Read).await;
    assert_eq!(push(&global(2), Some(reader), "by a reader").await, Some(Refusal::ReadLock));
    assert_eq!(push(&one, Some(old), "too late").await, Some(Refusal::LockLost));
    assert_eq!(&read(&one, None).await.expect("it reads")[..], b"by nobody");
}
