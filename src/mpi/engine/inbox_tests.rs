//! Matching against a model: two plain lists.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// What a message or receive is, in the model.
#[derive(Default)]
struct Model {
    posted: Vec<(Pattern, u64)>,
    unexpected: Vec<(Envelope, u64)>,
}

impl Model {
    fn arrive(&mut self, envelope: Envelope, number: u64) -> Option<u64> {
        match self.posted.iter().position(|(pattern, _)| pattern.takes(&envelope)) {
            Some(at) => Some(self.posted.remove(at).1),
            None => {
                self.unexpected.push((envelope, number));
                None
            }
        }
    }

    fn find(&self, pattern: &Pattern) -> Option<usize> {
        self.unexpected.iter().position(|(envelope, _)| pattern.takes(envelope))
    }

    fn post(&mut self, pattern: Pattern, number: u64) -> Option<u64> {
        match self.find(&pattern) {
            Some(at) => Some(self.unexpected.remove(at).1),
            None => {
                self.posted.push((pattern, number));
                None
            }
        }
    }
}

fn message(envelope: Envelope, number: u64) -> Unexpected {
    let body = Body::Away(number, number);
    Unexpected { envelope, from: envelope.source, body, request: None, credit: 0, number }
}

fn posted(pattern: Pattern, number: u64) -> Posted {
    Posted { pattern, target: Target::Host(number), request: Request::pending() }
}

fn number_of(posted: &Posted) -> u64 {
    match posted.target {
        Target::Host(number) => number,
        Target::Guest(_) => panic!("the tests post none"),
    }
}

fn draw_envelope(rng: &mut StdRng) -> Envelope {
    Envelope {
        context: rng.random_range(0..2),
        source: rng.random_range(0..3),
        tag: rng.random_range(0..3),
    }
}

fn draw_pattern(rng: &mut StdRng) -> Pattern {
    let Envelope { context, source, tag } = draw_envelope(rng);
    let source = rng.random_bool(0.6).then_some(source);
    let tag = rng.random_bool(0.6).then_some(tag);
    Pattern { context, source, world_source: source, tag }
}

/// Runs a script of random steps; both must always agree.
fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut inbox, mut model) = (Inbox::default(), Model::default());
    let mut slots: Vec<(u32, Arc<Request>, u64)> = Vec::new();
    for number in 1..400 {
        match rng.random_range(0..10) {
            0..4 => {
                let envelope = draw_envelope(&mut rng);
                let taken = inbox.match_posted(&envelope);
                if taken.is_none() {
                    inbox.keep(message(envelope, number)).unwrap();
                }
                assert_eq!(taken.as_ref().map(number_of), model.arrive(envelope, number), "{seed}");
            }
            4..8 => {
                let pattern = draw_pattern(&mut rng);
                let found = inbox.find(&pattern);
                let taken = inbox.take(&pattern).map(|message| message.number);
                assert_eq!(found.map(|found| found.bytes), taken);
                if taken.is_none() {
                    let posted = posted(pattern, number);
                    let request = posted.request.clone();
                    slots.push((inbox.post(posted).unwrap(), request, number));
                }
                assert_eq!(taken, model.post(pattern, number), "seed {seed}, step {number}");
            }
            8 if !slots.is_empty() => {
                let (slot, request, number) = slots.swap_remove(rng.random_range(0..slots.len()));
                let withdrawn = inbox.withdraw(slot, &request).is_some();
                let at = model.posted.iter().position(|(_, known)| *known == number);
                assert_eq!(withdrawn, at.is_some(), "seed {seed}");
                at.map(|at| model.posted.remove(at));
            }
            _ if rng.random_bool(0.1) => {
                let source = rng.random_range(0..3);
                let drained = inbox.drain_unexpected(|message| message.from == source);
                let (gone, left) =
                    model.unexpected.drain(..).partition(|(envelope, _)| envelope.source == source);
                model.unexpected = left;
                let gone: Vec<(Envelope, u64)> = gone;
                let numbers = |gone: &[(Envelope, u64)]| gone.iter().map(|g| g.1).collect();
                let expected: Vec<u64> = numbers(&gone);
                assert_eq!(drained.iter().map(|m| m.number).collect::<Vec<_>>(), expected);
            }
            _ => {}
        }
        assert_eq!(inbox.posted.len(), model.posted.len());
        assert_eq!(inbox.unexpected.len(), model.unexpected.len());
        let wild = model.posted.iter().filter(|(p, _)| p.source.is_none() || p.tag.is_none());
        assert_eq!(inbox.wild, wild.count());
    }
}

#[test]
fn it_matches_as_two_plain_lists_do() {
    (0..300).for_each(run);
}

#[test]
fn both_queues_are_bounded_and_what_has_credit_always_has_room() {
    let mut inbox = Inbox::default();
    let envelope = Envelope { context: 0, source: 1, tag: 2 };
    let pattern = Pattern { context: 4, source: None, world_source: None, tag: Some(0) };
    for number in 0..MOST_QUEUED as u64 {
        inbox.keep(message(envelope, number)).unwrap();
        inbox.post(posted(pattern, number)).unwrap();
    }
    assert!(inbox.keep(message(envelope, 1)).is_err());
    assert!(inbox.post(posted(pattern, 1)).is_err());
    let credit = Unexpected { credit: 200, ..message(envelope, 1) };
    assert!(inbox.keep(credit).is_ok());
    let all = Pattern { context: 0, source: Some(1), world_source: None, tag: None };
    let first: Vec<_> = (0..3).map(|_| inbox.take(&all).unwrap().number).collect();
    assert_eq!(first, [0, 1, 2]);
}

#[test]
fn bytes_that_the_host_keeps_are_counted_until_they_are_taken() {
    let mut inbox = Inbox::default();
    let envelope = Envelope { context: 0, source: 1, tag: 2 };
    let bytes = Bytes::from(vec![0; 1 << 20]);
    let mut kept = 0;
    while inbox.may_keep(bytes.len() as u64) {
        let body = Body::Host(bytes.clone());
        inbox.keep(Unexpected { body, ..message(envelope, 0) }).unwrap();
        kept += 1;
    }
    assert_eq!(kept, 7, "each counts a little more than its bytes");
    let pattern = Pattern { context: 0, source: Some(1), world_source: None, tag: Some(2) };
    inbox.take(&pattern).unwrap();
    assert!(inbox.may_keep(bytes.len() as u64));
    assert_eq!(inbox.drain_unexpected(|_| true).len(), 6);
    assert_eq!(inbox.kept, 0);
}
