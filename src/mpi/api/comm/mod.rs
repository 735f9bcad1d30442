//! Groups, communicators, attributes.

mod attributes;
mod basics;
mod create;
mod duplicate;
mod groups;
mod hooks;
mod inter;
mod keys;
pub mod make;
mod names;
mod predefined;
mod split;

use std::collections::BTreeMap;

pub use attributes::{copy_type_attributes, delete_type_attributes};
pub(in crate::mpi::api) use hooks::hints;
pub use make::{Parent, Plan, begin, give, insert, intra, round};
pub use split::parted;

use crate::mpi::attributes::{Attributes, Keys};
use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::error::{Error, Result, error};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Group_size", Handler::Now(groups::size)),
    ("MPI_Group_rank", Handler::Now(groups::rank)),
    ("MPI_Group_translate_ranks", Handler::Now(groups::translate_ranks)),
    ("MPI_Group_compare", Handler::Now(groups::compare)),
    ("MPI_Group_union", Handler::Now(groups::union)),
    ("MPI_Group_intersection", Handler::Now(groups::intersection)),
    ("MPI_Group_difference", Handler::Now(groups::difference)),
    ("MPI_Group_incl", Handler::Now(groups::incl)),
    ("MPI_Group_excl", Handler::Now(groups::excl)),
    ("MPI_Group_range_incl", Handler::Now(groups::range_incl)),
    ("MPI_Group_range_excl", Handler::Now(groups::range_excl)),
    ("MPI_Group_free", Handler::Now(groups::free)),
    ("MPI_Group_from_session_pset", Handler::Now(groups::from_session_pset)),
    ("MPI_Group_toint", Handler::Value(|_, args| args.int(0))),
    ("MPI_Group_fromint", Handler::Value(|_, args| args.int(0))),
    ("MPI_Comm_toint", Handler::Value(|_, args| args.int(0))),
    ("MPI_Comm_fromint", Handler::Value(|_, args| args.int(0))),
    ("MPI_Comm_group", Handler::Now(groups::of_comm)),
    ("MPI_Comm_remote_group", Handler::Now(groups::remote_of_comm)),
    ("MPI_Comm_rank", Handler::Now(basics::rank)),
    ("MPI_Comm_size", Handler::Now(basics::size)),
    ("MPI_Comm_remote_size", Handler::Now(basics::remote_size)),
    ("MPI_Comm_test_inter", Handler::Now(basics::test_inter)),
    ("MPI_Comm_compare", Handler::Now(basics::compare)),
    ("MPI_Comm_free", waits!(basics::free)),
    ("MPI_Comm_disconnect", waits!(basics::disconnect)),
    ("MPI_Comm_set_name", Handler::Now(names::set_name)),
    ("MPI_Comm_get_name", Handler::Now(names::get_name)),
    ("MPI_Comm_set_info", Handler::Now(names::set_info)),
    ("MPI_Comm_get_info", Handler::Now(names::get_info)),
    ("MPI_Comm_dup", waits!(duplicate::dup)),
    ("MPI_Comm_dup_with_info", waits!(duplicate::dup_with_info)),
    ("MPI_Comm_idup", waits!(duplicate::idup)),
    ("MPI_Comm_idup_with_info", waits!(duplicate::idup_with_info)),
    ("MPI_Comm_create", waits!(create::create)),
    ("MPI_Comm_create_group", waits!(create::create_group)),
    ("MPI_Comm_create_from_group", waits!(create::create_from_group)),
    ("MPI_Comm_split", waits!(split::split)),
    ("MPI_Comm_split_type", waits!(split::split_type)),
    ("MPI_Intercomm_create", waits!(inter::create)),
    ("MPI_Intercomm_create_from_groups", waits!(inter::create_from_groups)),
    ("MPI_Intercomm_merge", waits!(inter::merge)),
    ("MPI_Comm_create_keyval", Handler::Now(keys::create_comm)),
    ("MPI_Type_create_keyval", Handler::Now(keys::create_type)),
    ("MPI_Win_create_keyval", Handler::Now(keys::create_win)),
    ("MPI_Keyval_create", Handler::Now(keys::create_comm)),
    ("MPI_Comm_free_keyval", Handler::Now(keys::free_comm)),
    ("MPI_Type_free_keyval", Handler::Now(keys::free_type)),
    ("MPI_Win_free_keyval", Handler::Now(keys::free_win)),
    ("MPI_Keyval_free", Handler::Now(keys::free_comm)),
    ("MPI_Comm_set_attr", waits!(attributes::set_comm)),
    ("MPI_Type_set_attr", waits!(attributes::set_type)),
    ("MPI_Win_set_attr", Handler::Now(attributes::set_win)),
    ("MPI_Attr_put", waits!(attributes::set_comm)),
    ("MPI_Comm_get_attr", waits!(attributes::get_comm)),
    ("MPI_Type_get_attr", waits!(attributes::get_type)),
    ("MPI_Win_get_attr", Handler::Now(attributes::get_win)),
    ("MPI_Attr_get", waits!(attributes::get_comm)),
    ("MPI_Comm_delete_attr", waits!(attributes::delete_comm)),
    ("MPI_Type_delete_attr", waits!(attributes::delete_type)),
    ("MPI_Win_delete_attr", Handler::Now(attributes::delete_win)),
    ("MPI_Attr_delete", waits!(attributes::delete_comm)),
];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Comms {
    /// Contexts drawn.
    drawn: u64,
    /// Keys of attributes.
    keys: Keys,
    /// Attributes of datatypes, by handle.
    types: BTreeMap<i32, Attributes>,
    /// Where the values of predefined attributes are in the program's memory.
    predefined: Option<u32>,
}

impl Comms {
    /// A context that no other communicator has, on any rank.
    pub fn draw(&mut self, world_rank: u32) -> u64 {
        self.drawn += 1;
        ((u64::from(world_rank) + 1) << 40) | (self.drawn << 1)
    }
}

/// Before MPI ends: the attributes of `MPI_COMM_SELF` are deleted, the last one set first.
pub async fn finalize(cx: &mut Cx<'_>) -> Result<()> {
    let itself = cx.rank().itself.clone();
    attributes::delete_all(cx, &attributes::Object::Comm(itself, c::MPI_COMM_SELF)).await
}

/// An address to write to.
pub(in crate::mpi::api) fn out(at: u32) -> Result<u32> {
    match at {
        0 => error(c::MPI_ERR_ARG, "a result has nowhere to go: its address is NULL"),
        at => Ok(at),
    }
}

/// A number of something, at most `most`, of this class when it is wrong.
pub(in crate::mpi::api) fn count(value: i64, most: usize, class: i32, what: &str) -> Result<usize> {
    match usize::try_from(value) {
        Ok(count) if count <= most => Ok(count),
        Ok(count) => error(class, format!("{count} {what}: at most {most} are possible here")),
        Err(_) => error(class, format!("{value} is no number of {what}")),
    }
}

/// Where communicators end.
fn too_many() -> Error {
    Error::new(c::MPI_ERR_NO_MEM, "there are too many communicators or groups: free some")
}
