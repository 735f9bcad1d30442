//! What each user has of a node: requests under way, requests a second, connections. A user that
//! asks for more than its share is told so (429), while the others keep theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::access::Principal;
use super::error::ApiError;
use crate::config::GatewayOptions;
use crate::errno::Errno;
use crate::id::Name;

/// Refusals a second that one user gets at once; further ones wait their turn, so that clients
/// that ask again without a pause do not take the node's time from others.
const REFUSALS: u32 = 500;
/// Longest wait of a refusal.
const LONGEST_REFUSAL: Duration = Duration::from_secs(1);

/// All users' shares.
#[derive(Debug)]
pub struct Lanes {
    requests: usize,
    connections: usize,
    users: DashMap<Name, Arc<Lane>>,
}

/// One user's share.
#[derive(Debug)]
struct Lane {
    under_way: AtomicUsize,
    connections: AtomicUsize,
    pace: Mutex<Pace>,
    refusals: Mutex<Pace>,
}

/// Why a request is refused, and how long to wait before saying so.
#[derive(Debug)]
pub struct Refusal {
    /// The answer.
    pub error: ApiError,
    /// The wait.
    pub after: Duration,
}

impl Lanes {
    /// Shares of these sizes.
    pub fn new(options: &GatewayOptions) -> Self {
        Self {
            requests: options.user_requests(),
            connections: options.user_connections(),
            users: DashMap::new(),
        }
    }

    /// A place among the requests of a user.
    pub fn enter(&self, principal: &Principal, now: Instant) -> Result<LanePlace, Refusal> {
        let lane = self.lane(&principal.name);
        let rate = principal.quotas.requests;
        if rate > 0
            && let Err(wait) = lane.pace.lock().take(rate, now)
        {
            let detail =
                format!("quota: {} may make {rate} requests a second at each node", principal.name);
            let error = ApiError::new(Errno::Quota, detail).retry_after(wait);
            return Err(lane.refusal(error, now));
        }
        if !within(&lane.under_way, self.requests) {
            let detail = format!(
                "{} requests of {} are under way here, the most that one user may have; wait for \
                 some to end, or ask another node",
                self.requests, principal.name
            );
            return Err(lane.refusal(ApiError::new(Errno::Quota, detail), now));
        }
        Ok(LanePlace(lane))
    }

    /// Counts a connection to the user that uses it.
    fn attach(&self, name: &Name) -> Result<ConnectionPlace, ApiError> {
        let lane = self.lane(name);
        if !within(&lane.connections, self.connections) {
            let detail = format!(
                "{} connections of {name} are open here, the most that one user may have; use \
                 fewer, or ask another node",
                self.connections
            );
            return Err(ApiError::new(Errno::Quota, detail).closing());
        }
        Ok(ConnectionPlace { name: name.clone(), lane })
    }

    fn lane(&self, name: &Name) -> Arc<Lane> {
        if let Some(known) = self.users.get(name) {
            return known.clone();
        }
        // Only names of users come here, whose number is bounded.
        self.users.entry(name.clone()).or_insert_with(Lane::new).clone()
    }

    /// Forgets a user that is none any more.
    pub fn forget(&self, name: &Name) {
        self.users.remove(name);
    }
}

impl Lane {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            under_way: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            pace: Mutex::default(),
            refusals: Mutex::default(),
        })
    }

    fn refusal(&self, error: ApiError, now: Instant) -> Refusal {
        let after = self.refusals.lock().queue(REFUSALS, now).min(LONGEST_REFUSAL);
        Refusal { error, after }
    }
}

/// A request's place in its user's share; given back when dropped.
#[derive(Debug)]
pub struct LanePlace(Arc<Lane>);

