//! Environment: errors and their handlers, hints, sessions, what ends a job.

use crate::ranks::Ranks;

#[test]
fn errors_go_to_their_handlers() {
    Ranks::new().passes("mpi/env_errors", 2);
}

#[test]
fn hints_names_and_sessions() {
    Ranks::new().passes("mpi/env_info", 2);
}

#[test]
fn an_error_that_nobody_handles_ends_the_program_and_says_which() {
    let node = Ranks::new();
    for (how, code, says) in [
        ("abort", 42, "rank 0 called MPI_Abort with 42"),
        ("error", 5, "MPI_Comm_size: MPI_ERR_COMM"),
        ("early", 16, "it was called before MPI_Init"),
        ("late", 16, "it was called after MPI_Finalize"),
    ] {
        let outcome = node.run("mpi/env_fatal", 1, &[how]).remove(0);
        let log = String::from_utf8_lossy(&outcome.log);
        assert_eq!(outcome.result, Ok(code), "{how}: {log}");
        assert!(log.contains(says), "{how}: {log}");
    }
    assert_eq!(node.run("mpi/env_fatal", 1, &[]).remove(0).result, Ok(0));
}

/// What programs for workstations use beside MPI: signals, processes and threads that are refused,
/// memory, times, names, setjmp; and their own `MPI_Barrier` around ours.
#[test]
fn programs_find_what_they_know_of_a_workstation() {
    if has_exceptions() {
        Ranks::new().passes("mpi/port", 3);
    }
}

#[test]
fn exceptions_are_caught_and_one_that_is_not_is_named() {
    if !has_exceptions() {
        return;
    }
    let node = Ranks::new();
    node.passes("mpi/port_exceptions", 3);
    let outcome = node.run("mpi/port_exceptions", 1, &["throw"]).remove(0);
    assert!(outcome.result.is_err());
    let log = String::from_utf8_lossy(&outcome.log);
    assert!(log.contains("'Failure'") && log.contains("nobody catches this"), "{log}");
}

/// Mutexes, futures and the like are there for one thread; making another fails as C++ has it.
#[test]
fn programs_with_threads_find_one() {
    if has_exceptions() {
        Ranks::new().passes("mpi/port_threads", 2);
    }
}

/// Debian's clang-19 alone makes neither exceptions nor setjmp.
fn has_exceptions() -> bool {
    let cc = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/c/faasm-cc");
    let asked = std::process::Command::new(cc).arg("--print-toolchain").output();
    !String::from_utf8_lossy(&asked.expect("it starts").stdout).contains("clang-19")
}

#[test]
fn ranks_go_on_without_one_that_failed() {
    let node = Ranks::new();
    for ranks in [2, 3, 7] {
        node.passes("mpi/env_failures", ranks);
    }
}

#[test]
fn handlers_live_as_long_as_something_has_them_and_may_make_errors_themselves() {
    let node = Ranks::new();
    [1, 3].into_iter().for_each(|ranks| node.passes("mpi/env_handlers", ranks));
}

#[test]
fn hints_are_kept_as_they_were_given_at_any_time() {
    Ranks::new().passes("mpi/env_hints", 2);
}

#[test]
fn sessions_need_no_init_and_have_buffers_and_handlers_of_their_own() {
    let node = Ranks::new();
    [1, 2, 4].into_iter().for_each(|ranks| node.passes("mpi/env_sessions", ranks));
}

#[test]
fn what_may_be_called_when_and_memory_as_aligned_as_is_asked_for() {
    let node = Ranks::new();
    [1, 3].into_iter().for_each(|ranks| node.passes("mpi/env_state", ranks));
}
