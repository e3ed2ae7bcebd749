//! The steps of an apply that needs more than one rename: `journal.json` in the state folder.
//!
//! It is written, durably, after everything is staged and before the first live file changes, and names every step, the
//! record to write at the end, and the steps by which the old set comes back. A crash later on is rolled forward from
//! it at the next start, so the live files end as the whole new set. Where a step fails, the journal is turned,
//! durably, and carried out backwards: the live files end as the whole old set, also after a crash on the way. Every
//! step may be done twice. A journal whose checksum is wrong is not carried out: a step that names another file would
//! be worse than one that is missing.
//!
//! A journal of an older version has no way back, and is only ever rolled forward.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error},
    durable::{FileSystem, atomic, filesystem, seal},
    generation::{Lineage, ManifestDocument, Name},
    standby::store::record::{self, Read, Record},
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
    /// How the old set comes back; none in a journal of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) back: Option<Back>,
    #[serde(default)]
    pub(super) direction: Direction,
}

/// How the old set comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Back {
    pub(super) steps: Vec<Step>,
    /// What was applied before. Its serial is higher than that of the new set.
    pub(super) record: Record,
}

/// Which set is to be live in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Direction {
    /// The new one.
    #[default]
    Forward,
    /// The old one, since a step failed.
    Back,
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
    /// Remove a file that is ours. With `put_off` it only gets that name beside its own, which GoCD does not load, and
    /// goes once the whole set is live.
    Remove {
        name: Name,
        path: PathBuf,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        put_off: Option<PathBuf>,
    },
    /// Give a file that was moved its own name again.
    PutBack { name: Name, from: PathBuf, to: PathBuf },
}

impl Step {
    /// The folders in which a step of the journal changes names.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        let (path, other) = match self {
            Self::Write { target, .. } => (target, None),
            Self::SetAside { from, to, .. } | Self::PutBack { from, to, .. } => (to, Some(from)),
            Self::Remove { path, put_off, .. } => (path, put_off.as_ref()),
        };
        [Some(path), other]
            .into_iter()
            .flatten()
            .filter_map(|path| path.parent())
    }

    /// The name of the file that a step of the journal is for.
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Write { name, .. }
            | Self::SetAside { name, .. }
            | Self::Remove { name, .. }
            | Self::PutBack { name, .. } => name,
        }
    }

    /// The digest of the bytes that a step of the journal writes.
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Write { sha256, .. } => Some(*sha256),
            _ => None,
        }
    }
}

impl Journal {
    /// The journal of an apply that is about to begin.
    pub(super) fn new(
        steps: Vec<Step>,
        record: Record,
        document: Option<&ManifestDocument>,
        back: Option<Back>,
    ) -> Self {
        Self {
            format: record::FORMAT,
            steps,
            record,
            document: document.map(|document| ManifestDocument {
                // It has been judged, and grows to as much as the rest.
                lineage: Lineage::default(),
                ..document.clone()
            }),
            back,
            direction: Direction::Forward,
        }
    }

    /// Whether the journal came to its end, and only its removal was lost: then `record` is what it was to leave, or
    /// newer.
    pub(super) fn is_over(&self, record: &Record) -> bool {
        let last = match (self.direction, &self.back) {
            (Direction::Back, Some(back)) => &back.record,
            _ => &self.record,
        };
        last.serial <= record.serial
    }

    /// The digests of all bytes that carrying out the journal may need, in either direction.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        let back = self.back.iter().flat_map(|back| &back.steps);
        self.steps.iter().chain(back).filter_map(Step::digest)
    }

    /// Reads the journal of an apply.
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
        filesystem::is_there(system, path).map_err(Error::cannot("look at", path))
    }

    /// Saves the journal of an apply durably.
    pub(super) fn save(&self, system: &dyn FileSystem, path: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).map_err(|error| Error::io("write", path, &io::Error::other(error)))?;
        atomic::write_on(system, path, &text, 0o600)
    }

    /// Closes the journal of an apply by removing it. The removal is not waited for: one that comes back after a crash
    /// is known by its serial.
    pub(super) fn close(system: &dyn FileSystem, path: &Path) -> Result<(), Error> {
        filesystem::remove_if_there(system, path).map_err(Error::cannot("remove", path))
    }
}
