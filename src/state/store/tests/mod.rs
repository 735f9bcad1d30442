//! The store on real files.

mod copies;
mod faults;
mod meaning;
mod model;
mod support;
mod turns;

use super::*;
use crate::state::values::Decision;
use crate::wire::state::{Answer, Extent, Only, Op, Pull, Push, Refusal, Write};
use support::{Node, folder, push, stat};

#[test]
fn what_was_written_is_read_also_after_a_start() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    let written = node.write("a", push(&[(10, b"hello"), (5_000, b"there")]));
    assert_eq!(written.map(|w| w.len), Ok(5_005));
    node.append("a", b"!").unwrap();
    for checkpoint in [true, false] {
        assert_eq!(node.bytes("a").len(), 5_006);
        assert_eq!(&node.bytes("a")[5_000..], b"there!");
        if checkpoint {
            node.store.checkpoint(0).unwrap();
        }
        node = node.again();
    }
    assert_eq!(node.write("a", Write::Create { len: 1 }).unwrap_err(), Refusal::Exists);
    node.write("a", Write::Delete { only: Only::Any }).unwrap();
    assert_eq!(stat(&mut node, "a"), None);
}
