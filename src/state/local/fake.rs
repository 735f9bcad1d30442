//! A global tier in memory.
