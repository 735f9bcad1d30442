use super::*;
use crate::id::Incarnation;

const LENGTH: Duration = Duration::from_millis(3000);
const PATIENCE: Duration = Duration::from_millis(3300);

fn id(node: u64, opened: u64) -> SessionId {
    SessionId { node: NodeId(node), incarnation: Incarnation(1), opened }
}

fn renewal(node: u64, number: u64) -> Renewal {
    Renewal { session: id(node, 5), number, applied: 5 + number }
}

/// A leader since `now`, of sessions of n1 and n2 that were opened at 5.
fn leading() -> (Sessions, Instant) {
    let now = Instant::now();
    let mut sessions = Sessions::new(LENGTH, 0);
    sessions.lead([id(1, 5), id(2, 5)], now);
    (sessions, now)
}

/// Looks for lapsed sessions every 100 ms, as ticks do, up to `to` after `now`.
fn expire_until(sessions: &mut Sessions, now: Instant, to: Duration) -> Vec<(u128, SessionId)> {
    let mut over = Vec::new();
    let mut after = Duration::ZERO;
    while after <= to {
        over.extend(sessions.expire(now + after).into_iter().map(|id| (after.as_millis(), id)));
        after += Duration::from_millis(100);
    }
    over
}

#[test]
fn nothing_is_granted_before_leadership_is_confirmed() {
    let (mut sessions, now) = leading();
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
    sessions.renew(renewal(2, 7));
    assert_eq!(sessions.confirmed(1, now), vec![renewal(1, 1)], "n2 came after the question");
    assert_eq!(sessions.confirmed(1, now), vec![], "once");
    assert_eq!(sessions.ask(), Some(2));
    assert_eq!(sessions.confirmed(2, now), vec![renewal(2, 7)]);
    assert_eq!(sessions.ask(), None);
    assert_eq!(sessions.slowest(), Some(6));
}

#[test]
fn a_later_confirmation_serves_earlier_renewals() {
    let (mut sessions, now) = leading();
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
    sessions.renew(renewal(2, 1));
    assert_eq!(sessions.ask(), Some(2));
    assert_eq!(sessions.confirmed(2, now), vec![renewal(1, 1), renewal(2, 1)]);
}

#[test]
fn a_session_is_over_a_tenth_after_its_length() {
    let (mut sessions, now) = leading();
    let at = now + Duration::from_millis(1000);
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
    sessions.confirmed(1, at);
    let over = expire_until(&mut sessions, now, Duration::from_millis(4300));
    assert_eq!(over, vec![(3300, id(2, 5)), (4300, id(1, 5))]);
}

#[test]
fn a_session_whose_end_is_proposed_is_not_renewed_until_the_outcome_is_known() {
    let (mut sessions, now) = leading();
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1), "confirmed too late");
    let over = expire_until(&mut sessions, now, PATIENCE);
    assert_eq!(over.len(), 2);
    assert_eq!(sessions.confirmed(1, now + PATIENCE), vec![]);
    sessions.renew(renewal(1, 2));
    assert_eq!(sessions.ask(), None);
    sessions.ended(id(1, 5));
    sessions.opened(id(1, 9), now + PATIENCE);
    let new = Renewal { session: id(1, 9), number: 3, applied: 9 };
    sessions.renew(new);
    assert_eq!(sessions.ask(), Some(2));
    assert_eq!(sessions.confirmed(2, now + PATIENCE), vec![new]);
}

#[test]
fn an_end_that_was_not_proposed_is_tried_again_and_renewals_go_on_meanwhile() {
    let (mut sessions, now) = leading();
    expire_until(&mut sessions, now, PATIENCE);
    sessions.not_proposed(id(1, 5));
    let next = now + PATIENCE + Duration::from_millis(100);
    assert_eq!(sessions.expire(next), vec![id(1, 5)]);
    sessions.not_proposed(id(1, 5));
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
}

#[test]
fn a_new_leader_gives_every_session_a_full_term() {
    let (mut sessions, now) = leading();
    let later = now + Duration::from_secs(3);
    sessions.lead([id(1, 5), id(2, 5)], later);
    assert_eq!(sessions.expire(later), vec![]);
    let over = expire_until(&mut sessions, later, PATIENCE);
    assert_eq!(over, vec![(3300, id(1, 5)), (3300, id(2, 5))]);
}

#[test]
fn who_does_not_lead_grants_and_ends_nothing() {
    let (mut sessions, now) = leading();
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
    sessions.depose();
    assert_eq!(sessions.confirmed(1, now), vec![]);
    sessions.opened(id(3, 6), now);
    sessions.renew(Renewal { session: id(3, 6), number: 1, applied: 6 });
    assert_eq!(sessions.ask(), None);
    assert_eq!(sessions.expire(now + 10 * LENGTH), vec![]);
}

#[test]
fn renewals_of_other_sessions_than_the_open_one_are_ignored() {
    let (mut sessions, _) = leading();
    sessions.renew(Renewal { session: id(1, 4), number: 1, applied: 5 });
    sessions.renew(Renewal { session: id(7, 5), number: 1, applied: 5 });
    assert_eq!(sessions.ask(), None);
    sessions.ended(id(1, 4));
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1), "the end of an older session does not touch this one");
}

#[test]
fn a_leader_that_stood_still_reads_its_mail_before_it_ends_sessions() {
    let (mut sessions, now) = leading();
    assert_eq!(sessions.expire(now), vec![]);
    let woken = now + 3 * LENGTH;
    assert_eq!(sessions.expire(woken), vec![]);
    let over = expire_until(&mut sessions, woken, PATIENCE);
    assert_eq!(over.len(), 2, "but it ends those that stay silent");
    assert_eq!(over[0].0, 3300);
}

/// The number may come from a peer that made the answer up.
#[test]
fn a_confirmation_of_the_last_round_there_can_be_is_one_like_others() {
    let (mut sessions, now) = leading();
    sessions.renew(renewal(1, 1));
    assert_eq!(sessions.ask(), Some(1));
    assert_eq!(sessions.confirmed(u64::MAX, now), vec![renewal(1, 1)]);
}