impl Drop for LanePlace {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection's place in its user's share; given back when dropped.
#[derive(Debug)]
struct ConnectionPlace {
    name: Name,
    lane: Arc<Lane>,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.lane.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is known of a connection: whose it is, from its latest request.
#[derive(Debug, Default)]
pub struct Connection {
    place: Mutex<Option<ConnectionPlace>>,
}

impl Connection {
    /// A request of this user came on it.
    pub fn used_by(&self, lanes: &Lanes, name: &Name) -> Result<(), ApiError> {
        let mut place = self.place.lock();
        if place.as_ref().is_none_or(|place| place.name != *name) {
            *place = None;
            *place = Some(lanes.attach(name)?);
        }
        Ok(())
    }
}

fn within(count: &AtomicUsize, most: usize) -> bool {
    let more = |n| (n < most).then_some(n + 1);
    count.try_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
}

/// A rate with a burst of one second. Pure; time is passed in.
#[derive(Debug, Default)]
struct Pace {
    /// When all that was taken is earned.
    earned: Option<Instant>,
}

impl Pace {
    /// Takes one of `rate` a second; else the time until there is one.
    fn take(&mut self, rate: u32, now: Instant) -> Result<(), Duration> {
        let wait = self.over(rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.advance(rate, now);
        Ok(())
    }

    /// Takes one in any case; gives the wait for it.
    fn queue(&mut self, rate: u32, now: Instant) -> Duration {
        let wait = self.over(rate, now);
        if wait < LONGEST_REFUSAL {
            self.advance(rate, now);
        }
        wait
    }

    fn over(&self, rate: u32, now: Instant) -> Duration {
        let earned = self.earned.map_or(now, |earned| earned.max(now));
        let ahead = earned.saturating_duration_since(now) + each(rate);
        ahead.saturating_sub(Duration::from_secs(1))
    }

    fn advance(&mut self, rate: u32, now: Instant) {
        let earned = self.earned.map_or(now, |earned| earned.max(now));
        self.earned = Some(earned + each(rate));
    }
}

fn each(rate: u32) -> Duration {
    Duration::from_secs(1) / rate.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::users::{Quotas, Role};

    fn user(name: &str, requests: u32) -> Principal {
        let quotas = Quotas { requests, ..Quotas::default() };
        Principal { name: Name::new(name).unwrap(), role: Role::User, quotas, token: None }
    }

    fn lanes(requests: usize, connections: usize) -> Lanes {
        Lanes { requests, connections, users: DashMap::new() }
    }

    #[test]
    fn one_user_has_its_share_and_the_others_have_theirs() {
        let (lanes, now) = (lanes(2, 10), Instant::now());
        let (alice, bob) = (user("alice", 0), user("bob", 0));
        let first = lanes.enter(&alice, now).unwrap();
        let _second = lanes.enter(&alice, now).unwrap();
        let refused = lanes.enter(&alice, now).unwrap_err();
        assert_eq!((refused.error.status().as_u16(), refused.after), (429, Duration::ZERO));
        assert!(lanes.enter(&bob, now).is_ok());
        drop(first);
        assert!(lanes.enter(&alice, now).is_ok());
    }

    #[test]
    fn a_rate_has_a_burst_of_a_second_and_tells_when_to_come_again() {
        let (lanes, now) = (lanes(100, 10), Instant::now());
        let alice = user("alice", 4);
        let taken = |at| (0..10).filter(|_| lanes.enter(&alice, at).is_ok()).count();
        assert_eq!(taken(now), 4);
        assert_eq!(taken(now + Duration::from_millis(250)), 1);
        assert_eq!(taken(now + Duration::from_millis(760)), 2);
        assert_eq!(taken(now + Duration::from_secs(100)), 4);
        let slow = user("slow", 1);
        assert!(lanes.enter(&slow, now).is_ok());
        let wait = lanes.users.get("slow").unwrap().pace.lock().take(1, now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn refusals_past_their_rate_wait_but_not_for_ever() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<Duration> = (0..5_000).map(|_| pace.queue(REFUSALS, now)).collect();
        assert!(waits[..REFUSALS as usize].iter().all(Duration::is_zero));
        assert!(waits[REFUSALS as usize + 1] > Duration::ZERO);
        let longest = waits.iter().max().unwrap();
        assert!(*longest >= LONGEST_REFUSAL && *longest < 2 * LONGEST_REFUSAL, "{longest:?}");
    }

    #[test]
    fn a_connection_counts_to_whom_it_serves() {
        let lanes = lanes(10, 1);
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        let (one, two) = (Connection::default(), Connection::default());
        one.used_by(&lanes, &alice).unwrap();
        one.used_by(&lanes, &alice).unwrap();
        assert_eq!(two.used_by(&lanes, &alice).unwrap_err().status(), 429);
        one.used_by(&lanes, &bob).unwrap();
        two.used_by(&lanes, &alice).unwrap();
        drop(two);
        Connection::default().used_by(&lanes, &alice).unwrap();
    }
}
