//! The error codes of the host interface, as `faasm.h` lists them. Values are fixed for ever:
//! compiled guests carry them.

use rkyv::{Archive, Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// What went wrong, as a guest, the HTTP API and the CLI see it.
        #[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[rkyv(derive(PartialEq, Eq, Debug))]
        #[repr(u8)]
        pub enum Errno { $($(#[$doc])* $name = $value,)* }

        impl Errno {
            /// Every code.
            pub const ALL: &'static [Errno] = &[$(Errno::$name),*];

            /// The name in `faasm.h`, as in `FAASM_ENOENT`.
            pub fn name(self) -> &'static str {
                match self { $(Errno::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// An argument is not allowed.
    Inval = 1, "FAASM_EINVAL";
    /// There is no such thing.
    NoEnt = 2, "FAASM_ENOENT";
    /// It exists already.
    Exist = 3, "FAASM_EEXIST";
    /// No memory.
    NoMem = 4, "FAASM_ENOMEM";
    /// No node has room.
    Full = 5, "FAASM_EFULL";
    /// The deadline passed.
    TimedOut = 6, "FAASM_ETIMEDOUT";
    /// The call was cancelled.
    Cancelled = 7, "FAASM_ECANCELLED";
    /// The node that ran the call, or holds the data, was lost.
    HostLost = 8, "FAASM_EHOSTLOST";
    /// The function trapped or could not be run.
    Failed = 9, "FAASM_EFAILED";
    /// A limit of the function was exceeded.
    Limit = 10, "FAASM_ELIMIT";
    /// The user's quota is used up.
    Quota = 11, "FAASM_EQUOTA";
    /// Not allowed.
    Perm = 12, "FAASM_EPERM";
    /// Somebody else holds the lock.
    Locked = 13, "FAASM_ELOCKED";
    /// The lock was lost.
    LockLost = 14, "FAASM_ELOCKLOST";
    /// Waiting would be a deadlock.
    DeadLk = 15, "FAASM_EDEADLK";
    /// The value was deleted and made anew.
    Stale = 16, "FAASM_ESTALE";
    /// Try again.
    Again = 17, "FAASM_EAGAIN";
    /// Too large.
    TooBig = 18, "FAASM_ETOOBIG";
    /// No quorum, or the service cannot be reached.
    Unavailable = 19, "FAASM_EUNAVAILABLE";
    /// Input or output failed.
    Io = 20, "FAASM_EIO";
    /// Not offered here.
    NoSys = 21, "FAASM_ENOSYS";
}

impl Errno {
    /// The value a guest sees.
    pub fn code(self) -> i32 {
        -i32::from(self as u8)
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call ended without a result of its own: a code and the detail that its record keeps.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct CallError {
    /// The class of the failure.
    pub code: Errno,
    /// What happened and what to do, at most [`CallError::MAX_DETAIL`] bytes.
    pub detail: String,
}

impl CallError {
    /// Longest detail kept, in bytes; a guest's trap message can be longer.
    pub const MAX_DETAIL: usize = 4096;

    /// Takes the code and a detail, cut to [`CallError::MAX_DETAIL`].
    pub fn new(code: Errno, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > Self::MAX_DETAIL {
            let mut end = Self::MAX_DETAIL;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
        }
        Self { code, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_header() {
        let header = include_str!("../sdk/c/include/faasm.h");
        for code in Errno::ALL {
            let name = code.name();
            let line = header
                .lines()
                .find(|l| l.starts_with("#define") && l.split_whitespace().nth(1) == Some(name))
                .unwrap_or_else(|| panic!("faasm.h does not define {name}"));
            let value = format!("({})", code.code());
            assert!(line.split_whitespace().any(|w| w == value), "{name} is {value}, not: {line}");
        }
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let error = CallError::new(Errno::Failed, "ä".repeat(CallError::MAX_DETAIL));
        assert!(error.detail.len() <= CallError::MAX_DETAIL);
    }
}
