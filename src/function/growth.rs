//! Limits on an instance's memory: its function's own, and the node's budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;
use crate::errno::{CallError, Errno};
use crate::wire::function::Limits;

/// Initial memory that is not charged to the budget, in bytes: an idle instance touches little of
/// its stack and data, and ten thousand of them must fit.
const INITIAL_FREE: u64 = 2 << 20;

/// Bytes that private guest memory may take on this node.
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// Windows of values that may be mapped at once: the kernel limits a process's mappings.
    most_windows: usize,
    windows: AtomicUsize,
}

/// One of the windows that may be mapped.
pub struct WindowPlace(Arc<Budget>);

impl Drop for WindowPlace {
    fn drop(&mut self) {
        self.0.windows.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget of this many bytes, and windows.
    pub fn new(limit: u64, most_windows: usize) -> Arc<Self> {
        let (used, windows) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit, used, most_windows, windows })
    }

    /// Bytes taken.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes bytes; `false` when there are not so many.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        taken.is_ok()
    }

    /// Gives bytes back that were taken.
    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why memory was refused last; it explains the trap that often follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The function's memory limit, in bytes.
    Function(u64),
    /// The node's budget, in bytes.
    Node(u64),
}

impl Refusal {
    /// The error of a call that ended for it.
    pub fn error(self) -> CallError {
        match self {
            Self::Function(limit) => CallError::new(
                Errno::Limit,
                format!(
                    "the function's memory limit of {limit} bytes was reached; raise it at upload \
                     with --memory"
                ),
            ),
            Self::Node(limit) => CallError::new(
                Errno::NoMem,
                format!("this node's budget of {limit} bytes for guest memory is used up"),
            ),
        }
    }
}

/// The account of one instance.
pub struct Growth {
    limit: u64,
    private: u64,
    charged: u64,
    budget: Arc<Budget>,
    refused: Option<Refusal>,
    region: bool,
}

impl Growth {
    /// Nothing is taken yet; `limit` is the function's, in bytes.
    pub fn new(limit: u64, budget: Arc<Budget>) -> Self {
        Self { limit, private: 0, charged: 0, budget, refused: None, region: false }
    }

    /// Why memory was refused last, if it was.
    pub fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Private memory, in bytes, touched or not.
    pub fn private(&self) -> u64 {
        self.private
    }

    /// While set, growth makes room for a region: it is not private and not counted here.
    pub fn for_region(&mut self, on: bool) {
        self.region = on;
    }

    /// A place for one more window; `None` when the node has no more.
    pub fn window(&self) -> Option<WindowPlace> {
        let budget = &self.budget;
        let before = budget.windows.fetch_add(1, Ordering::Relaxed);
        // Dropped, it gives the place back.
        let place = WindowPlace(budget.clone());
        (before < budget.most_windows).then_some(place)
    }

    /// Charges bytes that the host keeps for the guest; `false` when the budget refuses.
    pub fn charge(&mut self, bytes: u64) -> bool {
        let taken = self.budget.take(bytes);
        self.charged += if taken { bytes } else { 0 };
        taken
    }

    /// Gives such bytes back.
    pub fn discharge(&mut self, bytes: u64) {
        let bytes = bytes.min(self.charged);
        self.charged -= bytes;
        self.budget.give(bytes);
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Refusal> {
        let private = self.private.saturating_add(bytes);
        if private > self.limit {
            return Err(Refusal::Function(self.limit));
        }
        let before = self.private.max(INITIAL_FREE);
        let chargeable = private.saturating_sub(before);
        if !self.charge(chargeable) {
            return Err(Refusal::Node(self.budget.limit));
        }
        self.private = private;
        Ok(())
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // wasmtime refuses these after us; what cannot be is not charged. Growth that the kernel
        // then refuses stays charged until the end of the call, within the function's limit.
        if maximum.is_some_and(|most| desired > most) || desired as u64 > Limits::MAX_MEMORY {
            return Ok(false);
        }
        if self.region {
            return Ok(true);
        }
        let bytes = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let grown = self.grow(bytes);
        self.refused = grown.err().or(self.refused);
        Ok(grown.is_ok())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.budget.give(self.charged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_functions_limit_counts_all_of_its_memory() {
        let mut growth = Growth::new(3 * MIB, Budget::new(100 * MIB, 2));
        assert!(growth.grow(2 * MIB).is_ok());
        assert_eq!(growth.grow(2 * MIB), Err(Refusal::Function(3 * MIB)));
        assert!(growth.grow(MIB).is_ok());
    }

    #[test]
    fn the_budget_is_charged_beyond_the_free_part_and_given_back() {
        let budget = Budget::new(4 * MIB, 2);
        let mut growth = Growth::new(100 * MIB, budget.clone());
        assert!(growth.grow(MIB).is_ok());
        assert_eq!(budget.used(), 0);
        assert!(growth.grow(4 * MIB).is_ok());
        assert_eq!(budget.used(), 3 * MIB);
        assert_eq!(growth.grow(2 * MIB), Err(Refusal::Node(4 * MIB)));
        drop(growth);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn growth_past_the_modules_own_maximum_is_not_charged() {
        let budget = Budget::new(100 * MIB, 2);
        let mut growth = Growth::new(100 * MIB, budget.clone());
        assert!(!growth.memory_growing(0, 9 << 20, Some(8 << 20)).unwrap());
        assert_eq!((budget.used(), growth.refused()), (0, None));
    }

    #[test]
    fn windows_of_all_instances_are_counted() {
        let budget = Budget::new(MIB, 2);
        let growths = [Growth::new(MIB, budget.clone()), Growth::new(MIB, budget)];
        let first = growths[0].window();
        assert!(first.is_some() && growths[1].window().is_some());
        let second = growths[1].window();
        assert!(growths[0].window().is_none());
        drop((first, second));
        assert!(growths[0].window().is_some());
    }

    #[test]
    fn growth_for_regions_is_not_private() {
        let mut growth = Growth::new(MIB, Budget::new(MIB, 2));
        growth.for_region(true);
        assert!(growth.memory_growing(0, 1 << 30, None).unwrap());
        assert_eq!(growth.refused(), None);
    }
}
