//! When this node looks through its blobs for those that another node should have and lacks. Pure.
//!
//! One job at a time. A peer's round is due when it connects, when the members change, again a while
//! after a copy to it, or a round, failed, and every [`PERIOD`], for what no event told. Settling, which turns surplus blobs into cached
//! ones, is due when there are any.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::NodeId;

/// Wait before a peer that stays connected is tried again after a failure; doubled with each
/// further one.
pub const RETRY: Duration = Duration::from_secs(5);
/// Most doublings of [`RETRY`].
const DOUBLINGS: u32 = 4;

/// Time from one complete round to the next with the same peer: a question for every thousand
/// blobs. It finds, for example, a blob that was stored by a node which knew of a new member later
/// than others.
pub const PERIOD: Duration = Duration::from_secs(60);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// What this peer should have and lacks is sent to it.
    Round(NodeId),
    /// What this node need not keep is sent to those that should, and then no longer kept.
    Settle,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These peers are connected now, each by this link.
    Connected(BTreeMap<NodeId, u64>),
    /// A copy that should have been made on this peer was not.
    Missed(NodeId),
    /// A job ended; `complete` if nothing is left of it to do.
    Ended {
        /// Which.
        job: Job,
        /// Whether all was done.
        complete: bool,
    },
    /// The actor looked at the members and at the blobs.
    Looked {
        /// The members are others than before.
        changed: bool,
        /// There are blobs to settle.
        surplus: bool,
    },
    /// The time asked for by [`Effect::Wake`] has come.
    Woken,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Begin a job.
    Begin(Job),
    /// Come back with [`Event::Woken`] at this time; an earlier request is void.
    Wake(Instant),
}

/// Who is connected, and what is due.
#[derive(Debug, Default)]
pub struct Repair {
    links: BTreeMap<NodeId, u64>,
    due: BTreeMap<Job, Instant>,
    failures: BTreeMap<Job, u32>,
    running: Option<Job>,
}

