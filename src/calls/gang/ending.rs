//! From the ends of ranks to the end of their job. Pure.

use std::collections::BTreeMap;

use crate::errno::{CallError, Errno};
use crate::id::NodeId;
use crate::wire::jobs::{Aborted, RankEnd, Sent, Traffic};

/// Up to so many ranks the record has traffic by pairs of them, above by pairs of nodes.
const BY_RANK: usize = 32;
/// Most pairs in a record; those with the most bytes are kept.
const PAIRS: usize = 1024;
/// Most ranks that are named where many did the same.
const NAMED: usize = 8;

/// How a rank ended badly.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// With this code, in order.
    Code(u8),
    /// With this code, and without `MPI_Finalize`.
    Unfinished(u8),
    /// It was stopped.
    Stopped(CallError),
}

/// The ends of a job's ranks so far.
#[derive(Debug)]
pub struct Tally {
    nodes: Vec<NodeId>,
    /// The first that ended badly by itself; and those that the others bore.
    first: Option<(u32, Fault)>,
    borne: Vec<(u32, Fault)>,
    aborted: Option<Aborted>,
    ending: bool,
    sent: BTreeMap<(u64, u64), (u64, u64)>,
}

/// What is to be done after a rank ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The others run on.
    RunOn,
    /// The others are about to end.
    End,
}

impl Tally {
    /// For ranks on these nodes.
    pub fn new(nodes: &[NodeId]) -> Self {
        Self {
            nodes: nodes.to_vec(),
            first: None,
            borne: Vec::new(),
            aborted: None,
            ending: false,
            sent: BTreeMap::new(),
        }
    }

    /// The ranks that are left are ended: what comes of them says nothing of the job.
    pub fn ends(&mut self) {
        self.ending = true;
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
        if self.ending {
            self.explain(rank, result, end);
            return Then::End;
        }
        if let Some(aborted) = &end.aborted {
            let known = self.aborted.get_or_insert_with(|| aborted.clone());
            // It ended since another one did, or gave the code itself.
            let led = matches!(result, Err(error) if error.detail.starts_with(&aborted.why));
            if led || (known.code.is_some() && !end.finalized) {
                return Then::End;
            }
        }
        let unfinished = end.begun && !end.finalized;
        let fault = match result {
            Err(error) => Fault::Stopped(error.clone()),
            Ok(code) if unfinished => Fault::Unfinished(*code),
            Ok(0) => return Then::RunOn,
            Ok(code) => Fault::Code(*code),
        };
        match fault {
            Fault::Code(_) => {
                self.first.get_or_insert((rank, fault));
                Then::RunOn
            }
            Fault::Unfinished(_) | Fault::Stopped(_) if tolerant => {
                self.borne.push((rank, fault));
                Then::RunOn
            }
            Fault::Unfinished(_) | Fault::Stopped(_) => {
                self.first.get_or_insert((rank, fault));
                Then::End
            }
        }
    }

    /// What the others ended for may be heard after them.
    fn explain(&mut self, rank: u32, result: &Result<u8, CallError>, end: &RankEnd) {
        let Some(aborted) = self.aborted.as_ref().filter(|_| !self.knows_why()) else { return };
        let fault = match result {
            Err(error) if error.detail.starts_with(&aborted.why) => return,
            Err(error) if error.code == Errno::Cancelled => return,
            Err(error) => Fault::Stopped(error.clone()),
            Ok(code) if end.begun && !end.finalized => Fault::Unfinished(*code),
            Ok(_) => return,
        };
        self.first = Some((rank, fault));
    }

    /// Whether it is known which rank made the others end.
    pub fn knows_why(&self) -> bool {
        self.fault().is_some() || self.code().is_some()
    }

    /// Whether the job failed since a node was lost, and so may be tried again: also when a rank
    /// failed of which nobody heard how.
    pub fn lost_a_node(&self) -> bool {
        match &self.first {
            Some((_, Fault::Stopped(error))) => error.code == Errno::HostLost,
            Some(_) => false,
            None => self.aborted.is_some() && !self.knows_why(),
        }
    }

    /// Whether a rank was the first to hear that the job's time is up.
    pub fn is_late(&self) -> bool {
        let late = |error: &CallError| error.code == Errno::TimedOut;
        matches!(&self.first, Some((_, Fault::Stopped(error))) if late(error))
    }

    /// The code that a rank aborted the job with.
    fn code(&self) -> Option<i32> {
        self.aborted.as_ref().and_then(|aborted| aborted.code)
    }

    /// The job's result, once all ranks have ended.
    pub fn result(&self) -> Result<u8, CallError> {
        if let Some(code) = self.code() {
            return Ok(code.to_le_bytes()[0]);
        }
        match (self.fault(), &self.aborted) {
            (None, None) => Ok(0),
            (None, Some(aborted)) => Err(CallError::new(Errno::HostLost, &aborted.why)),
            (Some((_, Fault::Code(code))), _) => Ok(*code),
            (Some((rank, Fault::Unfinished(0))), _) => {
                let detail = format!("rank {rank} ended without MPI_Finalize");
                Err(CallError::new(Errno::Failed, detail))
            }
            (Some((_, Fault::Unfinished(code))), _) => Ok(*code),
            (Some((rank, Fault::Stopped(error))), _) => {
                Err(CallError::new(error.code, format!("rank {rank}: {}", error.detail)))
            }
        }
    }

