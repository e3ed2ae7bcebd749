//! Long, hard use of two nodes: the same engine for the tests, in short, and for `cargo xtask soak`, at length.
//!
//! | file | does |
//! |---|---|
//! | `sets.rs` | writes one set of files after the other on the primary, and tells which one is live on the standby |
//! | `kills.rs` | kills standby and primary at random instants and looks at what is live then |
//! | `rewrites.rs` | rewrites a configuration in place, also badly, while somebody watches the standby's |
//! | `large.rs` | sends many bytes across a network that is cut, and measures memory |
//! | `steady.rs` | edits for minutes, and measures latency and memory |

pub mod kills;
pub mod large;
pub mod rewrites;
pub mod sets;
pub mod steady;
