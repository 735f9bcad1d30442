//! The tasks of a connection: one that writes and one that reads per service, and the loop that
//! takes what the peer opens. They end with the connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::task::{JoinError, JoinSet};

use crate::net::error::{CloseCode, Fault};
use crate::net::frame::{Decoder, Frame, Kind};
use crate::net::link::Link;
use crate::net::outbox::Taken;
use crate::net::{BulkStream, Inbound, Reply, RequestError, ServiceId};
use crate::wire::Malformed;

/// Longest head of a bulk stream, in bytes. It names what is to be moved; 256 of them are held at
/// most.
pub(super) const MAX_BULK_HEAD: usize = 64 << 10;
/// How long a peer may take to send the head of a bulk stream it opened.
const BULK_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pieces taken out of a stream at once.
const PIECES: usize = 32;

/// The receivers of the services, by [`ServiceId::index`].
pub(super) type Inbounds = [Option<Arc<dyn Inbound>>; ServiceId::ALL.len()];

/// How a task of a connection ended without a fault.
enum Done {
    /// All that was queued for one service was taken by the peer.
    Drained,
    /// Anything else.
    Other,
}

/// Serves a connection until it ends; gives the reason.
pub(super) async fn serve(link: Arc<Link>, inbounds: Inbounds) -> String {
    let inbounds = Arc::new(inbounds);
    let mut tasks = JoinSet::new();
    for service in ServiceId::ALL {
        tasks.spawn(write(Arc::clone(&link), service));
    }
    tasks.spawn(read_datagrams(Arc::clone(&link), Arc::clone(&inbounds)));
    let mut writers = ServiceId::ALL.len();
    loop {
        tokio::select! {
            _ = link.conn.closed() => break,
            stream = link.conn.accept_uni() => if let Ok(stream) = stream {
                tasks.spawn(read(Arc::clone(&link), Arc::clone(&inbounds), stream));
            },
            streams = link.conn.accept_bi() => if let Ok(streams) = streams {
                tasks.spawn(accept_bulk(Arc::clone(&link), Arc::clone(&inbounds), streams));
            },
            Some(ended) = tasks.join_next() => judge(&link, ended, &mut writers),
        }
    }
    link.drain();
    if link.was_closed_here() {
        tasks.shutdown().await;
    } else {
        // What arrived before the end is still delivered: a peer that stops has said its last.
        while let Ok(stream) = link.conn.accept_uni().await {
            tasks.spawn(read(Arc::clone(&link), Arc::clone(&inbounds), stream));
        }
        while let Some(ended) = tasks.join_next().await {
            judge(&link, ended, &mut writers);
        }
    }
    link.bury();
    link.ended().unwrap_or_else(|| "it ended".to_owned())
}

/// Closes the connection for the fault of a task, or when all that was queued is gone.
fn judge(link: &Link, ended: Result<Result<Done, Fault>, JoinError>, writers: &mut usize) {
    let fault = match ended {
        Ok(Ok(Done::Other)) => return,
        Ok(Ok(Done::Drained)) => {
            *writers -= 1;
            if *writers > 0 || link.conn.close_reason().is_some() {
                return;
            }
            Fault { code: CloseCode::Stopping, why: "this node is stopping".to_owned() }
        }
        Ok(Err(fault)) => fault,
        // A receiver panicked: its order is broken, so the peer starts anew.
        Err(error) => {
            tracing::error!(%error, "a task of the connection failed");
            Fault { code: CloseCode::Internal, why: "a task of the connection failed".to_owned() }
        }
    };
    if fault.code == CloseCode::Malformed {
        tracing::warn!(why = fault.why, "the connection is closed: the peer broke the protocol");
    }
    link.close(&fault);
}

/// Writes what is queued for a service, all there is at a time. The stream is opened with the
/// first frame.
async fn write(link: Arc<Link>, service: ServiceId) -> Result<Done, Fault> {
    let outbox = &link.lane(service).outbox;
    let mut batch = Vec::new();
    let mut open: Option<SendStream> = None;
    while let Taken::Bytes(bytes) = poll_fn(|cx| outbox.poll_take(cx, &mut open, &mut batch)).await
    {
        let stream = match &mut open {
            Some(stream) => stream,
            None => {
                let Ok(stream) = link.conn.open_uni().await else { return Ok(Done::Other) };
                batch.insert(0, Bytes::copy_from_slice(&[service as u8]));
                // Fails only if the stream is gone, which the write below finds out.
                let _ = stream.set_priority(service.priority());
                open.insert(stream)
            }
        };
        match stream.write_all_chunks(&mut batch).await {
            Ok(()) => {}
            Err(WriteError::Stopped(_)) => return Err(broken("it stopped a service's stream")),
            Err(_) => return Ok(Done::Other),
        }
        batch.clear();
        outbox.written(bytes);
        link.metrics.bytes_sent.increment(bytes as u64);
    }
    if let Some(mut stream) = open {
        // Either fails only with the connection.
        let _ = stream.finish();
        let _ = stream.stopped().await;
    }
    Ok(Done::Drained)
}

