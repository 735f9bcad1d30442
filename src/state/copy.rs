//! One copy of a shard in the driver: what decides, and who waits for it.

use std::time::Instant;

use super::jobs::Jobs;
use super::replica::Replica;
use crate::wire::replicas::Term;

/// See the top.
pub struct Copy {
    /// Decides.
    pub replica: Replica,
    /// The reign for which what is logged was noted.
    pub noted: Option<Term>,
    /// Operations that wait.
    pub jobs: Jobs,
    /// Something was told that may have effects.
    pub dirty: bool,
    /// It failed for want of room, and is tried again then.
    pub retry_at: Option<Instant>,
}

impl Copy {
    /// A copy that nobody waits for.
    pub fn new(replica: Replica) -> Self {
        Self { replica, noted: None, jobs: Jobs::default(), dirty: true, retry_at: None }
    }

    /// Whether it owns the shard in another reign than when this was asked last: then what was
    /// noted of records that are not applied says nothing any more. It does not end when the copy
    /// stops to serve for a moment, as for a hand-over that comes to nothing: what is logged then
    /// is committed later, and new writes must come behind it.
    pub fn begins_anew(&mut self) -> bool {
        let reign = self.replica.reign();
        reign != std::mem::replace(&mut self.noted, reign)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::id::{Incarnation, NodeId};
    use crate::state::replica::{Event, Opened, TICK};
    use crate::wire::replicas::{Held, Message, What};
    use crate::wire::shards::{Shard, ShardId};

    const SHARD: ShardId = ShardId(7);

    fn table(revision: u64, epoch: u64, owner: u64) -> Event {
        let (in_sync, targets) = (vec![NodeId(1), NodeId(2)], vec![NodeId(2), NodeId(1)]);
        Event::Table(Some(Shard { epoch, revision, owner: NodeId(owner), in_sync, targets }))
    }

    #[test]
    fn what_is_logged_counts_through_a_hand_over_that_comes_to_nothing() {
        let mut now = Instant::now();
        let replica = Replica::new(NodeId(1), Incarnation(1), SHARD, &Opened::default());
        let mut copy = Copy::new(replica);
        let told = |round, what| {
            let term = Term::new(1, Incarnation(1), 0);
            let message = Message { shard: SHARD, term, round, what };
            Event::Message { from: NodeId(2), message, body: Bytes::new() }
        };
        let tell = |copy: &mut Copy, now, event| {
            copy.replica.handle(now, event).unwrap();
            copy.replica.flush(now);
        };
        tell(&mut copy, now, table(1, 1, 1));
        assert!(copy.begins_anew());
        tell(&mut copy, now, told(1, What::Position(Held::default())));
        tell(&mut copy, now, Event::Synced { op: 1 });
        tell(&mut copy, now, told(2, What::Ack { through: 1 }));
        assert_eq!(copy.replica.serving(), Some(1));
        assert!(!copy.begins_anew());
        copy.replica.write(5, Bytes::from_static(b"logged, and not yet committed")).unwrap();

        now += TICK;
        tell(&mut copy, now, Event::Tick);
        assert_eq!(copy.replica.serving(), None, "the first target is to have the shard");
        assert!(!copy.begins_anew(), "what is logged would be forgotten");
        now += Duration::from_secs(3);
        tell(&mut copy, now, Event::Tick);
        assert_eq!(copy.replica.serving(), Some(1), "the record did not become durable in time");
        assert!(!copy.begins_anew(), "what is logged would be forgotten");

        tell(&mut copy, now, table(2, 2, 2));
        assert!(copy.begins_anew(), "another node owns it");
    }
}
