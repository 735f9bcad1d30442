use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::id::{Incarnation, NodeId};

fn key(name: &str) -> StateKey {
    StateKey { user: "alice".into(), key: name.into() }
}

fn holder(call: u128) -> Holder {
    on_node(call, 1)
}

fn on_node(call: u128, node: u64) -> Holder {
    let session = SessionId { node: NodeId(node), incarnation: Incarnation(1), opened: 1 };
    Holder { call: CallId(call), session }
}

/// Locks, and what happened to them; each command is an entry of its own.
#[derive(Default)]
struct World {
    locks: Locks,
    index: u64,
    changes: Vec<LockChange>,
}

use LockAnswer::{Deadlock, Full, Granted, NotHeld, Queued};
use Mode::{Read, Write};

impl World {
    fn acquire(&mut self, call: u128, name: &str, mode: Mode) -> LockAnswer {
        self.index += 1;
        let (index, changes) = (self.index, &mut self.changes);
        self.locks.acquire(index, key(name), mode, holder(call), changes)
    }

    fn release(&mut self, call: u128, name: &str, mode: Mode) -> LockAnswer {
        self.index += 1;
        self.locks.release(self.index, &key(name), mode, holder(call), &mut self.changes)
    }

    fn awaits(&mut self, call: u128, children: &[u128]) {
        self.index += 1;
        let children = children.iter().copied().map(CallId).collect();
        assert!(self.locks.awaits(self.index, holder(call), children, &mut self.changes));
    }

    fn end(&mut self, calls: &[u128]) {
        self.index += 1;
        let holders: Vec<Holder> = calls.iter().copied().map(holder).collect();
        self.locks.end(self.index, &holders, LockEnd::Call, &mut self.changes);
    }

    /// Who was granted something since the last time it was asked.
    fn granted(&mut self) -> Vec<(u128, Token)> {
        let granted = |change| match change {
            LockChange::Granted { holder, token, .. } => Some((holder.call.0, token)),
            _ => None,
        };
        std::mem::take(&mut self.changes).into_iter().filter_map(granted).collect()
    }

    fn refused(&mut self) -> Vec<u128> {
        let refused = |change| match change {
            LockChange::Refused { holder, .. } => Some(holder.call.0),
            _ => None,
        };
        std::mem::take(&mut self.changes).into_iter().filter_map(refused).collect()
    }
}

#[test]
fn the_line_is_first_come_first_served_and_nobody_starves() {
    let mut world = World::default();
    assert_eq!(world.acquire(1, "k", Read), Granted(1));
    assert_eq!(world.acquire(2, "k", Read), Granted(2));
    assert_eq!(world.acquire(3, "k", Write), Queued);
    assert_eq!(world.acquire(4, "k", Read), Queued, "a writer waits before it");
    assert_eq!(world.acquire(5, "k", Read), Queued);
    assert_eq!(world.acquire(6, "k", Write), Queued);
    world.granted();
    world.release(1, "k", Read);
    assert_eq!(world.granted(), []);
    world.release(2, "k", Read);
    assert_eq!(world.granted(), [(3, 8)]);
    world.release(3, "k", Write);
    assert_eq!(world.granted(), [(4, 9), (5, 9)], "all readers up to the next writer");
    world.release(5, "k", Read);
    world.release(4, "k", Read);
    assert_eq!(world.granted(), [(6, 11)]);
    assert_eq!(world.release(6, "k", Write), Granted(11));
    assert_eq!(world.locks, Locks { next: 6, ..Locks::default() }, "nothing is left");
}

#[test]
fn locks_are_not_re_entrant_and_only_what_is_held_can_be_released() {
    let mut world = World::default();
    world.acquire(1, "k", Read);
    assert_eq!(world.acquire(1, "k", Write), Deadlock);
    assert_eq!(world.acquire(1, "k", Read), Deadlock);
    assert_eq!(world.release(2, "k", Read), NotHeld);
    assert_eq!(world.release(1, "k", Write), NotHeld);
    assert_eq!(world.release(1, "other", Read), NotHeld);
    assert_eq!(world.release(1, "k", Read), Granted(1));
    assert_eq!(world.release(1, "k", Read), NotHeld);
}

