//! The network face of a node.

pub mod context;
