//! Whole clusters of copies ([`Replica`](super::replica::Replica)) in virtual time, from a seed.
//! The code that decides is that of a node; the network, the disks, the table and the values are
//! made up. Messages are lost, doubled and late; links are cut, one way or both; nodes stand still
//! and are killed with the loss of what they had not synced; logs are cut short and disks wiped,
//! one copy of a shard at a time; nodes come and go. The properties in [`invariants`] are checked
//! all the while; at the end all is healed, and every shard must serve and be whole in time.
//!
//! `FAASM_SEED=7 cargo test --lib state::sim` replays one seed, `FAASM_SIM_SEEDS=5000` tries that
//! many.

mod chaos;
mod clients;
mod disk;
mod glue;
mod invariants;
mod network;
mod table;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Plant, World};

/// Seeds tried by default.
const SEEDS: u64 = 200;
/// Seeds in which a planted bug must be found.
const PLANTED: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one seed to the end: chaos, then healing. Gives a digest of all that happened.
fn run(seed: u64, plant: Option<Plant>) -> Result<u64, String> {
    let run = || {
        let mut world = World::new(seed, plant);
        chaos::rage(&mut world)?;
        chaos::heal(&mut world)?;
        Ok(world.digest())
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("a node panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs seeds on all cores; gives the first that failed.
fn first_failure(seeds: std::ops::Range<u64>, plant: Option<Plant>) -> Option<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let share = |thread| {
            let seeds = seeds.clone().skip(thread as usize).step_by(threads as usize);
            scope.spawn(move || {
                seeds.into_iter().find_map(|seed| run(seed, plant).err().map(|why| (seed, why)))
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
    if let Some((seed, why)) = first_failure(seeds, None) {
        panic!("{why}\nreplay it: FAASM_SEED={seed} cargo test --lib state::sim::no_schedule");
    }
}

#[test]
fn a_seed_replays_the_same_run() {
    let digest = |seed| run(seed, None).unwrap();
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4), "the digest tells runs apart");
}

/// Proof that the simulation finds what it is for.
fn is_found(plant: Plant, as_what: &[&str]) {
    let (seed, why) = first_failure(0..PLANTED, Some(plant)).expect("no seed noticed it");
    let fits = as_what.iter().any(|what| why.contains(what));
    assert!(fits, "seed {seed} found something else: {why}");
}

#[test]
fn an_owner_that_serves_without_a_lease_is_found() {
    is_found(Plant::NoLease, &["two owners", "stale read"]);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    is_found(Plant::AckBeforeSync, &["is not durable"]);
}

#[test]
fn an_append_without_duplicate_detection_is_found() {
    is_found(Plant::NoDedup, &["twice"]);
}
