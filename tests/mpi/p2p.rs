//! Point-to-point messages. Each program checks a group of clauses itself, with values that it
//! computes, and has each rank talk to its neighbours; on one rank to itself.

use crate::ranks::Ranks;

#[track_caller]
fn passes(program: &str, ranks: &[u32]) {
    let node = Ranks::new();
    for ranks in ranks {
        node.passes(program, *ranks);
    }
}

#[test]
fn a_number_goes_around_the_ring() {
    passes("mpi/ring", &[1, 2, 5, 17]);
}

#[test]
fn every_mode_in_every_form_delivers_every_length() {
    passes("mpi/p2p_modes", &[1, 2, 5]);
}

#[test]
fn messages_do_not_overtake_each_other() {
    passes("mpi/p2p_order", &[1, 2, 3, 5, 17]);
}

#[test]
fn waits_and_tests_end_what_is_complete_and_nothing_else() {
    passes("mpi/p2p_requests", &[1, 2, 5]);
}

#[test]
fn a_wrong_argument_gives_its_class_of_error() {
    passes("mpi/p2p_errors", &[1, 3]);
}

#[test]
fn a_probe_finds_what_a_receive_takes() {
    passes("mpi/p2p_probe", &[1, 2, 5, 17]);
}

#[test]
fn a_persistent_request_is_started_a_thousand_times() {
    passes("mpi/p2p_persistent", &[1, 2, 3]);
}

#[test]
fn buffered_sends_take_room_until_they_have_left() {
    passes("mpi/p2p_buffer", &[1, 2, 3]);
}

#[test]
fn what_is_cancelled_does_not_arrive() {
    passes("mpi/p2p_cancel", &[1, 2, 5]);
}

#[test]
fn a_send_and_a_receive_in_one_call() {
    passes("mpi/p2p_exchange", &[1, 2, 3, 17]);
}

#[test]
fn a_status_says_what_came() {
    passes("mpi/p2p_status", &[1]);
}

#[test]
fn parts_of_a_message_come_when_they_are_ready() {
    passes("mpi/p2p_partitioned", &[1, 2, 5, 17]);
}

#[test]
fn generalized_requests_call_the_program_back() {
    passes("mpi/p2p_generalized", &[1, 2]);
}

#[test]
fn messages_of_made_types() {
    passes("mpi/p2p_types", &[1, 2, 3]);
}

#[test]
fn messages_in_communicators_of_the_program() {
    passes("mpi/p2p_comms", &[1, 2, 3, 5, 17]);
}

#[test]
fn requests_in_odd_uses() {
    passes("mpi/p2p_odd", &[1, 2, 3, 8]);
}

#[test]
fn many_senders_and_one_who_takes_from_any() {
    passes("mpi/p2p_senders", &[2, 3, 8]);
}

#[test]
fn requests_of_the_program_and_messages_in_parts() {
    passes("mpi/p2p_own", &[1, 2, 3, 8]);
}
