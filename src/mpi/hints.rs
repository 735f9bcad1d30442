//! Hints: values by keys, in the order in which the keys were first set. The standard asks for no
//! order, but programs number keys as they set them.

use indexmap::IndexMap;

/// Hints by their keys.
pub type Hints = IndexMap<Vec<u8>, Vec<u8>>;
