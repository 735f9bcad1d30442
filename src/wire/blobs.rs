//! Blobs between nodes.
