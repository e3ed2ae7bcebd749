//! Carrying out the steps of a journal, also a second time after a crash.
//!
//! What is waited for on the way of the usual change, one configuration file: its staged bytes before the rename
//! that makes them live; after it the names in its folder, then the record with its name. A set of several files
//! adds, before its first rename, the names of all that is staged, and the journal with its name. That is all: names
//! of blobs and the journal's removal may be lost in a crash without harm.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use crate::{
    digest::Digest,
    error::Error,
    manifest::Name,
    regular_file,
    store::{
        blobs::{self, Blobs},
        filesystem::{self, FileSystem},
        journal::{Journal, Step},
        stage,
    },
};

/// A moment at which an apply can be watched or made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moment {
    Stage(Name),
    OpenJournal,
    Rename(Name),
    WriteInPlace(Name),
    SetAside(Name),
    Remove(Name),
    SyncFolder(PathBuf),
    SaveRecord,
    CloseJournal,
    KeepFirst,
    KeepGeneration(Digest),
    DropGeneration(Digest),
    RemoveBlob(PathBuf),
}

/// Called before each moment; an error takes the place of the one that the operating system could give.
pub(super) type Probe = Arc<dyn Fn(&Moment) -> io::Result<()> + Send + Sync>;

/// The store's own files.
#[derive(Debug)]
pub(super) struct StateFiles {
    pub(super) folder: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) record: PathBuf,
    pub(super) cache: PathBuf,
    /// Local jars that were moved out of GoCD's sight.
    pub(super) aside: PathBuf,
    /// Staged files whose own folder cannot be written.
    pub(super) staged: PathBuf,
}

impl StateFiles {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            journal: folder.join("journal.json"),
            record: folder.join("applied.json"),
            cache: folder.join("live-cache.json"),
            aside: folder.join("aside"),
            staged: folder.join("staged"),
            folder: folder.to_owned(),
        }
    }
}

/// What carrying out needs.
pub(super) struct Hands<'a> {
    pub(super) system: &'a dyn FileSystem,
    pub(super) blobs: &'a Blobs,
    pub(super) files: &'a StateFiles,
    pub(super) probe: &'a Probe,
}

enum Renamed {
    Done,
    /// The folder or the mount does not allow it.
    Impossible,
    /// There is no staged file: the step was done before.
    NothingStaged,
}

