//! Groups, communicators, attributes.

use crate::ranks::Ranks;

const SIZES: [u32; 5] = [1, 2, 3, 8, 17];

#[test]
fn groups_are_made_compared_and_translated() {
    let node = Ranks::new();
    SIZES.into_iter().for_each(|ranks| node.passes("mpi/comm_groups", ranks));
}

#[test]
fn communicators_are_made_in_every_way_within_a_group() {
    let node = Ranks::new();
    SIZES.into_iter().for_each(|ranks| node.passes("mpi/comm_make", ranks));
}

#[test]
fn two_groups_have_an_intercommunicator() {
    let node = Ranks::new();
    [2, 3, 5, 8, 17].into_iter().for_each(|ranks| node.passes("mpi/comm_inter", ranks));
}

#[test]
fn attributes_are_copied_and_deleted_by_the_programs_functions() {
    let node = Ranks::new();
    [1, 3, 8].into_iter().for_each(|ranks| node.passes("mpi/comm_attributes", ranks));
}

#[test]
fn attributes_of_the_own_communicator_are_deleted_when_mpi_ends() {
    let node = Ranks::new();
    let outcomes = node.run("mpi/comm_attributes", 2, &[]);
    for outcome in outcomes {
        assert!(String::from_utf8_lossy(&outcome.log).contains("all deleted"), "{outcome:?}");
    }
}

#[test]
fn copies_are_complete_later_and_take_over_what_they_should() {
    let node = Ranks::new();
    [1, 2, 3, 8, 17].into_iter().for_each(|ranks| node.passes("mpi/comm_later", ranks));
}

#[test]
fn wrong_arguments_and_refusing_callbacks_end_calls_with_their_codes() {
    let node = Ranks::new();
    [1, 2, 3, 8].into_iter().for_each(|ranks| node.passes("mpi/comm_errors", ranks));
}

#[test]
fn functions_of_attributes_call_mpi_which_calls_others() {
    let node = Ranks::new();
    for ranks in [1, 2, 4] {
        for outcome in node.run("mpi/comm_callbacks", ranks, &[]) {
            let log = String::from_utf8_lossy(&outcome.log);
            assert!(outcome.result == Ok(0) && log.contains("all deleted"), "{outcome:?}");
        }
    }
}

#[test]
fn communicators_are_made_and_freed_without_end() {
    passes_both("mpi/comm_many", &[1, 2, 3, 4, 8]);
}

#[test]
fn messages_and_children_of_intercommunicators() {
    passes_both("mpi/comm_between", &[2, 3, 4, 8]);
}

/// With ranks whose collectives are done in memory, and by messages.
fn passes_both(program: &str, ranks: &[u32]) {
    for node in [Ranks::new(), Ranks::apart()] {
        ranks.iter().for_each(|ranks| node.passes(program, *ranks));
    }
}
