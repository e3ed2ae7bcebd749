//! Making a generation live: all of it, or nothing.

use std::{collections::HashSet, fs, io, path::Path};

use super::{
    DiskStore, FRESH, Inner, jars,
    prepare::{Write, is_same_disk},
    take_back::{self, NotBack},
};
use crate::{
    digest::Digests,
    error::{Error, Kind},
    manifest::{ManifestDocument, Name},
    scan::{self, descriptor::Jar, file_cache::FileCache},
    store::{
        Allowed, Applied,
        apply::Stop,
        aside, filesystem,
        journal::{Back, Journal, Step},
        live::{self, Live},
        obstacles,
        plan::{self, Plan},
        record::Record,
        room, rules, stage,
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
    /// Applies a generation. `wait_for_reader` returns when the files that are judged have been read ahead.
    pub(super) fn apply_once_read(
        &self,
        generation: &ManifestDocument,
        allowed: Allowed,
        wait_for_reader: impl FnOnce(),
    ) -> Result<Applied, Error> {
        let mut inner = self.lock();
        if inner.rests > 0 {
            return Err(Error::new(
                Kind::Busy,
                "GoCD is about to start on the files that are live here, so they stay as they are",
                "See how the promotion goes with `gocd-bc status`.",
            ));
        }
        inner.seen = None;
        self.finish_journal(&mut inner)?;
        let mut live = match inner.ahead.take().filter(|(at, _)| at.elapsed() < FRESH) {
            // The files that are edited are looked at once more.
            Some((_, ahead)) => live::read_config(&self.layout, &mut inner.cache, ahead)?,
            None => live::read(&self.layout, &mut inner.cache)?,
        };
        let whole = &*self.retaining(generation);
        let (own, not_here) = self.of_this_node(whole);
        let generation = own.as_ref();
        rules::manifest(generation, &live.own_jars)?;
        let names = jars(generation.files.keys());
        self.plugin_names().judge(names, &live.jars(), &live.own_jars)?;
        let names = jars(generation.files.keys().chain(&inner.record.ours));
        self.plugin_names().respell(&mut live, names)?;
        self.generations().pin(generation);
        let now_ms = self.clock.now_ms();
        let Record { ours, guard, .. } = &inner.record;
        let mut plan = plan::plan(generation, &live.files, ours, guard, allowed.deletions, now_ms);
        for name in &generation.retained {
            if self.is_out_of_reach(generation, name)? {
                // It stays as somebody made it: the look at what is live says so for as long as that is so.
                plan.write.retain(|(other, _)| other != name);
            }
        }
        let record = inner.record.next(generation, &plan.guard, now_ms);
        let mut applied = Applied {
            written: plan.write.iter().map(|(name, _)| name.clone()).collect(),
            removed: plan.remove.clone(),
            kept: plan.kept.clone(),
            drift: Vec::new(),
            warnings: live
                .warnings
                .iter()
                .chain(&plan.warnings)
                .chain(&not_here)
                .cloned()
                .collect(),
        };
        let allowed = allowed.for_repair(inner.record.generation == Some(generation.generation));
        if plan.is_empty() && record.says_the_same(&inner.record) {
            wait_for_reader();
            applied.warnings.extend(odd_jars(generation, &live, &[]));
            applied.warnings.extend(self.judge(generation, &live, &[], allowed)?);
            self.keep_or_warn(&mut inner, whole, &mut applied);
            return Ok(applied);
        }
        let change = Change {
            plan: &plan,
            live: &live,
            record,
            document: Some(whole),
            now_ms,
        };
        let (warnings, drift) = self.make_live(&mut inner, change, |inner, writes| {
            wait_for_reader();
            let mut warnings = odd_jars(generation, &live, writes);
            warnings.extend(self.judge(generation, &live, writes, allowed)?);
            Ok((warnings, self.keep_before(inner, &plan, &live, now_ms)?))
        })?;
        applied.warnings.extend(warnings);
        applied.drift = drift;
        // A blob that cannot be written is made of the live file, or else nothing is kept.
        let _ = self.blobs.settle();
        self.keep_or_warn(&mut inner, whole, &mut applied);
        Ok(applied)
    }

    /// Makes a change of the live files, and notes it as applied. `before` judges it and keeps what it replaces, once
    /// all that it writes is staged and nothing has changed yet.
    ///
    /// # Errors
    /// Those of `before`, and what [`crate::store::Store::apply`] says.
    pub(super) fn make_live<T>(
        &self,
        inner: &mut Inner,
        change: Change<'_>,
        before: impl FnOnce(&mut Inner, &[Write]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let writes = self.writes(change.plan, change.live)?;
        self.check_room(&writes)?;
        let staged = self.stage(&writes, change.record.serial)?;
        let kept = match before(inner, &writes) {
            Ok(kept) => kept,
            Err(error) => {
                self.remove_staged(&staged);
                return Err(error);
            }
        };
        // Bringing the bytes into their places may have taken its time.
        let mut change = change;
        let changes = !change.plan.is_empty();
        change.record.becomes_live(&inner.record, changes, self.clock.now_ms());
        let steps = self.steps(staged, &change);
        let is_set = steps.len() > 1;
        // A single rename is whole or not at all by itself.
        let back = steps.iter().try_for_each(|step| self.check(step)).and_then(|()| {
            if !is_set {
                return Ok(None);
            }
            self.begin(inner, &steps, &change).map(Some)
        });
        let back = match back {
            Ok(back) => back,
            Err(error) => {
                self.remove_staged(&steps);
                return Err(error);
            }
        };
        let mut journal = Journal::new(steps, change.record.clone(), change.document, back);
        self.carry_out(inner, &mut journal, &change)?;
        self.remember(&mut inner.cache, writes);
        Ok(kept)
    }

    /// Makes durable what a set needs to come to its end, whichever that is.
    fn begin(&self, inner: &mut Inner, steps: &[Step], change: &Change<'_>) -> Result<Back, Error> {
        // With these a set that was begun can be finished even where staged files are lost.
        self.blobs.settle()?;
        self.way_back(inner, steps, change.live, change.record.serial)
    }

    /// Carries out a journal, or takes it back.
    fn carry_out(&self, inner: &mut Inner, journal: &mut Journal, change: &Change<'_>) -> Result<(), Error> {
        if journal.back.is_some() {
            self.open_journal(journal)?;
        }
        let mut done = self.carry_out_steps(journal);
        if let Err(Stop::NeedsJournal) = done {
            let back = self.begin(inner, &journal.steps, change);
            journal.back = Some(back.inspect_err(|_| self.remove_staged(&journal.steps))?);
            self.open_journal(journal)?;
            done = self.carry_out_steps(journal);
        }
        let is_open = journal.back.is_some();
        let taken_back = match done {
            Ok(()) => {
                inner.record = journal.record.clone();
                self.generations().hold(HashSet::new());
                return if is_open { self.hands().close(journal) } else { Ok(()) };
            }
            Err(stop) if is_open => self.take_back(inner, journal, stop),
            Err(stop) => {
                self.remove_staged(&journal.steps);
                return Err(take_back::reason(stop));
            }
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

    fn carry_out_steps(&self, journal: &Journal) -> Result<(), Stop> {
        let is_open = journal.back.is_some();
        self.hands().carry_out(&journal.steps, &journal.record, is_open)
    }

    /// Nothing has changed where that fails; then the journal goes again.
    fn open_journal(&self, journal: &Journal) -> Result<(), Error> {
        self.hands().open(journal).inspect_err(|_| {
            // One that cannot be removed is carried out, or taken back, by the next call.
            if Journal::close(&*self.system, &self.files.journal).is_ok() {
                self.remove_staged(&journal.steps);
            }
        })
    }

    /// All steps in their order: plugins before the configuration that needs them.
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
                from: scan::path_of(&self.layout, &name),
                to: aside::place(&self.files.aside, now_ms, jar.as_str()),
                name,
            });
        }
        let remove = |(number, name): (usize, &Name)| {
            let path = scan::path_of(&self.layout, name);
            Step::Remove {
                put_off: (!is_one).then(|| take_back::temporary(&path, serial, written + number)),
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

    /// Whether a step can be done, as far as that can be told.
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
                obstacles::check_writable(folder).map_err(|error| Error::io("write", folder, &error))?;
                obstacles::check_name(to)?;
                let is_moved = is_same_disk(from.parent().unwrap_or(from), folder);
                let copied = if is_moved { 0 } else { size_of(from) };
                room::check(folder, copied, self.options.free_space)
            }
            Step::PutBack { .. } => Ok(()),
        }
    }

    /// Takes up what is now known without reading it.
    fn remember(&self, cache: &mut FileCache, writes: Vec<Write>) {
        for write in writes {
            let digests = Digests {
                sha256: write.entry.sha256,
                size: write.entry.size,
            };
            // A file that is gone again is seen at the next look.
            let _ = cache.placed(&scan::path_of(&self.layout, &write.name), digests, write.jar);
            self.blobs.touched(&write.entry.sha256);
        }
        cache.save(&self.files.cache);
    }
}

/// What is odd about the jars of a generation: they are carried all the same, so whoever looks here should know.
fn odd_jars(generation: &ManifestDocument, live: &Live, writes: &[Write]) -> Vec<String> {
    let odd = |name: &Name| match writes.iter().find(|write| write.name == *name) {
        Some(write) => write.jar.as_ref().and_then(Jar::warning),
        None => live.odd.get(name).cloned(),
    };
    let names = generation.files.keys();
    names
        .filter_map(|name| odd(name).map(|warning| format!("{name} {warning}")))
        .collect()
}

fn size_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