#[test]
fn a_circle_of_locks_is_refused_at_once() {
    let mut world = World::default();
    world.acquire(1, "a", Write);
    world.acquire(2, "b", Write);
    world.acquire(3, "c", Write);
    assert_eq!(world.acquire(1, "b", Write), Queued);
    assert_eq!(world.acquire(2, "c", Read), Queued);
    assert_eq!(world.acquire(3, "a", Read), Deadlock);
    world.granted();
    world.release(3, "c", Write);
    assert_eq!(world.granted(), [(2, 7)], "the others go on");
}

/// Also by way of somebody who stands in line before.
#[test]
fn a_circle_through_the_line_is_refused() {
    let mut world = World::default();
    world.acquire(1, "a", Read);
    world.acquire(2, "b", Write);
    assert_eq!(world.acquire(3, "a", Write), Queued);
    assert_eq!(world.acquire(1, "b", Write), Queued);
    assert_eq!(world.acquire(2, "a", Read), Deadlock, "3 waits for 1, and 1 for 2");
}

#[test]
fn a_child_that_asks_for_its_waiting_parents_lock_is_refused() {
    let mut world = World::default();
    world.acquire(1, "k", Write);
    world.awaits(1, &[2]);
    assert_eq!(world.acquire(2, "k", Read), Deadlock);
    // The parent waits only after the child has asked; and a call between them has no locks.
    let mut world = World::default();
    world.acquire(1, "k", Write);
    assert_eq!(world.acquire(3, "k", Read), Queued);
    world.awaits(2, &[3]);
    assert!(world.refused().is_empty());
    world.awaits(1, &[2]);
    assert_eq!(world.refused(), [3]);
    world.release(1, "k", Write);
    assert_eq!(world.granted(), [], "it has left the line");
}

#[test]
fn who_waits_for_any_of_several_is_stuck_only_when_all_are() {
    let mut world = World::default();
    world.acquire(1, "k", Write);
    world.awaits(1, &[2, 3]);
    assert_eq!(world.acquire(2, "k", Write), Queued, "3 may end");
    assert_eq!(world.acquire(3, "k", Write), Deadlock);
    world.awaits(1, &[]);
    assert_eq!(world.acquire(3, "k", Write), Queued, "1 does not wait any more");
    world.awaits(1, &[2, 3]);
    assert_eq!(world.refused(), [2], "one of them is enough");
}

#[test]
fn the_end_of_a_call_or_session_ends_all_it_holds_and_waits_for() {
    let mut world = World::default();
    world.acquire(1, "a", Write);
    world.acquire(1, "b", Read);
    world.acquire(2, "a", Write);
    world.acquire(3, "a", Write);
    world.granted();
    world.end(&[1, 2]);
    assert_eq!(world.granted(), [(3, 5)], "2 has ended with 1");
    let other = on_node(4, 2);
    world.locks.acquire(6, key("a"), Write, other, &mut world.changes);
    world.locks.session_over(7, holder(3).session, &mut world.changes);
    let ended = LockChange::Ended {
        key: Arc::new(key("a")),
        mode: Write,
        holder: holder(3),
        how: LockEnd::Session,
    };
    let token = 7;
    let granted =
        LockChange::Granted { key: Arc::new(key("a")), mode: Write, holder: other, token };
    assert_eq!(world.changes, [ended, granted]);
    assert_eq!(world.locks.parties.len(), 1);
}

#[test]
fn a_request_that_is_given_up_leaves_the_line_or_what_it_got() {
    let mut world = World::default();
    world.acquire(1, "k", Read);
    world.acquire(2, "k", Write);
    world.acquire(3, "k", Read);
    world.granted();
    world.locks.give_up(4, &key("k"), holder(2), &mut world.changes);
    assert_eq!(world.granted(), [(3, 4)]);
    world.locks.give_up(5, &key("k"), holder(3), &mut world.changes);
    assert_eq!(world.locks.held(&key("k"), &holder(3)), None);
    world.locks.give_up(6, &key("k"), holder(3), &mut world.changes);
    assert_eq!(world.locks.held(&key("k"), &holder(1)), Some((Read, 1)));
}

