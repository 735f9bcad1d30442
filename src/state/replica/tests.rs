//! Decisions of a copy, asserted effect by effect.
