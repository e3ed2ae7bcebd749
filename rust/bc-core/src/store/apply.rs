//! Carrying out the steps of a journal, in either direction, also a second time after a crash.
//!
//! What is waited for on the way of the usual change, one configuration file: its staged bytes before the rename
//! that makes them live; after it the names in its folder, then the record with its name. A set of several files
//! adds, before its first rename, the old bytes with the names of their blobs, and the journal with its name. That is all:
//! names of new blobs and of what is staged, and the journal's removal may be lost in a crash without harm.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::info;

use crate::{
    digest::Digest,
    error::Error,
    manifest::Name,
    store::{
        atomic,
        blobs::{self, Blobs},
        filesystem::{self, FileSystem},
        journal::{Direction, Journal, Step},
        record::Record,
        stage,
    },
};

/// A moment at which an apply can be watched or made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moment {
    Stage(Name),
    OpenJournal,
    TurnBack,
    Rename(Name),
    WriteInPlace(Name),
    SetAside(Name),
    PutBack(Name),
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

/// Why carrying out came to no end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A file can only be written where it is, which takes an open journal. Nothing has changed.
    NeedsJournal,
    /// The bytes of these files are nowhere.
    Lost(Vec<Name>),
    Failed(Error),
}

enum Renamed {
    Done,
    /// The folder or the mount does not allow it.
    Impossible,
    /// There is no staged file: the step was done before.
    NothingStaged,
}

