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

#[test]
fn operations_take_the_types_that_the_standard_says() {
    let node = Ranks::new();
    [1, 3].iter().for_each(|ranks| node.passes("mpi/coll_ops", *ranks));
    Ranks::apart().passes("mpi/coll_ops", 3);
}

#[test]
fn every_word_is_moved_and_no_other() {
    let node = Ranks::new();
    [1, 2, 3].iter().for_each(|ranks| node.passes("mpi/coll_every", *ranks));
    Ranks::apart().passes("mpi/coll_every", 4);
}

#[test]
fn many_are_under_way_at_once_and_a_wrong_length_harms_one() {
    let node = Ranks::new();
    [1, 2, 3, 8].iter().for_each(|ranks| node.passes("mpi/coll_storm", *ranks));
    let node = Ranks::apart();
    [2, 4, 7].iter().for_each(|ranks| node.passes("mpi/coll_storm", *ranks));
}

#[test]
fn messages_do_what_memory_does() {
    let node = Ranks::apart();
    let programs = ["moves", "reduce", "user", "later", "errors", "types", "neighbour"];
    for program in programs.map(|program| format!("mpi/coll_{program}")) {
        [2, 3, 8, 11].iter().for_each(|ranks| node.passes(&program, *ranks));
    }
}

#[test]
fn a_rank_that_ended_is_not_waited_for() {
    let outcomes = Ranks::new().run("mpi/coll_failure", 4, &[]);
    for outcome in &outcomes[..3] {
        assert_eq!(outcome.result, Ok(0), "{}", String::from_utf8_lossy(&outcome.log));
    }
}
