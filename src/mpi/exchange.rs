//! What ranks tell each other to make a communicator: a few bytes of everybody, through a leader.
//! All of it is awaited by the caller, a fiber or a task. A failure at the leader is told to all, so
//! that all see it.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::comm::Comm;
use super::constants as c;
use super::engine::{Endpoint, Envelope, Mode, Pattern, Payload, Request, Target};
use super::error::{Error, Result};
use super::group::Group;

/// Longest message, in bytes.
const MOST: u64 = 256 << 20;
/// Set in the contexts of exchanges whose tag the program chose.
const CHOSEN: u64 = 1 << 63;
/// Set in the contexts of exchanges between leaders.
const LEADERS: u64 = 1 << 62;
/// Set in the tags of messages inside a local group of an intercommunicator.
const LOCAL: i32 = 1 << 30;

/// Bytes, or the class of what went wrong.
pub type Told = std::result::Result<Bytes, i32>;

/// Ranks that meet, as one of them sees it.
#[derive(Debug, Clone)]
pub struct Circle {
    endpoint: Arc<Endpoint>,
    context: u64,
    tag: i32,
    group: Group,
    rank: u32,
    leader: u32,
}

impl Circle {
    /// All of a communicator, or of the local group of an intercommunicator, in a collective that
    /// begins now.
    pub fn of(endpoint: &Arc<Endpoint>, comm: &Comm) -> Self {
        let local = if comm.remote.is_some() { LOCAL } else { 0 };
        Self {
            endpoint: endpoint.clone(),
            context: comm.collective(),
            tag: comm.begin() | local,
            group: comm.group.clone(),
            rank: comm.rank,
            leader: 0,
        }
    }

    /// The same with another leader.
    pub fn led_by(self, leader: u32) -> Self {
        Self { leader, ..self }
    }

    /// All of a group, told apart by a tag of the program in a communicator.
    pub fn chosen(endpoint: &Arc<Endpoint>, group: Group, rank: u32, within: (u64, i32)) -> Self {
        let (context, tag) = within;
        let endpoint = endpoint.clone();
        Self { endpoint, context: context | CHOSEN, tag, group, rank, leader: 0 }
    }

    /// Whether this rank leads it.
    pub fn leads(&self) -> bool {
        self.rank == self.leader
    }

    /// Tells the leader something; what it answers. Everybody but the leader calls it.
    pub async fn ask(&self, mine: Told) -> Result<Bytes> {
        let answer = self.receive(self.leader);
        done(self.send(self.leader, &mine)).await?;
        understood(answer).await
    }

    /// What everybody tells, by rank, with what the leader itself says. The leader calls it.
    pub async fn gather(&self, mine: Told) -> std::result::Result<Vec<Bytes>, i32> {
        let asked: Vec<_> = (0..self.group.size())
            .map(|rank| (rank != self.leader).then(|| self.receive(rank)))
            .collect();
        let (mut all, mut failed) = (Vec::with_capacity(asked.len()), None);
        for request in asked {
            let told = match request {
                Some(request) => heard(request).await,
                None => mine.clone(),
            };
            match told {
                Ok(bytes) => all.push(bytes),
                Err(class) => failed = failed.or(Some(class)),
            }
        }
        failed.map_or(Ok(all), Err)
    }

    /// Answers everybody, each by rank; its own answer. The leader calls it.
    pub async fn answer(&self, answers: std::result::Result<Vec<Bytes>, i32>) -> Result<Bytes> {
        let of = |rank: u32| match &answers {
            Ok(answers) => Ok(answers.get(rank as usize).cloned().unwrap_or_default()),
            Err(class) => Err(*class),
        };
        let others = (0..self.group.size()).filter(|rank| *rank != self.leader);
        let sent: Vec<_> = others.map(|rank| self.send(rank, &of(rank))).collect();
        for request in sent {
            done(request).await?;
        }
        of(self.leader).map_err(failure)
    }

    /// Tells the leader something; the leader makes of everybody's an answer for each.
    pub async fn meet<F>(&self, mine: Told, decide: F) -> Result<Bytes>
    where
        F: FnOnce(Vec<Bytes>) -> Result<Vec<Bytes>> + Send,
    {
        if !self.leads() {
            return self.ask(mine).await;
        }
        let all = self.gather(mine).await;
        let answers = all.and_then(|all| decide(all).map_err(|error| class_of(&error)));
        self.answer(answers).await
    }

    /// What everybody tells, to everybody, by rank.
    pub async fn all(&self, mine: Told) -> Result<Vec<Bytes>> {
        let size = self.group.members().len();
        let told = self.meet(mine, |all| Ok(vec![joined(&all); size])).await?;
        apart(&told)
    }

    /// The leader's bytes, to everybody.
    pub async fn hear(&self, told: Option<Told>) -> Result<Bytes> {
        match told {
            Some(told) => {
                let all = told.map(|bytes| vec![bytes; self.group.members().len()]);
                self.answer(all).await
            }
            None => understood(self.receive(self.leader)).await,
        }
    }

    fn send(&self, to: u32, told: &Told) -> Arc<Request> {
        let Some(world) = self.group.world_rank(to) else {
            return Request::completed(super::engine::Status::failed(c::MPI_ERR_RANK));
        };
        let envelope = Envelope { context: self.context, source: self.rank, tag: self.tag };
        self.endpoint.send(world, envelope, Payload::Host(encoded(told)), Mode::Standard)
    }

