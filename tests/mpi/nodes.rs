//! Collectives whose ranks are on several nodes.

use std::collections::BTreeSet;

use crate::ranks::Ranks;

/// The nodes of ranks: two and three nodes, uneven, in order and mixed, up to 17 ranks.
const LAYOUTS: [&[u64]; 7] = [
    &[1, 2],
    &[1, 1, 1, 2],
    &[2, 1, 2],
    &[1, 2, 2, 2, 3, 3, 3, 3, 3],
    &[3, 1, 2, 1, 3, 3, 2, 1],
    &[1, 1, 1, 1, 2, 2, 2, 2],
    &[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 3, 3, 3, 1, 2],
];

fn all_pass(programs: &[&str]) {
    let mut nodes = Ranks::linked(3);
    for on in LAYOUTS {
        nodes.place(on);
        for program in programs {
            nodes.passes(&format!("mpi/coll_{program}"), on.len() as u32);
        }
    }
}

#[test]
fn elements_move_between_any_nodes() {
    all_pass(&["moves", "types", "neighbour", "inter"]);
}

#[test]
fn elements_are_combined_on_any_nodes() {
    all_pass(&["reduce", "user", "later"]);
}

#[test]
fn order_lengths_and_progress_are_right_on_any_nodes() {
    all_pass(&["nodes"]);
    for ranks in [1, 2, 5] {
        Ranks::new().passes("mpi/coll_nodes", ranks);
        Ranks::apart().passes("mpi/coll_nodes", ranks);
    }
}

/// Each number of ranks, on one to four nodes: in a row, in turns, and as it comes.
#[test]
fn any_number_of_ranks_is_on_any_nodes() {
    let mut nodes = Ranks::linked(4);
    let mut chance = 12345_u64;
    for ranks in 1..=17_u64 {
        let used = 1 + ranks % 4;
        let row = (0..ranks).map(|rank| 1 + rank * used / ranks).collect();
        let turns = (0..ranks).map(|rank| 1 + rank % used).collect();
        let any = (0..ranks).map(|_| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            1 + (chance >> 33) % 4
        });
        for on in [row, turns, any.collect::<Vec<_>>()] {
            nodes.place(&on);
            nodes.passes_with("mpi/coll_nodes", on.len() as u32, &["few"]);
        }
    }
}

/// Messages and bytes between nodes, and those inside, of one collective of 8 ranks on two nodes.
fn moved(nodes: &mut Ranks, what: &str, count: &str) -> [(u64, u64); 2] {
    let on = [1, 1, 1, 1, 2, 2, 2, 2];
    nodes.place(&on);
    nodes.passes_with("mpi/coll_traffic", 8, &[what, count, "1"]);
    let traffic = nodes.traffic();
    let pairs: BTreeSet<_> = traffic.iter().map(|pair| (pair.from, pair.to)).collect();
    assert_eq!(pairs.len(), traffic.len(), "each pair of ranks has one row");
    [true, false].map(|between| {
        let of = traffic
            .iter()
            .filter(|pair| (on[pair.from as usize] != on[pair.to as usize]) == between);
        of.fold((0, 0), |sum, pair| (sum.0 + pair.messages, sum.1 + pair.bytes))
    })
}

#[test]
fn only_leaders_send_to_other_nodes() {
    let mut nodes = Ranks::linked(2);
    let mut all = |what, count| moved(&mut nodes, what, count);
    // What goes between the nodes, and what the ranks of each node and its leader take of each other.
    assert_eq!(all("barrier", "1"), [(2, 0), (12, 0)]);
    assert_eq!(all("bcast", "100"), [(1, 800), (6, 4_800)]);
    assert_eq!(all("bcast", "100000"), [(1, 800_000), (6, 4_800_000)]);
    assert_eq!(all("reduce", "100"), [(1, 800), (6, 4_800)]);
    assert_eq!(all("allreduce", "100"), [(2, 1_600), (12, 9_600)]);
    assert_eq!(all("allreduce", "100000"), [(2, 1_600_000), (12, 9_600_000)]);
    assert_eq!(all("gather", "100"), [(1, 3_200), (6, 4_800)]);
    assert_eq!(all("scatter", "100"), [(1, 3_200), (6, 4_800)]);
    assert_eq!(all("allgather", "100")[0], (2, 6_400));
    assert_eq!(all("alltoall", "100")[0], (2, 25_600));
    // Long blocks go straight.
    assert_eq!(all("alltoall", "10000"), [(32, 32 * 80_000), (24, 24 * 80_000)]);
}

#[test]
fn what_is_taken_in_memory_counts() {
    let mut nodes = Ranks::linked(1);
    let mut all = |what, count| {
        nodes.place(&[1; 4]);
        nodes.passes_with("mpi/coll_traffic", 4, &[what, count, "3"]);
        nodes.traffic()
    };
    let pairs = |traffic: &[faasm::mpi::engine::Traffic]| {
        traffic.iter().map(|t| (t.from, t.to, t.messages, t.bytes)).collect::<Vec<_>>()
    };
    // The root is the last one.
    assert_eq!(pairs(&all("bcast", "10")), [(3, 0, 3, 240), (3, 1, 3, 240), (3, 2, 3, 240)]);
    assert_eq!(pairs(&all("gather", "10")), [(0, 3, 3, 240), (1, 3, 3, 240), (2, 3, 3, 240)]);
    assert_eq!(pairs(&all("reduce", "10")), [(0, 3, 3, 240), (1, 3, 3, 240), (2, 3, 3, 240)]);
    assert_eq!(pairs(&all("scan", "10")), [(0, 1, 3, 240), (1, 2, 3, 240), (2, 3, 3, 240)]);
    let to_hub = |bytes| {
        let up = (1..4).map(move |rank| (rank, 0, 3, bytes));
        (1..4).map(move |rank| (0, rank, 3, bytes)).chain(up).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&all("barrier", "1")), to_hub(0));
    assert_eq!(pairs(&all("allreduce", "10")), to_hub(240));
    assert_eq!(all("alltoall", "10").len(), 12);
    assert!(all("allgather", "10").iter().all(|pair| pair.bytes == 240));
}
