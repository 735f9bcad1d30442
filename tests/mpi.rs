//! Programs of MPI, on ranks that are all in one process: what the standard says, call by call.

#[path = "common/alone.rs"]
mod alone;
#[path = "common/guests.rs"]
mod guests;
#[path = "common/linked.rs"]
mod linked;
#[path = "common/ranks.rs"]
mod ranks;

#[path = "mpi/coll.rs"]
mod coll;
#[path = "mpi/comm.rs"]
mod comm;
#[path = "mpi/env.rs"]
mod env;
#[path = "mpi/failure.rs"]
mod failure;
#[path = "mpi/hostile.rs"]
mod hostile;
#[path = "mpi/kernels.rs"]
mod kernels;
#[path = "mpi/native.rs"]
mod native;
#[path = "mpi/nodes.rs"]
mod nodes;
#[path = "mpi/p2p.rs"]
mod p2p;
#[path = "mpi/topo.rs"]
mod topo;
#[path = "mpi/types.rs"]
mod types;
