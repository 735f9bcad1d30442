//! From the ends of ranks to the end of their job. Pure.

use std::collections::BTreeMap;

use crate::errno::{CallError, Errno};
use crate::id::NodeId;
use crate::wire::jobs::{RankEnd, Sent, Traffic};

/// Up to so many ranks the record has traffic by pairs of them, above by pairs of nodes.
const BY_RANK: usize = 32;
/// Most pairs in a record; those with the most bytes are kept.
const PAIRS: usize = 1024;

/// How a rank ended badly.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// With this code, in order.
    Code(u8),
    /// It called `MPI_Abort`.
    Aborted(i32),
    /// With this code, and without `MPI_Finalize`.
    Unfinished(u8),
    /// It was stopped.
    Stopped(CallError),
}

/// The ends of a job's ranks so far.
#[derive(Debug)]
pub struct Tally {
    nodes: Vec<NodeId>,
    /// The first that ended badly; and those that the others bore.
    first: Option<(u32, Fault)>,
    borne: Vec<(u32, Fault)>,
    sent: BTreeMap<(u64, u64), (u64, u64)>,
}

/// What is to be done after a rank ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The others run on.
    RunOn,
    /// The others end.
    End,
}

impl Tally {
    /// For ranks on these nodes.
    pub fn new(nodes: &[NodeId]) -> Self {
        let sent = BTreeMap::new();
        Self { nodes: nodes.to_vec(), first: None, borne: Vec::new(), sent }
    }

    /// A rank ended. `tolerant`: the others bear it if it was stopped or left without a word.
    pub fn ended(
        &mut self,
        rank: u32,
        result: &Result<u8, CallError>,
        end: Option<&RankEnd>,
        tolerant: bool,
    ) -> Then {
        let none = RankEnd::default();
        let end = end.unwrap_or(&none);
        end.sent.iter().for_each(|sent| self.count(rank, sent));
        let unfinished = end.begun && !end.finalized;
        let fault = match (end.aborted, result) {
            (Some(code), _) => Fault::Aborted(code),
            (None, Err(error)) => Fault::Stopped(error.clone()),
            (None, Ok(code)) if unfinished => Fault::Unfinished(*code),
            (None, Ok(0)) => return Then::RunOn,
            (None, Ok(code)) => Fault::Code(*code),
        };
        let then = match &fault {
            Fault::Code(_) => Then::RunOn,
            Fault::Aborted(_) => Then::End,
            Fault::Unfinished(_) | Fault::Stopped(_) if tolerant => {
                self.borne.push((rank, fault));
                return Then::RunOn;
            }
            Fault::Unfinished(_) | Fault::Stopped(_) => Then::End,
        };
        self.first.get_or_insert((rank, fault));
        then
    }

    /// Whether the job failed since a node was lost, and so may be tried again.
    pub fn lost_a_node(&self) -> bool {
        let lost = |error: &CallError| error.code == Errno::HostLost;
        matches!(&self.first, Some((_, Fault::Stopped(error))) if lost(error))
    }

    /// The job's result, once all ranks have ended.
    pub fn result(&self) -> Result<u8, CallError> {
        match self.fault() {
            None => Ok(0),
            Some((_, Fault::Code(code))) => Ok(*code),
            Some((_, Fault::Aborted(code))) => Ok(code.to_le_bytes()[0]),
            Some((rank, Fault::Unfinished(0))) => {
                let detail = format!("rank {rank} ended without MPI_Finalize");
                Err(CallError::new(Errno::Failed, detail))
            }
            Some((_, Fault::Unfinished(code))) => Ok(*code),
            Some((rank, Fault::Stopped(error))) => {
                Err(CallError::new(error.code, format!("rank {rank}: {}", error.detail)))
            }
        }
    }

    /// What decides. What was borne counts when nobody was left to bear it.
    fn fault(&self) -> Option<&(u32, Fault)> {
        let all = self.borne.len() == self.nodes.len();
        self.first.as_ref().or_else(|| self.borne.first().filter(|_| all))
    }

    /// Why it failed, for people; empty when it did not.
    pub fn says(&self) -> String {
        let Some((rank, fault)) = self.fault() else { return String::new() };
        let node = self.nodes.get(*rank as usize).copied().unwrap_or(NodeId(0));
        let what = match fault {
            Fault::Code(code) => format!("ended with {code}"),
            Fault::Aborted(code) => format!("called MPI_Abort with {code}"),
            Fault::Unfinished(code) => format!("ended with {code}, without MPI_Finalize"),
            Fault::Stopped(error) => format!("failed: {error}"),
        };
        format!("rank {rank} on {node} {what}")
    }

    fn count(&mut self, rank: u32, sent: &Sent) {
        let (from, to) = match self.by_node() {
            false => (u64::from(rank), u64::from(sent.to)),
            true => (self.number_of(rank), self.number_of(sent.to)),
        };
        if sent.to as usize >= self.nodes.len() {
            return;
        }
        let (messages, bytes) = self.sent.entry((from, to)).or_default();
        *messages = messages.saturating_add(sent.messages);
        *bytes = bytes.saturating_add(sent.bytes);
    }

