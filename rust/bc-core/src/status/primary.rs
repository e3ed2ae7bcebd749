//! What a standby knows of its primary.

use serde::{Deserialize, Serialize};

use super::Generation;
use crate::{
    basics::Fingerprint,
    database::position::Position,
    generation::{Concern, HandsOver},
};

/// What a standby knows of its primary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryStatus {
    /// Where it is, as configured.
    pub url: String,
    /// Where it has answered, where that is known: the configured address may stand for two ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How its key is trusted, in words.
    pub trust: String,
    /// Whether its key has been proven in the newest connection.
    pub trusted: bool,
    /// The key it showed last.
    pub seen_fingerprint: Option<Fingerprint>,
    /// Whether the newest exchange succeeded.
    pub connected: bool,
    /// Since when `connected` is what it is.
    pub since_ms: i64,
    /// When an exchange was last completed.
    pub last_exchange_ms: Option<i64>,
    /// Its node id.
    pub node_id: Option<String>,
    /// Version of its GoCD.
    pub gocd_version: Option<String>,
    /// Version of its plugin.
    pub product_version: Option<String>,
    /// When it last read its folders, by its clock.
    pub scanned_ms: Option<i64>,
    /// How often it reads them.
    pub file_check_interval_ms: Option<u64>,
    /// Its newest generation.
    pub generation: Option<Generation>,
    /// Its write-ahead log position.
    pub wal_location: Option<String>,
    /// Where its database is, as it has told last.
    #[serde(default)]
    pub database: Option<Position>,
    /// What it says of its hand-over; none where it does not hand over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_over: Option<HandsOver>,
    /// The key that it is to show next, while it waits for that to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fingerprint: Option<Fingerprint>,
    /// What it said last to be wrong with what it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
}

impl PrimaryStatus {
    /// The status of a primary that has not answered yet.
    pub fn new(url: &str, trust: &str, since_ms: i64) -> Self {
        Self {
            url: url.to_owned(),
            trust: trust.to_owned(),
            since_ms,
            ..Self::default()
        }
    }

    /// Notes where this primary says that its database is.
    pub fn note_database(&mut self, position: Option<&Position>) {
        self.wal_location = position.map(|position| position.written.to_string());
        self.database = position.cloned();
    }
}
