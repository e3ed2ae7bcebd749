//! How all paths that we answer begin.

/// What every path of ours begins with: that of the original product.
pub const PREFIX: &str = "/go/add-on/business-continuity";
