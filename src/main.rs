//! The `faasm` binary: a node, and the client of a cluster.

/// Results, messages and futures are made on one thread and dropped on another all the time, which
/// the system's allocator is slow at; and it keeps for itself what it was given back after a rush.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    faasm::cli::main()
}
