//! MPI jobs as calls know them: places kept for their ranks, how ranks ended, and what a record
//! tells of a job.

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{CallId, NodeId};

/// Keep places for ranks of a job, all of them or none.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Reserve {
    /// The job.
    pub world: CallId,
    /// The name of these places: the job's ranks show it, and another attempt has another one.
    pub ticket: u64,
    /// Its user.
    pub user: String,
    /// Its function.
    pub name: String,
    /// So many ranks.
    pub ranks: u32,
    /// Most instances of that function on one node.
    pub instances: u32,
}

/// What a rank's error says at its end of where it was.
pub fn waited(rank: u32, call: Option<&str>) -> String {
    match call {
        Some(call) => format!("; rank {rank} waited in {call}"),
        None => format!("; rank {rank} waited in no call of MPI"),
    }
}

/// What one rank has sent to another.
#[derive(
    Archive, Serialize, Deserialize, serde::Serialize, Clone, Copy, PartialEq, Eq, Debug, Default,
)]
pub struct Sent {
    /// To this rank of the world.
    pub to: u32,
    /// So many messages.
    pub messages: u64,
    /// So many bytes in them.
    pub bytes: u64,
}

/// Why a job was aborted.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Aborted {
    /// The code that a rank gave; none when a rank failed.
    pub code: Option<i32>,
    /// For people.
    pub why: String,
}

/// How a rank left its job.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
pub struct RankEnd {
    /// Whether it called `MPI_Init`.
    pub begun: bool,
    /// Whether it called `MPI_Finalize`.
    pub finalized: bool,
    /// Why its job was aborted, if it was.
    pub aborted: Option<Aborted>,
    /// What it sent.
    pub sent: Vec<Sent>,
}

/// What two ranks, or the ranks of two nodes, have said to each other, in one direction.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// The sender: a rank, or a node's number.
    pub from: u64,
    /// The receiver, likewise.
    pub to: u64,
    /// So many messages.
    pub messages: u64,
    /// So many bytes in them.
    pub bytes: u64,
}

/// What a record tells of a job.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
pub struct JobRecord {
    /// Its ranks.
    pub ranks: u32,
    /// Which try is current.
    pub epoch: u32,
    /// What it waits for, or how it ended, for people; empty when there is nothing to say.
    pub note: String,
    /// How many ranks are on which node, in the order of the nodes.
    pub nodes: Vec<(NodeId, u32)>,
    /// Who sent how much to whom: of those ranks that have ended.
    pub traffic: Vec<Traffic>,
    /// Whether `traffic` is of pairs of nodes: there are too many ranks for pairs of those.
    pub by_node: bool,
}

/// What a rank that runs has sent.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RankSummary {
    /// Its rank.
    pub rank: u32,
    /// So many messages.
    pub messages: u64,
    /// So many bytes in them.
    pub bytes: u64,
}
