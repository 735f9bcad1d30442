//! Attributes, with the program's functions that copy and delete them.

use std::sync::Arc;

use wasmtime::Val;

use super::{hooks, out, predefined};
use crate::mpi::attributes::{Attributes, Key, Owner};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result, error};

/// Attributes outside of any object.
pub type Values = Vec<(Arc<Key>, u32)>;

/// What has attributes, and its handle.
#[derive(Debug, Clone)]
pub enum Object {
    /// A communicator.
    Comm(Arc<Comm>, i32),
    /// A datatype.
    Type(i32),
}

impl Object {
    fn comm(cx: &mut Cx<'_>, handle: i32) -> Result<Self> {
        Ok(Self::Comm(cx.rank().comm(handle)?, handle))
    }

    fn datatype(cx: &mut Cx<'_>, handle: i32) -> Result<Self> {
        hooks::is_type(cx, handle)?;
        Ok(Self::Type(handle))
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Comm(..) => Owner::Comm,
            Self::Type(_) => Owner::Type,
        }
    }

    fn handle(&self) -> i32 {
        match self {
            Self::Comm(_, handle) | Self::Type(handle) => *handle,
        }
    }

    /// Reads or changes its attributes.
    fn with<R>(&self, cx: &mut Cx<'_>, change: impl FnOnce(&mut Attributes) -> R) -> R {
        match self {
            Self::Comm(comm, _) => change(&mut comm.state.lock().attributes),
            Self::Type(handle) => {
                let types = &mut cx.rank().comm.types;
                let done = change(types.entry(*handle).or_default());
                if types.get(handle).is_some_and(|attributes| attributes.last().is_none()) {
                    types.remove(handle);
                }
                done
            }
        }
    }
}

fn key(cx: &mut Cx<'_>, object: &Object, number: i32) -> Result<Arc<Key>> {
    match cx.rank().comm.keys.find(object.owner(), number) {
        Some(key) => Ok(key),
        None => {
            let why = format!("{number} is no key of such attributes");
            error(c::MPI_ERR_KEYVAL, why)
        }
    }
}

fn outcome(code: Option<i32>) -> Result<()> {
    match code.unwrap_or(c::MPI_SUCCESS) {
        c::MPI_SUCCESS => Ok(()),
        code => Err(Error::Code(code)),
    }
}

async fn set(cx: &mut Cx<'_>, object: Object, args: &Args) -> Result<()> {
    let key = key(cx, &object, args.i32(1))?;
    if let Some((key, value)) = object.with(cx, |attributes| attributes.get(key.number)) {
        call_delete(cx, &key, object.handle(), value).await?;
    }
    match object.with(cx, |attributes| attributes.set(key, args.ptr(2))) {
        true => Ok(()),
        false => error(c::MPI_ERR_NO_MEM, "the object has too many attributes"),
    }
}

fn get(cx: &mut Cx<'_>, object: &Object, args: &Args) -> Result<()> {
    let key = key(cx, object, args.i32(1))?;
    let (at, flag) = (out(args.ptr(2))?, out(args.ptr(3))?);
    let found = object.with(cx, |attributes| attributes.get(key.number));
    if let Some((_, value)) = &found {
        cx.memory().write_i32(at, value.cast_signed())?;
    }
    cx.memory().write_i32(flag, found.is_some().into())
}

async fn delete(cx: &mut Cx<'_>, object: Object, args: &Args) -> Result<()> {
    let key = key(cx, &object, args.i32(1))?;
    let Some((key, value)) = object.with(cx, |attributes| attributes.get(key.number)) else {
        return error(c::MPI_ERR_KEYVAL, format!("there is no attribute of key {}", key.number));
    };
    call_delete(cx, &key, object.handle(), value).await?;
    object.with(cx, |attributes| attributes.remove(key.number));
    Ok(())
}

async fn call_delete(cx: &mut Cx<'_>, key: &Key, handle: i32, value: u32) -> Result<()> {
    if key.delete == c::MPI_COMM_NULL_DELETE_FN.cast_unsigned() {
        return Ok(());
    }
    let args = [handle, key.number, value.cast_signed(), key.extra.cast_signed()].map(Val::I32);
    outcome(cx.call(key.delete, &args, true).await?)
}

