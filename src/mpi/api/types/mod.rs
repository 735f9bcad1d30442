//! Datatypes.

mod contents;
mod handles;
mod make;
mod pack;
mod query;

use std::collections::BTreeMap;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::handles::Handles;
use crate::mpi::types::{Basic, Budget, Datatype};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Type_contiguous", Handler::Now(make::contiguous)),
    ("MPI_Type_vector", Handler::Now(make::vector)),
    ("MPI_Type_create_hvector", Handler::Now(make::hvector)),
    ("MPI_Type_indexed", Handler::Now(make::indexed)),
    ("MPI_Type_create_hindexed", Handler::Now(make::hindexed)),
    ("MPI_Type_create_indexed_block", Handler::Now(make::indexed_block)),
    ("MPI_Type_create_hindexed_block", Handler::Now(make::hindexed_block)),
    ("MPI_Type_create_struct", Handler::Now(make::structure)),
    ("MPI_Type_create_subarray", Handler::Now(make::subarray)),
    ("MPI_Type_create_darray", Handler::Now(make::darray)),
    ("MPI_Type_create_resized", Handler::Now(make::resized)),
    ("MPI_Type_create_f90_real", Handler::Now(make::f90_real)),
    ("MPI_Type_create_f90_complex", Handler::Now(make::f90_complex)),
    ("MPI_Type_create_f90_integer", Handler::Now(make::f90_integer)),
    ("MPI_Type_match_size", Handler::Now(make::match_size)),
    ("MPI_Type_get_value_index", Handler::Now(make::value_index)),
    ("MPI_Type_dup", waits!(handles::dup)),
    ("MPI_Type_commit", Handler::Now(handles::commit)),
    ("MPI_Type_free", waits!(handles::free)),
    ("MPI_Type_set_name", Handler::Now(handles::set_name)),
    ("MPI_Type_get_name", Handler::Now(handles::get_name)),
    ("MPI_Type_size", Handler::Now(query::size)),
    ("MPI_Type_size_x", Handler::Now(query::size_x)),
    ("MPI_Type_get_extent", Handler::Now(query::extent)),
    ("MPI_Type_get_extent_x", Handler::Now(query::extent_x)),
    ("MPI_Type_get_true_extent", Handler::Now(query::true_extent)),
    ("MPI_Type_get_true_extent_x", Handler::Now(query::true_extent_x)),
    ("MPI_Type_get_envelope", Handler::Now(contents::envelope)),
    ("MPI_Type_get_contents", Handler::Now(contents::contents)),
    ("MPI_Pack", Handler::Now(pack::pack)),
    ("MPI_Unpack", Handler::Now(pack::unpack)),
    ("MPI_Pack_size", Handler::Now(pack::pack_size)),
    ("MPI_Pack_external", Handler::Now(pack::pack_external)),
    ("MPI_Unpack_external", Handler::Now(pack::unpack_external)),
    ("MPI_Pack_external_size", Handler::Now(pack::pack_external_size)),
    ("MPI_Get_address", Handler::Now(query::address)),
    ("MPI_Aint_add", Handler::Value(query::aint_add)),
    ("MPI_Aint_diff", Handler::Value(query::aint_diff)),
    ("MPI_Comm_fromint", Handler::Value(same)),
    ("MPI_Comm_toint", Handler::Value(same)),
    ("MPI_Errhandler_fromint", Handler::Value(same)),
    ("MPI_Errhandler_toint", Handler::Value(same)),
    ("MPI_File_fromint", Handler::Value(same)),
    ("MPI_File_toint", Handler::Value(same)),
    ("MPI_Group_fromint", Handler::Value(same)),
    ("MPI_Group_toint", Handler::Value(same)),
    ("MPI_Info_fromint", Handler::Value(same)),
    ("MPI_Info_toint", Handler::Value(same)),
    ("MPI_Message_fromint", Handler::Value(same)),
    ("MPI_Message_toint", Handler::Value(same)),
    ("MPI_Op_fromint", Handler::Value(same)),
    ("MPI_Op_toint", Handler::Value(same)),
    ("MPI_Request_fromint", Handler::Value(same)),
    ("MPI_Request_toint", Handler::Value(same)),
    ("MPI_Session_fromint", Handler::Value(same)),
    ("MPI_Session_toint", Handler::Value(same)),
    ("MPI_Type_fromint", Handler::Value(same)),
    ("MPI_Type_toint", Handler::Value(same)),
    ("MPI_Win_fromint", Handler::Value(same)),
    ("MPI_Win_toint", Handler::Value(same)),
];

