//! Handles of types: commit, duplicate, free, names.

use super::{TypeEntry, no_type, put};
use crate::mpi::api::comm::{copy_type_attributes, delete_type_attributes};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::types::{Basic, Datatype, Recipe};

/// Longest name, without its NUL.
const MAX_NAME: usize = c::MPI_MAX_OBJECT_NAME as usize - 1;

pub(super) fn commit(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    if Datatype::predefined(handle).is_none() {
        cx.rank().types.entry_mut(handle)?.committed = true;
    }
    Ok(())
}

pub(super) async fn dup(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let old = args.i32(0);
    if args.ptr(1) == 0 {
        return error(c::MPI_ERR_ARG, "a null pointer for a result");
    }
    let types = &mut cx.rank().types;
    let part = types.any(old)?;
    let committed = types.committed(old).is_ok();
    let datatype = Datatype::make(Recipe::Dup, vec![part], false, &types.budget)?;
    let handle = types.insert(TypeEntry::new(datatype, committed))?;
    if let Err(error) = copy_type_attributes(cx, old, handle).await {
        cx.rank().types.made.remove(handle);
        return Err(error);
    }
    put(cx, args.ptr(1), i64::from(handle), false)
}

pub(super) async fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = cx.memory().read_i32(args.ptr(0))?;
    let types = &mut cx.rank().types;
    let permanent = match types.entry(handle) {
        Some(entry) => entry.permanent,
        None => Basic::of(handle).is_some(),
    };
    if permanent {
        return error(c::MPI_ERR_TYPE, "a predefined datatype cannot be freed");
    }
    types.any(handle)?;
    delete_type_attributes(cx, handle).await?;
    cx.rank().types.made.remove(handle).ok_or_else(|| no_type(handle))?;
    put(cx, args.ptr(0), i64::from(c::MPI_DATATYPE_NULL), false)
}

pub(super) fn set_name(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let at = args.ptr(1);
    if at == 0 {
        return error(c::MPI_ERR_ARG, "a null pointer for a name");
    }
    let name = match cx.memory().read_string(at, MAX_NAME)? {
        Some(name) => name,
        None => cx.memory().read_vec(u64::from(at), MAX_NAME)?,
    };
    cx.rank().types.entry_mut(args.i32(0))?.name = name;
    Ok(())
}

pub(super) fn get_name(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = args.i32(0);
    let name = match (cx.rank().types.entry(handle), Basic::of(handle)) {
        (Some(entry), _) => entry.name.clone(),
        (None, Some(basic)) => basic.name().as_bytes().to_vec(),
        (None, None) if handle == c::MPI_DATATYPE_NULL => b"MPI_DATATYPE_NULL".to_vec(),
        (None, None) => return Err(no_type(handle)),
    };
    cx.memory().write_string(args.ptr(1), &name, MAX_NAME + 1)?;
    put(cx, args.ptr(2), i64::try_from(name.len()).unwrap_or(0), false)
}
