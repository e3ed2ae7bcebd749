//! Where a standby keeps what it fetched, and how it becomes the live files.
//!
//! - [`disk`]: the store of a standby, which puts together `receiving` (bytes on their way), `blobs` (fetched bytes),
//!   `live` (what is there), `names` (which names are one), `plan` (what differs), `guard` (what must not go), `rules`
//!   (what may become live), `stage`, `journal` and `apply` (how it does), `record` (what did), `room` (whether it
//!   fits), `obstacles` (what is in the way of a rename), `attributes` (what a replaced file hands on) and `aside` (the
//!   names of what is kept aside);
//! - [`generations`]: what is kept to go back to;
//! - [`diff`]: what two sets of files have differently, without showing a secret;
//! - [`verify`]: whether all of it is still what it was;
//! - [`crate::durable::atomic`]: the one way in which anything that must survive a restart is written.
//!
//! What survives a crash: at any instant the live files are, after the next start, the whole old or the whole new
//! set. Bytes that were on their way are kept and the transfer goes on from there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    basics::Digest,
    generation::{Entry, Epoch, Name, delta},
    standby::store::generations::KeptGeneration,
    status::MissingFile,
};

mod aside;
mod attributes;
mod blobs;
#[cfg(test)]
pub(super) mod contract;
pub mod diff;
pub mod disk;
pub mod generations;
mod guard;
mod journal;
mod live;
mod names;
mod obstacles;
mod plan;
mod receiving;
mod record;
mod room;
mod rules;
mod stage;
pub mod verify;

pub use receiving::{Receiving, ToSync};
pub use record::Record;

/// Bytes that have to be fetched before a generation can be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Their digest.
    pub sha256: Digest,
    /// Their length.
    pub size: u64,
    /// A file that has them.
    pub name: Name,
    /// What that file has here now, where a delta from it could save time: see [`disk::DiskStore::former`].
    pub former: Option<Digest>,
}

impl Wanted {
    /// Bytes that the primary has as `name`, where this node has `live` instead.
    fn new(name: &Name, entry: &Entry, live: Option<&Digest>) -> Self {
        // Other files are small, or are never edited.
        let is_edited = *name == Name::CruiseConfig && entry.size >= delta::WORTHWHILE;
        Self {
            sha256: entry.sha256,
            size: entry.size,
            name: name.clone(),
            former: live.filter(|_| is_edited).copied(),
        }
    }
}

/// What an administrator permits, for one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permit {
    /// Many plugins may go at once.
    #[serde(rename = "allow_deletions")]
    pub deletions: bool,
    /// The primary's `serverId` may replace ours.
    #[serde(rename = "adopt_server_id")]
    pub server_id: bool,
    /// The primary's files may be older than ours.
    #[serde(rename = "accept_rollback")]
    pub rollback: bool,
    /// A restored generation is held in place no longer.
    pub resume: bool,
}

/// Where a standby is in the history of its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The generation that is live.
    pub generation: Digest,
    /// The epoch of the primary that it came from.
    pub epoch: Epoch,
    /// The primary's sequence of it.
    pub sequence: u64,
    /// When it became live here, by this node's clock, as it is written down.
    pub applied_ms: i64,
}

/// What applying a generation changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that were new or had other bytes.
    pub written: Vec<Name>,
    /// Files that were removed, since the generation lacks them and they were ours.
    pub removed: Vec<Name>,
    /// Jars that the generation lacks and that are still here, since many plugins would go at once.
    pub kept: Vec<Name>,
    /// What was changed on this node and is overwritten now, each a full sentence part.
    pub drift: Vec<String>,
    /// Things an administrator should know, each a full sentence part such as "x.jar is only here".
    pub warnings: Vec<String>,
}

impl Applied {
    /// Which jars an apply kept, why, and what to do; none where none were.
    pub fn kept_warning(&self) -> Option<String> {
        guard::warning(&self.kept)
    }
}

/// What was wrong with the live files and is mended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong, each a full sentence part such as "jetty.xml was removed from this standby".
    pub drift: Vec<String>,
    /// Files that cannot be mended before their bytes are fetched again.
    pub lost: Vec<Name>,
}

/// What was done so that GoCD can start on the live files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeWhole {
    /// Whether a set that was half live was finished or taken back.
    pub finished_interrupted: bool,
    /// How many live files were read and are what was applied, those that are mended among them.
    pub right: usize,
    /// What was wrong and is mended, and where the store keeps what was there, each a full sentence part such as
    /// "jetty.xml was missing".
    pub mended: Vec<String>,
    /// What is left as it is, since it cannot be mended and GoCD is to start all the same, each a full sentence part.
    pub left: Vec<String>,
}

/// A kept generation that is live again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which one.
    pub generation: KeptGeneration,
    /// What that changed.
    pub applied: Applied,
}

/// What a look at the live files is worth telling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The live files by name.
    pub files: BTreeMap<Name, LiveFile>,
    /// Those that are not what was applied last; while a set is half live, those that it has still to change.
    pub altered: Vec<Name>,
    /// Which disks are nearly full, for people; none where none is.
    pub low_disks: Option<String>,
    /// The files that the live configuration mentions, besides what is synced, and that are not here.
    pub missing_files: Vec<MissingFile>,
}

/// One live file on a standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// Its digests, size and age here.
    pub entry: Entry,
    /// Whether an applied generation named it; only such files are ever removed.
    pub ours: bool,
}
