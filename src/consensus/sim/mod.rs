//! Whole clusters of [`Core`](super::core::Core) in virtual time, from a seed: messages are lost,
//! doubled, delayed and reordered; links are cut, one way or both; nodes stand still, are killed
//! with the loss of what they had not synced, and start again; clocks run apart. The properties in
//! [`invariants`] are checked after each step; at the end all is healed and progress is demanded.
//!
//! `FAASM_SEED=7 cargo test --lib consensus::sim` replays one seed, `FAASM_SIM_SEEDS=5000` tries
//! that many. With `FAASM_SIM_OPERATORS=1` nodes also join, drain, are removed and lose disks.

mod chaos;
mod disk;
mod invariants;
mod lockers;
mod network;
mod operator;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Setup, World};

/// Seeds tried by default: a few seconds in a debug build.
const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one seed to the end: chaos, then healing. Gives a digest of all that happened.
fn run(seed: u64, setup: Setup) -> Result<u64, String> {
    let run = || {
        let mut world = World::new(seed, setup);
        chaos::rage(&mut world)?;
        chaos::heal(&mut world)?;
        Ok(world.digest())
    };
    // raft-rs panics where it finds its own invariants broken.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("a node panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs seeds on all cores; gives the first that failed.
fn first_failure(seeds: std::ops::Range<u64>, setup: Setup) -> Option<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let share = |thread| {
            let seeds = seeds.clone().skip(thread as usize).step_by(threads as usize);
            scope.spawn(move || {
                seeds.into_iter().find_map(|seed| run(seed, setup).err().map(|why| (seed, why)))
            })
        };
        let workers: Vec<_> = (0..threads).map(share).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).min()
    })
}

#[test]
fn no_schedule_of_failures_breaks_a_promise() {
    let seeds = match number("FAASM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FAASM_SIM_SEEDS").unwrap_or(SEEDS),
    };
    if let Some((seed, why)) = first_failure(seeds, Setup::default()) {
        panic!("{why}\nreplay it: FAASM_SEED={seed} cargo test --lib consensus::sim::no_schedule");
    }
}

/// The node that led is killed under load: a change that a survivor wants at once is made, and the
/// dead node's session is over, within 8 s of its clients' time.
#[test]
fn within_8_seconds_of_the_leaders_death_all_works_again() {
    for seed in number("FAASM_SEED").map_or(0..100, |seed| seed..seed + 1) {
        let mut world = World::new(seed, Setup::default());
        let took = chaos::kill_the_leader(&mut world).unwrap_or_else(|why| {
            panic!("{why}\nreplay it: FAASM_SEED={seed} cargo test --lib consensus::sim::within")
        });
        assert!(took < 8_000_000, "seed {seed} took {took} µs");
    }
}

#[test]
fn a_seed_replays_the_same_run() {
    let digest = |seed| run(seed, Setup::default()).unwrap();
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4), "the digest tells runs apart");
}

/// Proof that the simulation finds what it is for: a disk that says "synced" too early is the same
/// as a vote or an acknowledgement that leaves before the disk was written.
#[test]
fn a_disk_that_lies_is_found() {
    let setup = Setup { disks_lie: true, ..Setup::default() };
    assert!(first_failure(0..SEEDS, setup).is_some(), "{SEEDS} seeds did not notice it");
}

/// A clock that runs slower than the 10 % allowed makes a node believe in a session that is over.
#[test]
fn clocks_that_run_too_far_apart_are_found() {
    let setup = Setup { clock_drift_percent: 40, ..Setup::default() };
    let found = first_failure(0..SEEDS, setup);
    let why = found.expect("no seed noticed it").1;
    assert!(why.contains("believes it live"), "found something else: {why}");
}
