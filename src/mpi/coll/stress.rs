//! Ranks that wait for each other in every way, more than there are threads and those more than
//! cores, with pauses where a wake-up could be lost: whoever waits must be woken.
//!
//! `FAASM_MPI_STRESS=60` does it for so many seconds instead of a moment.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Peers, Plan, Work, tree};
use crate::mpi::agree::{self, Value};
use crate::mpi::comm::Comm;
use crate::mpi::engine::{Endpoint, Envelope, Mode, Pattern, Payload, Target, World};
use crate::mpi::group::Group;
use crate::mpi::turns::Turn;

/// Nothing here takes as long, on whatever machine.
const STUCK: Duration = Duration::from_secs(60);

/// A sequence of numbers as good as chance.
struct Chance(u64);

impl Chance {
    fn of(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    /// Nothing, or what gives other threads a chance.
    fn pause(&mut self) {
        match self.of(8) {
            0 => std::thread::yield_now(),
            1 => (0..self.of(2_000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Waits as ranks do: a few looks that nobody needs to be woken for, then with a waker; sometimes
/// woken though there is nothing, sometimes polled by another task's turn.
async fn wait<F: Future>(chance: &mut Chance, turn: &mut Turn, what: F) -> F::Output {
    let mut what = pin!(what);
    for _ in 0..chance.of(4) {
        if let Poll::Ready(done) = what.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        chance.pause();
    }
    crate::mpi::turns::gives_way();
    let spurious = chance.of(6) == 0;
    let done = std::future::poll_fn(|context| {
        chance.pause();
        let polled = what.as_mut().poll(context);
        if polled.is_pending() && spurious && chance.of(2) == 0 {
            context.waker().wake_by_ref();
        }
        polled
    })
    .await;
    turn.ends(&tokio::runtime::Handle::current());
    chance.pause();
    turn.begins();
    done
}

/// What all ranks do, in an order that all know.
async fn rank(
    endpoint: Arc<Endpoint>,
    comm: Arc<Comm>,
    seed: u64,
    steps: u64,
    at: Arc<AtomicU64>,
) -> Arc<Endpoint> {
    let size = endpoint.size();
    let me = comm.rank;
    let (mut shared, mut own) = (Chance(seed), Chance(seed ^ (u64::from(me) << 32)));
    let mut turn = Turn::default();
    let (next, last) = ((me + 1) % size, (me + size - 1) % size);
    let envelope = |tag| Envelope { context: 0, source: me, tag };
    let pattern = |source: Option<u32>, tag| Pattern {
        context: 0,
        source,
        world_source: source,
        tag: Some(tag),
    };
    for step in 0..steps {
        at.store(step, Ordering::Relaxed);
        let tag = i32::try_from(step).unwrap_or(0);
        let text = || Payload::Host(Bytes::copy_from_slice(&tag.to_le_bytes()));
        match shared.of(6) {
            0 => {
                let plan = Plan {
                    endpoint: endpoint.clone(),
                    comm: comm.clone(),
                    tag: comm.begin(),
                    work: Work::Barrier,
                };
                wait(&mut own, &mut turn, plan.run(0)).await.expect("all come");
            }
            1 => {
                let peers = Peers::new(&endpoint, &comm, comm.begin(), comm.group.clone());
                wait(&mut own, &mut turn, tree::barrier(&peers)).await.expect("all come");
            }
            2 => {
                let from = endpoint.receive(pattern(Some(last), tag), Target::Host(4));
                let sent = endpoint.send(next, envelope(tag), text(), Mode::Synchronous);
                wait(&mut own, &mut turn, from.done()).await;
                wait(&mut own, &mut turn, sent.done()).await;
            }
            3 => {
                let sent = endpoint.send(next, envelope(tag), text(), Mode::Standard);
                let found =
                    wait(&mut own, &mut turn, endpoint.wait_probe(&pattern(None, tag))).await;
                assert_eq!(found.expect("it comes").envelope.source, last);
                let (_, message) = endpoint.take(&pattern(Some(last), tag)).expect("it was found");
                let taken = endpoint.receive_taken(message, Target::Host(4));
                wait(&mut own, &mut turn, taken.done()).await;
                wait(&mut own, &mut turn, sent.done()).await;
            }
            4 => {
                // Two wait for one request, and one of them goes.
                let from = endpoint.receive(pattern(Some(last), tag), Target::Host(4));
                let other = tokio::spawn({
                    let from = from.clone();
                    async move { from.done().await }
                });
                if own.of(2) == 0 {
                    other.abort();
                }
                let sent = endpoint.send(next, envelope(tag), text(), Mode::Standard);
                wait(&mut own, &mut turn, endpoint.received(&from)).await;
                wait(&mut own, &mut turn, sent.done()).await;
            }
            _ => {
                let mine = Value { flag: 1, context: u64::from(me + 1), failed: Vec::new() };
                let agreed = agree::agree(endpoint.clone(), comm.clone(), mine);
                let agreed = wait(&mut own, &mut turn, agreed).await;
                assert_eq!(agreed.expect("all come").failed, Vec::<u32>::new());
            }
        }
    }
    endpoint
}

fn job(size: u32, seed: u64, steps: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build();
    let runtime = runtime.expect("a runtime");
    let world = World::local(size);
    let at: Vec<_> = (0..size).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let ranks: Vec<_> = (0..size)
        .map(|me| {
            let comm = Comm::new(0, Group::new((0..size).collect()), me, None);
            let endpoint = Endpoint::new(world.clone(), me);
            let at = at[me as usize].clone();
            runtime.spawn(rank(endpoint, Arc::new(comm), seed, steps, at))
        })
        .collect();
    let all = runtime.block_on(async {
        // A rank that goes would fail the others.
        tokio::time::timeout(STUCK, futures_util::future::join_all(ranks)).await
    });
    let at: Vec<_> = at.iter().map(|at| at.load(Ordering::Relaxed)).collect();
    let all = all.unwrap_or_else(|_| panic!("{size} ranks with seed {seed} stand at {at:?}"));
    let ended: Vec<_> = all.into_iter().map(|ended| ended.expect("no panic")).collect();
    drop(ended);
}

#[test]
fn whoever_waits_is_woken() {
    let seconds = std::env::var("FAASM_MPI_STRESS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + seconds.map_or(Duration::from_millis(300), Duration::from_secs);
    let mut seed = 1;
    while seed < 8 || Instant::now() < until {
        for size in [2, 3, 8, 17] {
            job(size, seed, 60);
        }
        seed += 1;
    }
}
