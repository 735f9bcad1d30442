//! A request that is repeated with its key while nobody knows whether the first one was taken.

use std::sync::Arc;
use std::time::Duration;

use super::guests::Program;
use super::setup;
use super::world::{SimNode, World};
use crate::calls::Invoke;
use crate::calls::claim::Claimed;
use crate::errno::Errno;
use crate::id::{CallId, FunctionKey, NodeId};
use crate::wire::calls::Phase;

pub fn on_three_nodes<F: Future<Output = ()>>(act: impl FnOnce(Arc<World>, Vec<SimNode>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let worlds = (0..).map(|seed| World::new(seed, setup(0, None)));
        let fits = |world: &Arc<World>| world.state().nodes.len() == 3;
        let world = worlds.into_iter().find(fits).expect("some seed has three nodes");
        // Sessions are opened, and known.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let nodes = world.state().nodes.values().cloned().collect();
        act(world.clone(), nodes).await;
        world.close();
    });
}

pub fn request() -> Invoke {
    Invoke {
        key: FunctionKey::new("alice", "once").unwrap(),
        input: Program { seed: 1, depth: 0, padding: 0 }.to_input(),
        args: Vec::new(),
        timeout: Some(Duration::from_secs(30)),
        policy: None,
        pin: Vec::new(),
        idempotency: Some("key".to_owned()),
        trace: 0,
        job: None,
    }
}

/// All see the same end.
async fn ends_for_all(nodes: &[SimNode], call: CallId) {
    let mut ends = Vec::new();
    for node in nodes {
        let record = node.calls.wait(call, Duration::from_secs(30)).await.expect("it is known");
        assert_eq!(record.phase, Phase::Done);
        ends.push(record.result.expect("it has ended").map_err(|error| error.code));
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn it_is_not_accepted_by_the_claim_of_a_request_that_may_still_be_refused() {
    on_three_nodes(|_, nodes| async move {
        let (home, other) = (&nodes[0], &nodes[1]);
        let spec = home.calls.root_spec(request()).unwrap();
        let Ok(Claimed::New(claim)) = home.calls.claim(&spec).await else { panic!("it is new") };
        let refused = other.calls.submit(request()).await.unwrap_err();
        assert_eq!(refused.code, Errno::Unavailable, "{refused}");
        // That request was refused, so the key is free again.
        drop(claim);
        let call = other.calls.submit(request()).await.expect("it is accepted");
        ends_for_all(&nodes, call).await;
    });
}

#[test]
fn it_waits_until_the_first_request_is_refused_or_taken() {
    for is_taken in [true, false] {
        on_three_nodes(|_, nodes| async move {
            let (home, other) = (nodes[0].clone(), nodes[1].clone());
            let spec = home.calls.root_spec(request()).unwrap();
            let Ok(Claimed::New(claim)) = home.calls.claim(&spec).await else { panic!("new") };
            let repeat = tokio::spawn(async move { other.calls.submit(request()).await });
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert!(!repeat.is_finished());
            if is_taken {
                home.calls.begin_root(spec, Some(claim)).await.expect("there is room");
            } else {
                drop(claim);
            }
            let call = repeat.await.unwrap().expect("it is accepted");
            ends_for_all(&nodes, call).await;
        });
    }
}

#[test]
fn when_the_first_ones_node_dies_both_are_told_that_the_call_was_lost() {
    on_three_nodes(|world, nodes| async move {
        let spec = nodes[0].calls.root_spec(request()).unwrap();
        let Ok(Claimed::New(mut claim)) = nodes[0].calls.claim(&spec).await else { panic!("new") };
        claim.armed = false;
        world.kill(NodeId(1));
        let refused = nodes[1].calls.submit(request()).await.unwrap_err();
        assert_eq!(refused.code, Errno::Unavailable, "its session is not over: {refused}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let call = nodes[1].calls.submit(request()).await.expect("it is known");
        for node in &nodes[1..] {
            let record = node.calls.record(call).await.expect("it is known");
            assert_eq!(record.result.unwrap().unwrap_err().code, Errno::HostLost);
        }
    });
}
