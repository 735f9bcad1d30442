//! The `faasm` binary: a node, and the client of a cluster.

fn main() -> std::process::ExitCode {
    faasm::cli::main()
}
