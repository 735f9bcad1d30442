//! Three nodes with real logs and drivers, connected in memory.

use std::time::{Duration, Instant};

use super::testnet::{TestCluster, key, put, soon};
use super::{Applied, ProposeError};
use crate::id::NodeId;
use crate::wire::consensus::{Command, Response};

/// Never reached in these tests: no snapshot.
const NEVER: u64 = 1_000_000;

fn follower(leader: NodeId) -> u64 {
    (1..=3).find(|id| *id != leader.0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_proposes_and_every_node_has_it() {
    let cluster = TestCluster::start(3, NEVER).await;
    let leader = cluster.ready().await;
    let proposer = cluster.node(follower(leader));
    let Applied { index, response } = proposer.propose(put("f"), soon()).await.unwrap();
    assert_eq!(response, Response::Done);
    proposer.wait_applied_everywhere(index, soon()).await.unwrap();
    for id in 1..=3 {
        let entry = cluster.node(id).function(&key("f")).unwrap();
        assert_eq!(entry.version, index, "the version is the log index, on n{id} too");
        let members = cluster.node(id).members();
        assert!(members.iter().all(|m| m.voter && m.session.is_some()), "{members:?}");
        assert_eq!(members[1].http, "http-of-n2");
    }
    let delete = Command::DeleteFunction { user: "alice".into(), name: "f".into() };
    let gone = proposer.propose(delete.clone(), soon()).await.unwrap();
    assert_eq!(gone.response, Response::Done);
    assert_eq!(proposer.functions(Some("alice")).len(), 0);
    assert_eq!(proposer.propose(delete, soon()).await.unwrap().response, Response::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_work_again_after_the_leader_is_gone_and_it_rejoins_with_its_data() {
    let mut cluster = TestCluster::start(3, NEVER).await;
    let leader = cluster.ready().await;
    let survivor = follower(leader);
    cluster.node(survivor).propose(put("before"), soon()).await.unwrap();
    cluster.kill(leader).await;
    let after = cluster.node(survivor).propose(put("after"), soon()).await.unwrap();
    cluster.node(survivor).wait_applied_everywhere(after.index, soon()).await.unwrap();
    cluster
        .until("the dead node's session is over", |cluster| {
            let members = cluster.node(survivor).members();
            members.iter().any(|m| m.node == leader && m.session.is_none())
        })
        .await;
    cluster.start_node(leader).await;
    cluster.ready().await;
    let back = cluster.node(leader.0);
    back.read_barrier(soon()).await.unwrap();
    assert!(back.function(&key("before")).is_some() && back.function(&key("after")).is_some());
    let member = back.members().into_iter().find(|m| m.node == leader).unwrap();
    assert_eq!(member.session.unwrap().0, 2, "it has a session in its second life");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_stopped_and_started_have_their_data() {
    let mut cluster = TestCluster::start(3, NEVER).await;
    cluster.ready().await;
    let put = cluster.node(2).propose(put("kept"), soon()).await.unwrap();
    for id in 1..=3 {
        cluster.kill(NodeId(id)).await;
    }
    for id in 1..=3 {
        cluster.start_node(NodeId(id)).await;
    }
    cluster.ready().await;
    let node = cluster.node(3);
    node.read_barrier(soon()).await.unwrap();
    assert_eq!(node.function(&key("kept")).unwrap().version, put.index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_refuses_in_time_and_says_what_is_known() {
    let mut cluster = TestCluster::start(3, NEVER).await;
    cluster.ready().await;
    cluster.kill(NodeId(2)).await;
    cluster.kill(NodeId(3)).await;
    let alone = cluster.node(1);
    let began = Instant::now();
    let deadline = began + Duration::from_millis(300);
    let (put, read) =
        tokio::join!(alone.propose(put("lost"), deadline), alone.read_barrier(deadline));
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    let text = put.unwrap_err().to_string();
    assert!(text.contains("n1 is this node, n2 is not reachable (it is cut off)"), "{text}");
    assert!(matches!(read, Err(ProposeError::NoQuorum(_))), "{read:?}");
    cluster.until("its own session has lapsed", |c| !c.node(1).session_is_live()).await;
    cluster.start_node(NodeId(2)).await;
    cluster.ready().await;
    cluster.node(1).propose(super::testnet::put("works"), soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fell_behind_a_compaction_catches_up_by_snapshot() {
    let mut cluster = TestCluster::start(3, 20).await;
    let leader = cluster.ready().await;
    let behind = NodeId(follower(leader));
    cluster.kill(behind).await;
    for n in 0..60 {
        cluster.node(leader.0).propose(put(&format!("f{n}")), soon()).await.unwrap();
    }
    let first = cluster.node(leader.0).status().first;
    assert!(first > 20, "the log was compacted, and begins at {first}");
    cluster.start_node(behind).await;
    cluster.ready().await;
    let node = cluster.node(behind.0);
    node.read_barrier(soon()).await.unwrap();
    assert_eq!(node.functions(None).len(), 60);
    assert!(node.status().first > 20, "it came by snapshot");
    cluster.kill(behind).await;
    cluster.start_node(behind).await;
    cluster.ready().await;
    let again = cluster.node(behind.0);
    again.read_barrier(soon()).await.unwrap();
    assert_eq!(again.functions(None).len(), 60, "a received snapshot survives a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_follows_proposes_and_has_a_session() {
    let cluster = TestCluster::start(4, NEVER).await;
    cluster.ready().await;
    let learner = cluster.node(4);
    assert!(!learner.members()[3].voter);
    let put = learner.propose(put("f"), soon()).await.unwrap();
    cluster.node(1).wait_applied_everywhere(put.index, soon()).await.unwrap();
    assert_eq!(learner.function(&key("f")).unwrap().version, put.index);
    learner.read_barrier(soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_voter_alone_is_a_cluster() {
    let mut cluster = TestCluster::start(1, 10).await;
    cluster.ready().await;
    for n in 0..30 {
        cluster.node(1).propose(put(&format!("f{n}")), soon()).await.unwrap();
    }
    cluster.kill(NodeId(1)).await;
    cluster.start_node(NodeId(1)).await;
    cluster.ready().await;
    assert_eq!(cluster.node(1).functions(None).len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_everywhere_waits_for_a_node_that_is_cut_off_until_its_session_ends() {
    let cluster = TestCluster::start(3, NEVER).await;
    let leader = cluster.ready().await;
    let cut = NodeId(follower(leader));
    cluster.cut(cut, true);
    let put = cluster.node(leader.0).propose(put("f"), soon()).await.unwrap();
    let short = Instant::now() + Duration::from_millis(50);
    let early = cluster.node(leader.0).wait_applied_everywhere(put.index, short).await;
    let text = early.unwrap_err().to_string();
    assert!(text.contains(&format!("{cut} has not applied")), "{text}");
    cluster.node(leader.0).wait_applied_everywhere(put.index, soon()).await.unwrap();
    assert!(!cluster.node(cut.0).session_is_live(), "it knew before the others did");
    cluster.cut(cut, false);
    cluster.ready().await;
    cluster
        .until("the node has opened a new session in the same life", |cluster| {
            let members = cluster.node(cut.0).members();
            members.iter().any(|m| m.node == cut && m.session.is_some_and(|life| life.0 == 1))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_directory_was_lost_stands_back() {
    let mut cluster = TestCluster::start(3, NEVER).await;
    let leader = cluster.ready().await;
    let lost = NodeId(follower(leader));
    cluster.node(leader.0).propose(put("f"), soon()).await.unwrap();
    cluster.kill(lost).await;
    std::fs::remove_dir_all(cluster.node_dir(lost)).unwrap();
    cluster.forget_lives(lost);
    cluster.start_node(lost).await;
    cluster.until("it stands back", |c| c.node(lost.0).failure().is_some()).await;
    let why = cluster.node(lost.0).propose(put("g"), soon()).await.unwrap_err().to_string();
    assert!(why.contains("directory"), "{why}");
    assert!(!cluster.node(lost.0).session_is_live());
}