/// What this section keeps of a rank.
#[derive(Debug)]
pub struct Types {
    made: Handles<TypeEntry>,
    /// What the program did to predefined types, by their handles.
    named: BTreeMap<i32, TypeEntry>,
    /// Handles of types of Fortran, which are as predefined ones: by combiner, precision, range.
    f90: BTreeMap<(i32, i32, i32), i32>,
    budget: Budget,
}

/// What a handle of a datatype names.
#[derive(Debug)]
pub struct TypeEntry {
    /// The type.
    pub datatype: Datatype,
    /// Whether it may be used for communication.
    pub committed: bool,
    /// Whether it must not be freed.
    pub permanent: bool,
    /// Its name, without a NUL.
    pub name: Vec<u8>,
}

impl Default for Types {
    fn default() -> Self {
        Self {
            made: Handles::new(5),
            named: BTreeMap::new(),
            f90: BTreeMap::new(),
            budget: Budget::default(),
        }
    }
}

impl TypeEntry {
    fn new(datatype: Datatype, committed: bool) -> Self {
        Self { datatype, committed, permanent: false, name: Vec::new() }
    }
}

impl Types {
    /// What a handle names, for changes; a predefined type has an entry from its first change on.
    pub fn entry_mut(&mut self, handle: i32) -> Result<&mut TypeEntry> {
        match Basic::of(handle).zip(Datatype::predefined(handle)) {
            None => self.made.get_mut(handle).ok_or_else(|| no_type(handle)),
            Some((basic, datatype)) => Ok(self.named.entry(handle).or_insert_with(|| {
                let name = basic.name().as_bytes().to_vec();
                TypeEntry { permanent: true, name, ..TypeEntry::new(datatype, true) }
            })),
        }
    }

    /// What a handle names; `None` also for a predefined type that was never changed.
    pub fn entry(&self, handle: i32) -> Option<&TypeEntry> {
        self.named.get(&handle).or_else(|| self.made.get(handle))
    }

    /// The type of a handle, committed or not.
    pub fn any(&self, handle: i32) -> Result<Datatype> {
        match Datatype::predefined(handle) {
            Some(datatype) => Ok(datatype),
            None => match self.made.get(handle) {
                Some(entry) => Ok(entry.datatype.clone()),
                None => Err(no_type(handle)),
            },
        }
    }

    /// The type of a handle, which must be committed.
    pub fn committed(&self, handle: i32) -> Result<Datatype> {
        match Datatype::predefined(handle) {
            Some(datatype) => Ok(datatype),
            None => match self.made.get(handle) {
                Some(entry) if entry.committed => Ok(entry.datatype.clone()),
                Some(_) => error(c::MPI_ERR_TYPE, format!("{handle:#x} is not committed")),
                None => Err(no_type(handle)),
            },
        }
    }

    /// A handle for a type.
    fn insert(&mut self, entry: TypeEntry) -> Result<i32> {
        match self.made.insert(entry) {
            Some(handle) => Ok(handle),
            None => error(c::MPI_ERR_NO_MEM, "there are too many datatypes"),
        }
    }
}

fn no_type(handle: i32) -> Error {
    let why = match handle {
        c::MPI_DATATYPE_NULL => "MPI_DATATYPE_NULL is no datatype".to_owned(),
        _ => format!("{handle:#x} is no datatype"),
    };
    Error::new(c::MPI_ERR_TYPE, why)
}

/// The type of a handle, for communication: it must be committed.
pub fn of(cx: &mut Cx<'_>, handle: i32) -> Result<Datatype> {
    cx.rank().types.committed(handle)
}

/// The type of a handle, committed or not.
pub fn any(cx: &mut Cx<'_>, handle: i32) -> Result<Datatype> {
    cx.rank().types.any(handle)
}

/// A handle of a type for a function of the program: the one that it had, or another one if that was
/// freed while the type was still in use.
pub fn lend(cx: &mut Cx<'_>, had: i32, datatype: &Datatype) -> Result<i32> {
    let types = &mut cx.rank().types;
    match types.any(had) {
        Ok(same) if same == *datatype => Ok(had),
        _ => types.insert(TypeEntry::new(datatype.clone(), true)),
    }
}

/// Ends what [`lend`] began.
pub fn take_back(cx: &mut Cx<'_>, had: i32, lent: i32) {
    if lent != had {
        cx.rank().types.made.remove(lent);
    }
}

/// Writes a result where the program wants it.
fn put(cx: &Cx<'_>, at: u32, value: i64, wide: bool) -> Result<()> {
    if at == 0 {
        return error(c::MPI_ERR_ARG, "a null pointer for a result");
    }
    cx.memory().write_array(at, &[value], wide)
}

/// A handle is a number in C and in Fortran.
fn same(_cx: &mut Cx<'_>, args: &Args) -> i64 {
    args.int(0)
}
