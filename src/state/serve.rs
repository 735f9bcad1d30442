//! What peers ask of this node's state, and what their copies say to its copies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::driver::Owners;
use super::local::Local;
use crate::net::{BulkStream, Inbound, Peer, Replier};
use crate::wire::replicas::{self, Message};
use crate::wire::state::{MAX_PIECE, Request, Response};
use crate::wire::{Malformed, decode};

/// Questions of peers that are answered at once; more are refused.
const ADMITTED: usize = 8_192;
/// Longest time for one question.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The door for questions to owners.
pub struct Questions {
    owners: Owners,
    local: Local,
    admitted: Arc<Semaphore>,
}

impl Questions {
    /// To this node's shards, and its copies.
    pub fn new(owners: Owners, local: Local) -> Self {
        Self { owners, local, admitted: Arc::new(Semaphore::new(ADMITTED)) }
    }
}

impl Inbound for Questions {
    fn message(&self, _from: Peer, _head: &[u8], _body: Bytes) -> Result<(), Malformed> {
        Err(none("a message"))
    }

    fn request(
        &self,
        _from: Peer,
        head: &[u8],
        body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed> {
        let request: Request = decode("question to an owner", head)?;
        if body.len() > MAX_PIECE {
            let why = format!("{} bytes beside it, and {MAX_PIECE} are allowed", body.len());
            return Err(Malformed { what: "question to an owner", why });
        }
        let Ok(admitted) = self.admitted.clone().try_acquire_owned() else {
            reply.fail("the owner has too much to do");
            return Ok(());
        };
        let (owners, local) = (self.owners.clone(), self.local.clone());
        tokio::spawn(async move {
            let _admitted = admitted;
            match request {
                Request::Ask(ask) => {
                    let wait = Duration::from_millis(u64::from(ask.wait_ms)).min(MAX_WAIT);
                    let (answer, bytes) = owners.ask(ask, body, Instant::now() + wait).await;
                    reply.send(&Response::Answer(answer), bytes);
                }
                Request::List(list) => match owners.list(list).await {
                    Some((values, shards)) => {
                        reply.send(&Response::Listed { values, shards }, Bytes::new());
                    }
                    None => reply.fail("the owner has too much to do"),
                },
                Request::Copy(key) => {
                    reply.send(&Response::Copy(local.copy(&key)), Bytes::new());
                }
            }
        });
        Ok(())
    }

    fn bulk(&self, _from: Peer, _head: &[u8], _stream: BulkStream) -> Result<(), Malformed> {
        Err(none("a stream"))
    }

    fn datagram(&self, _from: Peer, _bytes: &[u8]) -> Result<(), Malformed> {
        Err(none("a datagram"))
    }
}

/// The door for copies of shards.
pub struct Copies(pub Owners);

impl Inbound for Copies {
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed> {
        let message: Message = decode("message between copies", head)?;
        if body.len() > replicas::MAX_BODY {
            let why = format!("{} bytes beside it", body.len());
            return Err(Malformed { what: "message between copies", why });
        }
        self.0.message(from.node, message, body);
        Ok(())
    }

    fn request(&self, _: Peer, _: &[u8], _: Bytes, _reply: Replier) -> Result<(), Malformed> {
        Err(none("a request"))
    }

    fn bulk(&self, _from: Peer, _head: &[u8], _stream: BulkStream) -> Result<(), Malformed> {
        Err(none("a stream"))
    }

    fn datagram(&self, _from: Peer, _bytes: &[u8]) -> Result<(), Malformed> {
        Err(none("a datagram"))
    }
}

fn none(what: &str) -> Malformed {
    Malformed { what: "state", why: format!("{what}, and the state takes none") }
}
