//! MPI jobs in answers.

use serde::{Deserialize, Serialize};

use crate::wire::jobs::{JobRecord, RankSummary, Traffic};

/// The ranks of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// How many there are.
    pub ranks: u32,
    /// Which try is current, from 0.
    pub epoch: u32,
    /// What it waits for, or how it ended, for people.
    pub note: String,
    /// Where they are.
    pub nodes: Vec<RanksView>,
    /// Who sent how much to whom, of those ranks that have ended.
    pub traffic: Vec<TrafficView>,
}

/// Ranks of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanksView {
    /// The node.
    pub node: String,
    /// How many of the job's ranks are there.
    pub ranks: u32,
}

/// What one has sent to another: ranks by their number, or nodes where there are many ranks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// So many messages.
    pub messages: u64,
    /// So many bytes in them.
    pub bytes: u64,
}

/// What a rank that runs has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankView {
    /// Its rank.
    pub rank: u32,
    /// So many messages.
    pub messages: u64,
    /// So many bytes in them.
    pub bytes: u64,
}

impl From<&JobRecord> for JobView {
    fn from(job: &JobRecord) -> Self {
        let name = |number: u64| match job.by_node {
            true => format!("n{number}"),
            false => number.to_string(),
        };
        let traffic = |row: &Traffic| TrafficView {
            from: name(row.from),
            to: name(row.to),
            messages: row.messages,
            bytes: row.bytes,
        };
        let ranks = |(node, ranks): &(crate::id::NodeId, u32)| RanksView {
            node: node.to_string(),
            ranks: *ranks,
        };
        Self {
            ranks: job.ranks,
            epoch: job.epoch,
            note: job.note.clone(),
            nodes: job.nodes.iter().map(ranks).collect(),
            traffic: job.traffic.iter().map(traffic).collect(),
        }
    }
}

impl From<RankSummary> for RankView {
    fn from(rank: RankSummary) -> Self {
        Self { rank: rank.rank, messages: rank.messages, bytes: rank.bytes }
    }
}
