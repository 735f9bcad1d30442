//! Error classes, codes and strings.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::{Result, error};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Error_class", Handler::Now(class)),
    ("MPI_Error_string", Handler::Now(string)),
    ("MPI_Add_error_class", Handler::Now(add_class)),
    ("MPI_Add_error_code", Handler::Now(add_code)),
    ("MPI_Add_error_string", Handler::Now(add_string)),
    (
        "MPI_Remove_error_class",
        Handler::Now(|cx, args| cx.rank().env.classes.remove_class(args.i32(0))),
    ),
    (
        "MPI_Remove_error_code",
        Handler::Now(|cx, args| cx.rank().env.classes.remove_code(args.i32(0))),
    ),
    (
        "MPI_Remove_error_string",
        Handler::Now(|cx, args| cx.rank().env.classes.remove_text(args.i32(0))),
    ),
];

fn class(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let class = cx.rank().env.classes.class(args.i32(0))?;
    cx.memory().write_i32(args.ptr(1), class)
}

fn string(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let text = cx.rank().env.classes.text(args.i32(0))?;
    cx.write_text(args.ptr(1), args.ptr(2), &text, c::MPI_MAX_ERROR_STRING)
}

fn add_class(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let class = cx.rank().env.classes.add_class()?;
    cx.memory().write_i32(args.ptr(0), class)
}

fn add_code(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let code = cx.rank().env.classes.add_code(args.i32(0))?;
    cx.memory().write_i32(args.ptr(1), code)
}

fn add_string(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let most = c::MPI_MAX_ERROR_STRING.cast_unsigned() as usize - 1;
    match cx.memory().read_string(args.ptr(1), most)? {
        Some(text) => cx.rank().env.classes.set_text(args.i32(0), text),
        None => error(c::MPI_ERR_ARG, format!("an error string has at most {most} bytes")),
    }
}
