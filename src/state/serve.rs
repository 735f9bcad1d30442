//! What peers ask of this node's state, and what their copies say to its copies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::driver::Owners;
use super::jobs::{Asker, Job};
use super::local::Local;
use super::post::cut;
use crate::net::{BulkStream, Inbound, Peer, Replier};
use crate::wire::replicas::Batch;
use crate::wire::state::{MAX_PIECE, MAX_USERS, Request, Response};
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
        match request {
            Request::Ask(ask) => {
                let asker = Asker::Peer { reply, _admitted: admitted };
                self.owners.put(Job::new(ask, body, Instant::now() + MAX_WAIT, asker));
            }
            Request::List(list) => {
                let owners = self.owners.clone();
                tokio::spawn(async move {
                    let _admitted = admitted;
                    match owners.list(list).await {
                        Some((values, shards)) => {
                            reply.send(&Response::Listed { values, shards }, Bytes::new());
                        }
                        None => reply.fail("the owner has too much to do"),
                    }
                });
            }
            Request::Usage(users) => {
                let owners = self.owners.clone();
                let users = users.into_iter().take(MAX_USERS).collect();
                tokio::spawn(async move {
                    let _admitted = admitted;
                    match owners.used(users).await {
                        Some(used) => reply.send(&Response::Usage(used), Bytes::new()),
                        None => reply.fail("the owner has too much to do"),
                    }
                });
            }
            Request::Copy(key) => {
                reply.send(&Response::Copy(self.local.copy(&key)), Bytes::new());
            }
        }
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
        let batch: Batch = decode("messages between copies", head)?;
        self.0.messages(from.node, cut(batch, &body)?, body.len());
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
