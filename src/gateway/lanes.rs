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

/// Refusals a second that one user gets: clients are told to come again later the more of them are
/// refused, so that all of them together take little of the node's time from others.
const REFUSALS: u32 = 250;
/// Longest time after which a refused client is told to come again.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Longest wait of a refusal itself, past [`REFUSALS`]: for clients that do not care what they are
/// told.
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
            return Err(lane.refusal(detail, wait, now));
        }
        if !within(&lane.under_way, self.requests) {
            let detail = format!(
                "{} requests of {} are under way here, the most that one user may have; wait for \
                 some to end, or ask another node",
                self.requests, principal.name
            );
            return Err(lane.refusal(detail, Duration::ZERO, now));
        }
        Ok(LanePlace(lane))
    }

    /// Counts a connection to the user that uses it.
    fn attach(&self, name: &Name, now: Instant) -> Result<ConnectionPlace, Refusal> {
        let lane = self.lane(name);
        if !within(&lane.connections, self.connections) {
            let detail = format!(
                "{} connections of {name} are open here, the most that one user may have; use \
                 fewer, or ask another node",
                self.connections
            );
            // At once: while it waits, the connection would hold its place.
            let Refusal { error, .. } = lane.refusal(detail, Duration::ZERO, now);
            return Err(Refusal { error: error.closing(), after: Duration::ZERO });
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

    /// A refusal that is worth another try after `retry`, or later.
    fn refusal(&self, detail: String, retry: Duration, now: Instant) -> Refusal {
        let wait = self.refusals.lock().queue(REFUSALS, now);
        let error = ApiError::new(Errno::Quota, detail).retry_after(retry.max(wait));
        Refusal { error, after: wait.min(LONGEST_REFUSAL) }
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
    pub fn used_by(&self, lanes: &Lanes, name: &Name, now: Instant) -> Result<(), Refusal> {
        let mut place = self.place.lock();
        if place.as_ref().is_none_or(|place| place.name != *name) {
            *place = None;
            *place = Some(lanes.attach(name, now)?);
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
        if wait < LONGEST_RETRY {
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
    use axum::response::IntoResponse;

    use super::*;
    use crate::wire::users::{Quotas, Role};

    fn user(name: &str, requests: u32) -> Principal {
        let quotas = Quotas { requests, ..Quotas::default() };
        Principal {
            name: Name::new(name).unwrap(),
            role: Role::User,
            quotas,
            since_ms: 0,
            token: None,
        }
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
        assert!(*longest > Duration::from_secs(15) && *longest <= LONGEST_RETRY, "{longest:?}");
        let last = (0..50_000).map(|_| pace.queue(REFUSALS, now)).last();
        assert!(last <= Some(LONGEST_RETRY + Duration::from_secs(1)), "{last:?}");
    }

    #[test]
    fn the_more_are_refused_the_later_they_are_told_to_come() {
        let (lanes, now) = (lanes(0, 10), Instant::now());
        let alice = user("alice", 0);
        let refused: Vec<Refusal> =
            (0..2_000).map(|_| lanes.enter(&alice, now).unwrap_err()).collect();
        let told = |refusal: &Refusal| {
            let response = refusal.error.clone().into_response();
            response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!((told(&refused[0]), refused[0].after), (1, Duration::ZERO));
        assert!((5..=8).contains(&told(&refused[1_999])), "{:?}", refused[1_999]);
        assert_eq!(refused[1_999].after, LONGEST_REFUSAL);
    }

    #[test]
    fn a_connection_counts_to_whom_it_serves() {
        let lanes = lanes(10, 1);
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        let (one, two) = (Connection::default(), Connection::default());
        let now = Instant::now();
        one.used_by(&lanes, &alice, now).unwrap();
        one.used_by(&lanes, &alice, now).unwrap();
        let refused = two.used_by(&lanes, &alice, now).unwrap_err().error.into_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["connection"], "close");
        one.used_by(&lanes, &bob, now).unwrap();
        two.used_by(&lanes, &alice, now).unwrap();
        drop(two);
        Connection::default().used_by(&lanes, &alice, now).unwrap();
    }
}
