//! What an apply has left that a crash or an error ended: its journal, and temporary files.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use super::{DiskStore, Inner, Options, StateFiles, jars, steps::Stop, take_back::NotBack};
use crate::{
    basics::{Clock, Error, Kind, words},
    durable::{OperatingSystem, atomic},
    generation::{Layout, ManifestDocument, Name},
    standby::store::{
        journal::{Direction, Journal},
        live,
        record::{self, Read, Record},
        stage,
    },
};

/// Finishes an apply that was interrupted and left files half live, on a node that is about to let GoCD start. Touches
/// nothing where no apply was interrupted.
///
/// # Errors
/// As [`DiskStore::finish_interrupted`].
pub fn finish_interrupted(state_dir: &Path, layout: &Layout, clock: Arc<dyn Clock>) -> Result<(), Error> {
    if Journal::is_open(&OperatingSystem, &StateFiles::new(state_dir).journal)? {
        let store = DiskStore::open(state_dir, layout, clock, Options::default())?;
        store.finish_journal(&mut store.lock())?;
    }
    Ok(())
}

/// Forgets an apply that was interrupted, on a node where GoCD runs already: carried out later it would put old files
/// in the place of newer ones. Returns whether there was one.
///
/// # Errors
/// The journal cannot be looked at or removed.
pub fn abandon(state_dir: &Path) -> Result<bool, Error> {
    let journal = StateFiles::new(state_dir).journal;
    let was_there = Journal::is_open(&OperatingSystem, &journal)?;
    Journal::close(&OperatingSystem, &journal)?;
    Ok(was_there)
}

impl DiskStore {
    /// Finishes an apply that was interrupted, by a crash or an error: forward, or back where that fails or was decided
    /// before.
    ///
    /// # Errors
    /// Neither is possible: the live files are a part of each set, which [`DiskStore::half_live`] says from then on.
    pub(super) fn finish_journal(&self, inner: &mut Inner) -> Result<(), Error> {
        let finished = self.finish(inner);
        inner.half_live = finished.as_ref().err().map(ToString::to_string);
        if finished.is_ok() {
            self.recall(inner);
        }
        finished
    }

    /// Recalls, where the manifest of what is live is lost, what is known all the same, before the next one is applied.
    fn recall(&self, inner: &mut Inner) {
        // After GoCD has run on them, the live files are those of no generation.
        let is_known = inner.record.ours.is_empty() || inner.record.was_primary;
        if is_known || !self.generations().is_to_recall() {
            return;
        }
        let recalled = live::read(&self.layout, &mut inner.cache).and_then(|mut live| {
            self.plugin_names().respell(&mut live, jars(&inner.record.ours))?;
            self.generations().recall(&inner.record, &live.files)
        });
        if let Err(error) = recalled {
            warn!("{error}");
        }
    }

    /// The files that an interrupted apply has still to change.
    pub(super) fn unfinished(&self, inner: &Inner) -> Result<Vec<Name>, Error> {
        match Journal::read(&*self.system, &self.files.journal)? {
            Read::Whole(journal) if !journal.is_over(&inner.record) => {
                Ok(journal.steps.into_iter().map(|step| step.name().clone()).collect())
            }
            Read::Missing | Read::Whole(_) => Ok(Vec::new()),
            Read::Damaged => Err(Error::new(
                Kind::File,
                "how far an interrupted sync came is not known here, since its journal is damaged",
                "The next exchange with the primary mends it: see that it answers.",
            )),
        }
    }

    /// Why the live files are a part of one set and a part of another, where they are.
    pub fn half_live(&self) -> Option<String> {
        self.lock().half_live.clone()
    }

