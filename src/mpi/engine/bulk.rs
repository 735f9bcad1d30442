//! The bytes of long messages between nodes: the receiver asks for them on a stream of its own, and
//! tasks of the host move them from the sender's memory to the receiver's, whatever the ranks do
//! meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::copy::{PIECE, host_memory};
use super::far::Sending;
use super::inbox::{Posted, Unexpected};
use super::world::{World, received};
use super::{Span, Status, Target};
use crate::mpi::constants as c;
use crate::net::{BulkStream, ServiceId};
use crate::wire::mpi::{MpiPull, Route};

/// Longest that a stream may take to begin, or stand still.
const STALL: Duration = Duration::from_secs(60);
/// Pieces of the network taken at once.
const CHUNKS: usize = 32;

impl World {
    /// Fetches the bytes of a message that a receive took.
    pub(super) fn pull(
        self: &Arc<Self>,
        to: u32,
        posted: Posted,
        message: &Unexpected,
        number: u64,
    ) {
        let Some(far) = &self.far else { return posted.request.fail(c::MPI_ERR_INTERN) };
        let bytes = message.bytes();
        let most = bytes.min(posted.target.room());
        let error = if most < bytes { c::MPI_ERR_TRUNCATE } else { c::MPI_SUCCESS };
        let status = received(message, most, error);
        let route = Route { from: to, to: message.from };
        if most == 0 {
            let host = matches!(posted.target, Target::Host(_)).then(Bytes::new);
            posted.request.complete(status, host);
            return self.taken(to, message);
        }
        let ask = MpiPull { world: self.id, route, number, most };
        let world = Arc::clone(self);
        far.control.spawn(async move {
            match world.fetch(&ask, &posted.target).await {
                Ok(host) => posted.request.complete(status, host),
                Err(error) => posted.request.complete(Status { error, ..status }, None),
            }
        });
    }

    async fn fetch(&self, ask: &MpiPull, target: &Target) -> Result<Option<Bytes>, i32> {
        let lost = c::MPIX_ERR_PROC_FAILED;
        let far = self.far.as_ref().ok_or(lost)?;
        let node = *self.nodes.get(ask.route.to as usize).ok_or(lost)?;
        let bulk = far.net.bulk(node, ServiceId::Mpi, ask, Instant::now() + STALL).await;
        let mut stream = bulk.map_err(|error| {
            tracing::debug!(%error, "the bytes of a message could not be asked for");
            lost
        })?;
        let _ = stream.send.finish();
        let mut into = Into::new(target, ask.most)?;
        let mut chunks: [Bytes; CHUNKS] = Default::default();
        while into.done < ask.most {
            let read = tokio::time::timeout(STALL, stream.recv.read_chunks(&mut chunks)).await;
            let count = match read {
                Ok(Ok(Some(count))) => count,
                _ => return Err(lost),
            };
            for chunk in chunks.iter_mut().take(count) {
                into.take(std::mem::take(chunk))?;
            }
        }
        into.end()
    }

    /// Sends the bytes of a message to the receiver that asks for them.
    pub(super) fn push(self: &Arc<Self>, ask: &MpiPull, sending: Sending, mut stream: BulkStream) {
        let Some(far) = &self.far else { return };
        let most = ask.most;
        far.control.spawn(async move {
            let class = match write(&sending, most, &mut stream).await {
                Ok(()) => {
                    // Fails only with the stream.
                    let _ = stream.send.finish();
                    return sending.request.complete(Status::EMPTY, None);
                }
                Err(class) => class,
            };
            let _ = stream.send.reset(1u32.into());
            sending.request.fail(class);
        });
    }
}

async fn write(sending: &Sending, most: u64, stream: &mut BulkStream) -> Result<(), i32> {
    let Some(payload) = &sending.payload else { return Err(c::MPI_ERR_INTERN) };
    let mut done = 0;
    while done < most {
        let len = PIECE.min(most - done);
        let piece =
            payload.pack(done, len).map_err(|error| error.class().unwrap_or(c::MPI_ERR_BUFFER))?;
        let written = tokio::time::timeout(STALL, stream.send.write_chunk(piece)).await;
        if !matches!(written, Ok(Ok(()))) {
            return Err(c::MPIX_ERR_PROC_FAILED);
        }
        done += len;
    }
    Ok(())
}

/// What takes the bytes of a stream.
struct Into<'a> {
    place: Place<'a>,
    most: u64,
    done: u64,
}

enum Place<'a> {
    /// Elements; bytes are put together before they are unpacked.
    Guest(&'a Span, BytesMut, u64),
    Host(Vec<u8>),
}

impl<'a> Into<'a> {
    fn new(target: &'a Target, most: u64) -> Result<Self, i32> {
        let place = match target {
            Target::Guest(span) => Place::Guest(span, BytesMut::new(), 0),
            Target::Host(_) => {
                let mut bytes = host_memory(most).map_err(|_| c::MPI_ERR_NO_MEM)?;
                bytes.clear();
                Place::Host(bytes)
            }
        };
        Ok(Self { place, most, done: 0 })
    }

    fn take(&mut self, chunk: Bytes) -> Result<(), i32> {
        let left = usize::try_from(self.most - self.done).unwrap_or(usize::MAX);
        let chunk = chunk.get(..left).unwrap_or(&chunk);
        self.done += chunk.len() as u64;
        match &mut self.place {
            Place::Host(bytes) => bytes.extend_from_slice(chunk),
            Place::Guest(span, buffer, at) => {
                buffer.extend_from_slice(chunk);
                if buffer.len() as u64 >= PIECE || self.done == self.most {
                    span.unpack(*at, buffer).map_err(|e| e.class().unwrap_or(c::MPI_ERR_BUFFER))?;
                    *at += buffer.len() as u64;
                    buffer.clear();
                }
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Option<Bytes>, i32> {
        match self.place {
            Place::Host(bytes) => Ok(Some(bytes.into())),
            Place::Guest(..) => Ok(None),
        }
    }
}
