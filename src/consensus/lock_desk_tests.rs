use super::*;
use crate::id::{Incarnation, NodeId};

const SESSION: SessionId = SessionId { node: NodeId(1), incarnation: Incarnation(1), opened: 5 };
const CALL: CallId = CallId(1);

fn key(name: &str) -> StateKey {
    StateKey { user: "alice".into(), key: name.into() }
}

fn holder() -> Holder {
    Holder { call: CALL, session: SESSION }
}

/// A desk, and a log that takes all.
#[derive(Default)]
struct World {
    desk: Desk,
    number: u64,
    room: Option<usize>,
}

impl World {
    fn ask(&mut self, ask: Ask) {
        self.desk.ask(ask, Some(SESSION));
    }

    fn lock(&mut self, ticket: u64, name: &str) {
        self.ask(Ask::Lock { ticket, call: CALL, key: key(name), mode: Mode::Write });
    }

    fn unlock(&mut self, name: &str) {
        self.ask(Ask::Unlock { call: CALL, key: key(name), mode: Mode::Write });
    }

    /// What is proposed now, with its numbers.
    fn proposed(&mut self) -> Vec<(u64, LockCommand)> {
        let mut proposed = Vec::new();
        let (number, room) = (&mut self.number, &mut self.room);
        self.desk.pump(Some(SESSION), |command| {
            if let Some(room) = room {
                *room = room.checked_sub(1)?;
            }
            *number += 1;
            proposed.push((*number, command));
            Some(*number)
        });
        proposed
    }

    fn settle(&mut self, number: u64, answer: LockAnswer) {
        assert!(self.desk.settled(number, &lock(answer), |_| 7));
    }

    fn told(&mut self) -> Vec<Told> {
        self.desk.take_told()
    }

    /// Has a lock by ticket 1.
    fn holding(name: &str) -> Self {
        let mut world = Self::default();
        world.lock(1, name);
        world.proposed();
        world.settle(1, LockAnswer::Granted(10));
        assert_eq!(world.told(), [answer(1, name, Ok(Grant { token: 10, epoch: 7 }))]);
        world
    }
}

fn answer(ticket: u64, name: &str, result: Result<Grant, LockError>) -> Told {
    Told::Answer { ticket, call: CALL, key: key(name), mode: Mode::Write, result }
}

fn acquire(name: &str) -> LockCommand {
    LockCommand::Acquire { key: key(name), mode: Mode::Write, holder: holder() }
}

fn release(name: &str) -> LockCommand {
    LockCommand::Release { key: key(name), mode: Mode::Write, holder: holder() }
}

fn give_up(name: &str) -> LockCommand {
    LockCommand::GiveUp { key: key(name), holder: holder() }
}

#[test]
fn a_release_holds_nothing_up_and_a_refusal_behind_it_is_tried_again() {
    let mut world = World::holding("k");
    world.unlock("k");
    world.lock(2, "k");
    assert_eq!(world.proposed(), [(2, release("k")), (3, acquire("k"))]);
    // They passed each other on the way.
    world.settle(3, LockAnswer::Deadlock);
    assert_eq!(world.proposed(), []);
    world.settle(2, LockAnswer::Granted(10));
    assert_eq!(world.proposed(), [(4, acquire("k"))]);
    assert_eq!(world.told(), []);
    world.settle(4, LockAnswer::Deadlock);
    assert_eq!(world.told(), [answer(2, "k", Err(LockError::Deadlock))]);
}

#[test]
fn a_request_that_is_given_up_is_withdrawn_behind_it() {
    let mut world = World::default();
    world.lock(1, "k");
    assert_eq!(world.proposed(), [(1, acquire("k"))]);
    world.ask(Ask::GiveUp { ticket: 1, call: CALL });
    world.lock(2, "k");
    assert_eq!(world.proposed(), [], "they might pass each other");
    world.settle(1, LockAnswer::Granted(10));
    assert_eq!(world.proposed(), [(2, give_up("k"))]);
    world.settle(2, LockAnswer::Queued);
    assert_eq!(world.proposed(), [(3, acquire("k"))]);
    assert_eq!(world.told(), []);
}

#[test]
fn what_was_held_before_is_not_given_up_with_a_request_that_was_refused() {
    let mut world = World::holding("k");
    world.lock(2, "k");
    assert_eq!(world.proposed(), [(2, acquire("k"))]);
    world.ask(Ask::GiveUp { ticket: 2, call: CALL });
    world.settle(2, LockAnswer::Deadlock);
    assert_eq!(world.proposed(), []);
    world.unlock("k");
    assert_eq!(world.proposed(), [(3, release("k"))]);
}

#[test]
fn a_grant_that_nobody_takes_is_released() {
    let mut world = World::holding("k");
    world.ask(Ask::GiveUp { ticket: 1, call: CALL });
    assert_eq!(world.proposed(), [(2, release("k"))]);
    let ended = Told::Ended { call: CALL, key: key("k"), mode: Mode::Write };
    assert_eq!(world.told(), [ended]);
}

