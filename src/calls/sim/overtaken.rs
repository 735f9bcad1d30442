//! A call whose large input comes on a stream of its own, behind what is said of the call.

use std::time::Duration;

use bytes::Bytes;

use super::guests::Program;
use super::repeats::{on_three_nodes, request};
use crate::calls::cell::Payload;
use crate::id::{Attempt, CallId};

/// Longer than what travels with a message.
const LARGE: u32 = 70_000;
/// Calls that are cancelled; about every second cancel comes before the input.
const CALLS: usize = 20;

#[test]
fn a_cancel_that_comes_before_the_start_ends_the_call() {
    on_three_nodes(|world, nodes| async move {
        for at in 0..CALLS {
            let mut request = request();
            request.input = Program { padding: LARGE, ..Program::chain(0) }.to_input();
            request.pin = vec![nodes[1].life.node];
            request.idempotency = Some(format!("key{at}"));
            let call = nodes[0].calls.submit(request).await.expect("it is accepted");
            nodes[at % 3].calls.cancel(call).await.expect("it is known");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = world.state();
        let runs = state.checks.executions.iter().find(|e| e.ended.is_none());
        assert!(runs.is_none(), "it was cancelled, and runs: {runs:?}");
    });
}

#[test]
fn two_tries_of_a_call_keep_an_output_each() {
    on_three_nodes(|_, nodes| async move {
        let (maker, reader) = (&nodes[0].calls, &nodes[1].calls);
        let output = |attempt: u32| Bytes::from(vec![attempt as u8; LARGE as usize]);
        let keep = |attempt| {
            let key = (CallId(1), Attempt(attempt), false);
            maker.keep_large(key, Payload::Here(output(attempt)))
        };
        let kept = [keep(0), keep(1)];
        let until = crate::clock::now() + Duration::from_secs(5);
        for (attempt, payload) in (0..).zip(&kept) {
            for calls in [maker, reader] {
                let bytes = calls.payload(CallId(1), payload, until).await.expect("it is kept");
                assert_eq!(bytes, output(attempt));
            }
        }
    });
}
