//! The predefined types by what operations may do with them.

use crate::mpi::constants as c;

/// The standard's groups of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Integers of C.
    CInteger,
    /// Integers of Fortran.
    FInteger,
    /// Numbers with a point.
    Floating,
    /// Truth values.
    Logical,
    /// Complex numbers.
    Complex,
    /// `MPI_BYTE`.
    Byte,
    /// What several languages share.
    Multi,
    /// A value and where it was found.
    Pair,
}

/// How one lies in packed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Layout {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    I128,
    F16,
    F32,
    F64,
    F128,
    C16,
    C32,
    C64,
    C128,
    F32I32,
    F64I32,
    I32I32,
    I16I32,
    F128I32,
    F32F32,
    F64F64,
}

/// Of a type's handle; `None` of what no operation takes.
pub fn of(handle: i32) -> Option<(Class, Layout)> {
    integers(handle).or_else(|| others(handle))
}

fn integers(handle: i32) -> Option<(Class, Layout)> {
    use Class::{Byte, CInteger, FInteger, Logical, Multi};
    Some(match handle {
        c::MPI_SIGNED_CHAR | c::MPI_INT8_T => (CInteger, Layout::I8),
        c::MPI_UNSIGNED_CHAR | c::MPI_UINT8_T => (CInteger, Layout::U8),
        c::MPI_SHORT | c::MPI_INT16_T => (CInteger, Layout::I16),
        c::MPI_UNSIGNED_SHORT | c::MPI_UINT16_T => (CInteger, Layout::U16),
        c::MPI_INT | c::MPI_LONG | c::MPI_INT32_T => (CInteger, Layout::I32),
        c::MPI_UNSIGNED | c::MPI_UNSIGNED_LONG | c::MPI_UINT32_T => (CInteger, Layout::U32),
        c::MPI_LONG_LONG | c::MPI_INT64_T => (CInteger, Layout::I64),
        c::MPI_UNSIGNED_LONG_LONG | c::MPI_UINT64_T => (CInteger, Layout::U64),
        c::MPI_INTEGER1 => (FInteger, Layout::I8),
        c::MPI_INTEGER2 => (FInteger, Layout::I16),
        c::MPI_INTEGER | c::MPI_INTEGER4 => (FInteger, Layout::I32),
        c::MPI_INTEGER8 => (FInteger, Layout::I64),
        c::MPI_INTEGER16 => (FInteger, Layout::I128),
        c::MPI_C_BOOL | c::MPI_CXX_BOOL | c::MPI_LOGICAL1 => (Logical, Layout::U8),
        c::MPI_LOGICAL2 => (Logical, Layout::I16),
        c::MPI_LOGICAL | c::MPI_LOGICAL4 => (Logical, Layout::I32),
        c::MPI_LOGICAL8 => (Logical, Layout::I64),
        c::MPI_LOGICAL16 => (Logical, Layout::I128),
        c::MPI_BYTE => (Byte, Layout::U8),
        c::MPI_AINT => (Multi, Layout::I32),
        c::MPI_COUNT | c::MPI_OFFSET => (Multi, Layout::I64),
        _ => return None,
    })
}

fn others(handle: i32) -> Option<(Class, Layout)> {
    use Class::{Complex, Floating, Pair};
    Some(match handle {
        c::MPI_REAL2 => (Floating, Layout::F16),
        c::MPI_FLOAT | c::MPI_REAL | c::MPI_REAL4 => (Floating, Layout::F32),
        c::MPI_DOUBLE | c::MPI_DOUBLE_PRECISION | c::MPI_REAL8 => (Floating, Layout::F64),
        c::MPI_LONG_DOUBLE | c::MPI_REAL16 => (Floating, Layout::F128),
        c::MPI_COMPLEX4 => (Complex, Layout::C16),
        c::MPI_C_FLOAT_COMPLEX | c::MPI_CXX_FLOAT_COMPLEX | c::MPI_COMPLEX | c::MPI_COMPLEX8 => {
            (Complex, Layout::C32)
        }
        c::MPI_C_DOUBLE_COMPLEX
        | c::MPI_CXX_DOUBLE_COMPLEX
        | c::MPI_DOUBLE_COMPLEX
        | c::MPI_COMPLEX16 => (Complex, Layout::C64),
        c::MPI_C_LONG_DOUBLE_COMPLEX | c::MPI_CXX_LONG_DOUBLE_COMPLEX | c::MPI_COMPLEX32 => {
            (Complex, Layout::C128)
        }
        c::MPI_FLOAT_INT => (Pair, Layout::F32I32),
        c::MPI_DOUBLE_INT => (Pair, Layout::F64I32),
        c::MPI_LONG_INT | c::MPI_2INT | c::MPI_2INTEGER => (Pair, Layout::I32I32),
        c::MPI_SHORT_INT => (Pair, Layout::I16I32),
        c::MPI_LONG_DOUBLE_INT => (Pair, Layout::F128I32),
        c::MPI_2REAL => (Pair, Layout::F32F32),
        c::MPI_2DOUBLE_PRECISION => (Pair, Layout::F64F64),
        _ => return None,
    })
}
