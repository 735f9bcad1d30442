//! Cancelling a chained call that has ended, and left calls behind, on several nodes.

use std::sync::Arc;
use std::time::Duration;

use super::guests::Program;
use super::invariants::Execution;
use super::repeats::{on_three_nodes, request};
use super::world::{SimNode, World};
use crate::errno::Errno;
use crate::id::{CallId, FunctionKey};

/// What runs, once all else has ended: the last call of the chain.
async fn last_of(world: &World, root: CallId) -> Execution {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let state = world.state();
        let of_it: Vec<_> = state.checks.executions.iter().filter(|e| e.root == root).collect();
        let alive: Vec<_> = of_it.iter().filter(|e| e.ended.is_none()).collect();
        if let ([last], true) = (&alive[..], of_it.len() > 3) {
            return Execution::clone(last);
        }
    }
}

async fn parent_of(node: &SimNode, call: CallId) -> CallId {
    let record = node.calls.record(call).await.expect("it is known");
    record.parent.expect("it was chained")
}

/// Cancels a call so many above the last one of the chain, through each node.
fn cancels(above: usize) {
    for through in 0..3 {
        on_three_nodes(|world: Arc<World>, nodes: Vec<SimNode>| async move {
            let mut request = request();
            request.key = FunctionKey::new("alice", "again").unwrap();
            request.input = Program::chain(3).to_input();
            let root = nodes[0].calls.submit(request).await.expect("it is accepted");
            let last = last_of(&world, root).await;
            let mut call = last.call;
            for _ in 0..above {
                call = parent_of(&nodes[1], call).await;
            }
            nodes[through].calls.cancel(call).await.expect("it is known");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let state = world.state();
            let now = state.checks.executions.iter().find(|e| e.call == last.call);
            let ended = now.and_then(|execution| execution.ended);
            assert_eq!(ended, Some(Err(Errno::Cancelled)), "cancelled {above} above, by {through}");
        });
    }
}

#[test]
fn it_reaches_a_call_whose_parent_has_ended() {
    cancels(1);
}

#[test]
fn it_reaches_calls_below_children_that_have_ended() {
    cancels(2);
}
