//! What the test binaries share. Each uses a part of it.
#![allow(dead_code)]

pub mod cluster;
pub mod guests;
pub mod intruder;
pub mod members;
pub mod netns;
pub mod people;
pub mod processes;
