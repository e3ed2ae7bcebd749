//! What a primary knows of its standbys.

use serde::{Deserialize, Serialize};

use crate::{
    fingerprint::Fingerprint,
    report::{ReportedGeneration, ReportedProblem},
};

/// What a primary knows of one standby, from its reports. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyStatus {
    /// Its node id.
    pub node_id: String,
    /// The key that it has proven to hold.
    pub fingerprint: Option<Fingerprint>,
    /// Whether that key is trusted.
    pub standing: Standing,
    /// How it is reached: scheme, host and port.
    pub url: Option<String>,
    /// Version of its plugin.
    pub product_version: String,
    /// Version of its GoCD.
    pub gocd_version: Option<String>,
    /// The generation that is live there.
    pub generation: Option<ReportedGeneration>,
    /// When a generation was last made live there.
    pub applied_ms: Option<i64>,
    /// Whether it says itself that it is in sync; none where its version does not say.
    #[serde(default)]
    pub says_in_sync: Option<bool>,
    /// Whether it is in sync as far as this primary knows: it is heard, has the newest generation, and says itself that
    /// its live files are those.
    #[serde(default)]
    pub in_sync: bool,
    /// When the first generation that it lacks came to be; none while it has the newest.
    pub behind_since_ms: Option<i64>,
    /// When it last reported.
    pub reported_ms: i64,
    /// Whether that is longer ago than `bc.standby.silence`.
    pub silent: bool,
    /// Its newest error; none once a sync succeeded.
    pub error: Option<String>,
    /// Why the newest generation is not live there.
    pub problem: Option<ReportedProblem>,
    /// Which of this primary's keys it accepts.
    pub confirms: Vec<Fingerprint>,
}

impl StandbyStatus {
    /// What people call it: its address, else the beginning of its node id.
    pub fn name(&self) -> String {
        match &self.url {
            Some(url) => url.trim_start_matches("https://").to_owned(),
            None => format!("node {:.8}", self.node_id),
        }
    }
}

/// How a primary stands to a standby's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is in the peers file.
    Trusted,
    /// It was seen, and waits for `gocd-bc trust`.
    Seen,
    /// The connection showed none.
    Unproven,
}
