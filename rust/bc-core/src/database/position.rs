//! Where a primary's database is, and what its standbys are told of it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{look::SystemId, lsn::Lsn};
use crate::basics::lenient::if_understood;

/// Where a primary's database is, as it tells its standbys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which cluster it is.
    pub system: SystemId,
    /// The timeline that it writes.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// Up to where it has written.
    pub written: Lsn,
}

/// For people: position, timeline, system.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.written)?;
        if let Some(timeline) = self.timeline {
            write!(f, " on timeline {timeline}")?;
        }
        write!(f, " of system {}", self.system)
    }
}

/// Where a primary's database is and what it is like, for its standbys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Where.
    #[serde(flatten)]
    pub position: Position,
    /// What it is like; none from a version that does not say, and before the server was asked.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub server: Option<ToldServer>,
}

/// What a standby is told of the server that it is to be a copy of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldServer {
    /// `server_version_num`.
    pub version: u32,
    /// [`super::facts::Facts::started`]: the same server for both nodes is one that both nodes use.
    pub started: String,
    /// [`super::facts::Facts::limits`].
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// The names of its slots.
    #[serde(default)]
    pub slots: Vec<String>,
}
