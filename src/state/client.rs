//! The client side of the global tier: finds the owner of a key, repeats what no owner answered,
//! and numbers writes so that a repeat is done once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout_at};

use super::driver::Owners;
use super::global::{Global, StateError, To};
use super::numbers::{Number, Numbers};
use crate::consensus::Consensus;
use crate::id::NodeId;
use crate::net::{Net, ServiceId};
use crate::wire;
use crate::wire::shards::ShardId;
use crate::wire::state::{
    Answer, Ask, Op, Refusal, Request, Response, WRITE_WINDOW, Write, Written,
};

/// Pause before an operation is tried again; the table may tell earlier that it is time.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for one answer: then the owner is asked again, or another one.
const ONE_TRY: Duration = Duration::from_secs(5);
/// Longest wait that is told to an owner.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// See the top. One for each node.
pub struct Client {
    me: NodeId,
    net: Net,
    consensus: Consensus,
    owners: Owners,
    numbers: Numbers,
    /// Bounds the writes that are under way.
    window: Semaphore,
}

/// What came of one try.
enum Try {
    Done(Answer, Bytes),
    /// Nobody did it, as far as is known; why.
    Again(String),
}

impl Client {
    /// Over the other nodes, and the shards that this one owns.
    pub fn new(me: NodeId, net: Net, consensus: Consensus, owners: Owners) -> Self {
        let most = usize::try_from(WRITE_WINDOW).unwrap_or(usize::MAX) / 2;
        let window = Semaphore::new(most);
        Self { me, net, consensus, owners, numbers: Numbers::default(), window }
    }

    /// Asks until there is an answer, at most until the deadline.
    async fn ask(&self, to: &To, op: Op, body: Bytes) -> Result<(Answer, Bytes), StateError> {
        let mut why = String::from("no owner was found");
        loop {
            let now = Instant::now();
            if now >= to.deadline {
                return Err(StateError::Unavailable(format!("{}: {why}", to.key)));
            }
            let left = (to.deadline - now).min(MAX_WAIT);
            let ask = Ask {
                key: (*to.key).clone(),
                proof: to.proof,
                op: op.clone(),
                wait_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
            };
            match self.try_once(to.key.shard(), ask, body.clone(), to.deadline).await {
                Try::Done(Answer::Refused(refusal), _) => return Err(StateError::Refused(refusal)),
                Try::Done(answer, bytes) => return Ok((answer, bytes)),
                Try::Again(reason) => why = reason,
            }
            let pause = (Instant::now() + PAUSE).min(to.deadline);
            // A new table may name another owner; else time passes.
            let mut table = self.consensus.watch_shards();
            table.mark_unchanged();
            let _ = timeout_at(pause.into(), table.changed()).await;
        }
    }

    async fn try_once(&self, shard: ShardId, ask: Ask, body: Bytes, deadline: Instant) -> Try {
        let Some(table) = self.consensus.shard(shard) else {
            return Try::Again("the shards are not founded yet".into());
        };
        let until = deadline.min(Instant::now() + ONE_TRY);
        let (answer, bytes) = if table.owner == self.me {
            match timeout_at(until.into(), self.owners.ask(ask, body, until)).await {
                Ok(answered) => answered,
                Err(_) => return Try::Again(format!("{shard}, owned by this node, is busy")),
            }
        } else {
            match self.ask_peer(table.owner, ask, body, until).await {
                Ok(answered) => answered,
                Err(why) => return Try::Again(why),
            }
        };
        match answer {
            Answer::Refused(Refusal::NotOwner) => {
                Try::Again(format!("{} does not serve {shard} at the moment", table.owner))
            }
            Answer::Refused(Refusal::Unavailable(why)) => Try::Again(why),
            answer => Try::Done(answer, bytes),
        }
    }

    async fn ask_peer(
        &self,
        owner: NodeId,
        ask: Ask,
        body: Bytes,
        until: Instant,
    ) -> Result<(Answer, Bytes), String> {
        let request = Request::Ask(ask);
        let reply = self.net.request(owner, ServiceId::State, &request, body, until).await;
        let reply = reply.map_err(|error| error.to_string())?;
        match wire::decode("answer of an owner", &reply.head) {
            Ok(Response::Answer(answer)) => Ok((answer, reply.body)),
            Ok(_) => Err(format!("{owner} answered another question")),
            Err(error) => Err(format!("{owner}: {error}")),
        }
    }

    /// Numbers a write; waits for a session, and for room among the writes under way.
    async fn number(&self, deadline: Instant) -> Result<Number<'_>, StateError> {
        loop {
            if let Some(session) = self.consensus.own_session()
                && self.consensus.session_is_live()
            {
                return Ok(self.numbers.next(session));
            }
            let pause = Instant::now() + PAUSE;
            if pause >= deadline {
                let why = "this node has no session with the cluster: no majority is reachable";
                return Err(StateError::Unavailable(why.into()));
            }
            sleep_until(pause.into()).await;
        }
    }
}

impl Global for Client {
    fn read(&self, to: To, op: Op) -> BoxFuture<'_, Result<(Answer, Bytes), StateError>> {
        Box::pin(async move { self.ask(&to, op, Bytes::new()).await })
    }

    fn write(
        &self,
        to: To,
        write: Write,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(u64, Written), StateError>> {
        Box::pin(async move {
            let full = || StateError::Unavailable("too many writes are under way".into());
            let _room = match self.window.try_acquire() {
                Ok(room) => room,
                Err(_) => {
                    let room = timeout_at(to.deadline.into(), self.window.acquire()).await;
                    room.ok().and_then(Result::ok).ok_or_else(full)?
                }
            };
            let number = self.number(to.deadline).await?;
            let id = number.id();
            let write = match write {
                Write::Stage { push: 0, extents } => Write::Stage { push: id.number, extents },
                write => write,
            };
            match self.ask(&to, Op::Write { id, write }, body).await? {
                (Answer::Written(written), _) => Ok((id.number, written)),
                _ => Err(StateError::Unavailable("the owner answered another question".into())),
            }
        })
    }
}