impl Repair {
    /// Takes an event in.
    pub fn on(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected(links) => self.connected(now, links),
            Event::Missed(peer) => self.retry(now, Job::Round(peer)),
            Event::Ended { job, complete } => {
                self.running = None;
                if complete {
                    self.failures.remove(&job);
                    self.due_again(now + PERIOD, job);
                } else {
                    self.retry(now, job);
                    *self.failures.entry(job).or_default() += 1;
                }
            }
            Event::Looked { changed, surplus } => {
                if changed {
                    let rounds = self.links.keys().map(|peer| Job::Round(*peer));
                    self.due.extend(rounds.chain([Job::Settle]).map(|job| (job, now)));
                }
                if surplus && self.running != Some(Job::Settle) {
                    self.due.entry(Job::Settle).or_insert(now);
                }
            }
            Event::Woken => {}
        }
        self.next(now).into_iter().collect()
    }

    fn connected(&mut self, now: Instant, links: BTreeMap<NodeId, u64>) {
        for (peer, link) in &links {
            if self.links.get(peer) != Some(link) {
                self.due.insert(Job::Round(*peer), now);
                self.failures.remove(&Job::Round(*peer));
                // What waited for this peer need not wait longer.
                if let Some(at) = self.due.get_mut(&Job::Settle) {
                    *at = now;
                }
            }
        }
        let alive = |job: &Job| !matches!(job, Job::Round(peer) if !links.contains_key(peer));
        self.due.retain(|job, _| alive(job));
        self.failures.retain(|job, _| alive(job));
        self.links = links;
    }

    fn due_again(&mut self, at: Instant, job: Job) {
        if matches!(job, Job::Round(peer) if self.links.contains_key(&peer)) {
            self.due.entry(job).or_insert(at);
        }
    }

    /// A peer that is not connected is due when it comes back, anyway.
    fn retry(&mut self, now: Instant, job: Job) {
        if !matches!(job, Job::Round(peer) if !self.links.contains_key(&peer)) {
            let failures = self.failures.get(&job).copied().unwrap_or_default();
            let at = now + RETRY * 2u32.pow(failures.min(DOUBLINGS));
            let due = self.due.entry(job).or_insert(at);
            *due = at.min(*due);
        }
    }

    fn next(&mut self, now: Instant) -> Option<Effect> {
        if self.running.is_some() {
            return None;
        }
        let (job, at) = self.due.iter().min_by_key(|(_, at)| **at).map(|(p, at)| (*p, *at))?;
        if at > now {
            return Some(Effect::Wake(at));
        }
        self.due.remove(&job);
        self.running = Some(job);
        Some(Effect::Begin(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    fn connected(links: &[(NodeId, u64)]) -> Event {
        Event::Connected(links.iter().copied().collect())
    }

    fn ended(peer: NodeId, complete: bool) -> Event {
        Event::Ended { job: Job::Round(peer), complete }
    }

    fn round(peer: NodeId) -> Effect {
        Effect::Begin(Job::Round(peer))
    }

    fn looked(changed: bool, surplus: bool) -> Event {
        Event::Looked { changed, surplus }
    }

    #[test]
    fn a_peer_is_due_once_for_each_connection_one_round_at_a_time() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, true)), [round(N3)]);
        let later = Effect::Wake(now + PERIOD);
        assert_eq!(repair.on(now, ended(N3, true)), [later]);
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [later]);
        assert_eq!(repair.on(now, connected(&[(N3, 1)])), [later]);
        assert_eq!(repair.on(now, connected(&[(N2, 2), (N3, 1)])), [round(N2)]);
    }

    #[test]
    fn a_new_connection_during_a_round_makes_another() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, connected(&[(N2, 2)])), []);
        assert_eq!(repair.on(now, ended(N2, false)), [round(N2)]);
    }

    #[test]
    fn failures_are_retried_after_a_while_and_only_on_who_is_there() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, Event::Missed(N2)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now + RETRY, Event::Woken), [round(N2)]);
        assert_eq!(repair.on(now + RETRY, connected(&[])), []);
        assert_eq!(repair.on(now + RETRY, ended(N2, false)), []);
        assert_eq!(repair.on(now + RETRY, Event::Missed(N2)), []);
    }

    #[test]
    fn a_peer_that_comes_does_not_wait_for_one_that_is_retried() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [round(N3)]);
        assert_eq!(repair.on(now, ended(N3, true)), [Effect::Wake(now + RETRY)]);
    }

    #[test]
    fn failure_after_failure_is_retried_more_and_more_seldom() {
        let (mut repair, mut now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [round(N2)]);
        for wait in [1, 2, 4, 8, 16, 16] {
            let at = now + RETRY * wait;
            assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(at)]);
            now = at;
            assert_eq!(repair.on(now, Event::Woken), [round(N2)]);
        }
        assert_eq!(repair.on(now, connected(&[(N2, 2)])), []);
        assert_eq!(repair.on(now, ended(N2, true)), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, false)), [Effect::Wake(now + RETRY)]);
    }

    #[test]
    fn a_change_of_members_makes_rounds_to_all_and_settles_last() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.on(now, connected(&[(N2, 1), (N3, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, true)), [round(N3)]);
        let later = Effect::Wake(now + PERIOD);
        assert_eq!(repair.on(now, ended(N3, true)), [later]);
        assert_eq!(repair.on(now, looked(false, false)), [later]);
        assert_eq!(repair.on(now, looked(true, false)), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, true)), [round(N3)]);
        assert_eq!(repair.on(now, ended(N3, true)), [Effect::Begin(Job::Settle)]);
        assert_eq!(repair.on(now, Event::Ended { job: Job::Settle, complete: true }), [later]);
        assert_eq!(repair.on(now + PERIOD, Event::Woken), [round(N2)]);
    }

    #[test]
    fn surplus_blobs_are_settled_when_they_come_and_when_a_node_they_wait_for_comes() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        let settle = Effect::Begin(Job::Settle);
        let failed = Event::Ended { job: Job::Settle, complete: false };
        assert_eq!(repair.on(now, looked(false, true)), [settle]);
        assert_eq!(repair.on(now, looked(false, true)), []);
        assert_eq!(repair.on(now, failed), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, looked(false, true)), [Effect::Wake(now + RETRY)]);
        assert_eq!(repair.on(now, connected(&[(N2, 1)])), [round(N2)]);
        assert_eq!(repair.on(now, ended(N2, true)), [settle]);
    }
}
