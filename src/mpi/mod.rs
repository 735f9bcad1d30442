//! MPI: programs of the standard as jobs of ranks. A rank is a function instance; what it asks for
//! arrives as imports `env.MPI_*`, is decoded by the table of the standard's functions, and acts on
//! its [`Rank`] and, through that, on the ranks of its world.
//!
//! | part | what it does |
//! |---|---|
//! | [`abi`], [`constants`] | the standard's functions, from one table; its constants |
//! | [`dispatch`], [`cx`] | from an import to a call of ours, and to an error of the standard |
//! | [`environment`] | what `getenv` tells a rank
//! | [`memory`] | a rank's memory, for its own calls and for those of others |
//! | [`handles`], [`rank`], [`hints`] | what a rank holds: communicators, types, requests and so on |
//! | [`group`], [`comm`], [`attributes`], [`exchange`] | sets of ranks, what they share, and how they agree on it |
//! | [`agree`] | agreement of those that are left, while ranks fail |
//! | [`topology`] | how ranks are laid out, and who is whose neighbour |
//! | [`types`] | datatypes: how they lie in memory, packing, what they were made of |
//! | [`metrics`] | what jobs hold on this node |
//! | [`engine`] | messages: matching, requests, other nodes, failures |
//! | [`turns`] | which worker a woken rank runs on |
//! | [`ops`], [`coll`] | operations of reductions; what ranks do together |
//! | [`api`] | the standard's calls, a file per section |

pub mod abi;
pub mod agree;
pub mod api;
pub mod attributes;
pub mod coll;
#[rustfmt::skip]
pub mod constants;
pub mod comm;
pub mod cx;
pub mod dispatch;
pub mod engine;
pub mod environment;
pub mod error;
pub mod exchange;
pub mod group;
pub mod handles;
pub mod hints;
pub mod memory;
pub mod metrics;
pub mod ops;
pub mod rank;
pub mod topology;
pub mod turns;
pub mod types;
