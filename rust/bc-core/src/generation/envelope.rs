//! What travels with a manifest and is not part of the generation: who sends it, when, and what is wrong with it.

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Fingerprint, characters::is_deceptive, lenient::if_understood},
    database::position::Position,
    generation::{
        concern::{self, Concern},
        epoch::{Epoch, Highest, Role},
        handover::HandsOver,
        run::{Run, if_run},
    },
};

/// The longest text in an envelope that is believed: ids, versions, a position.
const MAX_WORD: usize = 300;

/// What travels with a manifest but is not part of the generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub node_id: String,
    /// The sender's role; a standby accepts only `primary`.
    pub role: Role,
    /// Whether the sender is to be the primary, and its GoCD does not run yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// What becomes of the sender's GoCD, where another node has a higher epoch; none where none has, and from a version
    /// that does not say.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub after_fence: Option<AfterFence>,
    /// That the sender, a primary whose GoCD does not run, hands over; none where it does not, and where another version
    /// says it in a way that is not understood.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub hands_over: Option<HandsOver>,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The highest epoch that the sender knows, its own or another node's.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub highest: Option<Highest>,
    /// Grows with each new generation of this primary; persisted before a manifest carries it.
    pub sequence: u64,
    /// `Implementation-Version` of the sender's GoCD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gocd_version: Option<String>,
    /// Version of the sender's plugin.
    pub product_version: String,
    /// `schemaVersion` of its cruise-config.xml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// `serverId` of its cruise-config.xml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Where its database is, where it watches one.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub database: Option<Position>,
    /// Where its database was when this generation was made; none where it did not know, as after a restart.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Position>,
    /// Whether GoCD has accepted this cruise-config.xml.
    pub acceptance: Acceptance,
    /// Whether GoCD had the time to accept it and did not; a version before says nothing of that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// When this generation was first seen, milliseconds since 1970 by the sender's clock.
    pub generated_ms: i64,
    /// When the folders were last read through.
    pub scanned_ms: i64,
    /// The sender's clock when it answered.
    pub now_ms: i64,
    /// How often the sender reads its folders, milliseconds.
    pub file_check_interval_ms: u64,
    /// The key that the sender is to show next, while it waits for its standbys to confirm it. Only a hint to report:
    /// what is confirmed comes with the answer to a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fingerprint: Option<Fingerprint>,
    /// What the sender knows to be wrong with what it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// Which run of the sender answers; none from a version that does not say.
    #[serde(default, deserialize_with = "if_run", skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// What becomes of GoCD on a node that is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterFence {
    /// It is held.
    Held,
    /// It is being ended, and its next start is held.
    Ends,
    /// It runs on, as `bc.fence=warn` says, or since nothing would hold its next start.
    RunsOn,
}

impl Envelope {
    /// The envelope of a node of this version in the first epoch, of which nothing else is known.
    pub fn of(node_id: &str, role: Role) -> Self {
        Self {
            node_id: node_id.to_owned(),
            role,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch: Epoch::default(),
            highest: None,
            sequence: 0,
            gocd_version: None,
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: None,
            server_id: None,
            database: None,
            made_at: None,
            acceptance: Acceptance::Unknown,
            rejected: false,
            generated_ms: 0,
            scanned_ms: 0,
            now_ms: 0,
            file_check_interval_ms: 0,
            next_fingerprint: None,
            concerns: Vec::new(),
            run: None,
        }
    }

    /// Whether GoCD has looked at this configuration and not accepted it.
    pub fn is_rejected(&self) -> bool {
        self.rejected && self.acceptance == Acceptance::Pending
    }

    /// Which text of this envelope no node of ours would send. All of them are shown to people and written to logs.
    pub fn odd_text(&self) -> Option<&'static str> {
        let optional = [
            ("GoCD version", &self.gocd_version),
            ("schema version", &self.schema_version),
            ("server id", &self.server_id),
        ];
        let highest = self.highest.iter().flat_map(|highest| {
            let node_id = highest.node_id.iter().map(|id| ("node id of the highest epoch", id));
            node_id.chain([("promotion", &highest.epoch.promotion)])
        });
        let optional = optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        [
            ("node id", &self.node_id),
            ("plugin version", &self.product_version),
            ("promotion", &self.epoch.promotion),
        ]
        .into_iter()
        .chain(optional)
        .chain(highest)
        .find_map(|(name, text)| (!is_plain(text)).then_some(name))
        .or_else(|| {
            let mut texts = self.hands_over.iter().flat_map(HandsOver::texts);
            texts.any(|text| !is_plain(text)).then_some("word on its hand-over")
        })
        .or_else(|| concern::are_odd(&self.concerns).then_some("word on its own files"))
    }
}

/// Whether GoCD has taken a cruise-config.xml as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acceptance {
    /// GoCD wrote the same text into its configuration repository.
    Accepted,
    /// Not yet.
    Pending,
    /// There is no configuration repository to compare with.
    Unknown,
}

/// Whether a text of an envelope from the wire may be shown as it is.
fn is_plain(text: &str) -> bool {
    text.len() <= MAX_WORD && !text.contains(is_deceptive)
}
