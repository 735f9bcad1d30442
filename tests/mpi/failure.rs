//! Ranks and nodes that fail.
