//! What a type was made of.

use super::{TypeEntry, put};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::types::{Datatype, Recipe};

pub(super) fn envelope(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = of(cx, args)?;
    let numbers = datatype.recipe().numbers(datatype.is_large());
    let parts = datatype.parts().len();
    let mut all = vec![numbers.integers.len(), numbers.addresses.len(), parts];
    if args.large {
        all.insert(2, numbers.counts.len());
    }
    for (place, number) in all.iter().enumerate() {
        put(cx, args.ptr(1 + place), i64::try_from(*number).unwrap_or(0), args.large)?;
    }
    let combiner = i64::from(datatype.recipe().combiner());
    put(cx, args.ptr(1 + all.len()), combiner, false)
}

pub(super) fn contents(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = of(cx, args)?;
    if *datatype.recipe() == Recipe::Named {
        return error(c::MPI_ERR_TYPE, "a predefined datatype has no contents");
    }
    let numbers = datatype.recipe().numbers(datatype.is_large());
    // The limits come first, then the arrays, in the same order.
    let arrays = if args.large { 4 } else { 3 };
    let parts = datatype.parts();
    let mut all = vec![
        (numbers.integers.len(), Some((&numbers.integers, false))),
        (numbers.addresses.len(), Some((&numbers.addresses, false))),
        (parts.len(), None),
    ];
    if args.large {
        all.insert(2, (numbers.counts.len(), Some((&numbers.counts, true))));
    }
    for (place, (len, _)) in all.iter().enumerate() {
        let most = args.int(1 + place);
        if usize::try_from(most).map_or(true, |most| most < *len) {
            let why = format!("{len} numbers or types do not fit where {most} do");
            return error(c::MPI_ERR_ARG, why);
        }
    }
    for (place, (_, values)) in all.iter().enumerate() {
        if let Some((values, wide)) = values {
            cx.memory().write_array(args.ptr(1 + arrays + place), values, *wide)?;
        }
    }
    let handles = hand_out(cx, parts)?;
    cx.memory().write_array(args.ptr(2 * arrays), &handles, false)
}

/// Handles for types: new ones, but for those that are predefined.
fn hand_out(cx: &mut Cx<'_>, parts: &[Datatype]) -> Result<Vec<i64>> {
    let types = &mut cx.rank().types;
    let permanent: Vec<(i32, Datatype)> = types
        .f90
        .values()
        .filter_map(|at| Some((*at, types.made.get(*at)?.datatype.clone())))
        .collect();
    let mut handles = Vec::with_capacity(parts.len());
    for part in parts {
        let known = permanent.iter().find(|(_, datatype)| datatype == part);
        handles.push(i64::from(match (part.named(), known) {
            (Some(basic), _) => basic.handle(),
            (None, Some((handle, _))) => *handle,
            (None, None) => types.insert(TypeEntry::new(part.clone(), false))?,
        }));
    }
    Ok(handles)
}

/// The type asked about. One made by a call with `_c` is only for such calls: its counts may not
/// fit elsewhere.
fn of(cx: &mut Cx<'_>, args: &Args) -> Result<Datatype> {
    let datatype = super::any(cx, args.i32(0))?;
    if datatype.is_large() && !args.large {
        let why = format!("the type has large counts: only {}_c tells of them", args.name);
        return error(c::MPI_ERR_TYPE, why);
    }
    Ok(datatype)
}
