//! Ranks that fail, on one node and on several: what the others can still do.

use crate::ranks::Ranks;

/// The nodes of ranks, of which the second or the last fails: with others of its node, and alone.
const LAYOUTS: [&[u64]; 3] = [&[1, 2, 3], &[1, 2, 2, 1, 3, 3], &[3, 3, 1, 1, 2, 2, 2]];

#[test]
fn ranks_of_other_nodes_go_on_without_one_that_failed() {
    let mut nodes = Ranks::linked(3);
    for on in LAYOUTS {
        nodes.place(on);
        nodes.passes("mpi/env_failures", on.len() as u32);
    }
}

#[test]
fn a_receive_from_any_source_goes_on_when_the_failure_is_known() {
    for ranks in [3, 5] {
        Ranks::new().passes("mpi/env_pending", ranks);
    }
    let mut nodes = Ranks::linked(3);
    for on in LAYOUTS {
        nodes.place(on);
        nodes.passes("mpi/env_pending", on.len() as u32);
    }
}

#[test]
fn a_collective_fails_at_all_ranks_when_one_has_failed() {
    let mut nodes = Ranks::linked(3);
    for on in LAYOUTS {
        nodes.place(on);
        let mut outcomes = nodes.run("mpi/coll_failure", on.len() as u32, &[]);
        outcomes.pop();
        for outcome in outcomes {
            assert_eq!(outcome.result, Ok(0), "{}", String::from_utf8_lossy(&outcome.log));
        }
    }
}

/// As long as the ranks agree on which way it goes: by its length, that is.
#[test]
fn ranks_that_bring_different_lengths_to_a_collective_do_not_wait_for_ever() {
    let mut nodes = Ranks::linked(3);
    nodes.place(&[1, 2, 2, 1, 3]);
    let (together, apart) = (Ranks::new(), Ranks::apart());
    for count in ["40", "6000", "100000"] {
        nodes.passes_with("mpi/coll_lengths", 5, &[count]);
        together.passes_with("mpi/coll_lengths", 4, &[count]);
        apart.passes_with("mpi/coll_lengths", 5, &[count]);
    }
}
