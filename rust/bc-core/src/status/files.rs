//! A generation and its files, in short.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    basics::Digest,
    generation::{Acceptance, Entry, Envelope, JarName, Manifest, ManifestDocument, Name, PluginIdentity},
};

/// A generation, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its id.
    pub id: Digest,
    /// The primary's sequence.
    pub sequence: u64,
    /// When the primary first saw it, by the primary's clock.
    pub generated_ms: i64,
    /// Whether GoCD has accepted its configuration.
    pub acceptance: Acceptance,
    /// Bytes of all its files.
    pub total_size: u64,
}

impl Generation {
    /// The generation of a manifest document in short, as the status shows it.
    pub(crate) fn of(document: &ManifestDocument) -> Self {
        Self {
            id: document.generation,
            sequence: document.envelope.sequence,
            generated_ms: document.envelope.generated_ms,
            acceptance: document.envelope.acceptance,
            total_size: document.total_size(),
        }
    }
}

/// One synced file on both nodes. A primary fills only its own side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Which file.
    pub name: Name,
    /// Who the plugin is.
    pub plugin: Option<PluginIdentity>,
    /// On the primary.
    pub primary: Option<FileVersion>,
    /// On this standby; none on a primary.
    pub standby: Option<FileVersion>,
    /// How both compare.
    pub state: FileState,
}

/// The bytes of a file on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// SHA-256.
    pub sha256: Digest,
    /// Length.
    pub size: u64,
    /// Last written, by that node's clock.
    pub modified_ms: i64,
}

/// How a file compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// On a primary: it is offered.
    Offered,
    /// The same bytes on both.
    InSync,
    /// Other bytes here.
    Differs,
    /// Not here yet.
    Missing,
    /// The primary has something under this name, or may have, and does not offer it.
    Withheld,
    /// Not on the primary, and not ours to remove.
    OnlyHere,
}

/// As people read it.
impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileState::Offered => "offered",
            FileState::InSync => "in sync",
            FileState::Differs => "differs",
            FileState::Missing => "missing here",
            FileState::Withheld => "not offered",
            FileState::OnlyHere => "only here",
        })
    }
}

/// A jar of our own plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnJar {
    /// Its file name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// A file that the live configuration mentions and that is not on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFile {
    /// Where it should be.
    pub path: String,
    /// The key of the property that mentions it, such as `PasswordFilePath`.
    pub property: String,
    /// Whether it could be named in `bc.sync.extra`: it belongs beside cruise-config.xml.
    pub can_be_synced: bool,
}

/// The files that a primary has, for the status: those that it offers, and those of which it cannot.
pub fn offered(manifest: &Manifest) -> Arc<[FileStatus]> {
    let offered = |(name, entry): (&Name, &Entry)| FileStatus {
        name: name.clone(),
        plugin: entry.plugin.clone(),
        primary: Some(version(entry)),
        standby: None,
        state: FileState::Offered,
    };
    let withheld = |name: &Name| FileStatus {
        name: name.clone(),
        plugin: None,
        primary: None,
        standby: None,
        state: FileState::Withheld,
    };
    let withheld = manifest.withheld.files.keys().map(withheld);
    manifest.files.iter().map(offered).chain(withheld).collect()
}

/// The jars of our own plugin, for the status.
pub fn own_jars(jars: &BTreeMap<JarName, PluginIdentity>) -> Vec<OwnJar> {
    jars.iter()
        .map(|(name, identity)| OwnJar {
            name: name.to_string(),
            version: identity.version.clone(),
        })
        .collect()
}

/// What the status warns of when GoCD has rejected the configuration, or not accepted it for longer than `wait`, on either
/// node. By the primary's clock alone.
pub fn overdue_acceptance(envelope: &Envelope, wait: Duration) -> Option<String> {
    let age_ms = u64::try_from(envelope.now_ms.saturating_sub(envelope.generated_ms)).unwrap_or(0);
    let is_overdue = u128::from(age_ms) > wait.as_millis();
    let is_rejected = envelope.is_rejected();
    (is_rejected || envelope.acceptance == Acceptance::Pending && is_overdue).then(|| {
        format!(
            "GoCD on the primary has not accepted its cruise-config.xml for {} s{}. Look into its server health messages \
             and go-server.log, and mend the file there; a promotion goes back to the newest one that it has accepted.",
            age_ms / 1000,
            if is_rejected { ", so it has rejected it" } else { "" }
        )
    })
}

/// The version of a file that an entry is, for the status.
pub(crate) fn version(entry: &Entry) -> FileVersion {
    FileVersion {
        sha256: entry.sha256,
        size: entry.size,
        modified_ms: entry.modified_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_not_accepted_is_warned_of_after_a_while() {
        let seen_ago = |age_ms: i64, acceptance: Acceptance| {
            let envelope = serde_json::json!({
                "node_id": "a", "role": "primary", "epoch": {"number": 1, "promotion": ""}, "sequence": 1,
                "product_version": "1", "acceptance": acceptance, "generated_ms": 1_000_000 - age_ms, "scanned_ms": 0,
                "now_ms": 1_000_000, "file_check_interval_ms": 1
            });
            let envelope = serde_json::from_value(envelope).expect("an envelope");
            overdue_acceptance(&envelope, Duration::from_secs(60))
        };
        assert_eq!(seen_ago(60_000, Acceptance::Pending), None);
        let warning = seen_ago(61_000, Acceptance::Pending).expect("overdue");
        assert!(
            warning.contains("has not accepted its cruise-config.xml for 61 s"),
            "{warning}"
        );
        assert_eq!(seen_ago(61_000, Acceptance::Accepted), None);
        assert_eq!(seen_ago(61_000, Acceptance::Unknown), None);
    }
}
