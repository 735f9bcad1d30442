use super::*;

const LENGTH: Duration = Duration::from_millis(3000);
const LEADER: Option<NodeId> = Some(NodeId(9));

fn id(incarnation: u64, opened: u64) -> SessionId {
    SessionId { node: NodeId(1), incarnation: Incarnation(incarnation), opened }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn keeper() -> (Keeper, Instant) {
    (Keeper::new(NodeId(1), Incarnation(2), LENGTH, 0), Instant::now())
}

fn renew(to: u64, number: u64) -> Option<Deed> {
    Some(Deed::Renew(NodeId(to), Renewal { session: id(2, 5), number, applied: 7 }))
}

#[test]
fn it_opens_once_and_again_when_that_came_to_nothing() {
    let (mut keeper, now) = keeper();
    assert_eq!(keeper.next(None, 0, now), Some(Deed::Open));
    assert_eq!(keeper.next(LEADER, 0, now), None);
    keeper.open_settled();
    assert_eq!(keeper.next(LEADER, 0, now), Some(Deed::Open));
}

#[test]
fn sessions_of_other_lives_and_nodes_are_not_its_own() {
    let (mut keeper, _) = keeper();
    keeper.opened(id(1, 5));
    keeper.opened(SessionId { node: NodeId(3), ..id(2, 5) });
    assert_eq!(keeper.session(), None);
}

#[test]
fn it_is_live_from_when_the_renewal_was_sent() {
    let (mut keeper, now) = keeper();
    keeper.opened(id(2, 5));
    assert_eq!(keeper.live_until(), None, "not before the first grant");
    assert_eq!(keeper.next(LEADER, 7, now), renew(9, 1));
    assert_eq!(keeper.next(LEADER, 7, now + ms(499)), None);
    assert_eq!(keeper.next(LEADER, 7, now + ms(500)), renew(9, 2));
    keeper.renewed(id(2, 5), 2);
    assert_eq!(keeper.live_until(), Some(now + ms(3500)));
    keeper.renewed(id(2, 5), 1);
    assert_eq!(keeper.live_until(), Some(now + ms(3500)), "an older grant takes nothing back");
    keeper.renewed(id(2, 5), 99);
    keeper.renewed(id(2, 4), 2);
    assert_eq!(keeper.live_until(), Some(now + ms(3500)), "nobody asked for these");
}

#[test]
fn a_new_leader_is_asked_at_once() {
    let (mut keeper, now) = keeper();
    keeper.opened(id(2, 5));
    assert_eq!(keeper.next(LEADER, 7, now), renew(9, 1));
    assert_eq!(keeper.next(None, 7, now), None);
    assert_eq!(keeper.next(Some(NodeId(8)), 7, now), renew(8, 2));
}

#[test]
fn a_session_that_was_ended_is_not_live_and_is_opened_again() {
    let (mut keeper, now) = keeper();
    keeper.opened(id(2, 5));
    keeper.next(LEADER, 7, now);
    keeper.renewed(id(2, 5), 1);
    keeper.ended(id(2, 4));
    assert!(keeper.live_until().is_some(), "another one ended");
    keeper.ended(id(2, 5));
    assert_eq!((keeper.live_until(), keeper.session()), (None, None));
    assert_eq!(keeper.next(LEADER, 8, now), Some(Deed::Open));
    keeper.renewed(id(2, 5), 1);
    assert_eq!(keeper.live_until(), None, "a late grant does not revive it");
}

#[test]
fn a_closed_keeper_does_nothing_more() {
    let (mut keeper, now) = keeper();
    keeper.opened(id(2, 5));
    keeper.next(LEADER, 7, now);
    assert_eq!(keeper.close(), Some(id(2, 5)));
    keeper.renewed(id(2, 5), 1);
    assert_eq!((keeper.live_until(), keeper.next(LEADER, 7, now + LENGTH)), (None, None));
}

#[test]
fn unanswered_renewals_are_forgotten_in_the_end() {
    let (mut keeper, now) = keeper();
    keeper.opened(id(2, 5));
    for n in 0..10 * MAX_UNANSWERED as u64 {
        keeper.next(LEADER, 7, now + ms(500 * n));
    }
    assert_eq!(keeper.sent.len(), MAX_UNANSWERED);
}
