//! The clock of calls: ends those whose time is up, and those whose node or session was lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::live::Origin;
use super::spec::now_us;
use super::{Calls, metrics as names};
use crate::actor::Kept;
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::NodeId;

/// How often deadlines are looked at while few calls live, and how many are few.
const TICK: Duration = Duration::from_millis(10);
const FEW: usize = 1_000;
/// With more calls, only every so many ticks: looking at each takes time.
const MANY_EVERY: u64 = 5;
/// Gauges and old records are seen to every so many ticks.
const HOUSEKEEPING_EVERY: u64 = 100;

/// Starts the actor.
pub(super) async fn spawn(calls: Calls) -> anyhow::Result<Kept> {
    Ok(crate::actor::keep(move || Clock { calls: calls.clone() }).await?)
}

struct Clock {
    calls: Calls,
}

enum Message {
    Tick,
    PeersChanged,
}

struct State {
    links: BTreeMap<NodeId, u64>,
    had_session: bool,
    ticks: u64,
}

impl Actor for Clock {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Message>, (): ()) -> Result<State, ActorProcessingErr> {
        me.send_interval(TICK, || Message::Tick);
        let mut peers = self.calls.net().peers();
        tokio::spawn(async move {
            while peers.changed().await.is_ok() {
                if me.cast(Message::PeersChanged).is_err() {
                    return;
                }
            }
        });
        Ok(State { links: self.links(), had_session: false, ticks: 0 })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::PeersChanged => self.peers_changed(state),
            Message::Tick => self.tick(state),
        }
        Ok(())
    }
}

impl Clock {
    fn links(&self) -> BTreeMap<NodeId, u64> {
        let peers = self.calls.net().peers().borrow().clone();
        peers.iter().filter_map(|(node, status)| Some((*node, status.up?.link))).collect()
    }

    /// A connection that is gone, or is another one now: what was sent on the old one is lost.
    fn peers_changed(&self, state: &mut State) {
        let links = self.links();
        for (node, link) in &state.links {
            if links.get(node) != Some(link) {
                tracing::info!(peer = %node, "a node was lost; its calls end or run again");
                self.calls.node_lost(*node);
            }
        }
        state.links = links;
    }

    fn tick(&self, state: &mut State) {
        state.ticks += 1;
        self.calls.accept_lasting();
        if self.calls.live().len() <= FEW || state.ticks.is_multiple_of(MANY_EVERY) {
            self.end_overdue();
        }
        let has_session = self.calls.consensus().session_is_live();
        if state.had_session && !has_session {
            tracing::warn!("this node's session lapsed; calls of other nodes end");
            let of_peer = |live: &super::live::LiveCall| matches!(live.origin, Origin::Peer(_));
            self.calls.end_where(EndReason::SessionLapsed, of_peer);
        }
        state.had_session = has_session;
        if state.ticks.is_multiple_of(HOUSEKEEPING_EVERY) {
            self.housekeeping();
        }
    }

    fn end_overdue(&self) {
        let (now, now_us) = (Instant::now(), now_us());
        let late: Vec<_> = self
            .calls
            .live()
            .iter()
            .filter(|live| live.control.ended().is_none())
            .filter_map(|live| Some((live.clone(), live.overdue(now, now_us)?)))
            .collect();
        for (live, reason) in late {
            self.calls.end_call(&live, reason);
        }
        let silent = self.calls.outgoing().lock().overdue(now);
        for call in silent {
            let detail = format!("{} did not report the call's end by its deadline", call.node);
            let error = CallError::new(Errno::TimedOut, detail);
            self.calls.cancel_branch(call.spec.call, Some(call.node));
            self.calls.unstarted(&call.spec, &call.cell, error);
        }
    }

    fn housekeeping(&self) {
        let now = Instant::now();
        self.calls.forget_users();
        let records = {
            let mut records = self.calls.records().lock();
            records.trim(now);
            records.len()
        };
        self.calls.kept().lock().trim(now);
        metrics::gauge!(names::RECORDS).set(records as f64);
        metrics::gauge!(names::LIVE).set(self.calls.live().len() as f64);
        metrics::gauge!(names::OUTGOING).set(self.calls.outgoing().lock().len() as f64);
    }
}
