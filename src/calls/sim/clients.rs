//! What clients ask of the cluster.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::guests::{FUNCTIONS, Program};
use super::invariants::{Accepted, Execution, Open};
use super::life::Life;
use super::now;
use super::world::{SimNode, World};
use crate::calls::Invoke;
use crate::calls::claim::CLAIM_TIME;
use crate::calls::live::{LiveCall, Origin};
use crate::calls::root::keyed_id;
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::{Job, Outcome};
use crate::id::{CallId, FunctionKey, NodeId};
use crate::wire::calls::{Phase, Record};

impl World {
    /// An instance begins.
    pub fn begins(&self, life: &Life, job: &Job, live: Option<Arc<LiveCall>>) -> u64 {
        let mut state = self.state();
        let session = state.sessions.is_live(life);
        let Some(live) = live else {
            state.checks.fail(format!("{} begins, and is not known to live", job.call));
            return 0;
        };
        let execution = Execution {
            call: job.call,
            attempt: live.attempt,
            root: live.spec.tree.root,
            home: live.spec.tree.home,
            sent_by: match live.origin {
                Origin::Peer(peer) => Some(peer.node),
                Origin::Here(_) => None,
            },
            parent_lost: None,
            node: life.node,
            retries: super::functions::retries(job.key.name.as_str()),
            deadline: clock::at(live.spec.tree.deadline).into_std(),
            begun: now(),
            claimed: now() - CLAIM_TIME,
            ended: None,
            killed: false,
        };
        let number = state.checks.begins(execution, session);
        drop(state);
        self.note((job.call, live.attempt, life.node.0, 'b'));
        number
    }

    /// It ended.
    pub fn ends(&self, execution: u64, outcome: &Outcome) {
        let end = outcome.result.clone().map_err(|error| error.code);
        self.note((execution, end.as_ref().ok(), 'e'));
        self.state().checks.ends(execution, end);
    }

    /// A client does something.
    pub fn client(self: &Arc<Self>) {
        let Some(node) = self.any_node() else { return };
        let choice = self.state().rng.random_range(0..100);
        match choice {
            0..45 => self.invoke(node, None),
            45..70 => self.submit(node, None),
            70..80 => {
                let key = format!("key{}", self.number());
                let seed = self.state().rng.random();
                self.state().checks.keyed.insert(keyed_id("alice", 0, &key));
                self.invoke(node, Some((key.clone(), seed)));
                if let Some(other) = self.any_node() {
                    self.submit(other, Some((key.clone(), seed)));
                }
                if let Some(other) = self.any_node() {
                    self.invoke(other, Some((key, seed)));
                }
            }
            80..92 => self.look_at_one(node),
            _ => self.cancel_one(node),
        }
    }

    fn request(&self, key: Option<&(String, u64)>) -> (Invoke, Program, Duration) {
        let mut state = self.state();
        let nodes: Vec<NodeId> = state.lives.keys().copied().collect();
        let rng = &mut state.rng;
        let name = match key {
            Some((_, seed)) => FUNCTIONS[(*seed % 2) as usize],
            None => FUNCTIONS[rng.random_range(0..if self.setup.fickle { 4 } else { 3 })],
        };
        let depth = if name == "narrow" { 0 } else { rng.random_range(0..=3) };
        let mut program = Program::draw(rng, depth);
        if let Some((_, seed)) = key {
            program = Program { seed: *seed, depth: 1, padding: 0 };
        }
        let user = if rng.random() { "alice" } else { "bob" };
        let user = if key.is_some() { "alice" } else { user };
        let timeout = match self.setup.fickle {
            true => Duration::from_millis(rng.random_range(200..8_000)),
            false => Duration::from_secs(60),
        };
        let pin = match self.setup.fickle && rng.random_range(0..12) == 0 {
            true => vec![nodes[rng.random_range(0..nodes.len())]],
            false => Vec::new(),
        };
        let invoke = Invoke {
            key: FunctionKey::new(user, name).expect("they are names"),
            input: program.to_input(),
            args: Vec::new(),
            timeout: Some(timeout),
            policy: None,
            pin,
            idempotency: key.map(|(key, _)| key.clone()),
            trace: 0,
            job: None,
        };
        (invoke, program, timeout)
    }

    fn open(&self, node: &SimNode, due: Duration, what: &str) -> u64 {
        let number = self.number();
        // By the slowest clock.
        let due = now() + due * 100 / 90;
        let what = format!("{what} {number} at {}", node.life.node);
        self.state().checks.open.insert(number, Open { node: node.life.node, due, what });
        number
    }

    fn accepted(
        &self,
        (call, claimed): (CallId, bool),
        program: Program,
        timeout: Duration,
        home: NodeId,
    ) {
        let deadline = now() + timeout;
        let (cancelled, seen) = (None, None);
        let mut state = self.state();
        // A node that knows of no other has the only copy.
        let alone = state.sessions.known(home).len() < 2;
        let kills = state.checks.killed_since(now() - CLAIM_TIME) + usize::from(alone);
        let home_was_lost = false;
        let accepted =
            Accepted { program, deadline, home, cancelled, seen, home_was_lost, claimed, kills };
        state.checks.accepted.entry(call).or_insert(accepted);
    }