    /// What decides. What was borne counts when nobody was left to bear it.
    fn fault(&self) -> Option<&(u32, Fault)> {
        let all = self.borne.len() == self.nodes.len();
        let counts = |_: &&(u32, Fault)| all || self.aborted.is_some();
        self.first.as_ref().or_else(|| self.borne.first().filter(counts))
    }

    /// Why it failed, for people; empty when it did not.
    pub fn says(&self) -> String {
        match (self.code(), self.fault(), &self.aborted) {
            (None, Some((rank, fault)), _) => self.describe(*rank, fault),
            (_, _, Some(aborted)) => aborted.why.clone(),
            _ => String::new(),
        }
    }

    fn describe(&self, rank: u32, fault: &Fault) -> String {
        let node = self.nodes.get(rank as usize).copied().unwrap_or(NodeId(0));
        let what = match fault {
            Fault::Code(code) => format!("ended with {code}"),
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

/// Where ranks were when they were ended, from what their errors say: those of one call together.
pub fn where_waited<'e>(ends: impl Iterator<Item = (u32, &'e CallError)>) -> String {
    let mut calls: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (rank, error) in ends {
        if let Some((_, call)) = error.detail.rsplit_once(" waited in ") {
            calls.entry(call).or_default().push(rank);
        }
    }
    let mut says = String::new();
    for (call, ranks) in calls {
        let some: Vec<_> = ranks.iter().take(NAMED).map(u32::to_string).collect();
        let more = match ranks.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let word = if ranks.len() == 1 { "rank" } else { "ranks" };
        says.push_str(&format!("; {word} {}{more} waited in {call}", some.join(", ")));
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(2)];

    fn end(finalized: bool, code: Option<Option<i32>>) -> RankEnd {
        let aborted = code.map(|code| Aborted { code, why: "rank 1 did it".to_owned() });
        RankEnd { begun: true, finalized, aborted, sent: Vec::new() }
    }

    fn led() -> Result<u8, CallError> {
        Err(CallError::new(Errno::Failed, "rank 1 did it"))
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
    fn an_abort_ends_all_with_its_code_whoever_is_heard_first() {
        for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1]] {
            let mut tally = Tally::new(&NODES);
            for rank in order {
                let result = if rank == 1 { Ok(3) } else { led() };
                let end = end(false, Some(Some(3)));
                assert_eq!(tally.ended(rank, &result, Some(&end), true), Then::End);
            }
            assert_eq!((tally.result(), tally.says()), (Ok(3), "rank 1 did it".to_owned()));
        }
        // What a program cannot return is cut as the exit code of a process is.
        let mut tally = Tally::new(&NODES);
        tally.ended(1, &lost(), Some(&end(false, Some(Some(258)))), false);
        assert_eq!(tally.result(), Ok(2));
    }

    #[test]
    fn the_cause_is_told_and_not_what_followed_from_it() {
        let mut tally = Tally::new(&NODES);
        let end = end(false, Some(None));
        assert_eq!(tally.ended(0, &led(), Some(&end), false), Then::End);
        let error = tally.result().unwrap_err();
        assert_eq!((error.code, &*error.detail), (Errno::HostLost, "rank 1 did it"));
        assert!(!tally.knows_why() && tally.lost_a_node(), "as long as nothing else is known");
        let trap = Err(CallError::new(Errno::Failed, "unreachable"));
        tally.ended(1, &trap, Some(&end), false);
        tally.ends();
        let cancelled = Err(CallError::new(Errno::Cancelled, "the call was cancelled"));
        tally.ended(2, &cancelled, Some(&end), false);
        assert_eq!(tally.result().unwrap_err().detail, "rank 1: unreachable");
        assert!(tally.says().starts_with("rank 1 on n2 failed"), "{}", tally.says());
    }

    #[test]
    fn what_the_others_ended_for_explains_it_also_when_it_is_heard_last() {
        let trap = || Err(CallError::new(Errno::Failed, "unreachable"));
        for (result, says) in [(lost(), "rank 1: n2 was lost"), (trap(), "rank 1: unreachable")] {
            let mut tally = Tally::new(&NODES);
            tally.ended(0, &led(), Some(&end(false, Some(None))), false);
            tally.ends();
            let cancelled = Err(CallError::new(Errno::Cancelled, "the call was cancelled"));
            tally.ended(2, &cancelled, Some(&end(false, Some(None))), false);
            assert!(!tally.knows_why());
            tally.ended(1, &result, Some(&end(false, None)), false);
            assert_eq!(tally.lost_a_node(), result == lost());
            assert_eq!(tally.result().unwrap_err().detail, says);
        }
        // Of a job that is ended for something else it explains nothing.
        let mut tally = Tally::new(&NODES);
        tally.ends();
        tally.ended(1, &lost(), None, false);
        assert!(!tally.knows_why());
    }

    #[test]
    fn ranks_that_waited_in_one_call_are_named_together() {
        let ends: Vec<_> = (0..12)
            .map(|rank| {
                let call = if rank == 3 { None } else { Some("MPI_Recv") };
                let detail = format!("time is up{}", crate::wire::jobs::waited(rank, call));
                (rank, CallError::new(Errno::TimedOut, detail))
            })
            .collect();
        let said = where_waited(ends.iter().map(|(rank, error)| (*rank, error)));
        let expected = "; ranks 0, 1, 2, 4, 5, 6, 7, 8 and 3 more waited in MPI_Recv\
                        ; rank 3 waited in no call of MPI";
        assert_eq!(said, expected);
        assert_eq!(where_waited(std::iter::once((0, &CallError::new(Errno::Failed, "x")))), "");
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