    fn receive(&self, from: u32) -> Arc<Request> {
        let world_source = self.group.world_rank(from);
        let (context, tag) = (self.context, Some(self.tag));
        let pattern = Pattern { context, source: Some(from), world_source, tag };
        self.endpoint.receive(pattern, Target::Host(MOST))
    }
}

/// One leader's way to another.
#[derive(Debug, Clone)]
pub struct Pair {
    /// This one's way out.
    pub endpoint: Arc<Endpoint>,
    /// Where both meet.
    pub context: u64,
    /// Its tag there.
    pub tag: i32,
    /// The other one's rank in the world.
    pub other: u32,
}

impl Pair {
    /// Leaders who meet under a tag that the program chose.
    pub fn chosen(endpoint: &Arc<Endpoint>, within: (u64, i32), other: u32) -> Self {
        let endpoint = endpoint.clone();
        Self { endpoint, context: within.0 | LEADERS, tag: within.1, other }
    }

    /// Tells the other something, and hears what it tells.
    pub async fn swap(&self, mine: &Told) -> Told {
        let (context, tag) = (self.context, self.tag);
        let world_source = Some(self.other);
        let pattern = Pattern { context, source: world_source, world_source, tag: Some(tag) };
        let request = self.endpoint.receive(pattern, Target::Host(MOST));
        let envelope = Envelope { context, source: self.endpoint.rank(), tag };
        let payload = Payload::Host(encoded(mine));
        let sent = self.endpoint.send(self.other, envelope, payload, Mode::Standard);
        let heard = heard(request).await;
        match sent.done().await.error {
            c::MPI_SUCCESS => heard,
            class => Err(class),
        }
    }
}

/// What everybody of a communicator told: by rank in the local group, and in the remote one of an
/// intercommunicator.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// The local group's; the only one's.
    pub local: Vec<Bytes>,
    /// The remote group's.
    pub remote: Vec<Bytes>,
}

/// A collective of a communicator: what everybody tells, to everybody.
pub async fn round(circle: Circle, comm: Arc<Comm>, mine: Told) -> Result<Round> {
    let Some(remote) = &comm.remote else {
        return Ok(Round { local: circle.all(mine).await?, remote: Vec::new() });
    };
    let told = if circle.leads() {
        let local = circle.gather(mine).await.map(|all| joined(&all));
        let pair = Pair {
            endpoint: circle.endpoint.clone(),
            context: circle.context,
            tag: circle.tag & !LOCAL,
            other: remote.world_rank(0).unwrap_or(0),
        };
        // A failure here is told there too.
        let there = pair.swap(&local).await;
        let both = local.and_then(|local| Ok(joined(&[local, there?])));
        circle.hear(Some(both)).await?
    } else {
        circle.ask(mine).await?
    };
    match &apart(&told)?[..] {
        [local, remote] => Ok(Round { local: apart(local)?, remote: apart(remote)? }),
        _ => Err(strange()),
    }
}

/// Many in one.
pub fn joined(all: &[Bytes]) -> Bytes {
    let mut bytes = Vec::with_capacity(all.iter().map(|one| one.len() + 4).sum());
    for one in all {
        bytes.put_u32_le(u32::try_from(one.len()).unwrap_or(u32::MAX));
        bytes.extend_from_slice(one);
    }
    bytes.into()
}

/// The many that are in one.
pub fn apart(bytes: &Bytes) -> Result<Vec<Bytes>> {
    let (mut rest, mut all) = (bytes.clone(), Vec::new());
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(strange)?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > tail.len() {
            return Err(strange());
        }
        all.push(rest.slice(4..4 + len));
        rest = rest.slice(4 + len..);
    }
    Ok(all)
}

/// Bytes that no rank in the same call has sent.
pub fn strange() -> Error {
    Error::new(c::MPI_ERR_OTHER, "the ranks of the communicator make different calls")
}

/// The class to tell others of an error.
pub fn class_of(error: &Error) -> i32 {
    error.class().filter(|class| *class != c::MPI_SUCCESS).unwrap_or(c::MPI_ERR_OTHER)
}

fn failure(class: i32) -> Error {
    Error::new(class, "the call failed on another rank, or for it")
}

/// The class, and after that the bytes.
fn encoded(told: &Told) -> Bytes {
    match told {
        Ok(bytes) => [&c::MPI_SUCCESS.to_le_bytes(), &bytes[..]].concat().into(),
        Err(class) => class.to_le_bytes().to_vec().into(),
    }
}

async fn heard(request: Arc<Request>) -> Told {
    let status = request.done().await;
    if status.error != c::MPI_SUCCESS {
        return Err(status.error);
    }
    let bytes = request.take_bytes().unwrap_or_default();
    match bytes.first_chunk::<4>().map(|class| i32::from_le_bytes(*class)) {
        Some(c::MPI_SUCCESS) => Ok(bytes.slice(4..)),
        Some(class) => Err(class),
        None => Err(c::MPI_ERR_INTERN),
    }
}

async fn understood(request: Arc<Request>) -> Result<Bytes> {
    heard(request).await.map_err(failure)
}

async fn done(request: Arc<Request>) -> Result<()> {
    match request.done().await.error {
        c::MPI_SUCCESS => Ok(()),
        class => Err(failure(class)),
    }
}