#[test]
fn a_user_may_not_take_all_there_is() {
    let mut world = World::default();
    for call in 0..MAX_USER_LOCKS as u128 {
        assert!(matches!(world.acquire(call, &format!("k{call}"), Write), Granted(_)));
    }
    assert_eq!(world.acquire(1, "more", Write), Full);
    let others = StateKey { user: "bob".into(), key: "k".into() };
    let answer = world.locks.acquire(1, others, Write, holder(1), &mut world.changes);
    assert!(matches!(answer, Granted(_)));
    world.end(&[7]);
    assert!(matches!(world.acquire(7, "more", Write), Granted(_)));
}

/// Follows each wait to what it waits for, without the short cuts.
fn may_go_on(locks: &Locks) -> BTreeSet<CallId> {
    let mut free: BTreeSet<CallId> = BTreeSet::new();
    loop {
        let before = free.len();
        for (holder, party) in &locks.parties {
            let goes = match &party.waits {
                Some((key, number)) => {
                    let (lock, own) = (&locks.keys[key], locks.keys[key].line[number].1);
                    let clash = |mode| own == Write || mode == Write;
                    let ahead = lock.line.range(..number).map(|(_, (h, mode))| (h, *mode));
                    let all = lock.holders.keys().map(|h| (h, lock.mode)).chain(ahead);
                    let mut blockers = all.filter(|(_, mode)| clash(*mode));
                    blockers.all(|(blocker, _)| free.contains(&blocker.call))
                }
                None if party.awaits.is_empty() => true,
                None => party.awaits.iter().any(|child| {
                    let known = locks.parties.keys().any(|holder| holder.call == *child);
                    !known || free.contains(child)
                }),
            };
            if goes {
                free.insert(holder.call);
            }
        }
        if free.len() == before {
            return free;
        }
    }
}

fn check(locks: &Locks) {
    for lock in locks.keys.values() {
        assert!(!lock.holders.is_empty(), "a line without a holder");
        assert!(lock.mode == Read || lock.holders.len() == 1, "a writer is not alone");
    }
    let free = may_go_on(locks);
    let stuck: Vec<_> = locks.parties.keys().filter(|h| !free.contains(&h.call)).collect();
    assert!(stuck.is_empty(), "{stuck:?} wait for ever");
    assert_eq!(Locks::restore(locks.image()), *locks, "a snapshot gives the same");
}

/// Whatever calls do, nobody waits for ever, no writer has company, and who is refused would have
/// waited for ever.
#[test]
fn no_sequence_leaves_anybody_stuck() {
    let mut refusals = 0;
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::default();
        for _ in 0..150 {
            let call = rng.random_range(0..8);
            let name = ["a", "b", "c"][rng.random_range(0..3)];
            let mode = if rng.random_bool(0.5) { Read } else { Write };
            let party = world.locks.parties.get(&holder(call)).cloned().unwrap_or_default();
            let before = world.locks.clone();
            match rng.random_range(0..10) {
                0..5 if party.waits.is_none() && party.awaits.is_empty() => {
                    let held = party.held.contains(&key(name));
                    if world.acquire(call, name, mode) == Deadlock && !held {
                        refusals += 1;
                        let mut asked = before.clone();
                        asked.next += 1;
                        let number = asked.next;
                        let known = asked.keys.get_key_value(&key(name)).unwrap().0.clone();
                        let lock = asked.keys.get_mut(&known).unwrap();
                        lock.line.insert(number, (holder(call), mode));
                        let party = asked.parties.entry(holder(call)).or_default();
                        party.waits = Some((known, number));
                        assert!(!may_go_on(&asked).contains(&CallId(call)), "seed {seed}");
                    }
                }
                5..8 => {
                    let _ = world.release(call, name, mode);
                }
                8 if party.waits.is_none() => {
                    let children = rng.random_range(0..3);
                    let children: Vec<u128> = (0..children)
                        .map(|_| rng.random_range(0..8))
                        .filter(|child| *child > call)
                        .collect();
                    world.awaits(call, &children);
                    refusals += world.refused().len();
                }
                _ if rng.random_bool(0.3) => world.end(&[call]),
                _ => {}
            }
            check(&world.locks);
        }
    }
    assert!(refusals > 50, "{refusals}: the circles that were tried are too few");
}