/// Reads a stream of the peer and hands its frames on.
async fn read(
    link: Arc<Link>,
    inbounds: Arc<Inbounds>,
    mut stream: RecvStream,
) -> Result<Done, Fault> {
    let mut service = [0];
    match stream.read_exact(&mut service).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(_)) => return Err(broken("it opened an empty stream")),
        Err(ReadExactError::ReadError(error)) => return read_failed(&error),
    }
    let (service, inbound) = served(&inbounds, service[0])?;
    if link.lane(service).reading.swap(true, Ordering::AcqRel) {
        return Err(broken("it opened a second stream for a service"));
    }
    let mut decoder = Decoder::new();
    let mut pieces: [Bytes; PIECES] = Default::default();
    loop {
        let count = match stream.read_chunks(&mut pieces).await {
            Ok(Some(count)) => count,
            Ok(None) if decoder.is_between_frames() => return Ok(Done::Other),
            Ok(None) => return Err(broken("it ended a stream within a frame")),
            Err(error) => return read_failed(&error),
        };
        for piece in &mut pieces[..count] {
            let mut piece = std::mem::take(piece);
            link.metrics.bytes_received.increment(piece.len() as u64);
            while let Some(frame) = decoder.next(&mut piece)? {
                link.metrics.frames_received.increment(1);
                deliver(&link, service, inbound, frame)?;
            }
        }
        // A peer that sends without end must not own a thread.
        tokio::task::coop::consume_budget().await;
    }
}

fn deliver(
    link: &Arc<Link>,
    service: ServiceId,
    inbound: &Arc<dyn Inbound>,
    frame: Frame<'_>,
) -> Result<(), Malformed> {
    let Frame { kind, id, head, body } = frame;
    match kind {
        Kind::Message => inbound.message(link.peer, head, body),
        Kind::Request => match link.replier(service, id) {
            Some(reply) => inbound.request(link.peer, head, body, reply),
            None => Ok(()),
        },
        Kind::Reply => {
            let reply = Reply { head: Bytes::copy_from_slice(head), body };
            link.lane(service).pending.finish(id, Ok(reply));
            Ok(())
        }
        Kind::Failure => {
            let why = crate::net::error::printable(head);
            let error = RequestError::Bad(link.peer.node, why);
            link.lane(service).pending.finish(id, Err(error));
            Ok(())
        }
    }
}

async fn read_datagrams(link: Arc<Link>, inbounds: Arc<Inbounds>) -> Result<Done, Fault> {
    while let Ok(bytes) = link.conn.read_datagram().await {
        let Some((service, bytes)) = bytes.split_first() else {
            return Err(broken("it sent an empty datagram"));
        };
        let (_, inbound) = served(&inbounds, *service)?;
        inbound.datagram(link.peer, bytes)?;
        tokio::task::coop::consume_budget().await;
    }
    Ok(Done::Other)
}

/// Reads the head of a bulk stream and hands the stream on.
async fn accept_bulk(
    link: Arc<Link>,
    inbounds: Arc<Inbounds>,
    (send, mut recv): (SendStream, RecvStream),
) -> Result<Done, Fault> {
    let read = tokio::time::timeout(BULK_HEAD_TIMEOUT, read_bulk_head(&mut recv)).await;
    let (service, head) = match read {
        Ok(Ok(Some(read))) => read,
        Ok(Ok(None)) => return Ok(Done::Other),
        Ok(Err(fault)) => return Err(fault),
        Err(_) => return Err(broken("it opened a bulk stream and did not say for what")),
    };
    let (_, inbound) = served(&inbounds, service)?;
    inbound.bulk(link.peer, &head, BulkStream { send, recv })?;
    Ok(Done::Other)
}

/// The service and the head; `None` when the peer gave the stream up.
async fn read_bulk_head(recv: &mut RecvStream) -> Result<Option<(u8, Vec<u8>)>, Fault> {
    let mut start = [0; 5];
    if recv.read_exact(&mut start).await.is_err() {
        return Ok(None);
    }
    let [service, len @ ..] = start;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_BULK_HEAD {
        return Err(broken("it sent a bulk stream's head that is too long"));
    }
    let mut head = vec![0; len];
    Ok(recv.read_exact(&mut head).await.is_ok().then_some((service, head)))
}

/// The start of a bulk stream.
pub(super) fn bulk_start(service: ServiceId, head: &[u8]) -> Vec<u8> {
    let mut start = Vec::with_capacity(5 + head.len());
    start.push(service as u8);
    start.extend_from_slice(&(head.len() as u32).to_le_bytes());
    start.extend_from_slice(head);
    start
}

fn served(inbounds: &Inbounds, service: u8) -> Result<(ServiceId, &Arc<dyn Inbound>), Fault> {
    let known = ServiceId::ALL.into_iter().find(|known| *known as u8 == service);
    known
        .and_then(|known| Some((known, inbounds[known.index()].as_ref()?)))
        .ok_or_else(|| broken(&format!("service {service} is not served here")))
}

/// A reset stream breaks the order of its messages; a lost connection is not the stream's fault.
fn read_failed(error: &ReadError) -> Result<Done, Fault> {
    match error {
        ReadError::Reset(_) => Err(broken("it reset a service's stream")),
        _ => Ok(Done::Other),
    }
}

fn broken(why: &str) -> Fault {
    Fault { code: CloseCode::Malformed, why: why.to_owned() }
}
