//! What to do about one peer: a pure state machine. Events go in, with the time and a random
//! number; the effects to perform come out.
//!
//! Of two nodes the one with the lower number dials and the other waits: so there is one
//! connection per pair, without a race to settle.

use std::time::{Duration, Instant};

use crate::id::Incarnation;
use crate::net::backoff::Backoff;

/// A connection that lived this long was a good one: after it, the first new attempt is made at
/// once. One that ends sooner may end so every time, and is dialed with growing pauses.
const STABLE: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The component opens.
    Start,
    /// A wait is over.
    Due { attempt: u64 },
    /// An attempt to dial failed.
    Failed { attempt: u64, why: String },
    /// A connection was made, in either direction, and passed the hello.
    Arrived { link: u64, incarnation: Incarnation },
    /// A connection ended.
    Ended { link: u64, why: String },
    /// A connection that seems to be the peer's did not pass.
    Refused { why: String },
    /// The peer's address changed.
    Moved,
    /// The component closes.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Dial, dropping any attempt before this one.
    Dial { attempt: u64 },
    /// Say `Due` after this long.
    Wait { attempt: u64, pause: Duration },
    /// Use the connection that arrived, and publish that the peer is up.
    Install { link: u64 },
    /// Close this connection: another takes its place.
    Replace { link: u64 },
    /// Close the connection that arrived.
    Discard { why: String },
    /// Publish that the peer is down, and why.
    Down { why: String },
    /// Publish why it is still down.
    Note { why: String },
    /// Flush this connection and close it.
    Drain { link: u64 },
    /// Drop the attempt to dial.
    GiveUp,
}

/// The connection to the peer, or what is done to get one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer is to dial.
    Listening,
    /// An attempt is under way.
    Dialing { attempt: u64 },
    /// The next attempt waits.
    Waiting { attempt: u64 },
    /// Connected.
    Up { link: u64, incarnation: Incarnation, since: Instant },
    /// Over; this connection may still be flushed.
    Stopped { draining: Option<u64> },
}

/// One peer.
#[derive(Debug)]
pub(super) struct PeerCore {
    dials: bool,
    state: State,
    attempts: u64,
    backoff: Backoff,
}

impl PeerCore {
    /// A peer that this node dials, or that dials this node.
    pub(super) fn new(dials: bool) -> Self {
        Self { dials, state: State::Listening, attempts: 0, backoff: Backoff::new() }
    }

    /// Takes one event. `jitter` is a random number from 0 to 1.
    pub(super) fn handle(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match (event, self.state) {
            (event, State::Stopped { draining }) => self.stopped(event, draining),
            (Event::Start, _) if self.dials => vec![self.dial()],
            (Event::Start, _) => Vec::new(),
            (Event::Due { attempt }, State::Waiting { attempt: current }) if attempt == current => {
                vec![self.dial()]
            }
            (Event::Due { .. }, _) => Vec::new(),
            (Event::Failed { attempt, why }, State::Dialing { attempt: current })
                if attempt == current =>
            {
                vec![Effect::Note { why }, self.wait(jitter)]
            }
            (Event::Failed { .. }, _) => Vec::new(),
            (Event::Arrived { link, incarnation }, _) => self.arrived(link, incarnation, now),
            (Event::Ended { link, why }, State::Up { link: current, since, .. })
                if link == current =>
            {
                self.ended(why, now.saturating_duration_since(since), jitter)
            }
            (Event::Ended { .. }, _) => Vec::new(),
            (Event::Refused { .. }, State::Up { .. }) => Vec::new(),
            (Event::Refused { why }, _) => vec![Effect::Note { why }],
            (Event::Moved, State::Waiting { .. } | State::Dialing { .. }) => {
                self.backoff.reset();
                vec![self.dial()]
            }
            (Event::Moved, _) => Vec::new(),
            (Event::Stop, State::Up { link, .. }) => {
                self.state = State::Stopped { draining: Some(link) };
                vec![Effect::GiveUp, Effect::Drain { link }]
            }
            (Event::Stop, _) => {
                self.state = State::Stopped { draining: None };
                vec![Effect::GiveUp]
            }
        }
    }

    fn stopped(&mut self, event: Event, draining: Option<u64>) -> Vec<Effect> {
        match event {
            Event::Arrived { .. } => {
                vec![Effect::Discard { why: "this node is stopping".to_owned() }]
            }
            Event::Ended { link, why } if draining == Some(link) => {
                self.state = State::Stopped { draining: None };
                vec![Effect::Down { why }]
            }
            _ => Vec::new(),
        }
    }

    fn dial(&mut self) -> Effect {
        self.attempts += 1;
        self.state = State::Dialing { attempt: self.attempts };
        Effect::Dial { attempt: self.attempts }
    }

    fn wait(&mut self, jitter: f64) -> Effect {
        self.state = State::Waiting { attempt: self.attempts };
        Effect::Wait { attempt: self.attempts, pause: self.backoff.wait(jitter) }
    }

    /// The newer connection wins: the peer knows better than we do that the old one is dead. One
    /// of an older life than the current one is a process that should not run any more.
    fn arrived(&mut self, link: u64, incarnation: Incarnation, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let State::Up { link: old, incarnation: current, .. } = self.state {
            if incarnation < current {
                let why = format!("it comes in incarnation {incarnation}, and {current} is here");
                return vec![Effect::Discard { why }];
            }
            effects.push(Effect::Replace { link: old });
        }
        self.state = State::Up { link, incarnation, since: now };
        effects.push(Effect::Install { link });
        effects
    }

