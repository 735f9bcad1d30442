//! Tests of the running component, with a fake of the calls component.

mod support;

mod basics;