#[test]
fn the_end_comes_behind_all_else_and_is_told_once_all_is_released() {
    let mut world = World::holding("a");
    world.lock(2, "b");
    world.proposed();
    world.lock(3, "c");
    assert_eq!(world.told(), [answer(3, "c", Err(LockError::Deadlock))], "one at a time");
    world.ask(Ask::End { ticket: 4, call: CALL });
    assert_eq!(world.proposed(), []);
    world.settle(2, LockAnswer::Queued);
    assert_eq!(world.proposed(), [(3, LockCommand::End { holders: vec![holder()] })]);
    assert_eq!(world.told(), []);
    assert!(world.desk.settled(3, &Response::Done, |_| 7));
    let ended = Told::Ended { call: CALL, key: key("a"), mode: Mode::Write };
    assert_eq!(world.told(), [ended, Told::Done(4)]);
    world.proposed();
    assert!(world.desk.callers.is_empty());
    // With nothing left it only waits for the release.
    let mut world = World::holding("a");
    world.unlock("a");
    world.ask(Ask::End { ticket: 2, call: CALL });
    assert_eq!(world.proposed(), [(2, release("a"))]);
    assert_eq!(world.told(), []);
    world.settle(2, LockAnswer::Granted(10));
    assert_eq!(world.proposed(), []);
    assert_eq!(world.told(), [Told::Done(2)]);
    assert!(world.desk.callers.is_empty());
}

#[test]
fn with_the_session_all_is_lost_and_everybody_is_told() {
    let mut world = World::holding("a");
    world.lock(2, "b");
    world.proposed();
    world.ask(Ask::Await { call: CallId(2), children: vec![CALL] });
    world.proposed();
    world.ask(Ask::Resume { ticket: 3, call: CallId(2) });
    world.ask(Ask::Lock { ticket: 6, call: CallId(3), key: key("c"), mode: Mode::Read });
    world.ask(Ask::End { ticket: 7, call: CallId(4) });
    world.proposed();
    world.ask(Ask::End { ticket: 8, call: CallId(3) });
    world.desk.session_over();
    let ended = Told::Ended { call: CALL, key: key("a"), mode: Mode::Write };
    let lost = answer(2, "b", Err(LockError::Lost));
    let done = [Told::Done(7), ended, lost, Told::Done(3), Told::Done(8)];
    assert_eq!(world.told(), done);
    world.settle(2, LockAnswer::Granted(1));
    assert_eq!(world.told(), [], "too late");
    world.desk.ask(Ask::End { ticket: 4, call: CALL }, None);
    world.desk.ask(Ask::Lock { ticket: 5, call: CALL, key: key("b"), mode: Mode::Write }, None);
    assert_eq!(world.told(), [Told::Done(4), answer(5, "b", Err(LockError::Lost))]);
}

#[test]
fn a_wait_that_was_not_made_known_yet_is_taken_back_for_nothing() {
    let mut world = World::default();
    world.ask(Ask::Await { call: CALL, children: vec![CallId(2)] });
    world.ask(Ask::Resume { ticket: 1, call: CALL });
    assert_eq!(world.proposed(), []);
    assert_eq!(world.told(), [Told::Done(1)]);
    world.ask(Ask::Await { call: CALL, children: vec![CallId(2)] });
    assert_eq!(world.proposed().len(), 1);
    world.ask(Ask::Resume { ticket: 2, call: CALL });
    assert_eq!(world.proposed(), [], "it might pass the other");
    world.settle(1, LockAnswer::Queued);
    let back = LockCommand::Await { holder: holder(), child: None };
    assert_eq!(world.proposed(), [(2, back)]);
    world.settle(2, LockAnswer::Queued);
    assert_eq!(world.told(), [Told::Done(2)]);
    world.proposed();
    assert!(world.desk.callers.is_empty());
}

#[test]
fn what_finds_no_room_is_proposed_when_there_is() {
    let mut world = World { room: Some(0), ..World::default() };
    world.lock(1, "k");
    assert_eq!(world.proposed(), []);
    world.room = None;
    assert_eq!(world.proposed(), [(1, acquire("k"))]);
    let mut world = World::default();
    for call in 0..MAX_CALLERS as u128 + 1 {
        let (ticket, mode) = (call as u64, Mode::Read);
        world.ask(Ask::Lock { ticket, call: CallId(call), key: key("k"), mode });
    }
    assert_eq!(world.proposed().len(), MAX_FLYING);
    let full = |told: &Told| matches!(told, Told::Answer { result: Err(LockError::Full), .. });
    let told = world.told();
    assert!(told.len() == 1 && full(&told[0]), "{told:?}");
}

#[test]
fn after_a_snapshot_what_came_of_requests_is_read_from_the_state() {
    let mut world = World::default();
    world.lock(1, "k");
    world.proposed();
    world.settle(1, LockAnswer::Queued);
    assert_eq!(world.told(), [Told::Queued(CALL)]);
    let mut locks = Locks::default();
    locks.acquire(30, key("k"), Mode::Write, holder(), &mut vec![]);
    let earlier = Holder { call: CallId(9), session: SESSION };
    locks.acquire(31, key("x"), Mode::Write, earlier, &mut vec![]);
    world.desk.reconcile(&locks, Some(SESSION), |_| 7);
    assert_eq!(world.told(), [answer(1, "k", Ok(Grant { token: 30, epoch: 7 }))]);
    // What an earlier driver took is released with its call.
    world.ask(Ask::End { ticket: 2, call: CallId(9) });
    assert_eq!(world.proposed(), [(2, LockCommand::End { holders: vec![earlier] })]);
    // A request that is neither held nor in line was refused.
    let mut world = World::default();
    world.lock(1, "k");
    world.proposed();
    world.settle(1, LockAnswer::Queued);
    world.told();
    world.desk.reconcile(&Locks::default(), Some(SESSION), |_| 7);
    assert_eq!(world.told(), [answer(1, "k", Err(LockError::Deadlock))]);
}