    fn ended(&mut self, why: String, lived: Duration, jitter: f64) -> Vec<Effect> {
        let down = Effect::Down { why };
        if !self.dials {
            self.state = State::Listening;
            return vec![down];
        }
        if lived >= STABLE {
            self.backoff.reset();
            return vec![down, self.dial()];
        }
        vec![down, self.wait(jitter)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        text.to_owned()
    }

    fn arrived(link: u64, incarnation: u64) -> Event {
        Event::Arrived { link, incarnation: Incarnation(incarnation) }
    }

    /// Feeds events that need no time or chance; gives the effects of the last.
    fn feed(core: &mut PeerCore, events: Vec<Event>) -> Vec<Effect> {
        let now = Instant::now();
        events.into_iter().fold(Vec::new(), |_, event| core.handle(event, now, 1.0))
    }

    #[test]
    fn the_lower_node_dials_and_the_other_waits() {
        assert_eq!(
            feed(&mut PeerCore::new(true), vec![Event::Start]),
            [Effect::Dial { attempt: 1 }]
        );
        assert_eq!(feed(&mut PeerCore::new(false), vec![Event::Start]), []);
    }

    #[test]
    fn failed_attempts_are_repeated_with_growing_pauses() {
        let mut core = PeerCore::new(true);
        feed(&mut core, vec![Event::Start]);
        for (attempt, ms) in [(1, 50), (2, 100), (3, 200)] {
            assert_eq!(
                feed(&mut core, vec![Event::Failed { attempt, why: why("no") }]),
                [
                    Effect::Note { why: why("no") },
                    Effect::Wait { attempt, pause: Duration::from_millis(ms) }
                ]
            );
            assert_eq!(
                feed(&mut core, vec![Event::Due { attempt }]),
                [Effect::Dial { attempt: attempt + 1 }]
            );
        }
    }

    #[test]
    fn events_of_an_older_attempt_or_link_change_nothing() {
        let mut core = PeerCore::new(true);
        feed(&mut core, vec![Event::Start, Event::Moved]);
        assert_eq!(feed(&mut core, vec![Event::Failed { attempt: 1, why: why("late") }]), []);
        assert_eq!(feed(&mut core, vec![Event::Due { attempt: 1 }]), []);
        feed(&mut core, vec![arrived(7, 1), arrived(8, 1)]);
        assert_eq!(feed(&mut core, vec![Event::Ended { link: 7, why: why("old") }]), []);
    }

    #[test]
    fn a_newer_connection_replaces_and_an_older_life_is_sent_away() {
        let mut core = PeerCore::new(false);
        assert_eq!(feed(&mut core, vec![arrived(1, 5)]), [Effect::Install { link: 1 }]);
        assert_eq!(
            feed(&mut core, vec![arrived(2, 5)]),
            [Effect::Replace { link: 1 }, Effect::Install { link: 2 }]
        );
        assert_eq!(
            feed(&mut core, vec![arrived(3, 6)]),
            [Effect::Replace { link: 2 }, Effect::Install { link: 3 }]
        );
        let expected = why("it comes in incarnation i5, and i6 is here");
        assert_eq!(feed(&mut core, vec![arrived(4, 5)]), [Effect::Discard { why: expected }]);
    }

    #[test]
    fn a_stable_connection_is_dialed_again_at_once_and_a_short_one_after_a_pause() {
        let mut core = PeerCore::new(true);
        let start = Instant::now();
        core.handle(Event::Start, start, 0.0);
        core.handle(arrived(1, 1), start, 0.0);
        let ended = Event::Ended { link: 1, why: why("gone") };
        assert_eq!(
            core.handle(ended, start + STABLE, 0.0),
            [Effect::Down { why: why("gone") }, Effect::Dial { attempt: 2 }]
        );
        core.handle(arrived(2, 1), start, 0.0);
        let ended = Event::Ended { link: 2, why: why("gone") };
        assert_eq!(
            core.handle(ended, start + STABLE / 2, 1.0),
            [
                Effect::Down { why: why("gone") },
                Effect::Wait { attempt: 2, pause: Duration::from_millis(50) }
            ]
        );
    }

    #[test]
    fn the_side_that_waits_only_tells_that_the_peer_is_down() {
        let mut core = PeerCore::new(false);
        feed(&mut core, vec![arrived(1, 1)]);
        let ended = Event::Ended { link: 1, why: why("gone") };
        assert_eq!(feed(&mut core, vec![ended]), [Effect::Down { why: why("gone") }]);
        let refused = Event::Refused { why: why("cert") };
        assert_eq!(feed(&mut core, vec![refused]), [Effect::Note { why: why("cert") }]);
    }

    #[test]
    fn a_refusal_says_nothing_of_a_live_connection() {
        let mut core = PeerCore::new(false);
        let refused = Event::Refused { why: why("cert") };
        assert_eq!(feed(&mut core, vec![arrived(1, 1), refused]), []);
    }

    #[test]
    fn a_new_address_is_dialed_at_once() {
        let mut core = PeerCore::new(true);
        let failed = Event::Failed { attempt: 1, why: why("no") };
        assert_eq!(
            feed(&mut core, vec![Event::Start, failed, Event::Moved]),
            [Effect::Dial { attempt: 2 }]
        );
        assert_eq!(feed(&mut core, vec![arrived(1, 1), Event::Moved]), []);
    }

    #[test]
    fn after_stop_nothing_is_dialed_or_taken() {
        let mut core = PeerCore::new(true);
        assert_eq!(
            feed(&mut core, vec![Event::Start, arrived(1, 1), Event::Stop]),
            [Effect::GiveUp, Effect::Drain { link: 1 }]
        );
        let ended = Event::Ended { link: 1, why: why("flushed") };
        assert_eq!(feed(&mut core, vec![ended]), [Effect::Down { why: why("flushed") }]);
        assert_eq!(
            feed(&mut core, vec![arrived(2, 1)]),
            [Effect::Discard { why: why("this node is stopping") }]
        );
    }
}
