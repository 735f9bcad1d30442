//! Error classes and codes, and what they say. A code of ours is its class.

use std::collections::BTreeMap;

use crate::mpi::constants as c;
use crate::mpi::error::{Result, error};

/// Most classes and codes that a program may add.
const MOST: usize = 4096;

/// What a program added.
#[derive(Debug, Default)]
pub struct Classes {
    /// Added codes with their class; a class is its own.
    added: BTreeMap<i32, i32>,
    texts: BTreeMap<i32, Vec<u8>>,
}

impl Classes {
    /// The highest code in use: the attribute `MPI_LASTUSEDCODE`.
    pub fn last_used(&self) -> i32 {
        self.added.last_key_value().map_or(c::MPI_ERR_LASTCODE, |(code, _)| *code)
    }

    /// The class of a code.
    pub fn class(&self, code: i32) -> Result<i32> {
        if name(code).is_some() {
            return Ok(code);
        }
        match self.added.get(&code) {
            Some(class) => Ok(*class),
            None => error(c::MPI_ERR_ARG, format!("{code} is no error code")),
        }
    }

    /// What a code says.
    pub fn text(&self, code: i32) -> Result<Vec<u8>> {
        if let Some((name, what)) = name(code) {
            return Ok(format!("{name}: {what}").into_bytes());
        }
        self.class(code)?;
        Ok(self.texts.get(&code).cloned().unwrap_or_default())
    }

    /// Adds a class.
    pub fn add_class(&mut self) -> Result<i32> {
        let code = self.next()?;
        self.added.insert(code, code);
        Ok(code)
    }

    /// Adds a code to a class.
    pub fn add_code(&mut self, class: i32) -> Result<i32> {
        if self.class(class)? != class {
            return error(c::MPI_ERR_ARG, format!("{class} is a code, not a class"));
        }
        let code = self.next()?;
        self.added.insert(code, class);
        Ok(code)
    }

    /// Says what an added class or code says.
    pub fn set_text(&mut self, code: i32, text: Vec<u8>) -> Result<()> {
        self.added(code)?;
        self.texts.insert(code, text);
        Ok(())
    }

    /// Removes a class that has no codes.
    pub fn remove_class(&mut self, class: i32) -> Result<()> {
        if self.added(class)? != class {
            return error(c::MPI_ERR_ARG, format!("{class} is a code, not a class"));
        }
        if self.added.iter().any(|(code, of)| *of == class && *code != class) {
            return error(c::MPI_ERR_ARG, format!("class {class} has codes still"));
        }
        if self.texts.contains_key(&class) {
            return error(c::MPI_ERR_ARG, format!("class {class} has a string still"));
        }
        self.added.remove(&class);
        Ok(())
    }

    /// Removes a code.
    pub fn remove_code(&mut self, code: i32) -> Result<()> {
        if self.added(code)? == code {
            return error(c::MPI_ERR_ARG, format!("{code} is a class, not a code"));
        }
        if self.texts.contains_key(&code) {
            return error(c::MPI_ERR_ARG, format!("code {code} has a string still"));
        }
        self.added.remove(&code);
        Ok(())
    }

    /// Removes what an added class or code says.
    pub fn remove_text(&mut self, code: i32) -> Result<()> {
        self.added(code)?;
        match self.texts.remove(&code) {
            Some(_) => Ok(()),
            None => error(c::MPI_ERR_ARG, format!("{code} has no string")),
        }
    }

    fn added(&self, code: i32) -> Result<i32> {
        match self.added.get(&code) {
            Some(class) => Ok(*class),
            None => error(c::MPI_ERR_ARG, format!("{code} was not added by the program")),
        }
    }

    fn next(&self) -> Result<i32> {
        if self.added.len() >= MOST {
            return error(c::MPI_ERR_NO_MEM, format!("at most {MOST} classes and codes are added"));
        }
        Ok(self.last_used() + 1)
    }
}

macro_rules! names {
    ($($name:ident $what:literal,)*) => {
        /// The name of a class of the standard, and what it means.
        pub fn name(class: i32) -> Option<(&'static str, &'static str)> {
            match class {
                $(c::$name => Some((stringify!($name), $what)),)*
                _ => None,
            }
        }
    };
}

