//! What is wrong.

use serde::{Deserialize, Serialize};

use super::Topic;
use crate::basics::Severity;

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: one problem for each topic, a newer one replaces it.
    pub topic: Topic,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
    /// Since when.
    pub since_ms: i64,
}
