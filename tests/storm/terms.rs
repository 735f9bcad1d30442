//! What a peer with a certificate claims of newer terms of Raft, to depose the leader.

use std::time::{Duration, Instant};

use ::raft::eraftpb::MessageType;
use faasm::consensus::fuzzing as consensus;
use faasm::net::fuzzing as net;
use faasm::wire::consensus::{Message, Part};
use faasm::wire::encode;

use super::common::intruder::{Intruder, Shows};
use super::common::processes::Processes;
use super::raft;

/// Pause between two claims.
const PAUSE: Duration = Duration::from_millis(20);

/// Claims newer terms at node 2 for so long, in every message that makes Raft believe one. How many
/// were sent.
pub fn claim(cluster: &Processes, length: Duration) -> usize {
    let term = cluster.metric(2, "faasm_consensus_term", "").expect("a term") as u64;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let intruder = Intruder::new(cluster, Shows::Certificate);
        let over = Instant::now() + length;
        let mut sent = 0;
        while Instant::now() < over {
            let Some(conn) = intruder.enter().await else { continue };
            let Ok(mut stream) = conn.open_uni().await else { continue };
            if stream.write_all(&[1]).await.is_err() {
                continue;
            }
            while Instant::now() < over && stream.write_all(&frame(sent, term)).await.is_ok() {
                sent += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        sent
    })
}

fn frame(number: usize, term: u64) -> Vec<u8> {
    const KINDS: [MessageType; 6] = [
        MessageType::MsgHeartbeat,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVoteResponse,
    ];
    let kind = KINDS[number % KINDS.len()];
    let mut message = raft::usual(kind, term + 1 + number as u64, 1);
    (message.from, message.to, message.commit) = (1, 2, 1);
    message.reject = kind == MessageType::MsgRequestPreVoteResponse;
    if kind == MessageType::MsgRequestVote {
        // With the word that the leader asked for it.
        message.context = b"CampaignTransfer".as_slice().into();
    }
    let part = Message::Raft(Part { message: number as u64 + 1, part: 0, parts: 1 });
    let head = encode(&part);
    net::frame(1, 0, &head, &consensus::raft_bytes(&message)).expect("short parts")
}
