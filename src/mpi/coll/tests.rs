//! Algorithms by messages, on ranks of one node, against what they mean.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::combine::Combine;
use super::{Peers, ring, tree};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::engine::{Endpoint, World};
use crate::mpi::error::Result;
use crate::mpi::group::Group;
use crate::mpi::ops::Op;
use crate::mpi::types::Basic;

/// Runs something on all ranks at once; what came of each.
fn all<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    size: u32,
    of: impl Fn(Peers) -> F,
) -> Vec<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    let world = World::local(size);
    let group = Group::new((0..size).collect());
    let tasks: Vec<_> = (0..size)
        .map(|rank| {
            let endpoint = Endpoint::new(world.clone(), rank);
            let comm = Comm::new(0, group.clone(), rank, None);
            let peers = Peers::new(&endpoint, &comm, 7, group.clone());
            let run = of(peers);
            // A rank that ends would fail the others.
            runtime.spawn(async move { (run.await, endpoint) })
        })
        .collect();
    let ended = runtime.block_on(futures_util::future::join_all(tasks));
    let ended: Vec<_> = ended.into_iter().map(|ended| ended.expect("no panic")).collect();
    ended.into_iter().map(|(came, _)| came.expect("no error")).collect()
}

fn sum() -> Combine {
    Combine::Builtin(Op::Sum, Basic::of(c::MPI_INT64_T).expect("a type"))
}

fn numbers(values: impl IntoIterator<Item = i64>) -> Bytes {
    values.into_iter().flat_map(i64::to_le_bytes).collect::<Vec<_>>().into()
}

fn mine(rank: u32, count: u32) -> Bytes {
    numbers((0..count).map(|at| i64::from(rank * 1000 + at)))
}

/// Sums of those ranks.
fn sums(ranks: std::ops::Range<u32>, count: u32) -> Bytes {
    numbers((0..count).map(|at| ranks.clone().map(|rank| i64::from(rank * 1000 + at)).sum()))
}

const SIZES: std::ops::RangeInclusive<u32> = 1..=17;

#[test]
fn nobody_passes_a_barrier_before_all_have_come() {
    for size in SIZES {
        let come = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let seen = all(size, |peers| {
            let come = come.clone();
            async move {
                come.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tree::barrier(&peers).await?;
                Ok(come.load(std::sync::atomic::Ordering::SeqCst))
            }
        });
        assert!(seen.iter().all(|seen| *seen == size), "{size}: {seen:?}");
    }
}

#[test]
fn blocks_go_from_the_root_and_to_it() {
    for (size, root) in SIZES.flat_map(|size| [(size, 0), (size, size - 1), (size, size / 2)]) {
        let came = all(size, move |peers| async move {
            let own = (peers.me == root).then(|| mine(root, 5));
            tree::bcast(&peers, root, own, 40).await
        });
        assert!(came.iter().all(|bytes| *bytes == mine(root, 5)), "{size} from {root}");
        let came = all(size, move |peers| async move {
            let own = mine(peers.me, 3);
            tree::gather(&peers, root, own, &vec![24; size as usize]).await
        });
        for (rank, blocks) in (0..).zip(came) {
            let due = (0..size).map(|rank| mine(rank, 3)).collect::<Vec<_>>();
            assert_eq!(blocks, (rank == root).then_some(due), "{size} to {root}");
        }
        let came = all(size, move |peers| async move {
            let own = (peers.me == root).then(|| (0..size).map(|rank| mine(rank, 3)).collect());
            tree::scatter(&peers, root, own, &vec![24; size as usize]).await
        });
        for (rank, block) in (0..).zip(came) {
            assert_eq!(block, mine(rank, 3), "{size} from {root}");
        }
    }
}

#[test]
fn blocks_go_around() {
    for size in SIZES {
        let due: Vec<_> = (0..size).map(|rank| mine(rank, rank)).collect();
        let came = all(size, move |peers| async move {
            let lens: Vec<_> = (0..u64::from(size)).map(|rank| rank * 8).collect();
            ring::allgather(&peers, mine(peers.me, peers.me), &lens).await
        });
        assert!(came.iter().all(|blocks| *blocks == due), "{size}");
        let due: Vec<_> = (0..size).map(|rank| mine(rank, 2)).collect();
        let came = all(size, move |peers| async move {
            ring::allgather_short(&peers, mine(peers.me, 2), &vec![16; size as usize]).await
        });
        assert!(came.iter().all(|blocks| *blocks == due), "{size}");
        let came = all(size, move |peers| async move {
            let own = (0..size).map(|to| mine(peers.me * 20 + to, to % 3)).collect();
            let lens = vec![u64::from(peers.me % 3 * 8); size as usize];
            ring::alltoall(&peers, own, &lens).await
        });
        for (rank, blocks) in (0..).zip(came) {
            let due: Vec<_> = (0..size).map(|from| mine(from * 20 + rank, rank % 3)).collect();
            assert_eq!(blocks, due, "{size}");
        }
    }
}

#[test]
fn vectors_are_summed() {
    for size in SIZES {
        for count in [0, 1, 40] {
            let due = sums(0..size, count);
            let came = all(size, move |peers| async move {
                tree::allreduce(&peers, mine(peers.me, count), &sum()).await
            });
            assert!(came.iter().all(|bytes| *bytes == due), "{size} by doubling");
            let came = all(size, move |peers| async move {
                ring::allreduce(&peers, &mine(peers.me, count), &sum()).await
            });
            assert!(came.iter().all(|bytes| *bytes == due), "{size} by pieces");
            let root = size / 3;
            let came = all(size, move |peers| async move {
                tree::reduce(&peers, root, mine(peers.me, count), &sum()).await
            });
            for (rank, bytes) in (0..).zip(came) {
                assert_eq!(bytes, (rank == root).then(|| due.clone()), "{size} to {root}");
            }
            for exclusive in [false, true] {
                let came = all(size, move |peers| async move {
                    tree::scan(&peers, mine(peers.me, count), &sum(), exclusive).await
                });
                for (rank, bytes) in (0..).zip(came) {
                    let before = sums(0..rank + u32::from(!exclusive), count);
                    assert_eq!(bytes, (rank > 0 || !exclusive).then_some(before), "{size}");
                }
            }
        }
    }
}

#[test]
fn ranks_that_differ_in_length_get_an_error() {
    let came = all(2, |peers| async move {
        let own = mine(peers.me, 1 + peers.me);
        Ok(tree::allreduce(&peers, own, &sum()).await.err().and_then(|error| error.class()))
    });
    assert_eq!(came, [Some(c::MPI_ERR_TRUNCATE); 2]);
}
