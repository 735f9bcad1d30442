//! Collectives.

use crate::ranks::Ranks;

/// Few, a power of two, and not one.
const SIZES: [u32; 6] = [1, 2, 3, 5, 8, 17];

#[test]
fn elements_move_in_all_forms() {
    let node = Ranks::new();
    SIZES.iter().for_each(|ranks| node.passes("mpi/coll_moves", *ranks));
}

#[test]
fn elements_are_combined_in_all_forms() {
    let node = Ranks::new();
    SIZES.iter().for_each(|ranks| node.passes("mpi/coll_reduce", *ranks));
}

#[test]
fn operations_of_the_program_combine_in_the_order_of_ranks() {
    let node = Ranks::new();
    SIZES.iter().for_each(|ranks| node.passes("mpi/coll_user", *ranks));
}
