//! Who leads: the role of a node, and the epoch that its promotion began.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The role of a node, as it tells others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs GoCD and is the source.
    Primary,
    /// Held; follows a primary.
    Standby,
    /// Held, because another node has a higher epoch.
    Fenced,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
            Role::Fenced => "fenced",
        })
    }
}

/// Grows with every promotion; equal numbers with different promotion ids are a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Higher wins.
    pub number: u64,
    /// Random, made by the promotion that began this epoch; empty for the first one.
    pub promotion: String,
}

/// The highest epoch that a node knows, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Highest {
    /// The epoch.
    pub epoch: Epoch,
    /// The id of the node whose promotion began it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

impl Default for Epoch {
    fn default() -> Self {
        Self {
            number: 1,
            promotion: String::new(),
        }
    }
}