    fn refused(&self, what: &str, error: &CallError) {
        let fine = [Errno::Full, Errno::Unavailable, Errno::TimedOut, Errno::HostLost];
        let mut state = self.state();
        let quiet = state.checks.last_fault.is_none() && !self.setup.fickle;
        // A node that has just started has no session yet.
        let young = now() < self.zero + Duration::from_secs(1);
        let explained = fine.contains(&error.code) || error.code == Errno::NoEnt;
        if !explained || (quiet && !young) {
            state.checks.fail(format!("{what} was refused: {error}"));
        }
    }

    fn invoke(self: &Arc<Self>, node: SimNode, key: Option<(String, u64)>) {
        let (request, program, timeout) = self.request(key.as_ref());
        let keyed = key.is_some();
        let leaves = {
            let mut state = self.state();
            let leaves = self.setup.fickle && state.rng.random_range(0..8) == 0;
            let after = Duration::from_millis(state.rng.random_range(1..1_500));
            leaves.then_some(after)
        };
        // Who follows another's call asks for its record and fetches its output, too; and the nodes
        // that keep the record must have the end, or their silence must have lasted.
        let (what, longer) = match key {
            Some(_) => ("keyed invoke", Duration::from_millis(18_500)),
            None => ("invoke", Duration::ZERO),
        };
        let open = self.open(&node, timeout + longer, what);
        let world = self.clone();
        let life = node.life.clone();
        life.spawn(Box::pin(async move {
            let invoked = node.calls.invoke(request);
            let result = match leaves {
                None => Some(invoked.await),
                Some(after) => tokio::time::timeout(after, invoked).await.ok(),
            };
            world.state().checks.open.remove(&open);
            match result {
                None => {}
                Some(Err(error)) => world.refused("an invocation", &error),
                Some(Ok(finished)) => {
                    let call = finished.call;
                    world.accepted((call, keyed), program, timeout, node.life.node);
                    let end = finished.result.clone().map_err(|error| error.code);
                    let by = format!("to its client at {}", node.life.node);
                    {
                        let mut state = world.state();
                        state.checks.seen(call, end, by);
                        if end.is_ok() {
                            state.checks.output(call, end, None, &finished.output);
                        }
                    }
                    // Its record says of which attempt the output is.
                    if let Ok(record) = node.calls.record(call).await {
                        world.looked(&node, record).await;
                    }
                }
            }
        }));
    }

    fn submit(self: &Arc<Self>, node: SimNode, key: Option<(String, u64)>) {
        let (request, program, timeout) = self.request(key.as_ref());
        let open = self.open(&node, timeout, "submit");
        let world = self.clone();
        let life = node.life.clone();
        life.spawn(Box::pin(async move {
            let submitted = node.calls.submit(request).await;
            world.state().checks.open.remove(&open);
            match submitted {
                Ok(call) => world.accepted((call, true), program, timeout, node.life.node),
                Err(error) => world.refused("a submission", &error),
            }
        }));
    }

    fn any_call(&self) -> Option<CallId> {
        let mut state = self.state();
        let calls: Vec<_> = state.checks.accepted.keys().copied().collect();
        let newest = calls.len().saturating_sub(1);
        let at = state.rng.random_range(0..=newest);
        calls.get(at).copied()
    }

    fn look_at_one(self: &Arc<Self>, node: SimNode) {
        let Some(call) = self.any_call() else { return };
        let open = self.open(&node, Duration::from_secs(4), "look");
        let world = self.clone();
        let life = node.life.clone();
        life.spawn(Box::pin(async move {
            let record = node.calls.record(call).await;
            world.state().checks.open.remove(&open);
            if let Ok(record) = record {
                world.looked(&node, record).await;
            }
        }));
    }

    /// A record was read.
    pub async fn looked(&self, node: &SimNode, record: Record) {
        let Some(result) = record.result.clone() else {
            if record.phase == Phase::Done {
                self.state().checks.fail(format!("{} is done without a result", record.call));
            }
            return;
        };
        let end = result.map_err(|error| error.code);
        let by = format!("in a record read at {}", node.life.node);
        self.state().checks.seen(record.call, end, by);
        if end.is_ok()
            && let Ok(output) = node.calls.output(record.call).await
        {
            self.state().checks.output(record.call, end, Some(record.attempt), &output);
        }
    }

    fn cancel_one(self: &Arc<Self>, node: SimNode) {
        if !self.setup.fickle {
            return;
        }
        let Some(call) = self.any_call() else { return };
        let open = self.open(&node, Duration::from_secs(8), "cancel");
        let world = self.clone();
        let life = node.life.clone();
        life.spawn(Box::pin(async move {
            let cancelled = node.calls.cancel(call).await;
            let mut state = world.state();
            state.checks.open.remove(&open);
            let now = now();
            if cancelled.is_ok()
                && state.checks.calm_since(now, Duration::from_secs(5))
                && let Some(accepted) = state.checks.accepted.get_mut(&call)
            {
                accepted.cancelled.get_or_insert(now);
            }
        }));
    }
}
