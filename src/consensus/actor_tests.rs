use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use raft::eraftpb::{Message as RaftMessage, MessageType};
use tokio::sync::oneshot;

use super::*;
use crate::consensus::conf::Conf;
use crate::consensus::core::CoreSettings;
use crate::consensus::inbox::{Inbox, Input};
use crate::consensus::raft_node::RaftSettings;
use crate::consensus::shared::Shared;
use crate::consensus::testnet::{key, put, soon};
use crate::consensus::transport::Transport;
use crate::id::{Incarnation, NodeId};
use crate::net::SendError;
use crate::wire::consensus::{Answer, Message, Request};

/// There is nobody else.
struct Alone;

impl Transport for Alone {
    fn send(&self, to: NodeId, _: &Message, _: Bytes) -> Result<(), SendError> {
        Err(SendError::Down(to, "there is nobody else".into()))
    }

    fn request(
        &self,
        _: NodeId,
        _: Request,
        _: Instant,
    ) -> BoxFuture<'static, Result<Answer, String>> {
        Box::pin(async { Err("there is nobody else".into()) })
    }

    fn why_down(&self, _: NodeId) -> Option<String> {
        None
    }
}

fn parts(dir: &std::path::Path) -> DriverParts {
    let me = NodeId(1);
    let raft = RaftSettings {
        me,
        founds: Some(Conf::new(vec![me], vec![])),
        snapshot_after: 100,
        seed: 1,
    };
    DriverParts {
        settings: CoreSettings {
            raft,
            incarnation: Incarnation(1),
            replace_after: std::time::Duration::from_secs(60),
            session: Duration::from_millis(800),
            http: String::new(),
            key: None,
            founding: None,
            numbers: Arc::default(),
            restarts: 0,
        },
        dir: dir.to_owned(),
        tick: Duration::from_millis(10),
        inbox: Inbox::new(),
        shared: Arc::new(Shared::new()),
        transport: Arc::new(Alone),
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A message that the door never lets in: raft-rs panics on it.
fn poison() -> Input {
    let mut message = RaftMessage::default();
    message.set_msg_type(MessageType::MsgReadIndex);
    Input::Raft(message, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_panics_is_started_again_with_its_data_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(dir.path());
    let core = parts.open().unwrap();
    let (actor, ended) = Supervisor::spawn(None, Supervisor, (parts.clone(), core)).await.unwrap();
    let shared = parts.shared.clone();
    until("the session is live", || shared.session_is_live()).await;
    let (reply, answer) = oneshot::channel();
    assert!(parts.inbox.put(Input::Propose(put("f"), 10, soon(), reply)));
    answer.await.unwrap().unwrap();
    for restart in 0..=MAX_RESTARTS {
        until(&format!("it works after restart {restart}"), || shared.session_is_live()).await;
        assert!(shared.function(&key("f")).is_some());
        assert!(parts.inbox.put(poison()));
        until("it is down", || !shared.session_is_live()).await;
    }
    until("it is given up", || shared.failure().is_some()).await;
    let why = shared.failure().unwrap();
    assert!(why.starts_with("it failed 4 times"), "{why}");
    actor.stop(None);
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_told_to_stop_ends_its_session_and_its_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let first = parts(dir.path());
    let core = first.open().unwrap();
    let (_, ended) = Supervisor::spawn(None, Supervisor, (first.clone(), core)).await.unwrap();
    until("the session is live", || first.shared.session_is_live()).await;
    first.shared.stop();
    ended.await.unwrap();
    assert!(first.shared.sessions().is_empty(), "its end was agreed on");
    parts(dir.path()).open().expect("the log is free again");
}