    /// Finishes the journal of an interrupted apply, where there is one.
    fn finish(&self, inner: &mut Inner) -> Result<(), Error> {
        let mut journal = match Journal::read(&*self.system, &self.files.journal)? {
            Read::Missing => return Ok(()),
            Read::Whole(journal) => journal,
            Read::Damaged => return self.give_up_journal(inner),
        };
        if journal.is_over(&inner.record) {
            return self.close_journal(&journal);
        }
        let stop = if journal.direction == Direction::Back {
            Stop::Failed(Error::new(Kind::File, "a step of a set failed before", ""))
        } else {
            journal.record.becomes_live(&inner.record, true, self.clock.now_ms());
            match self.do_and_record(&journal.steps, &journal.record, true) {
                Ok(()) => {
                    info!("an apply that was interrupted is finished");
                    inner.record = journal.record.clone();
                    self.keep_finished(inner, journal.document.as_ref());
                    return self.close_journal(&journal);
                }
                Err(stop) => stop,
            }
        };
        match self.take_back(inner, &mut journal, stop) {
            Ok(why) => {
                warn!("{why}");
                Ok(())
            }
            Err(NotBack::Lost(names)) => self.go_on_without(inner, &journal, &names),
            Err(NotBack::Failed(error)) => Err(error),
        }
    }

    /// Ends a journal of which bytes are lost for either set: no generation counts as live until the next one is
    /// applied, which brings them.
    fn go_on_without(&self, inner: &mut Inner, journal: &Journal, lost: &[Name]) -> Result<(), Error> {
        warn!(
            "{} could not be finished after a crash and comes with the next sync",
            words::list(lost)
        );
        let mut record = Record {
            generation: None,
            ..journal.record.clone()
        };
        if let Some(back) = &journal.back {
            record.serial = back.record.serial;
            // Files of either set may be there.
            record.ours.extend(back.record.ours.iter().cloned());
        }
        self.save_record(&record)?;
        inner.record = record;
        self.generations().forget_applied();
        self.close_journal(journal)
    }

    /// Keeps the generation that an interrupted apply has made live, where it is known and all of it is.
    fn keep_finished(&self, inner: &mut Inner, document: Option<&ManifestDocument>) {
        let Some(document) = document.filter(|document| inner.record.generation == Some(document.generation)) else {
            // Without a document the same generation was mended, or an older version began.
            let is_known = self.generations().applied().map(|applied| applied.generation) == inner.record.generation;
            if !is_known {
                self.generations().forget_applied();
            }
            return;
        };
        if let Err(error) = self.keep(inner, document) {
            warn!("the generation is live but cannot be kept to go back to: {error}");
            self.generations().forget_applied();
        }
    }

    /// Goes on without an apply of which nobody knows how far it came: no generation counts as live until the next one
    /// is applied.
    fn give_up_journal(&self, inner: &mut Inner) -> Result<(), Error> {
        self.generations().forget_applied();
        inner.record.generation = None;
        inner.record.save(&*self.system, &self.files.record)?;
        record::set_aside(
            &*self.system,
            &self.files.journal,
            "an apply that was interrupted; it comes with the next sync",
        )
    }

    /// Removes the temporary files of an interrupted apply from all folders that we write into.
    pub(super) fn sweep(&self) {
        let mut folders = BTreeSet::from([
            self.files.folder.clone(),
            self.files.staged.clone(),
            self.files.aside.clone(),
        ]);
        let mut paths: Vec<PathBuf> = self
            .layout
            .config_names()
            .map(|name| self.layout.path_of(&name))
            .collect();
        let plugins = self.layout.plugins_external();
        folders.insert(plugins.to_owned());
        let jars = fs::read_dir(plugins).into_iter().flatten().flatten();
        paths.extend(
            jars.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
                .map(|entry| entry.path()),
        );
        for path in paths {
            let resolved = stage::resolve(&path).ok();
            folders.extend(resolved.and_then(|path| path.parent().map(Path::to_owned)));
        }
        for folder in folders {
            match atomic::sweep(&folder) {
                Ok(0) => {}
                Ok(removed) => info!("{removed} temporary files of ours removed from {}", folder.display()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!("cannot look for temporary files in {}: {error}", folder.display()),
            }
        }
    }
}
