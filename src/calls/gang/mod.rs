//! MPI jobs: a call that is a job runs no instance. Its launcher finds room for all ranks, keeps it,
//! starts a chained call for each, and makes the job's end of theirs.
//!
//! | part | what it does |
//! |---|---|
//! | [`plan`] | which rank goes to which node; pure |
//! | [`line`] | jobs that wait for room; pure |
//! | [`places`] | places that this node keeps for ranks to come |
//! | [`launch`], [`ranks`] | the launcher, and the ranks that it starts |
//! | [`ending`] | from the ends of ranks to the end of the job; pure |
//! | [`files`] | the files that ranks wrote, as one archive; pure |
//! | [`output`], [`follow`] | what the ranks write, as it comes |

pub mod ending;
mod files;
pub mod follow;
mod launch;
pub mod line;
pub mod output;
pub mod places;
pub mod plan;
mod ranks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::id::NodeId;
use crate::wire::jobs::JobRecord;

use ending::Tally;
use line::Standing;
use output::JobOutput;
pub use plan::{Gang, Host, MapBy};
pub(super) use ranks::no_place;

/// A job on the node that launches it.
pub struct JobRun {
    /// What was asked for.
    pub gang: Gang,
    /// What its ranks write.
    pub output: JobOutput,
    /// Its place in the line, while it waits.
    pub(super) standing: Mutex<Option<Standing>>,
    tolerates: AtomicBool,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    epoch: u32,
    note: String,
    nodes: Arc<[NodeId]>,
    tally: Option<Tally>,
}

impl std::fmt::Debug for JobRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobRun").field("gang", &self.gang).finish_non_exhaustive()
    }
}

impl JobRun {
    /// A job that has a place in the line.
    pub fn new(gang: Gang, output: JobOutput) -> Arc<Self> {
        Arc::new(Self {
            gang,
            output,
            standing: Mutex::default(),
            tolerates: AtomicBool::new(false),
            now: Mutex::default(),
        })
    }

    /// Says what it waits for, or how it ended.
    pub(super) fn says(&self, note: impl Into<String>) {
        self.now.lock().note = note.into();
    }

    /// A try at it begins, on these nodes.
    pub(super) fn begins(&self, epoch: u32, nodes: &[NodeId]) {
        self.tolerates.store(false, Ordering::Release);
        let mut now = self.now.lock();
        now.epoch = epoch;
        now.note.clear();
        now.nodes = nodes.into();
        now.tally = Some(Tally::new(nodes));
    }

    /// Does something with the ends of ranks so far.
    pub(super) fn tally<T>(&self, does: impl FnOnce(&mut Tally) -> T) -> Option<T> {
        self.now.lock().tally.as_mut().map(does)
    }

    /// Whether a rank is on a node: what that node says of it is believed.
    pub(super) fn is_on(&self, rank: u32, node: NodeId) -> bool {
        self.now.lock().nodes.get(rank as usize) == Some(&node)
    }

    /// A rank handles errors itself.
    pub(super) fn tolerates(&self) {
        self.tolerates.store(true, Ordering::Release);
    }

    /// Whether some rank does.
    pub(super) fn is_tolerant(&self) -> bool {
        self.tolerates.load(Ordering::Acquire)
    }

    /// What its record tells.
    pub fn record(&self) -> JobRecord {
        let now = self.now.lock();
        let mut nodes = BTreeMap::new();
        for node in now.nodes.iter() {
            *nodes.entry(*node).or_insert(0) += 1;
        }
        let (traffic, by_node) = now.tally.as_ref().map(Tally::traffic).unwrap_or_default();
        JobRecord {
            ranks: self.gang.ranks,
            epoch: now.epoch,
            note: now.note.clone(),
            nodes: nodes.into_iter().collect(),
            traffic,
            by_node,
        }
    }

    /// A few words on it.
    pub fn note(&self) -> String {
        let now = self.now.lock();
        match now.note.is_empty() {
            true => format!("{} ranks", self.gang.ranks),
            false => now.note.clone(),
        }
    }
}
