//! Changing the live files: all that is to change, or nothing.

use std::{collections::HashSet, fs, io, path::Path};

use tokio::time::Instant;

use super::{
    DiskStore, Inner,
    prepare::{Staged, Write, is_same_disk},
    steps::Stop,
    take_back::{self, NotBack},
};
use crate::{
    basics::{Digests, Error},
    durable::filesystem,
    files::FileCache,
    generation::{ManifestDocument, Name},
    standby::store::{
        aside,
        journal::{Back, Journal, Step},
        live::Live,
        obstacles,
        plan::Plan,
        record::Record,
        room, stage,
    },
};

/// A change of the live files that is about to happen.
pub(super) struct Change<'a> {
    pub(super) plan: &'a Plan,
    pub(super) live: &'a Live,
    /// What will have been applied then.
    pub(super) record: Record,
    /// The generation that is live then; none where it is the one that is live already.
    pub(super) document: Option<&'a ManifestDocument>,
    pub(super) now_ms: i64,
}

impl DiskStore {
    /// Makes a change of the live files on the disk, and notes it as applied. `before` checks it and keeps what it
    /// replaces, once all that it writes is staged and nothing has changed yet.
    ///
    /// # Errors
    /// Those of `before`, and what [`DiskStore::apply`] says.
    pub(super) fn make_live<T>(
        &self,
        inner: &mut Inner,
        change: Change<'_>,
        before: impl FnOnce(&mut Inner, &[Write]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let writes = self.writes(change.plan, change.live)?;
        self.check_room(&writes)?;
        let (steps, staged) = self.stage(&writes, change.record.serial)?;
        let kept = before(inner, &writes)?;
        // Bringing the bytes into their places may have taken its time.
        let mut change = change;
        let changes = !change.plan.is_empty();
        change.record.becomes_live(&inner.record, changes, self.clock.now_ms());
        let steps = self.steps(steps, &change);
        steps.iter().try_for_each(|step| self.check(step))?;
        // A single rename is whole or not at all by itself.
        let back = match steps.len() {
            0 | 1 => None,
            _ => Some(self.begin(inner, &steps, &change)?),
        };
        let mut journal = Journal::new(steps, change.record.clone(), change.document, back);
        self.carry_out(inner, &mut journal, staged, &change)?;
        self.remember(&mut inner.cache, writes);
        Ok(kept)
    }

    /// Makes durable what a change of the live files needs to come to its end, whichever that is.
    fn begin(&self, inner: &mut Inner, steps: &[Step], change: &Change<'_>) -> Result<Back, Error> {
        // With these a set that was begun can be finished even where staged files are lost.
        self.blobs.write_out()?;
        self.way_back(inner, steps, change.live, change.record.serial)
    }

    /// Carries out the journal of a change of the live files, or takes it back.
    fn carry_out(
        &self,
        inner: &mut Inner,
        journal: &mut Journal,
        mut staged: Staged<'_>,
        change: &Change<'_>,
    ) -> Result<(), Error> {
        if journal.back.is_some() {
            self.open_journal(journal, &mut staged)?;
        }
        let mut done = self.carry_out_steps(journal);
        if let Err(Stop::NeedsJournal) = done {
            journal.back = Some(self.begin(inner, &journal.steps, change)?);
            self.open_journal(journal, &mut staged)?;
            done = self.carry_out_steps(journal);
        }
        let is_open = journal.back.is_some();
        let taken_back = match done {
            Ok(()) => {
                staged.leave();
                if inner.record.applied_ms != journal.record.applied_ms {
                    inner.live_since = Some(Instant::now());
                }
                inner.record = journal.record.clone();
                self.generations().hold(HashSet::new());
                return if is_open { self.close_journal(journal) } else { Ok(()) };
            }
            Err(stop) if is_open => self.take_back(inner, journal, stop),
            Err(stop) => return Err(take_back::reason(stop)),
        };
        self.generations().hold(HashSet::new());
        let error = match taken_back {
            Ok(error) => return Err(error),
            Err(NotBack::Failed(error)) => error,
            Err(NotBack::Lost(names)) => take_back::reason(Stop::Lost(names)),
        };
        inner.half_live = Some(error.to_string());
        Err(error)
    }

    /// Carries out the steps of a change of the live files, and saves the record.
    fn carry_out_steps(&self, journal: &Journal) -> Result<(), Stop> {
        let is_open = journal.back.is_some();
        self.do_and_record(&journal.steps, &journal.record, is_open)
    }

    /// Opens the journal of a change of the live files. Where that fails nothing has changed; then the journal goes
    /// again. The names of what is staged are not waited for: what a power cut loses of it is staged anew, or the set is
    /// taken back.
    fn open_journal(&self, journal: &Journal, staged: &mut Staged<'_>) -> Result<(), Error> {
        let opened = journal.save(&*self.system, &self.files.journal);
        // One that cannot be removed is carried out, or taken back, by the next call.
        if opened.is_ok() || Journal::close(&*self.system, &self.files.journal).is_err() {
            staged.leave();
        }
        opened
    }

    /// All steps of a change of the live files in their order: plugins before the configuration that needs them.
    fn steps(&self, staged: Vec<Step>, change: &Change<'_>) -> Vec<Step> {
        let Change { plan, now_ms, .. } = *change;
        let serial = change.record.serial;
        let is_plugin = |name: &Name| matches!(name, Name::Plugin(_));
        let written = staged.len();
        let is_one = written + plan.set_aside.len() + plan.remove.len() == 1;
        let (mut steps, config): (Vec<_>, Vec<_>) = staged
            .into_iter()
            .partition(|step| matches!(step, Step::Write { name, .. } if is_plugin(name)));
        for jar in &plan.set_aside {
            let name = Name::Plugin(jar.clone());
            steps.push(Step::SetAside {
                from: self.layout.path_of(&name),
                to: aside::place(&self.files.aside, now_ms, jar.as_str()),
                name,
            });
        }
        let remove = |(number, name): (usize, &Name)| {
            let path = self.layout.path_of(name);
            Step::Remove {
                put_off: (!is_one).then(|| stage::temporary(&path, serial, written + number)),
                path,
                name: name.clone(),
            }
        };
        let removals = plan.remove.iter().enumerate();
        let (plugins, others): (Vec<_>, Vec<_>) = removals.partition(|(_, name)| is_plugin(name));
        steps.extend(plugins.into_iter().map(remove));
        steps.extend(config);
        steps.extend(others.into_iter().map(remove));
        steps
    }

    /// Checks whether a step of a change can be done, as far as that can be told.
    fn check(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Write { target, .. } => match obstacles::check_name(target) {
                // Nothing can be renamed to it, but it may be written where it is.
                Err(error) if stage::check_writable(target, io::ErrorKind::NotFound.into()).is_err() => Err(error),
                _ => Ok(()),
            },
            Step::Remove { path, .. } => obstacles::check_removable(path),
            Step::SetAside { from, to, .. } => {
                obstacles::check_removable(from)?;
                let folder = &self.files.aside;
                obstacles::check_folder(folder)?;
                filesystem::own_folder(&*self.system, folder, 0o700)?;
                obstacles::check_writable(folder).map_err(Error::cannot("write", folder))?;
                obstacles::check_name(to)?;
                let is_moved = is_same_disk(from.parent().unwrap_or(from), folder);
                let copied = if is_moved { 0 } else { size_of(from) };
                room::check(folder, copied, self.options.free_space)
            }
            Step::PutBack { .. } => Ok(()),
        }
    }

    /// Takes up into the cache what is known of live files that were just written, without reading them.
    fn remember(&self, cache: &mut FileCache, writes: Vec<Write>) {
        for write in writes {
            let digests = Digests {
                sha256: write.entry.sha256,
                size: write.entry.size,
            };
            // A file that is gone again is seen at the next look.
            let _ = cache.placed(&self.layout.path_of(&write.name), digests, write.jar);
            self.blobs.touched(&write.entry.sha256);
        }
        cache.save(&self.files.cache);
    }
}

/// The bytes of a file that goes live; 0 where it cannot be looked at.
fn size_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
