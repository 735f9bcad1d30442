//! Algorithms on ranks of one node against what they mean.
