//! The steps of an apply that needs more than one rename: `journal.json` in the state folder.
//!
//! It is written, durably, after everything is staged and before the first live file changes, and names every
//! step and the record to write at the end. A crash later on is rolled forward from it at the next start, so the
//! live files end as the whole new set. Every step may be done twice. A journal whose checksum is wrong is not carried
//! out: a step that names another file would be worse than one that is missing.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::Error,
    lineage::Lineage,
    manifest::{ManifestDocument, Name},
    store::{
        atomic,
        filesystem::{self, FileSystem},
        record::{self, Read, Record},
        seal,
    },
};

/// An apply that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) format: u32,
    pub(super) steps: Vec<Step>,
    /// What will have been applied when all steps are done.
    pub(super) record: Record,
    /// The generation that is live then, so that it is known also after a crash; none where it is live already, and
    /// in a journal of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) document: Option<ManifestDocument>,
}

/// One change of the live files. All paths are absolute, with links resolved where they are to be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub(super) enum Step {
    /// Put the staged file in the place of the target.
    Write {
        name: Name,
        staged: PathBuf,
        target: PathBuf,
        sha256: Digest,
        size: u64,
    },
    /// Move a local jar out of GoCD's sight.
    SetAside { name: Name, from: PathBuf, to: PathBuf },
    /// Remove a file that is ours.
    Remove { name: Name, path: PathBuf },
}

impl Step {
    /// The file that it changes.
    pub(super) fn name(&self) -> &Name {
        match self {
            Step::Write { name, .. } | Step::SetAside { name, .. } | Step::Remove { name, .. } => name,
        }
    }
}

impl Journal {
    pub(super) fn new(steps: Vec<Step>, record: Record, document: Option<&ManifestDocument>) -> Self {
        Self {
            format: record::FORMAT,
            steps,
            record,
            document: document.map(|document| ManifestDocument {
                // It has been judged, and grows to as much as the rest.
                lineage: Lineage::default(),
                ..document.clone()
            }),
        }
    }

    /// Reads the journal.
    ///
    /// # Errors
    /// As [`record::read`]: then a set may be half live.
    pub(super) fn read(system: &dyn FileSystem, path: &Path) -> Result<Read<Self>, Error> {
        record::read(system, path)
    }

    /// Whether an apply has begun that did not come to its end.
    ///
    /// # Errors
    /// Nobody knows.
    pub(super) fn is_open(system: &dyn FileSystem, path: &Path) -> Result<bool, Error> {
        filesystem::is_there(system, path).map_err(|error| Error::io("look at", path, &error))
    }

    pub(super) fn save(&self, system: &dyn FileSystem, path: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).map_err(|error| Error::io("write", path, &io::Error::other(error)))?;
        atomic::write_on(system, path, &text, 0o600)
    }

    /// Ends the journal. The removal is not waited for: one that comes back after a crash is known by its serial.
    pub(super) fn close(system: &dyn FileSystem, path: &Path) -> Result<(), Error> {
        filesystem::remove_if_there(system, path).map_err(|error| Error::io("remove", path, &error))
    }
}