    fn by_node(&self) -> bool {
        self.nodes.len() > BY_RANK
    }

    fn number_of(&self, rank: u32) -> u64 {
        self.nodes.get(rank as usize).map_or(0, |node| node.0)
    }

    /// Who sent how much to whom, and whether by nodes.
    pub fn traffic(&self) -> (Vec<Traffic>, bool) {
        let row = |(&(from, to), &(messages, bytes))| Traffic { from, to, messages, bytes };
        let mut rows: Vec<_> = self.sent.iter().map(row).collect();
        if rows.len() > PAIRS {
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.bytes));
            rows.truncate(PAIRS);
            rows.sort_unstable_by_key(|row| (row.from, row.to));
        }
        (rows, self.by_node())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(2)];

    fn end(finalized: bool, aborted: Option<i32>) -> RankEnd {
        RankEnd { begun: true, finalized, aborted, sent: Vec::new() }
    }

    fn lost() -> Result<u8, CallError> {
        Err(CallError::new(Errno::HostLost, "n2 was lost"))
    }

    #[test]
    fn a_job_of_ranks_that_end_with_0_ends_with_0() {
        let mut tally = Tally::new(&NODES);
        for rank in 0..3 {
            assert_eq!(tally.ended(rank, &Ok(0), Some(&end(true, None)), false), Then::RunOn);
        }
        assert_eq!((tally.result(), tally.says()), (Ok(0), String::new()));
    }

    #[test]
    fn the_first_code_is_the_jobs_and_the_others_run_on() {
        let mut tally = Tally::new(&NODES);
        assert_eq!(tally.ended(2, &Ok(7), Some(&end(true, None)), false), Then::RunOn);
        assert_eq!(tally.ended(0, &Ok(9), Some(&end(true, None)), false), Then::RunOn);
        assert_eq!(tally.result(), Ok(7));
    }

    #[test]
    fn an_abort_ends_all_with_its_code_and_says_whose_it_was() {
        let mut tally = Tally::new(&NODES);
        assert_eq!(tally.ended(1, &Ok(3), Some(&end(false, Some(3))), true), Then::End);
        assert_eq!(tally.result(), Ok(3));
        assert_eq!(tally.says(), "rank 1 on n2 called MPI_Abort with 3");
        // What a program cannot return is cut as the exit code of a process is.
        let mut tally = Tally::new(&NODES);
        tally.ended(1, &lost(), Some(&end(false, Some(258))), false);
        assert_eq!(tally.result(), Ok(2));
    }

    #[test]
    fn a_rank_that_leaves_without_finalize_fails_the_job_even_with_0() {
        let mut tally = Tally::new(&NODES);
        assert_eq!(tally.ended(0, &Ok(0), Some(&end(false, None)), false), Then::End);
        assert_eq!(tally.result().unwrap_err().code, Errno::Failed);
        // One that never called MPI_Init is no part of it.
        let mut tally = Tally::new(&NODES);
        let never = RankEnd::default();
        assert_eq!(tally.ended(0, &Ok(0), Some(&never), false), Then::RunOn);
        assert_eq!(tally.result(), Ok(0));
    }

    #[test]
    fn a_lost_rank_ends_the_job_unless_the_others_bear_it() {
        let mut tally = Tally::new(&NODES);
        assert_eq!(tally.ended(1, &lost(), None, false), Then::End);
        assert!(tally.lost_a_node());
        assert_eq!(tally.result().unwrap_err().code, Errno::HostLost);
        let mut tally = Tally::new(&NODES);
        assert_eq!(tally.ended(1, &lost(), None, true), Then::RunOn);
        tally.ended(0, &Ok(0), Some(&end(true, None)), true);
        tally.ended(2, &Ok(0), Some(&end(true, None)), true);
        assert_eq!(tally.result(), Ok(0));
        // Nobody is left who did.
        let mut tally = Tally::new(&NODES);
        (0..3).for_each(|rank| assert_eq!(tally.ended(rank, &lost(), None, true), Then::RunOn));
        assert_eq!(tally.result().unwrap_err().code, Errno::HostLost);
    }

    #[test]
    fn traffic_is_by_ranks_and_for_many_ranks_by_nodes() {
        let sent = |to, bytes| Sent { to, messages: 1, bytes };
        let mut tally = Tally::new(&NODES);
        let end = RankEnd { sent: vec![sent(2, 10), sent(9, 1)], ..end(true, None) };
        tally.ended(0, &Ok(0), Some(&end), false);
        let row = Traffic { from: 0, to: 2, messages: 1, bytes: 10 };
        assert_eq!(tally.traffic(), (vec![row], false), "there is no rank 9");
        let nodes: Vec<_> = (0..40).map(|rank| NodeId(1 + rank % 2)).collect();
        let mut tally = Tally::new(&nodes);
        for rank in [0, 2] {
            let end = RankEnd { sent: vec![sent(1, 5), sent(3, 5)], ..end.clone() };
            tally.ended(rank, &Ok(0), Some(&end), false);
        }
        let row = Traffic { from: 1, to: 2, messages: 4, bytes: 20 };
        assert_eq!(tally.traffic(), (vec![row], true));
    }
}
