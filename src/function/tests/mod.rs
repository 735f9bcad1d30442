//! Tests of the running component, with a fake of the calls component.

mod support;

mod basics;
mod faasm_door;
mod failures;
mod fairness;
mod limits;
mod loading;
mod pinning;
mod sharing;
mod table;
mod wasi;
