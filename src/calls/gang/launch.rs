//! The launcher of a job: from a place in the line to the end of its last rank.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::ending::{Tally, Then, where_waited};
use super::plan::{Room, plan};
use super::{JobRun, files, ranks::Started};
use crate::calls::Calls;
use crate::calls::cell::{CallCell, Ended};
use crate::calls::live::{LiveCall, Origin};
use crate::calls::spec::Spec;
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::{Control, EndReason};
use crate::id::{Attempt, CallId, NodeId};
use crate::wire::calls::{CallMessage, CallReply, CallRequest};
use crate::wire::jobs::Reserve;

/// How long a node may take to keep places.
const ASK: Duration = Duration::from_secs(2);
/// Between two looks for room: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How often the layout is thought over when a node has less room than was believed.
const PLANS: usize = 4;
/// How long ranks may take to end by themselves once one has failed.
const BY_THEMSELVES: Duration = Duration::from_millis(500);
/// How much later than others this node may hear why: a lost node is silent for 3 s to each.
const WHY: Duration = Duration::from_secs(3);
/// How long ranks that were ended may take to be over.
const ENDING: Duration = Duration::from_secs(4);

/// What the launcher leaves behind in any case: the end of its call.
struct Launched<'a> {
    calls: &'a Calls,
    live: &'a Arc<LiveCall>,
    armed: bool,
}

impl Drop for Launched<'_> {
    fn drop(&mut self) {
        if self.armed {
            let detail = "the runtime failed while it launched this job; the node's log says more";
            let error = CallError::new(Errno::Failed, detail);
            self.calls.finish_job(self.live, Err(error), Bytes::new(), Bytes::new());
        }
    }
}

/// Places that are kept on nodes; given back when dropped, unless ranks came for them.
struct Kept<'a> {
    calls: &'a Calls,
    world: CallId,
    ticket: u64,
    nodes: Vec<NodeId>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let (me, world) = (self.calls.me(), self.world);
        for node in &self.nodes {
            if *node == me {
                self.calls.places().lock().release((me, world, self.ticket));
            } else {
                let message = CallMessage::Release(world, self.ticket);
                let _ = self.calls.net().send(*node, &message, Bytes::new());
            }
        }
    }
}

impl Calls {
    /// Takes a job in: it stands in line, and its launcher runs. `FAASM_EFULL` when as many wait as
    /// may.
    pub(in crate::calls) fn launch(
        &self,
        spec: &Arc<Spec>,
        cell: &Arc<CallCell>,
        run: &Arc<JobRun>,
    ) -> Result<(), CallError> {
        let Some(standing) = self.line().join(&spec.user.user, spec.call) else {
            let detail = format!(
                "{} jobs of this user, or {} in all, wait for room on this node already",
                super::line::PER_USER,
                super::line::PER_NODE
            );
            return Err(CallError::new(Errno::Full, detail));
        };
        let Some(place) = Self::place_for_job(&spec.user) else {
            let detail = format!("{} has as many calls on this node as it may", spec.user.user);
            return Err(CallError::new(Errno::Full, detail));
        };
        *run.standing.lock() = Some(standing);
        cell.placed(self.me(), Attempt(0));
        let origin = Origin::Here(cell.clone());
        let live = LiveCall::new(self.clone(), spec.clone(), Attempt(0), origin, place);
        self.live().insert(spec.call, live.clone());
        let (calls, run) = (self.clone(), run.clone());
        self.spawn(async move { calls.run_job(&live, &run).await });
        Ok(())
    }

    async fn run_job(&self, live: &Arc<LiveCall>, run: &Arc<JobRun>) {
        let mut launched = Launched { calls: self, live, armed: true };
        let result = self.tries(live, run).await;
        *run.standing.lock() = None;
        let (result, output) = match result {
            Err(error) => (Err(error), Bytes::new()),
            Ok((code, output)) => (Ok(code), output),
        };
        let log = run.output.close();
        launched.armed = false;
        self.finish_job(live, result, output, log);
    }

    /// Runs the job, again with fresh ranks when a node was lost and the function says so. Gives its
    /// code and its output, which is what its ranks left.
    async fn tries(
        &self,
        live: &Arc<LiveCall>,
        run: &Arc<JobRun>,
    ) -> Result<(u8, Bytes), CallError> {
        let retries = live.spec.function.entry.options.retries;
        let mut epoch = 0;
        loop {
            let (nodes, ticket) = self.find_room(live, run).await?;
            *run.standing.lock() = None;
            run.begins(epoch, &nodes);
            live.launches();
            let kept = self.held_places(&live.spec, ticket, &nodes);
            let ranks = self.start_ranks(live, run, epoch, (nodes, ticket));
            let stopped = self.watch_ranks(live, run, &ranks).await;
            drop(kept);
            let late = || run.tally(|tally| tally.is_late()).unwrap_or(false);
            if let Some(reason) = stopped.or_else(|| late().then_some(EndReason::TimedOut)) {
                return Err(stopped_error(reason, &ranks));
            }
            let lost = run.tally(|tally| tally.lost_a_node()).unwrap_or(false);
            let says = run.tally(|tally| tally.says()).unwrap_or_default();
            if lost && epoch < retries && live.control.ended().is_none() {
                epoch += 1;
                run.output.says(&format!("{says}: the job is tried again"));
                continue;
            }
            if !says.is_empty() {
                run.output.says(&says);
                run.says(says);
            }
            let code = run.tally(|tally| tally.result()).unwrap_or(Ok(0))?;
            let (output, lost) = self.output_of(live, &ranks).await?;
            lost.into_iter().for_each(|lost| run.output.says(&lost));
            return Ok((code, output));
        }
    }

