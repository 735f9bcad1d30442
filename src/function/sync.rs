//! The atomics of `pins`; its loom test brings loom's instead.

pub mod atomic {
    //! As in `std::sync`.
    pub use std::sync::atomic::{AtomicU64, Ordering};
}
