//! Reading the primary's files without ever trusting a read that a writer may have crossed.

pub mod snapshot;