impl Hands<'_> {
    /// Carries out the steps and writes the record. `is_open` says whether the journal is on the disk already;
    /// else it is written where a crash could leave a part of the set.
    ///
    /// # Errors
    /// Of the first step that fails. With an open journal the rest is done when it is called again.
    pub(super) fn carry_out(&self, journal: &mut Journal, is_open: bool) -> Result<(), Error> {
        let mut is_open = is_open;
        // A single rename is whole or not at all by itself.
        if !is_open && journal.steps.len() > 1 {
            self.open(journal)?;
            is_open = true;
        }
        let mut folders = BTreeSet::new();
        let mut lost = Vec::new();
        for step in &journal.steps {
            let (path, other) = match step {
                Step::Write {
                    name,
                    staged,
                    target,
                    sha256,
                    size,
                } => {
                    match self.rename(name, staged, target)? {
                        Renamed::Done => {}
                        Renamed::Impossible => {
                            if !is_open {
                                self.open(journal)?;
                                is_open = true;
                            }
                            self.write_in_place(name, staged, target)?;
                        }
                        Renamed::NothingStaged => {
                            if !self.is_done(name, staged, target, sha256, *size)? {
                                lost.push(name.to_string());
                            }
                        }
                    }
                    (target, None)
                }
                Step::SetAside { name, from, to } => {
                    self.set_aside(name, from, to)?;
                    (from, Some(to))
                }
                Step::Remove { name, path } => {
                    self.at(&Moment::Remove(name.clone()))
                        .and_then(|()| filesystem::remove_if_there(self.system, path))
                        .map_err(|error| Error::io("remove", path, &error))?;
                    (path, None)
                }
            };
            folders.extend(
                [Some(path), other]
                    .into_iter()
                    .flatten()
                    .filter_map(|path| path.parent()),
            );
        }
        self.sync_folders(folders)?;
        if !lost.is_empty() {
            warn!(
                "{} could not be finished after a crash and comes with the next sync",
                lost.join(", ")
            );
            journal.record.generation = None;
        }
        // Durable before the journal goes: with a former record it would be carried out again if it came back, and
        // the live files would count as changed on this node.
        self.at(&Moment::SaveRecord)
            .map_err(|error| Error::io("write", &self.files.record, &error))?;
        journal.record.save(self.system, &self.files.record)?;
        if is_open {
            self.at(&Moment::CloseJournal)
                .map_err(|error| Error::io("remove", &self.files.journal, &error))?;
            Journal::close(self.system, &self.files.journal)?;
        }
        Ok(())
    }

    /// Writes the journal once everything staged that it names is durable.
    fn open(&self, journal: &Journal) -> Result<(), Error> {
        let staged = journal.steps.iter().filter_map(|step| match step {
            Step::Write { staged, .. } => staged.parent(),
            _ => None,
        });
        self.sync_folders(staged.collect())?;
        self.at(&Moment::OpenJournal)
            .map_err(|error| Error::io("write", &self.files.journal, &error))?;
        journal.save(self.system, &self.files.journal)
    }

    fn sync_folders(&self, folders: BTreeSet<&Path>) -> Result<(), Error> {
        folders.into_iter().try_for_each(|folder| {
            self.at(&Moment::SyncFolder(folder.to_owned()))
                .and_then(|()| self.system.sync_folder(folder))
                .map_err(|error| Error::io("sync the folder", folder, &error))
        })
    }

    fn rename(&self, name: &Name, staged: &Path, target: &Path) -> Result<Renamed, Error> {
        let renamed = self
            .at(&Moment::Rename(name.clone()))
            .and_then(|()| self.system.rename(staged, target));
        match renamed {
            Ok(()) => Ok(Renamed::Done),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(filesystem::is_there(self.system, staged), Ok(false)) =>
            {
                Ok(Renamed::NothingStaged)
            }
            Err(error) if is_place_fixed(&error) => Ok(Renamed::Impossible),
            Err(error) => Err(Error::io("replace", target, &error)),
        }
    }

    fn write_in_place(&self, name: &Name, staged: &Path, target: &Path) -> Result<(), Error> {
        self.at(&Moment::WriteInPlace(name.clone()))
            .and_then(|()| stage::write_in_place(self.system, staged, target))
            .map_err(|error| Error::io("write", target, &error))
    }

    /// Whether the file is as it should be although nothing is staged; else it is staged anew from its blob.
    fn is_done(&self, name: &Name, staged: &Path, target: &Path, sha256: &Digest, size: u64) -> Result<bool, Error> {
        match blobs::sha256(target) {
            Ok(digest) if digest == *sha256 => return Ok(true),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("read", target, &error)),
            _ => {}
        }
        if !self.blobs.has(sha256, size)? {
            return Ok(false);
        }
        info!("{name} is staged anew after a crash");
        let blob = self.blobs.source(sha256);
        stage::stage(self.system, &blob, name, staged, target).map_err(|error| Error::io("write", staged, &error))?;
        match self.rename(name, staged, target)? {
            Renamed::Done => Ok(true),
            Renamed::Impossible => self.write_in_place(name, staged, target).map(|()| true),
            Renamed::NothingStaged => Ok(false),
        }
    }

    fn set_aside(&self, name: &Name, from: &Path, to: &Path) -> Result<(), Error> {
        filesystem::own_folder(self.system, &self.files.aside, 0o700)?;
        let moved = self
            .at(&Moment::SetAside(name.clone()))
            .and_then(|()| match self.system.rename(from, to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    let mut copy = self.system.open(to, 0o600)?;
                    let length = io::copy(&mut regular_file::open(from)?, &mut copy)?;
                    copy.set_len(length)?;
                    self.system.sync(&copy, to)?;
                    self.system.remove(from)
                }
                other => other,
            });
        moved.map_err(|error| Error::io("move", from, &error))
    }

    fn at(&self, moment: &Moment) -> io::Result<()> {
        (self.probe)(moment)
    }
}

/// Whether a file can only be written where it is: it is a mount of its own, as in containers, or we may not write
/// its folder.
fn is_place_fixed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}
