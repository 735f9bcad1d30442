//! Receives.

use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::Result;

use super::check::{USUAL, incoming, out, went_well};
use super::status::write_status;
use super::{Entry, Kind};

/// `MPI_Recv`
pub async fn blocking(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let request = incoming(cx, args, USUAL)?.begin(cx);
    let status = match request.status() {
        Some(status) => status,
        None => {
            let endpoint = cx.rank().endpoint.clone();
            cx.wait(endpoint.received(&request)).await
        }
    };
    write_status(cx.memory(), args.ptr(6), &status, false)?;
    went_well(&status)
}

/// `MPI_Irecv`
pub fn started(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let message = incoming(cx, args, USUAL)?;
    out(args.ptr(6), "request")?;
    cx.rank().p2p.has_room()?;
    let comm = message.comm.clone();
    let request = message.begin(cx);
    let handle = cx.rank().p2p.insert_message(&comm, Entry::Once(request), Kind::Receive)?;
    cx.memory().write_i32(args.ptr(6), handle)
}
