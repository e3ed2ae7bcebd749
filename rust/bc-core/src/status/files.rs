//! A generation and its files, in short.

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    manifest::{Acceptance, Name, PluginIdentity},
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
