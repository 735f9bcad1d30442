//! What goes wrong in a call: an error of the standard, which goes to an error handler, or the end
//! of the rank.

use super::constants as c;

/// Why a call of MPI did not succeed.
#[derive(Debug)]
pub enum Error {
    /// An error of this class; goes to the error handler of what the call is about.
    Mpi(i32, String),
    /// The code that a callback of the program gave; goes there as it is.
    Code(i32),
    /// The rank ends: a trap, an exit, an abort.
    End(wasmtime::Error),
}

/// What comes of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a class.
pub fn error<T>(class: i32, why: impl Into<String>) -> Result<T> {
    Err(Error::Mpi(class, why.into()))
}

impl Error {
    /// An error of a class.
    pub fn new(class: i32, why: impl Into<String>) -> Self {
        Self::Mpi(class, why.into())
    }

    /// A wrong argument of no particular class.
    pub fn arg(why: impl Into<String>) -> Self {
        Self::Mpi(c::MPI_ERR_ARG, why.into())
    }

    /// Something of ours that does not work yet.
    pub fn unsupported(what: &str) -> Self {
        Self::Mpi(c::MPI_ERR_UNSUPPORTED_OPERATION, format!("{what} is not offered"))
    }

    /// Its class, or code; the end of a rank has none.
    pub fn class(&self) -> Option<i32> {
        match self {
            Self::Mpi(class, _) => Some(*class),
            Self::Code(code) => Some(*code),
            Self::End(_) => None,
        }
    }
}

impl From<wasmtime::Error> for Error {
    fn from(error: wasmtime::Error) -> Self {
        Self::End(error)
    }
}
