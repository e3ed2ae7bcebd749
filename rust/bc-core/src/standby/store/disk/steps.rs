//! Carrying out the steps of a journal, in either direction, also a second time after a crash.
//!
//! What is waited for on the way of the usual change, one configuration file: its staged bytes before the rename that
//! makes them live; after it the names in its folder, then the record with its name. A set of several files adds,
//! before its first rename, the old bytes with the names of their blobs, and the journal with its name. That is all:
//! names of new blobs and of what is staged, and the journal's removal may be lost in a crash without harm.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tracing::info;

use super::DiskStore;
use crate::{
    basics::{Digest, Error, if_there},
    durable::{atomic, filesystem},
    generation::Name,
    standby::store::{
        blobs,
        journal::{Direction, Journal, Step},
        record::Record,
        stage,
    },
};

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

impl DiskStore {
    /// Carries out the steps of an apply, makes them durable, and then the record. `is_open` says whether the journal
    /// is on the disk; without it there is one step at most.
    ///
    /// # Errors
    /// Those of [`DiskStore::do_steps`]; the record cannot be written.
    pub(super) fn do_and_record(&self, steps: &[Step], record: &Record, is_open: bool) -> Result<(), Stop> {
        self.do_steps(steps, is_open)?;
        // Durable before the journal goes: with a former record it would be carried out again if it came back, and
        // the live files would count as changed on this node.
        Ok(self.save_record(record)?)
    }

    /// Carries out the steps of an apply and makes them durable.
    ///
    /// # Errors
    /// Of the first step that fails; the steps before it are done. Where bytes are lost, all other steps are done.
    pub(super) fn do_steps(&self, steps: &[Step], is_open: bool) -> Result<(), Stop> {
        let mut lost = Vec::new();
        for step in steps {
            if !self.do_step(step, is_open)? {
                lost.push(step.name().clone());
            }
        }
        let folders: BTreeSet<&Path> = steps.iter().flat_map(Step::folders).collect();
        for folder in folders {
            filesystem::sync_folder(&*self.system, folder)?;
        }
        if lost.is_empty() { Ok(()) } else { Err(Stop::Lost(lost)) }
    }

    /// Saves the record of what is applied, durably.
    pub(super) fn save_record(&self, record: &Record) -> Result<(), Error> {
        record.save(&*self.system, &self.files.record)
    }

    /// Closes the journal of an apply that is carried out, and removes what it put off.
    pub(super) fn close_journal(&self, journal: &Journal) -> Result<(), Error> {
        for step in &journal.steps {
            if let Step::Remove {
                put_off: Some(path), ..
            } = step
            {
                // It is swept at the next start.
                let _ = self.system.remove(path);
            }
        }
        Journal::close(&*self.system, &self.files.journal)
    }

    /// Turns the open journal of an apply back, durably: from then on a crash ends in the old set.
    pub(super) fn turn_back(&self, journal: &mut Journal) -> Result<(), Error> {
        journal.direction = Direction::Back;
        journal.save(&*self.system, &self.files.journal)
    }

    /// Carries out one step of an apply, and says whether that could be done: not where its bytes are lost.
    fn do_step(&self, step: &Step, is_open: bool) -> Result<bool, Stop> {
        match step {
            Step::Write {
                name,
                staged,
                target,
                sha256,
                size,
            } => match self.rename_staged(staged, target, is_open)? {
                Renamed::Done => {}
                Renamed::Impossible if !is_open => return Err(Stop::NeedsJournal),
                Renamed::Impossible => self.write_in_place(staged, target)?,
                Renamed::NothingStaged => return Ok(self.is_done(name, staged, target, sha256, *size)?),
            },
            Step::SetAside { from, to, .. } => self.set_aside(from, to)?,
            Step::Remove { path, put_off, .. } => match put_off {
                None => filesystem::remove_if_there(&*self.system, path),
                // It was renamed before.
                Some(put_off) => if_there(self.system.rename(path, put_off)).map(drop),
            }
            .map_err(Error::cannot("remove", path))?,
            Step::PutBack { from, to, .. } => return Ok(self.put_back(from, to)?),
        }
        Ok(true)
    }

    /// Renames a staged file to its place. With an open journal the step may have been done before, or be one of those
    /// that bring an old file back.
    fn rename_staged(&self, staged: &Path, target: &Path, is_open: bool) -> Result<Renamed, Error> {
        if is_open && !staged.exists() {
            return Ok(Renamed::NothingStaged);
        }
        self.rename(staged, target)
    }

    /// Renames a staged file to its place, or says why the bytes must be written there.
    fn rename(&self, staged: &Path, target: &Path) -> Result<Renamed, Error> {
        match self.system.rename(staged, target) {
            Ok(()) => Ok(Renamed::Done),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(filesystem::is_there(&*self.system, staged), Ok(false)) =>
            {
                Ok(Renamed::NothingStaged)
            }
            Err(error) if is_place_fixed(&error) => Ok(Renamed::Impossible),
            Err(error) => Err(Error::io("replace", target, &error)),
        }
    }

    /// Writes a staged file into the one that is there, as a step of an apply.
    fn write_in_place(&self, staged: &Path, target: &Path) -> Result<(), Error> {
        stage::write_in_place(&*self.system, staged, target).map_err(Error::cannot("write", target))
    }

    /// Whether a file is as an apply would make it although nothing is staged; else it is staged anew from its blob,
    /// under another name: what was staged before the journal was opened is whole, this may be torn by a crash.
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
        stage::stage(&*self.system, &blob, name, &again, target).map_err(Error::cannot("write", &again))?;
        match self.rename(&again, target)? {
            Renamed::Done => Ok(true),
            Renamed::Impossible => self.write_in_place(&again, target).map(|()| true),
            Renamed::NothingStaged => Ok(false),
        }
    }

    /// Moves a jar aside, as a step of an apply.
    fn set_aside(&self, from: &Path, to: &Path) -> Result<(), Error> {
        filesystem::own_folder(&*self.system, &self.files.aside, 0o700)?;
        // One that is gone was moved before.
        let moved = if_there(stage::move_away(&*self.system, from, to));
        moved.map(drop).map_err(Error::cannot("move", from))
    }

    /// Puts a file back under its own name, and says whether it has it again; not where it is nowhere.
    fn put_back(&self, from: &Path, to: &Path) -> Result<bool, Error> {
        let put_back = || -> io::Result<bool> {
            if fs::symlink_metadata(to).is_ok() {
                // It was never moved, or not to the end: then there is a copy, which harms nobody.
                return Ok(true);
            }
            Ok(if_there(stage::move_away(&*self.system, from, to))?.is_some())
        };
        put_back().map_err(Error::cannot("move back", to))
    }
}

/// The path where a file of a step is staged for the second time.
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