/// Deletes all attributes of what ends, the last one set first. One that is not to be deleted ends
/// that with its code; it stays, and so do those that were set before it.
pub async fn delete_all(cx: &mut Cx<'_>, object: &Object) -> Result<()> {
    while let Some((key, value)) = object.with(cx, |attributes| attributes.last()) {
        call_delete(cx, &key, object.handle(), value).await?;
        object.with(cx, |attributes| attributes.remove(key.number));
    }
    Ok(())
}

/// The attributes of a copy of an object.
pub async fn copied(cx: &mut Cx<'_>, object: &Object) -> Result<Values> {
    let all = object.with(cx, |attributes| attributes.all());
    let calls = |key: &Key| key.copy > c::MPI_COMM_DUP_FN.cast_unsigned();
    // Memory of the program for what its functions write: a place for the value and one for the
    // flag.
    let places = match all.iter().any(|(key, _)| calls(key)) {
        true => cx.malloc(8).await?.ok_or_else(no_memory)?,
        false => 0,
    };
    let (mut values, mut failed) = (Values::new(), None);
    for (key, value) in all {
        let copy = match key.copy.cast_signed() {
            c::MPI_COMM_NULL_COPY_FN => Ok(None),
            c::MPI_COMM_DUP_FN => Ok(Some(value)),
            _ => call_copy(cx, &key, object.handle(), value, places).await,
        };
        match copy {
            Ok(copy) => values.extend(copy.map(|value| (key, value))),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if places != 0 && !matches!(failed, Some(Error::End(_))) {
        cx.free(places).await?;
    }
    match failed {
        None => Ok(values),
        Some(error) => {
            drop_values(cx, object, values).await?;
            Err(error)
        }
    }
}

async fn call_copy(
    cx: &mut Cx<'_>,
    key: &Key,
    handle: i32,
    value: u32,
    places: u32,
) -> Result<Option<u32>> {
    let flag = places + 4;
    cx.memory().write_array(places, &[0, 0], false)?;
    let [extra, value, value_at, flag_at] = [key.extra, value, places, flag].map(u32::cast_signed);
    let args = [handle, key.number, extra, value, value_at, flag_at].map(Val::I32);
    outcome(cx.call(key.copy, &args, true).await?)?;
    match cx.memory().read_i32(flag)? {
        0 => Ok(None),
        _ => Ok(Some(cx.memory().read_i32(places)?.cast_unsigned())),
    }
}

/// Attributes that were copied for nothing; what their functions say is of no use then.
pub async fn drop_values(cx: &mut Cx<'_>, object: &Object, values: Values) -> Result<()> {
    for (key, value) in values.into_iter().rev() {
        let deleted = call_delete(cx, &key, object.handle(), value).await;
        if let Err(Error::End(error)) = deleted {
            return Err(Error::End(error));
        }
    }
    Ok(())
}

fn no_memory() -> Error {
    Error::new(c::MPI_ERR_NO_MEM, "the program has no memory left")
}

/// Gives a copy of a datatype the attributes that it should have.
pub async fn copy_type_attributes(cx: &mut Cx<'_>, old: i32, new: i32) -> Result<()> {
    let values = copied(cx, &Object::Type(old)).await?;
    Object::Type(new).with(cx, |attributes| {
        for (key, value) in values {
            attributes.set(key, value);
        }
    });
    Ok(())
}

/// Deletes the attributes of a datatype that is freed.
pub async fn delete_type_attributes(cx: &mut Cx<'_>, handle: i32) -> Result<()> {
    delete_all(cx, &Object::Type(handle)).await
}

pub async fn set_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::comm(cx, args.i32(0))?;
    set(cx, object, args).await
}

pub async fn set_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::datatype(cx, args.i32(0))?;
    set(cx, object, args).await
}

pub async fn get_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::comm(cx, args.i32(0))?;
    match predefined::value(cx, args.i32(1)) {
        Some(value) => predefined::get(cx, args, value).await,
        None => get(cx, &object, args),
    }
}

pub async fn get_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::datatype(cx, args.i32(0))?;
    get(cx, &object, args)
}

pub async fn delete_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::comm(cx, args.i32(0))?;
    delete(cx, object, args).await
}

pub async fn delete_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let object = Object::datatype(cx, args.i32(0))?;
    delete(cx, object, args).await
}

/// There are no windows.
fn no_window(args: &Args) -> Result<()> {
    error(c::MPI_ERR_WIN, format!("{:#x} is no window", args.i32(0)))
}

pub fn set_win(_cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_window(args)
}

pub fn get_win(_cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_window(args)
}

pub fn delete_win(_cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    no_window(args)
}
