//! What kinds of worlds there are.

/// What kind of world.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Disks say "synced" and are not.
    pub disks_lie: bool,
    /// Clocks run faster or slower by up to this; 4 is inside what sessions allow for.
    pub clock_drift_percent: u64,
    /// Nodes join, drain and are removed, and one may lose its disk.
    pub operators: bool,
    /// Microseconds that a disk takes to sync, at least and at most.
    pub sync: (u64, u64),
    /// Disks may be done with a write whenever they are asked, also between two of one step.
    pub eager: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            disks_lie: false,
            clock_drift_percent: 4,
            operators: false,
            sync: (0, 0),
            eager: false,
        }
    }
}

impl Setup {
    /// Of a seed: in three of four nodes also come and go; disks are fast, eager, slow or
    /// very slow.
    pub fn of(seed: u64) -> Self {
        let sync = (0, [0, 20_000, 800_000][(seed % 3) as usize]);
        let eager = seed.is_multiple_of(6);
        Self { operators: !seed.is_multiple_of(4), sync, eager, ..Self::default() }
    }
}
