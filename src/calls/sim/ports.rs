//! What a simulated node gives its calls instead of QUIC, Raft and WebAssembly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::functions;
use super::guests::{self, Program};
use super::life::Life;
use super::network::What;
use super::world::{Plant, World};
use crate::calls::ports::{Connections, Instances, Ports, PushError, Registry};
use crate::clock;
use crate::function::Job;
use crate::id::{FunctionKey, Incarnation, NodeId};
use crate::net::{PeerTable, RequestError, SendError};
use crate::wire::calls::{CallBulk, CallMessage, CallReply, CallRequest};
use crate::wire::function::FunctionEntry;

struct Node {
    world: Arc<World>,
    life: Arc<Life>,
    peers: watch::Receiver<Arc<PeerTable>>,
}

/// The ports of one life of a node.
pub fn of(world: &Arc<World>, life: &Arc<Life>, table: &watch::Sender<Arc<PeerTable>>) -> Ports {
    let node = Node { world: world.clone(), life: life.clone(), peers: table.subscribe() };
    let node = Arc::new(node);
    let (spawner, drawer) = (life.clone(), world.clone());
    Ports {
        connections: node.clone(),
        registry: node.clone(),
        instances: node,
        state: None,
        ranks: None,
        spawn: Arc::new(move |task| spawner.spawn(task)),
        // Spread, as random ones are, but the same in each run.
        draw: Arc::new(move || {
            u128::from(drawer.number()).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C)
        }),
    }
}

impl Node {
    async fn answer(
        &self,
        to: NodeId,
        what: impl FnOnce(u64) -> What,
        deadline: Instant,
    ) -> Result<Option<(CallReply, Bytes)>, RequestError> {
        let number = self.world.number();
        let down = || SendError::Down(to, "simulated".to_owned());
        let link = self.world.send(&self.life, to, what(number)).ok_or_else(down)?;
        let answer = self.world.ask(&self.life, number, link);
        match tokio::time::timeout_at(clock::at(deadline), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(RequestError::Lost(to)),
            Err(_) => Err(RequestError::TimedOut(to)),
        }
    }
}

impl Connections for Node {
    fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        self.peers.clone()
    }

    fn send(&self, to: NodeId, message: &CallMessage, body: Bytes) -> Result<(), SendError> {
        let sent = self.world.send(&self.life, to, What::Message(message.clone(), body));
        sent.map(drop).ok_or_else(|| SendError::Down(to, "simulated".to_owned()))
    }

    fn request(
        &self,
        to: NodeId,
        request: CallRequest,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(CallReply, Bytes), RequestError>> {
        Box::pin(async move {
            let answer =
                self.answer(to, |number| What::Ask(number, request, body), deadline).await?;
            answer.ok_or(RequestError::Lost(to))
        })
    }

    fn push(
        &self,
        to: NodeId,
        head: CallBulk,
        input: Bytes,
        _: Instant,
    ) -> BoxFuture<'_, Result<(), PushError>> {
        let CallBulk::Start(start) = head else { unreachable!("only starts are pushed") };
        let sent = self.world.send(&self.life, to, What::Push(*start, input));
        let doubt = self.world.is_in_doubt();
        Box::pin(async move {
            sent.ok_or_else(|| PushError::Unsent("there is no connection".to_owned()))?;
            let Some(after) = doubt else { return Ok(()) };
            tokio::time::sleep(after).await;
            Err(PushError::Unsure("simulated".to_owned()))
        })
    }

    fn fetch(
        &self,
        from: NodeId,
        head: CallBulk,
        len: u64,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        Box::pin(async move {
            let answer = self.answer(from, |number| What::Fetch(number, head), deadline).await;
            let bytes = answer.map_err(|error| error.to_string())?;
            let bytes = bytes.ok_or("that node has them no more")?.1;
            (bytes.len() as u64 == len).then_some(bytes).ok_or_else(|| "other bytes".to_owned())
        })
    }
}

impl Registry for Node {
    fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        functions::entry(key)
    }

    fn session_is_live(&self) -> bool {
        let lasts = self.world.setup.plant == Some(Plant::SessionsLast);
        lasts || self.world.state().sessions.is_live(&self.life)
    }

    fn sessions(&self) -> BTreeMap<NodeId, Incarnation> {
        self.world.state().sessions.known(self.life.node)
    }

    fn own_session(&self) -> Option<u64> {
        self.session_is_live().then(|| self.world.state().sessions.opened(self.life.node))
    }

    fn session_of(&self, node: NodeId) -> Option<u64> {
        self.world.state().sessions.heard_of(self.life.node, node)
    }

    fn session_is_over(&self, node: NodeId, opened: u64) -> bool {
        self.world.state().sessions.is_over(self.life.node, node, opened)
    }
}

impl Instances for Node {
    fn capacity(&self) -> usize {
        self.world.size.1
    }

    fn run(&self, job: Job) {
        let world = self.world.clone();
        let life = self.life.clone();
        // Looked up now: a newer attempt may be in its place when its task begins.
        let node = world.state().nodes.get(&life.node).cloned();
        let live = node.and_then(|node| node.calls.live_call(job.call));
        self.life.spawn(Box::pin(async move {
            let execution = world.begins(&life, &job, live);
            let program = Program::from_input(&job.input);
            let outcome = guests::run(program, job.control, job.host, execution).await;
            world.ends(execution, &outcome);
            if world.setup.plant == Some(Plant::EndsUntold) && execution % 64 == 63 {
                return;
            }
            (job.done)(outcome);
        }));
    }
}
