//! Versions and names.

use crate::mpi::api::env::info;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::{Result, error};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Get_version", Handler::Now(version)),
    ("MPI_Get_library_version", Handler::Now(library_version)),
    ("MPI_Get_processor_name", Handler::Now(processor_name)),
    ("MPI_Get_hw_resource_info", Handler::Now(hw_resource_info)),
    ("MPI_Abi_get_version", Handler::Now(abi_version)),
    ("MPI_Abi_get_info", Handler::Now(abi_info)),
    ("MPI_Abi_get_fortran_info", Handler::Now(fortran_info)),
    ("MPI_Abi_set_fortran_info", Handler::Now(|_, _| no_fortran())),
    ("MPI_Abi_get_fortran_booleans", Handler::Now(fortran_booleans)),
    ("MPI_Abi_set_fortran_booleans", Handler::Now(|_, _| no_fortran())),
    ("MPI_Comm_get_parent", Handler::Now(parent)),
];

fn version(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(0), c::MPI_VERSION)?;
    cx.memory().write_i32(args.ptr(1), c::MPI_SUBVERSION)
}

fn library_version(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let text = format!("faasm {}, MPI 5.0", env!("CARGO_PKG_VERSION"));
    cx.write_text(args.ptr(0), args.ptr(1), text.as_bytes(), c::MPI_MAX_LIBRARY_VERSION_STRING)
}

fn processor_name(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let name = cx.rank().endpoint.node_name();
    cx.write_text(args.ptr(0), args.ptr(1), name.as_bytes(), c::MPI_MAX_PROCESSOR_NAME)
}

/// Functions are not bound to hardware: there is nothing to tell.
fn hw_resource_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = info::insert(cx.rank(), info::Hints::new())?;
    cx.memory().write_i32(args.ptr(0), handle)
}

fn abi_version(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(0), c::MPI_ABI_VERSION)?;
    cx.memory().write_i32(args.ptr(1), c::MPI_ABI_SUBVERSION)
}

fn abi_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let sizes = [("mpi_aint_size", "4"), ("mpi_count_size", "8"), ("mpi_offset_size", "8")];
    let hints = sizes.map(|(key, value)| (key.into(), value.into())).into();
    let handle = info::insert(cx.rank(), hints)?;
    cx.memory().write_i32(args.ptr(0), handle)
}

fn fortran_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(0), c::MPI_INFO_NULL)
}

fn fortran_booleans(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(3), 0)
}

fn no_fortran() -> Result<()> {
    error(c::MPI_ERR_ABI, "there is no Fortran here")
}

/// Jobs are not spawned by others.
fn parent(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.memory().write_i32(args.ptr(0), c::MPI_COMM_NULL)
}