names! {
    MPI_SUCCESS "no error",
    MPI_ERR_BUFFER "the buffer is not valid",
    MPI_ERR_COUNT "the count is not valid",
    MPI_ERR_TYPE "the datatype is not valid, or not committed",
    MPI_ERR_TAG "the tag is not valid",
    MPI_ERR_COMM "the communicator is not valid",
    MPI_ERR_RANK "the rank is not valid",
    MPI_ERR_REQUEST "the request is not valid",
    MPI_ERR_ROOT "the root is not valid",
    MPI_ERR_GROUP "the group is not valid",
    MPI_ERR_OP "the operation is not valid, or not for this datatype",
    MPI_ERR_TOPOLOGY "the topology is not valid",
    MPI_ERR_DIMS "the dimensions are not valid",
    MPI_ERR_ARG "an argument is not valid",
    MPI_ERR_UNKNOWN "an unknown error",
    MPI_ERR_TRUNCATE "the message is longer than the receive buffer",
    MPI_ERR_OTHER "another error",
    MPI_ERR_INTERN "an error within MPI",
    MPI_ERR_PENDING "the request is not complete",
    MPI_ERR_IN_STATUS "the errors are in the statuses",
    MPI_ERR_ACCESS "access was refused",
    MPI_ERR_AMODE "the access mode is not valid",
    MPI_ERR_ASSERT "the assertion is not valid",
    MPI_ERR_BAD_FILE "the file name is not valid",
    MPI_ERR_BASE "the base address is not valid",
    MPI_ERR_CONVERSION "a conversion failed",
    MPI_ERR_DISP "the displacement is not valid",
    MPI_ERR_DUP_DATAREP "the data representation is known already",
    MPI_ERR_FILE_EXISTS "the file exists",
    MPI_ERR_FILE_IN_USE "the file is in use",
    MPI_ERR_FILE "the file is not valid",
    MPI_ERR_INFO_KEY "the key is too long or empty",
    MPI_ERR_INFO_NOKEY "there is no such key",
    MPI_ERR_INFO_VALUE "the value is too long",
    MPI_ERR_INFO "the info object is not valid",
    MPI_ERR_IO "input or output failed",
    MPI_ERR_KEYVAL "the key is not valid",
    MPI_ERR_LOCKTYPE "the lock type is not valid",
    MPI_ERR_NAME "the service name is not valid",
    MPI_ERR_NO_MEM "there is no memory left",
    MPI_ERR_NOT_SAME "the arguments differ between ranks",
    MPI_ERR_NO_SPACE "there is no space left",
    MPI_ERR_NO_SUCH_FILE "there is no such file",
    MPI_ERR_PORT "the port is not valid",
    MPI_ERR_QUOTA "a quota is used up",
    MPI_ERR_READ_ONLY "the file is read only",
    MPI_ERR_RMA_ATTACH "memory cannot be attached",
    MPI_ERR_RMA_CONFLICT "accesses to a window conflict",
    MPI_ERR_RMA_RANGE "memory is not of the window",
    MPI_ERR_RMA_SHARED "memory cannot be shared",
    MPI_ERR_RMA_SYNC "the window is not synchronised so",
    MPI_ERR_SERVICE "the service is not known",
    MPI_ERR_SIZE "the size is not valid",
    MPI_ERR_SPAWN "processes could not be spawned",
    MPI_ERR_UNSUPPORTED_DATAREP "the data representation is not offered",
    MPI_ERR_UNSUPPORTED_OPERATION "the operation is not offered",
    MPI_ERR_WIN "the window is not valid",
    MPI_ERR_RMA_FLAVOR "the window is of the wrong flavor",
    MPI_ERR_PROC_ABORTED "a process was aborted",
    MPI_ERR_VALUE_TOO_LARGE "the value does not fit",
    MPI_ERR_SESSION "the session is not valid",
    MPI_ERR_ERRHANDLER "the error handler is not valid",
    MPI_ERR_ABI "the ABI does not fit",
    MPI_ERR_LASTCODE "the last code of the standard",
    MPIX_ERR_PROC_FAILED "a process has failed",
    MPIX_ERR_PROC_FAILED_PENDING "a process that may be the sender has failed",
    MPIX_ERR_REVOKED "the communicator was revoked",
}
