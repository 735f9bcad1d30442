use super::*;
use crate::consensus::testnet::put;

const LEADER: NodeId = NodeId(9);

struct Test {
    proposals: Proposals,
    now: Instant,
    deadline: Instant,
}

fn test() -> Test {
    let now = Instant::now();
    let proposals = Proposals::new(NodeId(1), Incarnation(4), Arc::default());
    Test { proposals, now, deadline: now + Duration::from_secs(60) }
}

impl Test {
    fn open(&mut self, bytes: usize) -> Result<u64, Full> {
        self.proposals.open(put("f"), bytes, self.deadline, self.now)
    }

    /// The numbers of each batch handed out after `wait`.
    fn sent(&mut self, wait: Duration) -> Vec<(NodeId, Vec<u64>)> {
        let batches = self.proposals.batches(self.now + wait);
        let numbers = |batch: &Batch| batch.proposals.iter().map(|p| p.id.number).collect();
        batches.iter().map(|batch| (batch.to, numbers(batch))).collect()
    }
}

fn id(incarnation: u64, number: u64) -> RequestId {
    RequestId { node: NodeId(1), incarnation: Incarnation(incarnation), number }
}

#[test]
fn what_comes_together_goes_together_once_there_is_a_leader() {
    let mut test = test();
    assert_eq!((test.open(10), test.open(10)), (Ok(1), Ok(2)));
    assert_eq!(test.sent(Duration::ZERO), vec![]);
    test.proposals.leader_is(Some(LEADER));
    assert_eq!(test.sent(Duration::ZERO), vec![(LEADER, vec![1, 2])]);
    assert_eq!(test.sent(Duration::ZERO), vec![]);
}

#[test]
fn a_new_leader_is_handed_all_that_is_open() {
    let mut test = test();
    test.proposals.leader_is(Some(LEADER));
    test.open(10).unwrap();
    test.open(10).unwrap();
    test.sent(Duration::ZERO);
    assert_eq!(test.proposals.applied(id(4, 1), test.now), Some((1, Duration::ZERO)));
    test.proposals.leader_is(None);
    assert_eq!(test.sent(Duration::ZERO), vec![]);
    test.proposals.leader_is(Some(NodeId(8)));
    assert_eq!(test.sent(Duration::ZERO), vec![(NodeId(8), vec![2])]);
    test.proposals.leader_is(Some(NodeId(8)));
    assert_eq!(test.sent(Duration::ZERO), vec![], "nothing changed");
}

#[test]
fn what_got_no_answer_is_sent_again_under_the_same_name() {
    let mut test = test();
    test.proposals.leader_is(Some(LEADER));
    test.open(10).unwrap();
    assert_eq!(test.sent(Duration::ZERO).len(), 1);
    assert_eq!(test.sent(RESEND - Duration::from_millis(1)), vec![]);
    assert_eq!(test.sent(RESEND), vec![(LEADER, vec![1])]);
}

#[test]
fn proposals_are_matched_by_name_and_settled_once() {
    let mut test = test();
    test.open(10).unwrap();
    let now = test.now;
    assert_eq!(test.proposals.applied(id(3, 1), now), None, "of an older life");
    assert_eq!(test.proposals.applied(id(4, 2), now), None, "of nobody");
    assert!(test.proposals.applied(id(4, 1), now).is_some());
    assert_eq!(test.proposals.applied(id(4, 1), now), None, "a second time");
}

#[test]
fn deadlines_give_up() {
    let mut test = test();
    test.open(10).unwrap();
    assert_eq!(test.proposals.expire(test.now), Vec::<u64>::new());
    assert_eq!(test.proposals.expire(test.deadline), vec![1]);
    assert_eq!(test.proposals.len(), 0);
}

#[test]
fn a_batch_is_bounded_in_number_and_bytes() {
    let mut test = test();
    test.proposals.leader_is(Some(LEADER));
    for _ in 0..MAX_PROPOSALS + 1 {
        test.open(1).unwrap();
    }
    let sizes = |sent: Vec<(NodeId, Vec<u64>)>| sent.iter().map(|s| s.1.len()).collect::<Vec<_>>();
    assert_eq!(sizes(test.sent(Duration::ZERO)), vec![MAX_PROPOSALS, 1]);
    for _ in 0..3 {
        test.open(MAX_BATCH / 2).unwrap();
    }
    assert_eq!(sizes(test.sent(Duration::ZERO)), vec![2, 1]);
}

#[test]
fn neither_their_number_nor_the_span_of_their_numbers_grows_without_limit() {
    let mut test = test();
    for _ in 0..MAX_OPEN {
        test.open(1).unwrap();
    }
    assert_eq!(test.open(1), Err(Full));
    let mut span = self::test();
    span.open(1).unwrap();
    for number in 2..=WINDOW {
        assert_eq!(span.open(1), Ok(number));
        span.proposals.applied(id(4, number), span.now);
    }
    assert_eq!(span.open(1), Err(Full), "the state machine would forget the first one");
    span.proposals.applied(id(4, 1), span.now);
    assert_eq!(span.open(1), Ok(WINDOW + 1));
}