    /// What the ranks left that ended by themselves, together; and what of it is lost, for people.
    async fn output_of(
        &self,
        live: &LiveCall,
        ranks: &[Started],
    ) -> Result<(Bytes, Option<String>), CallError> {
        let most = live.spec.function.entry.limits.output;
        let (mut outputs, mut size) = (Vec::new(), 0);
        for rank in ranks {
            let Some(ended) = rank.cell.ended().filter(|ended| ended.result.is_ok()) else {
                continue;
            };
            let output = self.payload(rank.call, &ended.output, live.spec.tree.deadline);
            // What is more than all may be is not asked for.
            if rank.rank == 0 || size <= most {
                let output = output.await?;
                size += output.len() as u64;
                outputs.push((rank.rank, output));
            }
        }
        Ok(files::merge(outputs, most))
    }

    fn held_places(&self, spec: &Spec, ticket: u64, nodes: &[NodeId]) -> Kept<'_> {
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        Kept { calls: self, world: spec.call, ticket, nodes }
    }

    /// Waits for room for all ranks at once, and has it kept.
    async fn find_room(
        &self,
        live: &Arc<LiveCall>,
        run: &Arc<JobRun>,
    ) -> Result<(Vec<NodeId>, u64), CallError> {
        let mut pause = PAUSE.0;
        loop {
            let before = run.standing.lock().as_ref().map_or(0, super::line::Standing::before);
            let wait = async {
                if before == 0
                    && let Some(room) = self.try_room(live, run).await
                {
                    return Some(room);
                }
                tokio::time::sleep(self.jitter(pause)).await;
                None
            };
            if before > 0 {
                run.says(format!("waits behind {before} jobs of its user"));
            }
            tokio::select! {
                reason = ended(&live.control) => return Err(self.gave_up(run, reason)),
                room = wait => {
                    if let Some(room) = room {
                        return Ok(room);
                    }
                }
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// The error of a job that ended while it waited; one whose time is up says for what.
    fn gave_up(&self, run: &JobRun, reason: EndReason) -> CallError {
        let error = reason.error();
        match reason {
            EndReason::TimedOut => {
                CallError::new(error.code, format!("the job {} until its deadline", run.note()))
            }
            _ => error,
        }
    }

    fn ticket(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.draw().to_le_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// A bit more or less than `pause`: launchers that want the same places do not meet for ever.
    fn jitter(&self, pause: Duration) -> Duration {
        let part = u32::from(self.draw().to_le_bytes()[0]);
        pause / 2 + pause * part / 256
    }

    /// Plans, and has places kept; `None`, and it is said why, when there are too few now.
    async fn try_room(&self, live: &LiveCall, run: &JobRun) -> Option<(Vec<NodeId>, u64)> {
        let gang = &run.gang;
        let mut rooms = self.rooms(&live.spec, run);
        for _ in 0..PLANS {
            let nodes = match plan(gang.ranks, gang.map_by, &rooms) {
                Ok(nodes) => nodes,
                Err(no) => {
                    let which = if gang.hosts.is_empty() { "" } else { " of the named hosts" };
                    run.says(format!(
                        "waits for {} places; {} are free on {} nodes{which} that take calls",
                        gang.ranks, no.free, no.nodes
                    ));
                    return None;
                }
            };
            // What is given back of one attempt must not be that of another.
            let ticket = self.ticket();
            let kept = self.held_places(&live.spec, ticket, &nodes);
            match self.reserve_all(&live.spec, run, ticket, &nodes).await {
                Ok(()) => {
                    // They are for the ranks now.
                    std::mem::forget(kept);
                    return Some((nodes, ticket));
                }
                Err(less) => {
                    for room in &mut rooms {
                        room.free = less.get(&room.node).map_or(room.free, |n| room.free.min(*n));
                    }
                }
            }
        }
        run.says(format!("waits for {} places, which others were faster to take", gang.ranks));
        None
    }

    /// Has places kept on all nodes; else says which have room for how many.
    async fn reserve_all(
        &self,
        spec: &Spec,
        run: &JobRun,
        ticket: u64,
        nodes: &[NodeId],
    ) -> Result<(), BTreeMap<NodeId, u32>> {
        let mut counts: BTreeMap<NodeId, u32> = BTreeMap::new();
        nodes.iter().for_each(|node| *counts.entry(*node).or_default() += 1);
        let key = &spec.function.key;
        let asks = counts.into_iter().map(|(node, ranks)| async move {
            let asked = Reserve {
                world: spec.call,
                ticket,
                user: key.user.to_string(),
                name: key.name.to_string(),
                ranks,
                instances: spec.function.entry.limits.instances,
            };
            let reply = match node == self.me() {
                true => self.reserve(node, &asked),
                false => {
                    let request = CallRequest::Reserve(asked);
                    let asked =
                        self.net().request(node, request, Bytes::new(), clock::now() + ASK).await;
                    asked.map_or(CallReply::Unknown, |(reply, _)| reply)
                }
            };
            match reply {
                CallReply::Done => None,
                CallReply::NoRoom(room) => Some((node, room.free_places.min(ranks - 1))),
                _ => Some((node, 0)),
            }
        });
        let less: BTreeMap<_, _> = join_all(asks).await.into_iter().flatten().collect();
        run.says("");
        if less.is_empty() { Ok(()) } else { Err(less) }
    }

    /// The nodes that the job may use, in the order in which they are to be used.
    fn rooms(&self, spec: &Spec, run: &JobRun) -> Vec<Room> {
        let mut rooms = self.scheduler().rooms(&spec.needs);
        let hosts = &run.gang.hosts;
        if hosts.is_empty() {
            let me = self.me();
            rooms.sort_by_key(|room| (std::cmp::Reverse(room.free), room.node != me, room.node));
            return rooms.into_iter().map(Room::from).collect();
        }
        let named = hosts.iter().filter_map(|host| {
            let room = rooms.iter().find(|room| room.node == host.node)?;
            let most = host.slots.unwrap_or(u32::MAX);
            let cores = host.slots.unwrap_or(room.cores);
            Some(Room { node: room.node, free: room.free.min(most), cores })
        });
        named.collect()
    }

    /// Waits until all ranks have ended. When one has failed, or the job is to end, those that do
    /// not end by themselves are ended. Why, if somebody ends the job.
    async fn watch_ranks(
        &self,
        live: &Arc<LiveCall>,
        run: &Arc<JobRun>,
        ranks: &[Started],
    ) -> Option<EndReason> {
        let mut waits: FuturesUnordered<_> = ranks.iter().map(Started::wait).collect();
        let (mut stopped, mut until, mut cancelled) = (None, None, false);
        loop {
            let late = async {
                match until {
                    Some(until) => tokio::time::sleep_until(clock::at(until)).await,
                    None => std::future::pending().await,
                }
            };
            let cancel = tokio::select! {
                biased;
                reason = ended(&live.control), if stopped.is_none() => {
                    stopped = Some(reason);
                    // By then ranks end by themselves, and say where they were.
                    let soon = clock::now() + BY_THEMSELVES;
                    until = Some(until.map_or(soon, |until| soon.min(until)));
                    reason != EndReason::TimedOut
                }
                next = waits.next() => {
                    let Some((rank, ended)) = next else { return stopped };
                    let (then, knows) = self.rank_ended(run, rank, &ended);
                    if then == Then::End && !cancelled {
                        let latest = clock::now() + if knows { BY_THEMSELVES } else { WHY };
                        until = Some(until.map_or(latest, |until| latest.min(until)));
                    }
                    false
                }
                () = late => {
                    if cancelled {
                        tracing::warn!(job = %live.spec.call, "ranks of a job are not over in time");
                        return stopped;
                    }
                    true
                }
            };
            if cancel && !cancelled {
                cancelled = true;
                until = Some(clock::now() + ENDING);
                run.tally(Tally::ends);
                self.cancel_children(live);
            }
        }
    }

    /// What is to be done after a rank ended, and whether it is known why.
    fn rank_ended(&self, run: &JobRun, rank: u32, ended: &Ended) -> (Then, bool) {
        run.output.ended(rank);
        let (end, tolerant) = (ended.rank.as_ref(), run.is_tolerant());
        let then =
            run.tally(|tally| (tally.ended(rank, &ended.result, end, tolerant), tally.knows_why()));
        then.unwrap_or((Then::RunOn, false))
    }
}

/// The error of a job that somebody ended, or whose time is up: it says where the ranks were.
fn stopped_error(reason: EndReason, ranks: &[Started]) -> CallError {
    let mut error = reason.error();
    let ended: Vec<_> =
        ranks.iter().filter_map(|rank| Some((rank.rank, rank.cell.ended()?))).collect();
    let ends = ended.iter().filter_map(|(rank, ended)| Some((*rank, ended.result.as_ref().err()?)));
    error.detail.push_str(&where_waited(ends));
    error
}

/// Waits until a call is to end.
async fn ended(control: &Control) -> EndReason {
    poll_fn(|cx| control.poll_ended(cx).map_or(Poll::Pending, Poll::Ready)).await
}