impl Hands<'_> {
    /// Carries out the steps, makes them durable, and then the record. `is_open` says whether the journal is on the
    /// disk; without it there is one step at most.
    ///
    /// # Errors
    /// Those of [`Hands::carry_out_steps`]; the record cannot be written.
    pub(super) fn carry_out(&self, steps: &[Step], record: &Record, is_open: bool) -> Result<(), Stop> {
        self.carry_out_steps(steps, is_open)?;
        // Durable before the journal goes: with a former record it would be carried out again if it came back, and
        // the live files would count as changed on this node.
        Ok(self.save(record)?)
    }

    /// Carries out the steps and makes them durable.
    ///
    /// # Errors
    /// Of the first step that fails; the steps before it are done. Where bytes are lost, all other steps are done.
    pub(super) fn carry_out_steps(&self, steps: &[Step], is_open: bool) -> Result<(), Stop> {
        let mut lost = Vec::new();
        for step in steps {
            if !self.step(step, is_open)? {
                lost.push(step.name().clone());
            }
        }
        self.sync_folders(steps.iter().flat_map(Step::folders).collect())?;
        if lost.is_empty() { Ok(()) } else { Err(Stop::Lost(lost)) }
    }

    /// Writes what is applied, durably.
    pub(super) fn save(&self, record: &Record) -> Result<(), Error> {
        self.at(&Moment::SaveRecord)
            .map_err(|error| Error::io("write", &self.files.record, &error))?;
        record.save(self.system, &self.files.record)
    }

    /// Ends a journal that is carried out, and removes what it put off.
    pub(super) fn close(&self, journal: &Journal) -> Result<(), Error> {
        for step in &journal.steps {
            if let Step::Remove {
                put_off: Some(path), ..
            } = step
            {
                // It is swept at the next start.
                let _ = self.system.remove(path);
            }
        }
        self.at(&Moment::CloseJournal)
            .map_err(|error| Error::io("remove", &self.files.journal, &error))?;
        Journal::close(self.system, &self.files.journal)
    }

    /// Turns an open journal, durably: from then on a crash ends in the old set.
    pub(super) fn turn_back(&self, journal: &mut Journal) -> Result<(), Error> {
        journal.direction = Direction::Back;
        self.at(&Moment::TurnBack)
            .map_err(|error| Error::io("write", &self.files.journal, &error))?;
        journal.save(self.system, &self.files.journal)
    }

    /// Whether a step could be done: not where its bytes are lost.
    fn step(&self, step: &Step, is_open: bool) -> Result<bool, Stop> {
        match step {
            Step::Write {
                name,
                staged,
                target,
                sha256,
                size,
            } => match self.rename_staged(name, staged, target, is_open)? {
                Renamed::Done => {}
                Renamed::Impossible if !is_open => return Err(Stop::NeedsJournal),
                Renamed::Impossible => self.write_in_place(name, staged, target)?,
                Renamed::NothingStaged => return Ok(self.is_done(name, staged, target, sha256, *size)?),
            },
            Step::SetAside { name, from, to } => self.set_aside(name, from, to)?,
            Step::Remove { name, path, put_off } => self
                .at(&Moment::Remove(name.clone()))
                .and_then(|()| match put_off {
                    None => filesystem::remove_if_there(self.system, path),
                    Some(put_off) => unless_gone(self.system.rename(path, put_off)),
                })
                .map_err(|error| Error::io("remove", path, &error))?,
            Step::PutBack { name, from, to } => return Ok(self.put_back(name, from, to)?),
        }
        Ok(true)
    }

    /// Writes the journal. The names of what is staged are not waited for: what a power cut loses of it is staged anew,
    /// or the set is taken back.
    pub(super) fn open(&self, journal: &Journal) -> Result<(), Error> {
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

    /// With an open journal the step may have been done before, or be one of those that bring an old file back.
    fn rename_staged(&self, name: &Name, staged: &Path, target: &Path, is_open: bool) -> Result<Renamed, Error> {
        if is_open && !staged.exists() {
            return Ok(Renamed::NothingStaged);
        }
        self.rename(name, staged, target)
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

    /// Whether the file is as it should be although nothing is staged; else it is staged anew from its blob, under
    /// another name: what was staged before the journal was opened is whole, this may be torn by a crash.
    fn is_done(&self, name: &Name, staged: &Path, target: &Path, sha256: &Digest, size: u64) -> Result<bool, Error> {
        // One that cannot be read is replaced as well.
        if blobs::sha256(target).is_ok_and(|digest| digest == *sha256) {
            return Ok(true);
        }
        if !self.blobs.has(sha256, size)? {
            return Ok(false);
        }
        info!("{name} is staged anew");
        let again = again(staged);
        let blob = self.blobs.source(sha256);
        stage::stage(self.system, &blob, name, &again, target).map_err(|error| Error::io("write", &again, &error))?;
        match self.rename(name, &again, target)? {
            Renamed::Done => Ok(true),
            Renamed::Impossible => self.write_in_place(name, &again, target).map(|()| true),
            Renamed::NothingStaged => Ok(false),
        }
    }

    fn set_aside(&self, name: &Name, from: &Path, to: &Path) -> Result<(), Error> {
        filesystem::own_folder(self.system, &self.files.aside, 0o700)?;
        self.at(&Moment::SetAside(name.clone()))
            .and_then(|()| unless_gone(stage::move_away(self.system, from, to)))
            .map_err(|error| Error::io("move", from, &error))
    }

    /// Whether the file has its own name again; not where it is nowhere.
    fn put_back(&self, name: &Name, from: &Path, to: &Path) -> Result<bool, Error> {
        let put_back = || -> io::Result<bool> {
            self.at(&Moment::PutBack(name.clone()))?;
            if fs::symlink_metadata(to).is_ok() {
                // It was never moved, or not to the end: then there is a copy, which harms nobody.
                return Ok(true);
            }
            match stage::move_away(self.system, from, to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                moved => moved.map(|()| true),
            }
        };
        put_back().map_err(|error| Error::io("move back", to, &error))
    }

    fn at(&self, moment: &Moment) -> io::Result<()> {
        (self.probe)(moment)
    }
}

/// What has no name any more was moved or removed before.
fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Where a file is staged for the second time.
fn again(staged: &Path) -> PathBuf {
    let name = staged.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(atomic::TEMPORARY_SUFFIX).unwrap_or(&name);
    staged.with_file_name(format!("{stem}-again{}", atomic::TEMPORARY_SUFFIX))
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
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
