//! The calls of these chapters by name.

use crate::mpi::dispatch::Handler::{Now, Request, Wait};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::engine::Mode;

use super::send::How;
use super::{
    both, buffer, free, generalized, look, partitioned, persistent, probe, receive, send, status,
    test, wait,
};

const STANDARD: How = How::As(Mode::Standard);
const SYNCHRONOUS: How = How::As(Mode::Synchronous);
const READY: How = How::As(Mode::Ready);

const DETACH: Handler = waits!(buffer::detach);
const FLUSH: Handler = waits!(buffer::flush);

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Send", Request(|cx, args| send::blocking(cx, args, STANDARD), send::sent)),
    ("MPI_Bsend", Request(|cx, args| send::blocking(cx, args, How::Buffered), send::sent)),
    ("MPI_Ssend", Request(|cx, args| send::blocking(cx, args, SYNCHRONOUS), send::sent)),
    ("MPI_Rsend", Request(|cx, args| send::blocking(cx, args, READY), send::sent)),
    ("MPI_Isend", Now(|cx, args| send::started(cx, args, STANDARD))),
    ("MPI_Ibsend", Now(|cx, args| send::started(cx, args, How::Buffered))),
    ("MPI_Issend", Now(|cx, args| send::started(cx, args, SYNCHRONOUS))),
    ("MPI_Irsend", Now(|cx, args| send::started(cx, args, READY))),
    ("MPI_Send_init", Now(|cx, args| persistent::send(cx, args, STANDARD))),
    ("MPI_Bsend_init", Now(|cx, args| persistent::send(cx, args, How::Buffered))),
    ("MPI_Ssend_init", Now(|cx, args| persistent::send(cx, args, SYNCHRONOUS))),
    ("MPI_Rsend_init", Now(|cx, args| persistent::send(cx, args, READY))),
    ("MPI_Recv", Request(receive::blocking, receive::received)),
    ("MPI_Irecv", Now(receive::started)),
    ("MPI_Recv_init", Now(persistent::receive)),
    ("MPI_Start", Now(persistent::start)),
    ("MPI_Startall", Now(persistent::start_all)),
    ("MPI_Sendrecv", Wait(|cx, args| Box::pin(both::blocking(cx, args, false)))),
    ("MPI_Sendrecv_replace", Wait(|cx, args| Box::pin(both::blocking(cx, args, true)))),
    ("MPI_Isendrecv", Now(|cx, args| both::started(cx, args, false))),
    ("MPI_Isendrecv_replace", Now(|cx, args| both::started(cx, args, true))),
    ("MPI_Wait", waits!(wait::one)),
    ("MPI_Waitany", waits!(wait::any)),
    ("MPI_Waitsome", waits!(wait::some)),
    ("MPI_Waitall", waits!(wait::all)),
    ("MPI_Test", waits!(test::one)),
    ("MPI_Testany", waits!(test::any)),
    ("MPI_Testsome", waits!(test::some)),
    ("MPI_Testall", waits!(test::all)),
    ("MPI_Request_get_status", waits!(look::one)),
    ("MPI_Request_get_status_any", waits!(look::any)),
    ("MPI_Request_get_status_some", waits!(look::some)),
    ("MPI_Request_get_status_all", waits!(look::all)),
    ("MPI_Request_free", waits!(free::free)),
    ("MPI_Cancel", waits!(free::cancel)),
    ("MPI_Test_cancelled", Now(status::cancelled)),
    ("MPI_Probe", waits!(probe::probe)),
    ("MPI_Iprobe", waits!(probe::iprobe)),
    ("MPI_Mprobe", waits!(probe::mprobe)),
    ("MPI_Improbe", waits!(probe::improbe)),
    ("MPI_Mrecv", waits!(probe::receive)),
    ("MPI_Imrecv", Now(probe::started)),
    ("MPI_Get_count", Now(status::count)),
    ("MPI_Get_elements", Now(status::elements)),
    ("MPI_Get_elements_x", Now(status::elements)),
    ("MPI_Status_set_elements", Now(status::set_elements)),
    ("MPI_Status_set_elements_x", Now(status::set_elements)),
    ("MPI_Status_set_cancelled", Now(status::set_cancelled)),
    ("MPI_Status_get_source", Now(status::get_field)),
    ("MPI_Status_get_tag", Now(status::get_field)),
    ("MPI_Status_get_error", Now(status::get_field)),
    ("MPI_Status_set_source", Now(status::set_field)),
    ("MPI_Status_set_tag", Now(status::set_field)),
    ("MPI_Status_set_error", Now(status::set_field)),
    ("MPI_Buffer_attach", Now(buffer::attach)),
    ("MPI_Buffer_detach", DETACH),
    ("MPI_Buffer_flush", FLUSH),
    ("MPI_Buffer_iflush", Now(buffer::flush_later)),
    ("MPI_Comm_attach_buffer", Now(buffer::attach)),
    ("MPI_Comm_detach_buffer", DETACH),
    ("MPI_Comm_flush_buffer", FLUSH),
    ("MPI_Comm_iflush_buffer", Now(buffer::flush_later)),
    ("MPI_Session_attach_buffer", Now(buffer::attach)),
    ("MPI_Session_detach_buffer", DETACH),
    ("MPI_Session_flush_buffer", FLUSH),
    ("MPI_Session_iflush_buffer", Now(buffer::flush_later)),
    ("MPI_Grequest_start", Now(generalized::start)),
    ("MPI_Grequest_complete", waits!(generalized::complete)),
    ("MPI_Psend_init", Now(partitioned::send)),
    ("MPI_Precv_init", Now(partitioned::receive)),
    ("MPI_Pready", Now(partitioned::ready)),
    ("MPI_Pready_range", Now(partitioned::ready_range)),
    ("MPI_Pready_list", Now(partitioned::ready_list)),
    ("MPI_Parrived", waits!(partitioned::arrived)),
];
