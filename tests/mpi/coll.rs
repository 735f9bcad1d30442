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

#[test]
fn collectives_are_under_way_and_start_again() {
    let node = Ranks::new();
    SIZES.iter().for_each(|ranks| node.passes("mpi/coll_later", *ranks));
}

#[test]
fn errors_are_found_before_anything_is_sent() {
    let node = Ranks::new();
    [1, 3].iter().for_each(|ranks| node.passes("mpi/coll_errors", *ranks));
}

#[test]
fn derived_types_are_moved_and_combined() {
    let node = Ranks::new();
    [1, 2, 5, 8].iter().for_each(|ranks| node.passes("mpi/coll_types", *ranks));
}

#[test]
fn two_groups_do_it_with_each_other() {
    let node = Ranks::new();
    [2, 3, 8, 17].iter().for_each(|ranks| node.passes("mpi/coll_inter", *ranks));
}

#[test]
fn neighbours_do_it_with_each_other() {
    let node = Ranks::new();
    SIZES.iter().for_each(|ranks| node.passes("mpi/coll_neighbour", *ranks));
}
