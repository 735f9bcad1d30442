//! Messages between copies on their way: what all shards of a node say to another node in one round
//! goes in as few frames as it fits.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::replicas::{Batch, MAX_BATCH, MAX_BODY, MAX_RECORDS, Message, What};

/// Bytes beside one batch; a message with more goes alone, and its bytes are not copied.
const BYTES: usize = 64 << 10;

/// What is to be sent, by node.
#[derive(Default)]
pub struct Post {
    to: BTreeMap<NodeId, Vec<(Message, Bytes)>>,
}

/// Messages that go together.
#[derive(Default)]
struct Open {
    batch: Batch,
    bodies: Vec<Bytes>,
    bytes: usize,
    records: usize,
}

impl Post {
    /// Puts a message behind those before.
    pub fn put(&mut self, to: NodeId, message: Message, body: Bytes) {
        self.to.entry(to).or_default().push((message, body));
    }

    /// Sends all that was put.
    pub fn send(&mut self, mut send: impl FnMut(NodeId, &Batch, Bytes)) {
        for (to, all) in &mut self.to {
            let mut open = Open::default();
            for (message, body) in all.drain(..) {
                let records = records(&message);
                if !open.takes(records, body.len()) {
                    open.send(*to, &mut send);
                }
                open.put(message, records, body);
            }
            open.send(*to, &mut send);
        }
    }
}

impl Open {
    fn takes(&self, records: usize, bytes: usize) -> bool {
        self.batch.all.len() < MAX_BATCH
            && self.records + records <= MAX_RECORDS
            && self.bytes + bytes <= BYTES
    }

    fn put(&mut self, message: Message, records: usize, body: Bytes) {
        self.batch.lens.push(u32::try_from(body.len()).unwrap_or(u32::MAX));
        self.batch.all.push(message);
        self.records += records;
        self.bytes += body.len();
        if !body.is_empty() {
            self.bodies.push(body);
        }
    }

    fn send(&mut self, to: NodeId, send: &mut impl FnMut(NodeId, &Batch, Bytes)) {
        let open = std::mem::take(self);
        if open.batch.all.is_empty() {
            return;
        }
        let mut bodies = open.bodies.into_iter();
        let body = match (bodies.len(), bodies.next()) {
            (1, Some(only)) => only,
            (_, first) => {
                let mut body = BytesMut::with_capacity(open.bytes);
                first.into_iter().chain(bodies).for_each(|one| body.extend_from_slice(&one));
                body.freeze()
            }
        };
        send(to, &open.batch, body);
    }
}

fn records(message: &Message) -> usize {
    match &message.what {
        What::Append { records, .. } | What::Tail { records, .. } => records.len(),
        _ => 0,
    }
}

/// Gives each message of a batch its bytes.
pub fn cut(batch: Batch, body: &Bytes) -> Result<Vec<(Message, Bytes)>, Malformed> {
    let bad = |why: String| Malformed { what: "messages between copies", why };
    let (count, lens) = (batch.all.len(), batch.lens.len());
    if count != lens || count > MAX_BATCH {
        return Err(bad(format!("{count} of them, with {lens} lengths")));
    }
    let mut at = 0_usize;
    let mut cut = Vec::with_capacity(count);
    for (message, len) in batch.all.into_iter().zip(batch.lens) {
        let len = len as usize;
        let end = at.saturating_add(len);
        if len > MAX_BODY || end > body.len() {
            return Err(bad(format!("{len} bytes beside one, of {}", body.len())));
        }
        cut.push((message, body.slice(at..end)));
        at = end;
    }
    if at != body.len() {
        return Err(bad(format!("{} bytes are left over", body.len() - at)));
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::replicas::{Head, Point, Term};
    use crate::wire::shards::ShardId;

    fn ack(shard: u16) -> Message {
        let what = What::Ack { through: u64::from(shard) };
        Message { shard: ShardId(shard), term: Term(7), round: 1, what }
    }

    fn append(records: usize) -> Message {
        let records = vec![Head { term: Term(7), len: 0 }; records];
        let what = What::Append { prev: Point::default(), records, commit: 0, keep: 0 };
        Message { what, ..ack(1) }
    }

    /// The sizes of the batches that these make, and that they come out as they went in.
    fn through(messages: Vec<(Message, Bytes)>) -> Vec<usize> {
        let (mut post, mut sizes, mut out) = (Post::default(), Vec::new(), Vec::new());
        for (message, body) in messages.clone() {
            post.put(NodeId(2), message, body);
        }
        post.send(|to, batch, body| {
            assert_eq!(to, NodeId(2));
            sizes.push(batch.all.len());
            out.extend(cut(batch.clone(), &body).unwrap());
        });
        assert_eq!(out, messages);
        post.send(|_, _, _| panic!("it was sent"));
        sizes
    }

    #[test]
    fn a_round_goes_in_one_frame_and_comes_out_in_order() {
        let body = |len: usize| Bytes::from(vec![len as u8; len]);
        let some: Vec<_> = (0..100).map(|at| (ack(at), body(usize::from(at) * 3))).collect();
        assert_eq!(through(some), [100]);
        assert_eq!(through(vec![(ack(1), Bytes::new())]), [1]);
        assert_eq!(through(Vec::new()), [0; 0]);
    }

    #[test]
    fn what_is_too_much_for_one_frame_goes_in_more() {
        let none = Bytes::new;
        let many = vec![(ack(3), none()); MAX_BATCH + 1];
        assert_eq!(through(many), [MAX_BATCH, 1]);
        assert_eq!(through(vec![(append(MAX_RECORDS), none()), (append(1), none())]), [1, 1]);
        let long = Bytes::from(vec![1; MAX_BODY]);
        let some = vec![(ack(1), none()), (append(1), long.clone()), (ack(2), none())];
        assert_eq!(through(some), [1, 1, 1]);
        let mut post = Post::default();
        post.put(NodeId(1), append(1), long.clone());
        post.send(|_, _, body| assert_eq!(body.as_ptr(), long.as_ptr(), "it was copied"));
    }

    #[test]
    fn lengths_that_do_not_fit_the_bytes_are_refused() {
        let batch = |lens: &[u32]| Batch { all: vec![ack(1), ack(2)], lens: lens.to_vec() };
        let body = Bytes::from_static(b"12345");
        assert!(cut(batch(&[2, 3]), &body).is_ok());
        for lens in [&[2, 2][..], &[2, 4], &[5], &[2, 3, 0], &[u32::MAX, 6]] {
            assert!(cut(batch(lens), &body).is_err(), "{lens:?}");
        }
        let many = Batch { all: vec![ack(1); MAX_BATCH + 1], lens: vec![0; MAX_BATCH + 1] };
        assert!(cut(many, &Bytes::new()).is_err());
    }
}
