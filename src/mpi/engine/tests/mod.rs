//! Worlds whose ranks are on several nodes.
